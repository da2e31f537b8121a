//! Just enough of pcap and pcapng to count, relabel and write the lab's own files.
//!
//! Only what the lab's tools write is read: little-endian pcap and pcapng (the product's reader
//! is `framewalk-capture`). Formats: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// One frame: time in nanoseconds since 1970, length on the wire, captured bytes.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub(super) time_ns: u64,
    /// Bytes on the wire, without FCS.
    pub(super) origlen: u32,
    /// Index of its interface (pcapng).
    pub(super) interface: u32,
    /// Captured bytes.
    pub(super) bytes: Vec<u8>,
}

fn u32_at(data: &[u8], at: usize) -> Result<u32> {
    let bytes =
        data.get(at..at + 4).with_context(|| format!("file ends before byte {}", at + 4))?;
    Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// Reads a little-endian pcap file (µs or ns): link type and frames.
pub(super) fn read_pcap(path: &Path) -> Result<(u32, Vec<Frame>)> {
    let data = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let unit = match u32_at(&data, 0)? {
        0xa1b2_c3d4 => 1000,
        0xa1b2_3c4d => 1,
        other => bail!("{}: magic {other:#x} is not a little-endian pcap", path.display()),
    };
    let linktype = u32_at(&data, 20)?;
    let mut frames = Vec::new();
    let mut at = 24;
    while at < data.len() {
        let caplen = u32_at(&data, at + 8)? as usize;
        let bytes = data
            .get(at + 16..at + 16 + caplen)
            .with_context(|| format!("{}: record at byte {at} is cut short", path.display()))?;
        frames.push(Frame {
            time_ns: u64::from(u32_at(&data, at)?) * 1_000_000_000
                + u64::from(u32_at(&data, at + 4)?) * unit,
            origlen: u32_at(&data, at + 12)?,
            interface: 0,
            bytes: bytes.to_vec(),
        });
        at += 16 + caplen;
    }
    Ok((linktype, frames))
}

/// Counts the frames of a little-endian pcap or pcapng file.
pub(super) fn count(path: &Path) -> Result<usize> {
    let data = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    if u32_at(&data, 0)? != 0x0a0d_0d0a {
        return Ok(read_pcap(path)?.1.len());
    }
    let (mut at, mut frames) = (0, 0);
    while at < data.len() {
        let kind = u32_at(&data, at)?;
        let len = u32_at(&data, at + 4)? as usize;
        if len < 12 {
            bail!("{}: block at byte {at} says length {len}", path.display());
        }
        frames += usize::from(kind == 6);
        at += len;
    }
    Ok(frames)
}

/// Writes a pcap file with microsecond times.
pub(super) fn write_pcap(path: &Path, linktype: u32, frames: &[Frame]) -> Result<()> {
    let mut out = Vec::new();
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, linktype] {
        out.extend_from_slice(&u32::to_le_bytes(word));
    }
    for frame in frames {
        let seconds = (frame.time_ns / 1_000_000_000) as u32;
        let micros = (frame.time_ns % 1_000_000_000 / 1000) as u32;
        for word in [seconds, micros, frame.bytes.len() as u32, frame.origlen] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&frame.bytes);
    }
    fs::write(path, out).with_context(|| format!("cannot write {}", path.display()))
}

/// What a pcapng file says about one interface.
#[derive(Debug)]
pub(super) struct Interface<'a> {
    /// `if_name`.
    pub(super) name: &'a str,
    /// `if_description`; left out when empty.
    pub(super) description: &'a str,
    /// Link type number.
    pub(super) linktype: u32,
}

/// What a pcapng file says about itself.
#[derive(Debug)]
pub(super) struct Labels<'a> {
    /// Section comment (`opt_comment` of the section header block).
    pub(super) section: &'a str,
    /// The interfaces, in the order of their numbers.
    pub(super) interfaces: &'a [Interface<'a>],
    /// Comments on frames, by frame number (from 1).
    pub(super) frames: &'a [(usize, &'a str)],
}

