//! pcapng options: a list of (code, length, value), each padded to four bytes.
//!
//! Source: draft-ietf-opsawg-pcapng, section 3.5.

use std::borrow::Cow;

/// `opt_endofopt`.
const END: u16 = 0;
/// `opt_comment`: UTF-8 text.
pub const COMMENT: u16 = 1;

/// One option as it stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawOption<'a> {
    /// Meaning depends on the block; [`COMMENT`] means the same everywhere.
    pub code: u16,
    /// The value without its padding, in the byte order of its section.
    pub value: &'a [u8],
}

/// Walks the options of a block. Ends at `opt_endofopt`, at the end of the bytes, or where an
/// option states more bytes than there are (then [`Options::is_damaged`] says so).
#[derive(Debug, Clone, Default)]
pub struct Options<'a> {
    rest: &'a [u8],
    big_endian: bool,
    damaged: bool,
}

impl<'a> Options<'a> {
    /// Options in `bytes`, which start at the first option's code.
    pub fn new(bytes: &'a [u8], big_endian: bool) -> Self {
        Self { rest: bytes, big_endian, damaged: false }
    }

    /// True once an option was met that states more bytes than the block has left.
    pub fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// The comments, in order; bytes that are not UTF-8 are replaced (U+FFFD).
    pub fn comments(self) -> impl Iterator<Item = Cow<'a, str>> {
        self.filter(|option| option.code == COMMENT).map(|option| text(option.value))
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = RawOption<'a>;

    fn next(&mut self) -> Option<RawOption<'a>> {
        let Some((head, tail)) = self.rest.split_first_chunk::<4>() else {
            self.damaged |= !self.rest.is_empty();
            self.rest = &[];
            return None;
        };
        let [a, b, c, d] = *head;
        let (code, len) = if self.big_endian {
            (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
        } else {
            (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
        };
        let len = usize::from(len);
        if code == END {
            self.rest = &[];
            return None;
        }
        let Some(value) = tail.get(..len) else {
            self.damaged = true;
            self.rest = &[];
            return None;
        };
        self.rest = tail.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some(RawOption { code, value })
    }
}

/// Option text: UTF-8, by the standard without a terminating zero, which some writers add.
pub(crate) fn text(value: &[u8]) -> Cow<'_, str> {
    let end = value.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    String::from_utf8_lossy(&value[..end])
}

pub(crate) fn u32_of(value: &[u8], big_endian: bool) -> Option<u32> {
    let bytes: [u8; 4] = value.try_into().ok()?;
    Some(if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
}

pub(crate) fn u64_of(value: &[u8], big_endian: bool) -> Option<u64> {
    let bytes: [u8; 8] = value.try_into().ok()?;
    Some(if big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_padded_options_in_both_orders() {
        let le = [1, 0, 3, 0, b'a', b'b', b'c', 0, 2, 0, 4, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9];
        let seen: Vec<_> = Options::new(&le, false).map(|o| (o.code, o.value.to_vec())).collect();
        assert_eq!(seen, [(1, b"abc".to_vec()), (2, vec![1, 0, 0, 0])]);
        let be = [0, 1, 0, 2, b'h', b'i', 0, 0];
        assert_eq!(Options::new(&be, true).comments().collect::<Vec<_>>(), ["hi"]);
    }

    #[test]
    fn an_option_past_the_block_is_damage_not_a_read() {
        let mut options = Options::new(&[1, 0, 200, 0, b'x', 0, 0, 0], false);
        assert_eq!(options.next(), None);
        assert!(options.is_damaged());
        let mut short = Options::new(&[1, 0], false);
        assert_eq!(short.next(), None);
        assert!(short.is_damaged());
    }

    #[test]
    fn last_option_may_lack_its_padding() {
        let mut options = Options::new(&[1, 0, 1, 0, b'x'], false);
        assert_eq!(options.next().map(|o| o.value), Some(&b"x"[..]));
        assert_eq!(options.next(), None);
        assert!(!options.is_damaged());
    }
}
