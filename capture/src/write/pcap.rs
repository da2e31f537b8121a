//! pcap with nanosecond times.

use std::io::Write;

use skb::LinkType;

use super::{checked_caplen, write_failed};
use crate::error::Error;
use crate::format::{CAPLEN_MAX, FCS_PRESENT, MAGIC_NANOS};

const NS_PER_S: i64 = 1_000_000_000;

/// Writes pcap: one link type, times in nanoseconds, little-endian.
#[derive(Debug)]
pub struct PcapWriter<W> {
    out: W,
    linktype: LinkType,
}

impl<W: Write> PcapWriter<W> {
    /// Writes the file header. A `snaplen` of 0 is written as [`CAPLEN_MAX`]. `fcs_len` is the
    /// FCS length in bytes at the end of each frame, if it is known: 0 to 30, even.
    pub fn new(
        mut out: W,
        linktype: LinkType,
        snaplen: u32,
        fcs_len: Option<u8>,
    ) -> Result<Self, Error> {
        let fcs = match fcs_len {
            None => 0,
            Some(bytes @ 0..=30) if bytes % 2 == 0 => FCS_PRESENT | u32::from(bytes / 2) << 28,
            Some(bytes) => {
                return Err(Error::Unwritable {
                    what: "FCS length",
                    expected: "an even number of bytes up to 30",
                    found: i128::from(bytes),
                });
            }
        };
        let mut header = [0; 24];
        header[..4].copy_from_slice(&MAGIC_NANOS.to_le_bytes());
        header[4..6].copy_from_slice(&2u16.to_le_bytes());
        header[6..8].copy_from_slice(&4u16.to_le_bytes());
        let snaplen = if snaplen == 0 { CAPLEN_MAX } else { snaplen };
        header[16..20].copy_from_slice(&snaplen.to_le_bytes());
        header[20..24].copy_from_slice(&(u32::from(linktype.0) | fcs).to_le_bytes());
        out.write_all(&header).map_err(write_failed)?;
        Ok(Self { out, linktype })
    }

    /// Writes one frame. `time_ns` is in nanoseconds since 1970 and must lie before 2106-02-07,
    /// where pcap's 32 bits of seconds end.
    pub fn write_frame(&mut self, time_ns: i64, origlen: u32, data: &[u8]) -> Result<(), Error> {
        let caplen = checked_caplen(data, self.linktype)?;
        let seconds =
            u32::try_from(time_ns.div_euclid(NS_PER_S)).map_err(|_| Error::Unwritable {
                what: "time in ns since 1970",
                expected: "a time from 1970-01-01 to 2106-02-07",
                found: i128::from(time_ns),
            })?;
        let fraction = time_ns.rem_euclid(NS_PER_S) as u32;
        let mut header = [0; 16];
        for (at, field) in [seconds, fraction, caplen, origlen].into_iter().enumerate() {
            header[at * 4..at * 4 + 4].copy_from_slice(&field.to_le_bytes());
        }
        self.out.write_all(&header).map_err(write_failed)?;
        self.out.write_all(data).map_err(write_failed)
    }

    /// Flushes, and gives the output back.
    pub fn finish(mut self) -> Result<W, Error> {
        self.out.flush().map_err(write_failed)?;
        Ok(self.out)
    }
}
