//! Protocols that carry another one behind a greeting of their own.

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

/// Looks for the end of a wrapper's greeting.
pub(crate) fn open(app: App, _talk: &Talk<'_>) -> Wrapped {
    let _ = app;
    Wrapped::No
}
