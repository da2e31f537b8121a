//! The path, wired together: NIC, driver, skb, vswitch, guest.
//!
//! Read the five stage crates left to right for a frame's life; read [`engine`] for the wiring.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod egress;
pub mod endpoint;
pub mod engine;
pub mod hist;
pub mod receipt;
pub mod step;
pub mod stream;

pub use driver;
pub use guest;
pub use nic;
pub use skb;
pub use vswitch;

pub use endpoint::Endpoint;
pub use engine::{Engine, EngineConfig, Port, PortMode};
pub use hist::{StageHistograms, StageLatency};
pub use step::{PortCast, PortFace, Step, StepTrace, Steps};
