//! Elements of ASN.1 in its basic encoding (ITU-T X.690): tag, length, content.

use super::read::{Parsed, Reader, Stop, need};

/// Tags that are read here.
pub(super) mod tag {
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const OCTETS: u8 = 0x04;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const ENUMERATED: u8 = 0x0a;
    pub(crate) const SEQUENCE: u8 = 0x30;
}

impl<'a> Reader<'a> {
    /// A definite length, short or of up to four bytes (X.690 clause 8.1.3; leading zeros occur).
    pub(super) fn ber_length(&mut self) -> Parsed<usize> {
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(usize::from(first));
        }
        let count = usize::from(first & 0x7f);
        need((1..=4).contains(&count))?;
        let bytes = self.take(count)?;
        Ok(bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)))
    }

    /// The length of an element with this tag.
    pub(super) fn ber_open(&mut self, tag: u8) -> Parsed<usize> {
        self.literal(&[tag])?;
        self.ber_length()
    }

    /// The content of an element with this tag.
    pub(super) fn ber(&mut self, tag: u8) -> Parsed<&'a [u8]> {
        let length = self.ber_open(tag)?;
        self.take(length)
    }

    /// A number that is not negative.
    pub(super) fn ber_number(&mut self, tag: u8) -> Parsed<u32> {
        let length = self.ber_open(tag)?;
        need((1..=5).contains(&length))?;
        let bytes = self.take(length)?;
        need(bytes.first().is_some_and(|&top| top < 0x80 && (length < 5 || top == 0)))?;
        Ok(bytes.iter().fold(0, |number, &byte| number << 8 | u32::from(byte)))
    }

    /// Any number of up to five bytes.
    pub(super) fn ber_integer(&mut self) -> Parsed<()> {
        let length = self.ber_open(tag::INTEGER)?;
        need((1..=5).contains(&length))?;
        self.take(length).map(|_| ())
    }
}

/// Reads `content` to its end: what is short there contradicts its length.
pub(super) fn inside<T>(
    content: &[u8],
    parse: impl FnOnce(&mut Reader<'_>) -> Parsed<T>,
) -> Parsed<T> {
    parse(&mut Reader::new(content)).map_err(|_| Stop::No)
}
