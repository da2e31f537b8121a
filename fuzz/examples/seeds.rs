//! Makes the seeds of every target from the captures in `pcaps/`:
//! `cargo run --manifest-path fuzz/Cargo.toml --example seeds`, from anywhere.
//!
//! Seeds are named after what they hold; what a run finds has a checksum for a name.

use capture::Reader;
use capture::write::{FrameOptions, InterfaceSpec, PcapWriter, PcapngWriter, SectionSpec};
use framewalk_fuzz::surface;
use framewalk_fuzz::surface::net::raw_head;
use framewalk_fuzz::surface::script::Who;
use skb::{FrameMeta, LinkType};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Longest seed, bytes: short inputs are tried more often.
const SEED_MAX: usize = 2048;
/// Frames of one capture that become seeds of the decoder.
const FRAMES_MAX: usize = 6;

struct Frame {
    linktype: LinkType,
    origlen: u32,
    time_ns: i64,
    data: Vec<u8>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut captures: Vec<PathBuf> = fs::read_dir(root.join("../pcaps"))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| matches!(path.extension().and_then(|e| e.to_str()), Some("pcap" | "pcapng")))
        .collect();
    captures.sort();
    for (name, bytes) in framewalk_fuzz::wire::seeds() {
        write(&root.join("corpus/backup_wire"), &name, &bytes)?;
    }
    for path in captures {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let frames = frames(&path)?;
        let corpus = |target: &str| root.join("corpus").join(target);
        for (name, bytes) in readers(&stem, &frames)? {
            write(&corpus("capture_reader"), &name, &bytes)?;
            if !name.ends_with("st") && !name.ends_with("gz") {
                let bytes = [&[surface::CAPTURE], &bytes[..]].concat();
                write(&corpus(family(&frames)), &name, &bytes)?;
            }
            for (options, head) in framewalk_fuzz::replay::SEED_OPTIONS {
                if !name.ends_with("st") && !name.ends_with("gz") {
                    let bytes = [head, &bytes].concat();
                    write(&corpus("replay"), &format!("{name}-{options}"), &bytes)?;
                }
            }
        }
        for (name, bytes) in decodes(&stem, &frames) {
            write(&corpus("decode"), &name, &bytes)?;
        }
        for (name, bytes) in paths(&stem, &frames) {
            write(&corpus("path"), &name, &bytes)?;
        }
        for (target, name, bytes) in said(&stem, &frames) {
            write(&corpus(target), &name, &bytes)?;
        }
    }
    for (target, dialogs) in surface::FAMILIES {
        for number in 0..dialogs.len() as u8 {
            // the checks: other portions, segments, one end; limits that are reached
            for head in [0, 0x40, 0x80, 3] {
                let bytes = surface::plain(head, number, if head == 0x40 { 40 } else { 0 });
                write(
                    &root.join("corpus").join(target),
                    &format!("plain-{number}-{head}"),
                    &bytes,
                )?;
            }
        }
    }
    // every trick of the names' last two dialogs, where a choice is followed by no bytes of its own
    for kind in surface::names::DIALOGS.len() as u8 - 2..surface::names::DIALOGS.len() as u8 {
        for trick in 0..8 {
            let choices = [trick, 0].repeat(6);
            let bytes = [&[0, kind, 0, 0, 0, 0, choices.len() as u8, 0], &choices[..]].concat();
            let name = format!("trick-{kind}-{trick}");
            write(&root.join("corpus/surface_report"), &name, &bytes)?;
        }
    }
    Ok(())
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(name), bytes)
}

fn frames(path: &Path) -> Result<Vec<Frame>, Box<dyn Error>> {
    let mut reader = Reader::open(path)?;
    let mut frames = Vec::new();
    while let Some(frame) = reader.next()? {
        frames.push(Frame {
            linktype: frame.meta.linktype,
            origlen: frame.meta.origlen,
            time_ns: frame.meta.time_ns.unwrap_or(0),
            data: frame.data.to_vec(),
        });
    }
    Ok(frames)
}

/// The first frames, as many as make a short file.
fn short(frames: &[Frame]) -> &[Frame] {
    let mut bytes = 0;
    let fits = |frame: &&Frame| {
        bytes += frame.data.len() + 64;
        bytes <= SEED_MAX
    };
    &frames[..frames.iter().take_while(fits).count().min(8)]
}

/// The same frames as pcap, pcapng, gzip and zstd.
fn readers(stem: &str, frames: &[Frame]) -> Result<Vec<(String, Vec<u8>)>, Box<dyn Error>> {
    let frames = short(frames);
    let Some(first) = frames.first() else { return Ok(Vec::new()) };
    let mut pcap = PcapWriter::new(Vec::new(), first.linktype, 0, None)?;
    for frame in frames.iter().filter(|frame| frame.linktype == first.linktype) {
        pcap.write_frame(frame.time_ns, frame.origlen, &frame.data)?;
    }
    let pcap = pcap.finish()?;
    let section = SectionSpec { userappl: Some("seeds"), ..SectionSpec::default() };
    let mut pcapng = PcapngWriter::new(Vec::new(), &section)?;
    for (number, frame) in (1..).zip(frames) {
        let spec = InterfaceSpec { linktype: frame.linktype, ..InterfaceSpec::default() };
        let interface = pcapng.add_interface(&spec)?;
        let comments: &[&str] = if number == 1 { &["first"] } else { &[] };
        let options = FrameOptions {
            packet_id: Some(number),
            flags: Some(1),
            comments,
            ..FrameOptions::default()
        };
        pcapng.write_frame(interface, frame.time_ns, frame.origlen, &frame.data, &options)?;
    }
    let pcapng = pcapng.finish()?;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&pcap)?;
    let zstd =
        ruzstd::encoding::compress_to_vec(&pcapng[..], ruzstd::encoding::CompressionLevel::Fastest);
    Ok(vec![
        (format!("{stem}.pcap.gz"), gzip.finish()?),
        (format!("{stem}.pcapng.zst"), zstd),
        (format!("{stem}.pcap"), pcap),
        (format!("{stem}.pcapng"), pcapng),
    ])
}

