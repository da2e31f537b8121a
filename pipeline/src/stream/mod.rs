//! Byte streams through the path: TCP connections of its guests, as blocking `Read` and `Write`.
//!
//! ```text
//!  writer ─▶ pipe ─▶ ┌ stack ┐ ─▶ nic ─▶ driver ─▶ skb ─▶ vswitch ─▶ ┌ stack ┐ ─▶ pipe ─▶ reader
//!  thread            └ guest ┘                                       └ guest ┘            thread
//!                    └──────────────── one thread: the pump ────────────────┘
//! ```
//!
//! A [`Pump`] owns an engine and a thread. The thread moves bytes between the pipes of each
//! [`PathStream`] and the sockets of the guests, lets the stacks run, and takes frames through the
//! five stages; it sleeps when nothing moves. Pipes are bounded, rings without a lock between the
//! one who writes and the one who reads; whoever finds one full or empty sleeps. Every frame is on
//! the engine's ledger, every stage's latency in its histograms, and [`Shares`] says where the
//! thread's time went, which names the stage that limits a stream.
//!
//! Whether bytes leave the process is the engine's matter: [`memory`] wires guests to a switch and
//! nothing else, [`wire`] one guest to a switch with a live interface.

mod bell;
mod door;
mod end;
mod listener;
mod live;
pub mod memory;
mod pump;
mod report;
mod runner;
mod sync;
#[cfg(test)]
mod tests;
#[cfg(target_os = "linux")]
pub mod wire;

pub use end::PathStream;
pub use listener::PathListener;
pub use pump::Pump;
pub use report::{PathReport, Shares};
