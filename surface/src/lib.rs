//! What frames say about a network: conversations, and the applications in them by their bytes.
//!
//! Sans-IO: frames go in by [`Analyzer::batch`], conversations come out as [`FlowRecord`]s. Input
//! is hostile; memory is bounded by [`Limits`], and what did not fit is counted.
//!
//! ```text
//! frame ─▶ Peeler ─▶ Packet ─▶ Table ─▶ Flow ─▶ Inspection ─▶ detect ─▶ App
//!          innermost           by 5-tuple       first bytes   tests
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod analyzer;
mod app;
mod bytes;
mod detect;
mod engine;
mod facts;
mod finding;
pub mod flow;
mod follow;
mod inspect;
mod peel;
mod record;
pub mod site;
mod talk;
mod tls;
mod tools;

pub use analyzer::{Analyzer, Share, Told};
pub use app::App;
pub use engine::{Counts, Limits};
pub use facts::{
    Encrypted, Facts, KeyedName, NameKey, Ntlm, PortMapping, RdpClient, RdpFacts, RdpLevel,
    RdpOutcome, SmbFacts, StoreFacts,
};
pub use finding::{Finding, Rule, Severity, Sure};
pub use flow::{Opener, TcpState};
pub use peel::{Address, Packet, Peeled, Peeler, TcpHead, proto};
pub use record::{FlowRecord, Sent};
pub use site::{
    Card, Copied, Forward, Health, Host, KeyService, NameSource, NatSide, Role, Service, Site,
};
pub use talk::{Answer, Cut, Said, Talk, Test};
pub use tls::{Certificate, TlsFacts};
