//! Protocols that carry another one: behind a greeting of their own, or named by what they say.

use super::{tls, web};
use crate::App;
use crate::talk::Talk;

/// Where the carried protocol begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrapped {
    /// It carries nothing else.
    No,
    /// The greeting is not complete.
    More,
    /// Behind so many bytes of the opener and of the answerer.
    Strip(usize, usize),
}

/// Looks for the end of a wrapper's greeting; the application to name the wrapper by comes back
/// too.
pub(crate) fn open(app: App, talk: &Talk<'_>) -> (App, Wrapped) {
    match app {
        App::Socks => (app, web::socks(talk)),
        App::Http => match web::connect(talk) {
            Wrapped::No => (app, Wrapped::No),
            wrapped => (App::HttpConnect, wrapped),
        },
        _ => (app, Wrapped::No),
    }
}

/// The application that is told by what its carrier says, not by bytes of its own, and whether
/// that is sure.
pub(crate) fn refine(app: App, talk: &Talk<'_>) -> Option<(App, bool)> {
    match app {
        App::Http => web::refine(talk).map(|app| (app, true)),
        App::Tls => tls::refine(talk).map(|app| (app, true)).or_else(|| tls::desktop(talk)),
        _ => None,
    }
}
