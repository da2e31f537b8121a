//! Reading what an end said, from its first byte on.

use super::fit::Fit;

/// Why reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// What is there does not fit.
    No,
    /// It ends before it could be told.
    Short,
}

/// What reading comes to.
pub(super) type Parsed<T = Fit> = Result<T, Stop>;

/// Goes on only if it holds.
pub(super) const fn need(holds: bool) -> Parsed<()> {
    if holds { Ok(()) } else { Err(Stop::No) }
}

/// Whether the first bytes differ, as they nearly always do: then no call is needed to compare the
/// rest.
#[inline(always)]
pub(super) fn differ_at_once(bytes: &[u8], pattern: &[u8]) -> bool {
    matches!((bytes, pattern), ([a, ..], [b, ..]) if a != b)
}

/// Reads on from the first byte of what an end said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// What is not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next byte, left where it is.
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Parsed<&'a [u8]> {
        let bytes = self.rest().get(..count).ok_or(Stop::Short)?;
        self.at += count;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let bytes = *self.rest().first_chunk::<N>().ok_or(Stop::Short)?;
        self.at += N;
        Ok(bytes)
    }

    pub(super) fn u8(&mut self) -> Parsed<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn be16(&mut self) -> Parsed<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn be32(&mut self) -> Parsed<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn le16(&mut self) -> Parsed<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn le32(&mut self) -> Parsed<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Goes on only behind these bytes; tells as soon as one differs.
    pub(super) fn literal(&mut self, bytes: &[u8]) -> Parsed<()> {
        let rest = self.rest();
        let have = rest.len().min(bytes.len());
        need(!differ_at_once(rest, bytes))?;
        need(rest.get(..have) == bytes.get(..have))?;
        self.take(bytes.len()).map(|_| ())
    }

    /// Bytes up to `end`, which is read too, if it comes within `max` bytes.
    pub(super) fn until(&mut self, end: u8, max: usize) -> Parsed<&'a [u8]> {
        let rest = self.rest();
        let have = rest.get(..rest.len().min(max)).unwrap_or_default();
        match have.iter().position(|&byte| byte == end) {
            Some(length) => {
                self.at += length + 1;
                Ok(have.get(..length).unwrap_or_default())
            }
            None if rest.len() >= max => Err(Stop::No),
            None => Err(Stop::Short),
        }
    }

    /// Digits up to `end`, which is read too: at most `max` of them.
    pub(super) fn digits(&mut self, end: u8, max: usize) -> Parsed<usize> {
        let begin = self.rest();
        let count = begin.iter().take(max + 1).take_while(|byte| byte.is_ascii_digit()).count();
        match begin.get(count) {
            Some(&byte) => need(byte == end && (1..=max).contains(&count))?,
            None => return Err(Stop::Short),
        }
        let digits = self.take(count)?;
        self.at += 1;
        Ok(digits.iter().fold(0, |sum, digit| {
            usize::saturating_mul(sum, 10).saturating_add(usize::from(digit - b'0'))
        }))
    }
}

/// The byte at an offset.
pub(super) fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

/// Where `pattern` begins.
pub(super) fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, pattern)
}

/// Whether `what` occurs in `bytes`, of which at most 4 KiB are kept.
pub(super) fn has(bytes: &[u8], what: &[u8]) -> bool {
    find(bytes, what).is_some()
}

/// The first line without its end (perhaps with a carriage return), and whether the end is there.
pub(super) fn line(bytes: &[u8]) -> (&[u8], bool) {
    match bytes.iter().position(|&b| b == b'\n') {
        Some(at) => (bytes[..at].strip_suffix(b"\r").unwrap_or(&bytes[..at]), true),
        None => (bytes, false),
    }
}

/// Whether `bytes` are text without control characters other than white space.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|&byte| (byte >= b' ' && byte != 0x7f) || matches!(byte, b'\t' | b'\r' | b'\n'))
}

/// Whether `bytes` begin with `what`, upper or lower case.
pub(super) fn begins_ignoring_case(bytes: &[u8], what: &[u8]) -> bool {
    bytes.get(..what.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(what))
}
