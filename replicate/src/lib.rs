//! Backup streams: changed pages found and sent, generations, an encrypted repository of
//! write-once objects (docs/formats/repository.md).
//!
//! ```text
//! push:    walk ─▶ read, hash, compare ─▶ compress, encrypt ─▶ segments ─▶ map parts ─▶ manifest
//! restore: manifest ─▶ map parts, merged ─▶ slots ─▶ decrypt, unpack, check id ─▶ file
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod catalog;
mod compare;
mod crypt;
mod database;
mod direct;
mod draft;
mod drill;
mod error;
mod generation;
mod hash;
pub mod keys;
mod layers;
mod leave;
pub mod pace;
mod part;
mod prune;
pub mod push;
mod read;
mod relocation;
mod repository;
mod restore;
mod scrub;
mod segment;
mod source;
mod staged;
mod store;
mod verify;
pub mod wire;

pub use compare::{Compared, compare, data_bytes};
pub use database::{database, is_locked};
pub use draft::{Draft, InitOptions, NewKeys};
pub use drill::{Drill, Machine, Tally, WithKey, drills, record_drill};
pub use error::{Damage, Error};
pub use generation::{Consistency, Manifest};
pub use hash::{Hash, hex};
pub use leave::{Leave, LeftOut};
pub use prune::{Pruned, Retention, prune};
pub use read::files;
pub use repository::{PAGE, Reader, Repository, Writer};
pub use restore::{Restored, restore};
pub use scrub::{Memory, Scrubbed, scrub};
pub use store::Store;
pub use verify::{Verified, verify};
