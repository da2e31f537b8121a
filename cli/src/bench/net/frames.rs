//! Frames to measure with, and captures of them.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::Context as _;
use capture::Reader;
use capture::write::PcapWriter;
use skb::LinkType;

/// When captures made here begin: 2026-01-01, nanoseconds since 1970.
const BEGIN_NS: i64 = 1_767_225_600_000_000_000;
/// Ethernet, IPv4 and UDP headers.
const HEADERS: usize = 42;
/// Marks a frame as ours, after the headers; its number follows.
const MARK: [u8; 4] = *b"fwlk";
/// The shortest frame with mark and number.
const FRAME_MIN: usize = HEADERS + 8;

/// UDP over IPv4 from nobody to nobody, `len` bytes without FCS, with `number` in it.
pub(in crate::bench) fn frame(len: usize, number: u32) -> Vec<u8> {
    let mut frame = vec![0x5a; len.clamp(FRAME_MIN, 1 << 16)];
    let len = frame.len();
    // locally administered addresses that no device has (IEEE 802)
    frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 0x21, 2, 0, 0, 0, 0, 0x22, 8, 0]);
    let total = u16::try_from(len - 14).unwrap_or(u16::MAX).to_be_bytes();
    let ip = [0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, 17, 0, 0];
    frame[14..26].copy_from_slice(&ip);
    // TEST-NET-1 (RFC 5737)
    frame[26..34].copy_from_slice(&[192, 0, 2, 1, 192, 0, 2, 2]);
    let sum: u32 = frame[14..34].chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(c[1])).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    let udp = u16::try_from(len - 34).unwrap_or(u16::MAX).to_be_bytes();
    // port 9 is discard (RFC 863)
    frame[34..42].copy_from_slice(&[0x30, 0x39, 0, 9, udp[0], udp[1], 0, 0]);
    frame[HEADERS..HEADERS + 4].copy_from_slice(&MARK);
    set_number(&mut frame, number);
    frame
}

/// Gives a frame of [`frame`] another number.
#[inline]
pub(in crate::bench) fn set_number(frame: &mut [u8], number: u32) {
    if let Some(place) = frame.get_mut(HEADERS + 4..HEADERS + 8) {
        place.copy_from_slice(&number.to_be_bytes());
    }
}

/// The number in a frame of [`frame`]; `None` for any other frame.
#[inline]
pub(in crate::bench) fn number(frame: &[u8]) -> Option<u32> {
    let place: &[u8; 8] = frame.get(HEADERS..)?.first_chunk()?;
    let (mark, number) = place.split_at(4);
    if mark == MARK { Some(u32::from_be_bytes(*number.first_chunk()?)) } else { None }
}

/// A capture to replay, and when each of its frames is due.
#[derive(Debug)]
pub(in crate::bench) struct Made {
    /// Due times from the first frame on, nanoseconds.
    pub(in crate::bench) due_ns: Vec<i64>,
    /// Lengths of the frames, bytes.
    pub(in crate::bench) len: Vec<usize>,
}

/// Writes numbered frames of `len` bytes, frame n due at `due_ns(n)`.
pub(in crate::bench) fn write(path: &Path, len: usize, due_ns: Vec<i64>) -> anyhow::Result<Made> {
    let mut out = open(path)?;
    let mut frame = frame(len, 0);
    for (n, due) in due_ns.iter().enumerate() {
        set_number(&mut frame, n as u32);
        out.write_frame(BEGIN_NS + due, frame.len() as u32, &frame)?;
    }
    out.finish()?;
    let len = vec![frame.len(); due_ns.len()];
    Ok(Made { due_ns, len })
}

fn open(path: &Path) -> anyhow::Result<PcapWriter<BufWriter<File>>> {
    let file = capture::write::create(path)?;
    let out = BufWriter::with_capacity(1 << 20, file);
    // no statement about the FCS: not every reader knows those bits of the link type
    Ok(PcapWriter::new(out, LinkType::ETHERNET, 0, None)?)
}