/// Writes one section with nanosecond times and the given labels.
pub(super) fn write_pcapng(path: &Path, frames: &[Frame], labels: &Labels<'_>) -> Result<()> {
    let mut out = Vec::new();
    let mut body = Vec::new();
    body.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
    body.extend_from_slice(&1_u16.to_le_bytes());
    body.extend_from_slice(&0_u16.to_le_bytes());
    body.extend_from_slice(&u64::MAX.to_le_bytes()); // section length not given
    option(&mut body, 1, labels.section.as_bytes());
    option(&mut body, 4, b"framewalk xtask lab");
    end_options(&mut body);
    block(&mut out, 0x0a0d_0d0a, &body);

    for interface in labels.interfaces {
        body.clear();
        body.extend_from_slice(&interface.linktype.to_le_bytes()); // then 16 reserved bits, 0
        body.extend_from_slice(&262_144_u32.to_le_bytes());
        option(&mut body, 2, interface.name.as_bytes());
        if !interface.description.is_empty() {
            option(&mut body, 3, interface.description.as_bytes());
        }
        option(&mut body, 9, &[9]); // if_tsresol: 10^-9 s
        end_options(&mut body);
        block(&mut out, 1, &body);
    }

    for (index, frame) in frames.iter().enumerate() {
        body.clear();
        body.extend_from_slice(&frame.interface.to_le_bytes());
        body.extend_from_slice(&((frame.time_ns >> 32) as u32).to_le_bytes());
        body.extend_from_slice(&(frame.time_ns as u32).to_le_bytes());
        body.extend_from_slice(&(frame.bytes.len() as u32).to_le_bytes());
        body.extend_from_slice(&frame.origlen.to_le_bytes());
        body.extend_from_slice(&frame.bytes);
        pad(&mut body);
        let comments = labels.frames.iter().filter(|(number, _)| *number == index + 1);
        let before = body.len();
        comments.for_each(|(_, text)| option(&mut body, 1, text.as_bytes()));
        if body.len() > before {
            end_options(&mut body);
        }
        block(&mut out, 6, &body);
    }
    fs::write(path, out).with_context(|| format!("cannot write {}", path.display()))
}

fn block(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let len = body.len() as u32 + 12;
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(&len.to_le_bytes());
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&(value.len() as u16).to_le_bytes());
    body.extend_from_slice(value);
    pad(body);
}

fn end_options(body: &mut Vec<u8>) {
    body.extend_from_slice(&[0; 4]);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<Frame> {
        (0..3_u8)
            .map(|n| Frame {
                time_ns: 1_800_000_000_123_456_000 + u64::from(n),
                origlen: 60,
                interface: 0,
                bytes: vec![n; 59 + usize::from(n)],
            })
            .collect()
    }

    #[test]
    fn a_pcap_comes_back_as_it_was_written() {
        let path = std::env::temp_dir().join(format!("framewalk-lab-{}.pcap", std::process::id()));
        write_pcap(&path, 1, &frames()).unwrap();
        let (linktype, back) = read_pcap(&path).unwrap();
        let counted = count(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!((linktype, counted), (1, 3));
        assert_eq!(back[2].bytes, frames()[2].bytes);
        assert_eq!(back[0].time_ns, frames()[0].time_ns);
    }

    #[test]
    fn pcapng_blocks_chain_whatever_the_lengths() {
        let path =
            std::env::temp_dir().join(format!("framewalk-lab-{}.pcapng", std::process::id()));
        let labels = Labels {
            section: "seven..",
            interfaces: &[Interface { name: "m0", description: "x", linktype: 1 }],
            frames: &[(1, "first"), (3, "third")],
        };
        write_pcapng(&path, &frames(), &labels).unwrap();
        let counted = count(&path);
        let len = fs::metadata(&path).unwrap().len();
        fs::remove_file(&path).unwrap();
        assert_eq!(counted.unwrap(), 3);
        assert_eq!(len % 4, 0);
    }
}