/// One frame each, behind its metadata; see `framewalk_fuzz::decode`.
fn decodes(stem: &str, frames: &[Frame]) -> Vec<(String, Vec<u8>)> {
    let small = frames.iter().filter(|frame| frame.data.len() <= SEED_MAX);
    let seed = |(number, frame): (usize, &Frame)| {
        let mut bytes = frame.linktype.0.to_le_bytes().to_vec();
        bytes.extend([16, 0]);
        bytes.extend(frame.origlen.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(&frame.data);
        (format!("{stem}-{number}"), bytes)
    };
    small.take(FRAMES_MAX).enumerate().map(seed).collect()
}

/// A switch and frames for it; see `framewalk_fuzz::path`.
fn paths(stem: &str, frames: &[Frame]) -> Vec<(String, Vec<u8>)> {
    let frames: Vec<&Frame> =
        short(frames).iter().filter(|frame| frame.linktype == LinkType::ETHERNET).collect();
    if frames.is_empty() {
        return Vec::new();
    }
    let mut seeds = Vec::new();
    for (name, head) in framewalk_fuzz::path::SEED_SWITCHES {
        let mut bytes = head.to_vec();
        for (place, frame) in frames.iter().enumerate() {
            bytes.extend(framewalk_fuzz::path::raw_frame(place as u8, &frame.data));
        }
        seeds.push((format!("{stem}-{name}"), bytes));
    }
    seeds
}

/// The target of conversations with a port.
fn target_of(port: u16) -> &'static str {
    match port {
        2299 | 3389 => "surface_rdp",
        53 | 67 | 69 | 123 | 137 | 161 | 1900 | 5351 | 5353 | 5355 => "surface_lan",
        88 | 135 | 138 | 139 | 389 | 445 => "surface_windows",
        104 | 873 | 1433 | 2575 | 3050 | 3306 | 5432 | 11112 => "surface_stores",
        22 | 23 | 500 | 1194 | 1701 | 1723 | 4500 | 5900 | 51820 => "surface_remote",
        21 | 25 | 80 | 110 | 143 | 443 | 465 | 587 | 993 | 995 | 8000 | 8080 => "surface_web",
        _ => "surface_site",
    }
}

/// The target whose conversations a capture has most of.
fn family(frames: &[Frame]) -> &'static str {
    let mut targets = BTreeMap::<_, usize>::new();
    let mut peeler = ::surface::Peeler::default();
    for frame in frames {
        if let ::surface::Peeled::Packet(packet) = peel(&mut peeler, frame) {
            *targets.entry(target_of(packet.src_port.min(packet.dst_port))).or_default() += 1;
        }
    }
    let most = targets.into_iter().max_by_key(|(_, count)| *count);
    most.map_or("surface_lan", |(target, _)| target)
}

fn peel<'a>(peeler: &mut ::surface::Peeler, frame: &'a Frame) -> ::surface::Peeled<'a> {
    peeler.peel(frame.linktype, &frame.data, || FrameMeta {
        linktype: frame.linktype,
        origlen: frame.origlen,
        ..FrameMeta::default()
    })
}

/// Conversations of one capture that become seeds, messages and bytes of each.
const SAID_MAX: usize = 24;
const MESSAGES_MAX: usize = 10;
const MESSAGE_MAX: usize = 700;

/// What is said in conversations, as messages of the raw kind.
fn said(stem: &str, frames: &[Frame]) -> Vec<(&'static str, String, Vec<u8>)> {
    let mut all = BTreeMap::<_, (u16, bool, usize, Vec<u8>)>::new();
    let mut peeler = ::surface::Peeler::default();
    for frame in frames {
        let ::surface::Peeled::Packet(packet) = peel(&mut peeler, frame) else { continue };
        let (src, dst) = ((packet.src, packet.src_port), (packet.dst, packet.dst_port));
        let is_tcp = packet.proto == ::surface::proto::TCP;
        if packet.payload.is_empty() || !(is_tcp || packet.proto == ::surface::proto::UDP) {
            continue;
        }
        let key = (src.min(dst), src.max(dst), packet.proto);
        let port = packet.src_port.min(packet.dst_port);
        let (.., messages, bytes) = all.entry(key).or_insert((port, is_tcp, 0, Vec::new()));
        if *messages < MESSAGES_MAX {
            let who = if packet.dst_port == port { Who::Client } else { Who::Server };
            let said = &packet.payload[..packet.payload.len().min(MESSAGE_MAX)];
            bytes.extend(raw_head(who, said.len()));
            bytes.extend(said);
            *messages += 1;
        }
    }
    let mut seeds = BTreeMap::new();
    for (port, is_tcp, _, said) in all.into_values() {
        let target = target_of(port);
        let Some((_, dialogs)) = surface::FAMILIES.iter().find(|(name, _)| *name == target) else {
            continue;
        };
        // the kind behind all dialogs: messages as they are
        let mut bytes = vec![0, dialogs.len() as u8, 0, 0, 0, if is_tcp { 0 } else { 0x40 }];
        bytes.extend((said.len() as u16).to_le_bytes());
        bytes.extend(said);
        if seeds.len() < SAID_MAX {
            seeds.entry((target, port)).or_insert(bytes);
        }
    }
    let named = |((target, port), bytes)| (target, format!("{stem}-said-{port}"), bytes);
    seeds.into_iter().map(named).collect()
}
