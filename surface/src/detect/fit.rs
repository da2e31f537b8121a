//! What one end's bytes are to a protocol, and what both ends' come to.

use crate::App;
pub(crate) use crate::bytes::{be16, be32, le16, le32};
use crate::talk::{Answer, Said};

/// How bytes fit a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// They cannot be it.
    No,
    /// Nothing said yet, or nothing that speaks against it.
    Part,
    /// They fit.
    Yes,
    /// They fit, and nothing else begins like it.
    Only,
}

impl Fit {
    /// Of a condition that later bytes do not change.
    pub(super) const fn of(fits: bool) -> Self {
        if fits { Self::Yes } else { Self::No }
    }
}

/// Both ends together: one that contradicts is enough, one that fits is likely, two are sure.
pub(super) const fn judge(app: App, opener: Fit, answerer: Fit) -> Answer {
    match (opener, answerer) {
        (Fit::No, _) | (_, Fit::No) => Answer::No,
        (Fit::Only, _) | (_, Fit::Only) | (Fit::Yes, Fit::Yes) => Answer::Sure(app),
        (Fit::Yes, _) | (_, Fit::Yes) => Answer::Likely(app),
        (Fit::Part, Fit::Part) => Answer::More,
    }
}

/// Whether bytes begin with `pattern`, as far as they go.
pub(super) fn starts(bytes: &[u8], pattern: &[u8]) -> Fit {
    let n = bytes.len().min(pattern.len());
    if bytes[..n] != pattern[..n] {
        Fit::No
    } else if n == pattern.len() {
        Fit::Yes
    } else {
        Fit::Part
    }
}

/// By the first datagram of an end.
pub(super) fn first<'a>(said: Said<'a>, test: impl FnOnce(&'a [u8], usize) -> Fit) -> Fit {
    said.first().map_or(Fit::Part, |(datagram, wire)| test(datagram, wire))
}

/// The byte at an offset.
pub(super) fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

/// Where `pattern` begins.
pub(super) fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, pattern)
}

/// The first line without its end (perhaps with a carriage return), and whether the end is there.
pub(super) fn line(bytes: &[u8]) -> (&[u8], bool) {
    match bytes.iter().position(|&b| b == b'\n') {
        Some(at) => (bytes[..at].strip_suffix(b"\r").unwrap_or(&bytes[..at]), true),
        None => (bytes, false),
    }
}
