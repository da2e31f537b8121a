//! Recorded frames out again, on time.
//!
//! * [`Feed`] reads a capture and makes its frames ready ([`prepare`]): into memory, or by a
//!   thread ahead of the sender.
//! * [`Schedule`](pace::Schedule) says when each frame is due, in exact arithmetic.
//! * [`run`](run::run) waits ([`clock`]) and hands frames over to [`nic::tx::Transmit`].
//! * [`Report`] says how true it was.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod chunk;
pub mod clock;
pub mod feed;
pub mod pace;
pub mod prepare;
mod report;
pub mod rewrite;
#[cfg(target_os = "linux")]
pub mod run;
pub mod segment;
#[cfg(target_os = "linux")]
pub mod sim;
pub mod verify;

pub use feed::{Feed, FeedError, FeedOptions};
pub use pace::{Decimal, Pace};
pub use report::{Ended, GapError, LATE_NS, Report};
