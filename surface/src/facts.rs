//! What a protocol says of itself that is kept: an allow-list by type, so that nothing else can be.

use crate::App;
use crate::talk::Talk;
use crate::tls::{self, TlsFacts};

/// Facts of a conversation. A field that is not here is not kept anywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Facts {
    /// Nothing besides the application.
    #[default]
    None,
    /// Of TLS, whatever it carries.
    Tls(Box<TlsFacts>),
}

impl Facts {
    /// Of a conversation whose application, behind what carries it, is known.
    pub(crate) fn of(_app: App, path: &[App], talk: &Talk<'_>) -> Self {
        if path.contains(&App::Tls) { Self::Tls(Box::new(tls::facts(talk))) } else { Self::None }
    }
}
