//! Properties: what is written is read back; how a file is fed does not matter; no bytes harm.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test file as a whole")]

mod common;

use capture::write::{FrameOptions, InterfaceSpec, PcapWriter, PcapngWriter, SectionSpec};
use capture::{Reader, Source};
use proptest::prelude::*;
use skb::LinkType;

use common::walk_in_pieces;

#[derive(Debug, Clone)]
struct Written {
    interface: u32,
    time_ns: i64,
    origlen_more: u32,
    data: Vec<u8>,
    flags: Option<u32>,
    packet_id: Option<u64>,
    drop_count: Option<u64>,
    comments: Vec<String>,
}

fn frames(seconds: i64) -> impl Strategy<Value = Vec<Written>> {
    let frame = (
        0u32..3,
        0..seconds * 1_000_000_000,
        0u32..2000,
        prop::collection::vec(any::<u8>(), 0..300),
        any::<Option<u32>>(),
        any::<Option<u64>>(),
        any::<Option<u64>>(),
        prop::collection::vec("[ -~äß中]{0,20}", 0..3),
    );
    let frame = frame.prop_map(
        |(interface, time_ns, origlen_more, data, flags, packet_id, drop_count, comments)| {
            Written {
                interface,
                time_ns,
                origlen_more,
                data,
                flags,
                packet_id,
                drop_count,
                comments,
            }
        },
    );
    prop::collection::vec(frame, 0..40)
}

fn pcapng(frames: &[Written]) -> Vec<u8> {
    let section = SectionSpec { userappl: Some("round trip"), ..SectionSpec::default() };
    let mut writer = PcapngWriter::new(Vec::new(), &section).unwrap();
    for linktype in [LinkType::ETHERNET, LinkType::RAW, LinkType::LINUX_SLL] {
        let spec = InterfaceSpec { linktype, name: Some("if"), ..InterfaceSpec::default() };
        writer.add_interface(&spec).unwrap();
    }
    for frame in frames {
        let comments: Vec<&str> = frame.comments.iter().map(String::as_str).collect();
        let options = FrameOptions {
            flags: frame.flags,
            packet_id: frame.packet_id,
            drop_count: frame.drop_count,
            comments: &comments,
            ..FrameOptions::default()
        };
        let origlen = frame.data.len() as u32 + frame.origlen_more;
        writer.write_frame(frame.interface, frame.time_ns, origlen, &frame.data, &options).unwrap();
    }
    writer.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pcapng_is_read_as_it_was_written(frames in frames(9_000_000_000)) {
        let source = Source::from_bytes("memory", pcapng(&frames)).unwrap();
        let mut reader = Reader::new(source).unwrap();
        for frame in &frames {
            let read = reader.next().unwrap().expect("as many frames as were written");
            prop_assert_eq!(read.data, &frame.data[..]);
            prop_assert_eq!(read.meta.interface, frame.interface);
            prop_assert_eq!(read.meta.time_ns, Some(frame.time_ns));
            prop_assert_eq!(read.meta.origlen, frame.data.len() as u32 + frame.origlen_more);
            prop_assert_eq!(read.meta.flags, frame.flags);
            prop_assert_eq!(read.meta.packet_id, frame.packet_id);
            prop_assert_eq!(read.meta.drop_count, frame.drop_count);
            let comments: Vec<String> = read.comments().map(Into::into).collect();
            prop_assert_eq!(&comments, &frame.comments);
        }
        prop_assert!(reader.next().unwrap().is_none());
        prop_assert_eq!(reader.sections()[0].userappl.as_deref(), Some("round trip"));
        prop_assert_eq!(reader.statistics().frames, frames.len() as u64);
    }

    #[test]
    fn pcap_is_read_as_it_was_written(frames in frames(4_000_000_000), fcs in any::<bool>()) {
        let fcs_len = fcs.then_some(4);
        let mut writer =
            PcapWriter::new(Vec::new(), LinkType::ETHERNET, 0, fcs_len).unwrap();
        for frame in &frames {
            let origlen = frame.data.len() as u32 + frame.origlen_more;
            writer.write_frame(frame.time_ns, origlen, &frame.data).unwrap();
        }
        let source = Source::from_bytes("memory", writer.finish().unwrap()).unwrap();
        let mut reader = Reader::new(source).unwrap();
        let mut index = 0;
        while let Some(batch) = reader.next_batch().unwrap() {
            for (at, record) in batch.records().iter().enumerate() {
                let (read, frame) = (batch.frame(at).unwrap(), &frames[index]);
                prop_assert_eq!(batch.data(record), &frame.data[..]);
                prop_assert_eq!(read.meta.time_ns, Some(frame.time_ns));
                prop_assert_eq!(read.meta.fcs_len, fcs_len);
                prop_assert_eq!(read.meta.number, index as u64 + 1);
                index += 1;
            }
        }
        prop_assert_eq!(index, frames.len());
    }

    #[test]
    fn pieces_of_any_size_give_the_same_frames(
        frames in frames(9_000_000_000),
        piece in 1usize..200,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut file = pcapng(&frames);
        let whole = walk_in_pieces(&file, file.len());
        prop_assert_eq!(whole.frames.len(), frames.len());
        prop_assert_eq!(whole.damage, None);
        prop_assert_eq!(&walk_in_pieces(&file, piece), &whole);
        file.truncate(cut.index(file.len()));
        prop_assert_eq!(
            walk_in_pieces(&file, piece).frames,
            walk_in_pieces(&file, file.len()).frames
        );
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        start in prop::sample::select(vec![
            vec![], vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0],
            vec![0xa1, 0xb2, 0x3c, 0x4d, 0, 2, 0, 4],
            vec![0x34, 0xcd, 0xb2, 0xa1, 2, 0, 3, 0],
            vec![10, 13, 13, 10, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255,
                255, 255, 255, 255, 255, 28, 0, 0, 0, 1, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0,
                0, 20, 0, 0, 0],
            vec![0x1f, 0x8b, 8, 0], vec![0x28, 0xb5, 0x2f, 0xfd],
        ]),
        bytes in prop::collection::vec(prop_oneof![0u8..7, any::<u8>()], 0..400),
    ) {
        let file = [start, bytes].concat();
        walk_in_pieces(&file, 7);
        let source = Source::from_bytes("memory", file).unwrap();
        let Ok(mut reader) = Reader::new(source) else { return Ok(()) };
        while let Ok(Some(frame)) = reader.next() {
            let _ = frame.comments().count();
        }
    }
}
