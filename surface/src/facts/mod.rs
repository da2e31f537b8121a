//! What a protocol says of itself that is kept: an allow-list by type, so that nothing else can be.

mod clear;
mod keyed;
mod rdp;
mod store;

use std::net::IpAddr;

pub(crate) use clear::names_settings;
pub use clear::{Ntlm, SmbFacts};
pub use keyed::{KeyedName, NameKey};
pub(crate) use rdp::{HYBRID_REQUIRED, SSL_CERT_NOT_ON_SERVER, SSL_NOT_ALLOWED};
pub use rdp::{RdpClient, RdpFacts, RdpLevel, RdpOutcome};
pub use store::{Encrypted, StoreFacts};

use crate::App;
use crate::detect;
use crate::talk::Talk;
use crate::tls::{self, TlsFacts};

/// Facts of a conversation. A field that is not here is not kept anywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Facts {
    /// Nothing besides the application.
    #[default]
    None,
    /// Of TLS, whatever it carries, and whatever it began inside of.
    Tls(Box<TlsFacts>),
    /// A port that a router was asked for by UPnP, and granted.
    PortMapping(Box<PortMapping>),
    /// Of SMB.
    Smb(SmbFacts),
    /// Of a database or an imaging server.
    Store(Box<StoreFacts>),
    /// A password, or what is as good as one, crossed in clear.
    ClearLogon,
    /// A file named like a device's settings crossed in clear.
    ClearSettings,
    /// Of a remote desktop.
    Rdp(Box<RdpFacts>),
}

/// A port of a router, and where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortMapping {
    /// IP protocol number.
    pub proto: u8,
    /// Port of the outer address.
    pub outer_port: u16,
    /// The host inside.
    pub inner: IpAddr,
    /// Its port.
    pub inner_port: u16,
    /// Seconds, 0 for ever.
    pub lifetime: u32,
}

impl Facts {
    /// Of a conversation whose application, behind what carries it, is known.
    pub(crate) fn of(app: App, path: &[App], talk: &Talk<'_>) -> Self {
        if path.contains(&App::Tls) {
            return Self::Tls(Box::new(tls::facts(talk)));
        }
        match app {
            App::Quic => {
                let facts = tls::quic_facts(talk);
                return if facts.version.is_some() {
                    Self::Tls(Box::new(facts))
                } else {
                    Self::None
                };
            }
            App::Smb => return Self::Smb(clear::smb(talk)),
            _ if store::is_store(app) => {
                let mut facts = store::facts(app, talk);
                facts.tls = tls::inside::facts(app, talk).map(Box::new);
                return Self::Store(Box::new(facts));
            }
            _ if clear::is_clear_logon(app, path, talk) => return Self::ClearLogon,
            _ => {}
        }
        match app {
            App::Http if clear::carries_settings(talk) => Self::ClearSettings,
            App::Http => detect::port_mapping(talk)
                .map_or(Self::None, |mapping| Self::PortMapping(Box::new(mapping))),
            _ => {
                tls::inside::facts(app, talk).map_or(Self::None, |facts| Self::Tls(Box::new(facts)))
            }
        }
    }

    /// Whether more bytes of a connection whose application is known may tell more.
    pub(crate) fn wants_more(app: App, path: &[App], talk: &Talk<'_>) -> bool {
        if app == App::Quic {
            return tls::quic_wants_more(talk);
        }
        if !path.contains(&App::Tls) && tls::inside::wants_more(app, talk) {
            return true;
        }
        if store::is_store(app) && !path.contains(&App::Tls) {
            return store::wants_more(app, talk);
        }
        clear::wants_more(app, path, talk)
    }
}
