//! A frame's bytes, each row of one layer, named at its end.

use std::fmt::Write as _;
use std::io::{self, Write};

use skb::decode::Decoded;

use super::words;
use crate::term::{Paint, Role};

const PER_ROW: usize = 16;

/// A run of bytes that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    start: usize,
    end: usize,
    name: &'static str,
    role: Role,
}

/// Writes every byte of the frame.
pub(super) fn write(
    out: &mut Vec<u8>,
    bytes: &[u8],
    decoded: &Decoded,
    paint: Paint,
) -> io::Result<()> {
    for run in runs(bytes.len(), decoded) {
        let mut name = run.name;
        for (i, row) in bytes[run.start..run.end].chunks(PER_ROW).enumerate() {
            let offset = run.start + i * PER_ROW;
            write!(out, "  {}  ", paint.dim(format!("{offset:04x}")))?;
            write!(out, "{}", paint.role(run.role, hex(row)))?;
            if name.is_empty() {
                writeln!(out, " {}", paint.dim(ascii(row).trim_end()))?;
            } else {
                let text = format!("{:<PER_ROW$}", ascii(row));
                writeln!(out, " {} {}", paint.dim(text), paint.role(run.role, name))?;
                name = "";
            }
        }
    }
    Ok(())
}

fn hex(row: &[u8]) -> String {
    let mut text = String::with_capacity(3 * PER_ROW + 1);
    for i in 0..PER_ROW {
        match row.get(i) {
            Some(byte) => _ = write!(text, "{byte:02x} "),
            None => text.push_str("   "),
        }
        if i == PER_ROW / 2 - 1 {
            text.push(' ');
        }
    }
    text
}

fn ascii(row: &[u8]) -> String {
    row.iter().map(|&b| if b.is_ascii_graphic() || b == b' ' { b as char } else { '.' }).collect()
}

/// Cuts the frame at the layers' borders. Every byte is in exactly one run.
fn runs(len: usize, decoded: &Decoded) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut at = 0;
    let payload = decoded.payload.start as usize..decoded.payload.end as usize;
    let fcs_at = len.saturating_sub(decoded.fcs_bytes as usize);
    let mut push = |start: usize, end: usize, name, role| {
        let end = end.min(len);
        if start < end {
            runs.push(Run { start, end, name, role });
        }
    };
    for layer in &decoded.layers {
        let (start, end) = (layer.offset as usize, layer.end() as usize);
        if end <= at {
            continue;
        }
        push(at, start, "?", Role::Dim);
        push(start.max(at), end, layer.kind(), words::role(&layer.info));
        at = end;
    }
    if payload.start >= at && !payload.is_empty() {
        push(at, payload.start, "?", Role::Dim);
        push(payload.start, payload.end, "data", Role::Payload);
        at = payload.end;
    }
    if decoded.layers.is_empty() {
        push(at, fcs_at, "not read", Role::Plain);
    } else {
        push(at, fcs_at, "trailer", Role::Dim);
    }
    push(fcs_at.max(at), len, "fcs", Role::Warn);
    runs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skb::decode::Decoder;
    use skb::{FrameMeta, LinkType};

    use super::*;

    proptest! {
        #[test]
        fn every_byte_is_shown_once(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            ty in prop_oneof![Just(0x0800_u16), Just(0x86dd), Just(0x8100), any::<u16>()],
            linktype in prop_oneof![Just(1_u16), Just(0), Just(101), Just(113), Just(147)],
        ) {
            let mut bytes = bytes;
            if let Some(place) = bytes.get_mut(12..14) {
                place.copy_from_slice(&ty.to_be_bytes());
            }
            let len = bytes.len() as u32;
            let linktype = LinkType(linktype);
            let meta = FrameMeta { caplen: len, origlen: len, linktype, ..FrameMeta::default() };
            let mut decoded = Decoded::default();
            Decoder::new().decode(&meta, &bytes, &mut decoded);
            let mut at = 0;
            for run in runs(bytes.len(), &decoded) {
                prop_assert_eq!(run.start, at);
                at = run.end;
            }
            prop_assert_eq!(at, bytes.len());
            let mut out = Vec::new();
            write(&mut out, &bytes, &decoded, Paint::off()).unwrap();
            prop_assert!(String::from_utf8(out).unwrap().lines().all(|l| l.len() <= 100));
        }
    }
}
