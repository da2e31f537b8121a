//! Capture files read and written: pcap and pcapng.
//!
//! * [`format`](mod@format) parses bytes that the caller owns: nothing is copied, nothing is read.
//! * [`Source`] reads a file, standard input or memory, plain, gzip or zstd.
//! * [`Reader`] joins the two: a capture from beginning to end, in flat memory.
//! * [`write`](mod@write) makes captures.
//! * [`filter`] chooses frames with tcpdump's expressions.
//!
//! The formats are drawn in `docs/formats/pcap.md` and `docs/formats/pcapng.md`.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod batch;
mod error;
pub mod filter;
pub mod format;
mod reader;
mod source;
pub mod write;

pub use batch::{Batch, Block, FrameRef};
pub use error::{Damage, Error, Part, Problem};
pub use format::{Interface, Options, Record, Section};
pub use reader::{Ahead, BATCH_MAX, BUFFER_BYTES, Reader, Statistics};
pub use source::{Progress, Source};
