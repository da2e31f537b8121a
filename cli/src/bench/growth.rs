//! How the cost grows with the work: ten times the frames, ten times the flows, one core and two.

use super::process::{Case, me, measure};
use anyhow::Context as _;
use benches::Row;
use capture::write::PcapWriter;
use skb::LinkType;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Frames and flows of the captures that are made, measured and removed.
pub(super) const SIZES: [(u64, u64); 4] =
    [(300_000, 3_000), (3_000_000, 3_000), (3_000_000, 30_000), (3_000_000, 300_000)];

/// Rows for every size, and for one core of the larger file.
pub(super) fn rows(runs: usize) -> anyhow::Result<Vec<Row>> {
    let me = me()?;
    let mut rows = Vec::new();
    for (frames, flows) in SIZES {
        let made = Made::new(frames, flows)?;
        let file = made.0.to_string_lossy().into_owned();
        let of = format!("{frames} frames, {flows} flows");
        let mut cases = Vec::new();
        for (what, flag) in [("summary", "--summary"), ("json", "--json")] {
            let command = [me.as_str(), "inspect", &file, flag, "-q"];
            cases.push(Case::new(&format!("{what}, {of}"), frames, None, &command));
            if (frames, flows) == (3_000_000, 3_000) && one_core_works() {
                let pinned = [&["taskset", "-c", "0"][..], &command].concat();
                cases.push(Case::new(&format!("{what}, {of}, 1 core"), frames, None, &pinned));
            }
        }
        rows.extend(measure(cases, runs)?);
    }
    Ok(rows)
}

/// Whether `taskset` (util-linux) is there to give a process one core.
pub(super) fn one_core_works() -> bool {
    let done = Command::new("taskset")
        .args(["-c", "0", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    done.is_ok_and(|status| status.success())
}

/// A capture made for measuring, removed when it is no longer needed.
pub(super) struct Made(pub(super) PathBuf);

impl Made {
    pub(super) fn new(frames: u64, flows: u64) -> anyhow::Result<Self> {
        let name = format!("framewalk-growth-{}-{frames}-{flows}.pcap", std::process::id());
        let made = Self(std::env::temp_dir().join(name));
        write(&made.0, frames, flows)
            .with_context(|| format!("cannot write {}", made.0.display()))?;
        Ok(made)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// UDP over IPv4, 60 bytes, the flows in an order without pattern, a microsecond apart.
fn write(path: &Path, frames: u64, flows: u64) -> anyhow::Result<()> {
    let out = BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
    let mut out = PcapWriter::new(out, LinkType::ETHERNET, 0, Some(0))?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for n in 0..frames {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let frame = frame(((state >> 33) % flows) as u32);
        out.write_frame(1_700_000_000_000_000_000 + n as i64 * 1000, 60, &frame)?;
    }
    out.finish()?;
    Ok(())
}

/// A frame of flow `flow`: one of 4,096 clients to one of 256 servers from a port of its own.
fn frame(flow: u32) -> [u8; 60] {
    let [client, server] = [flow & 0xfff, flow >> 12 & 0xff];
    let [.., client_high, client_low] = client.to_be_bytes();
    let server_low = server as u8;
    let mut frame = [0x5a; 60];
    frame[..6].copy_from_slice(&[2, 0, 0, 0, 1, server_low]);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, client_high, client_low]);
    frame[12..14].copy_from_slice(&[8, 0]);
    let ip = [0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0];
    frame[14..26].copy_from_slice(&ip);
    frame[26..30].copy_from_slice(&[10, 1, client_high, client_low]);
    frame[30..34].copy_from_slice(&[10, 2, 0, server_low]);
    let sum: u32 = frame[14..34].chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(c[1])).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    let port = 1024 + (flow >> 20) as u16;
    frame[34..36].copy_from_slice(&port.to_be_bytes());
    frame[36..42].copy_from_slice(&[0x30, 0x3a, 0, 26, 0, 0]);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_made_capture_has_the_frames_and_goes_away() {
        let made = Made::new(1000, 10).unwrap();
        let path = made.0.clone();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 24 + 1000 * (16 + 60));
        drop(made);
        assert!(!path.exists());
    }
}