/// Writes the first `seconds` of a capture again as plain pcap, so that every program reads the
/// same: whole Ethernet frames that the cable takes, times in whole microseconds (which is all that
/// peers keep) and never backwards.
pub(in crate::bench) fn rewrite(
    from: &Path,
    to: &Path,
    len_max: usize,
    seconds: f64,
) -> anyhow::Result<Made> {
    let read = || format!("cannot read {}", from.display());
    let mut reader = Reader::open(from).with_context(read)?;
    let mut out = open(to)?;
    let mut made = Made { due_ns: Vec::new(), len: Vec::new() };
    let mut first = None;
    while let Some(frame) = reader.next().with_context(read)? {
        let whole = frame.meta.origlen as usize == frame.data.len();
        // the interface makes its own FCS
        let fcs = usize::from(frame.meta.fcs_len.unwrap_or(0));
        let data = &frame.data[..frame.data.len().saturating_sub(fcs)];
        let fits = (14..=len_max).contains(&data.len());
        let Some(time_ns) = frame.meta.time_ns else { continue };
        if !(whole && fits && frame.meta.linktype == LinkType::ETHERNET) {
            continue;
        }
        let first = *first.get_or_insert(time_ns);
        let before = made.due_ns.last().copied().unwrap_or(0);
        let due = ((time_ns - first) / 1000 * 1000).max(before);
        if due as f64 > seconds * 1e9 {
            break;
        }
        out.write_frame(BEGIN_NS + due, data.len() as u32, data)?;
        made.due_ns.push(due);
        made.len.push(data.len());
    }
    out.finish()?;
    Ok(made)
}

/// Due times of `count` frames, a fixed gap apart.
pub(in crate::bench) fn even(count: usize, gap_ns: i64) -> Vec<i64> {
    (0..count as i64).map(|n| n * gap_ns).collect()
}

/// Due times of `count` frames at random: gaps exponentially distributed around `mean_ns`, in
/// whole microseconds, the same ones every time.
pub(in crate::bench) fn random(count: usize, mean_ns: i64) -> Vec<i64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut at = 0;
    (0..count)
        .map(|_| {
            let due = at;
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // 53 random bits, never 0
            let unit = ((state >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
            at += (-unit.ln() * mean_ns as f64 / 1e3).round() as i64 * 1000;
            due
        })
        .collect()
}

/// The `n`th percentile of sorted numbers, 0 of none.
pub(in crate::bench) fn percentile(sorted: &[u64], percent: f64) -> u64 {
    let at = (sorted.len() as f64 * percent / 100.0) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_its_number_and_other_frames_have_none() {
        for len in [0, 64, 1500] {
            let mut frame = frame(len, 7);
            assert_eq!(frame.len(), len.max(FRAME_MIN));
            assert_eq!(number(&frame), Some(7));
            set_number(&mut frame, u32::MAX);
            assert_eq!(number(&frame), Some(u32::MAX));
            assert_eq!(number(&frame[..FRAME_MIN - 1]), None);
            frame[HEADERS] ^= 1;
            assert_eq!(number(&frame), None);
        }
    }

    #[test]
    fn times_are_as_they_are_said_to_be() {
        assert_eq!(even(3, 10_000), [0, 10_000, 20_000]);
        let due = random(20_000, 20_000);
        assert!(due.windows(2).all(|pair| pair[0] <= pair[1]) && due[0] == 0);
        let mean = due[due.len() - 1] as f64 / (due.len() - 1) as f64;
        assert!((19_000.0..21_000.0).contains(&mean), "{mean}");
        // of an exponential distribution half the gaps are below ln 2 of the mean
        let mut gaps: Vec<u64> = due.windows(2).map(|pair| (pair[1] - pair[0]) as u64).collect();
        gaps.sort_unstable();
        let median = percentile(&gaps, 50.0);
        assert!((13_000..=15_000).contains(&median), "{median}");
        assert_eq!((percentile(&[], 50.0), percentile(&[1, 2, 3], 100.0)), (0, 3));
    }
}
