use super::super::{Format, Step, caplen_max};
use super::*;

/// A file header (magic, version, link type field) and records of (seconds, fraction, caplen
/// field, origlen field, bytes after the header), all in one byte order.
struct Build {
    big: bool,
    bytes: Vec<u8>,
}

impl Build {
    fn new(big: bool, magic: u32, version: (u16, u16), network: u32) -> Self {
        let mut build = Self { big, bytes: Vec::new() };
        build.u32(magic);
        for half in [version.0, version.1] {
            let bytes = if big { half.to_be_bytes() } else { half.to_le_bytes() };
            build.bytes.extend_from_slice(&bytes);
        }
        for field in [0, 0, 65_535, network] {
            build.u32(field);
        }
        build
    }

    fn u32(&mut self, value: u32) {
        let bytes = if self.big { value.to_be_bytes() } else { value.to_le_bytes() };
        self.bytes.extend_from_slice(&bytes);
    }

    fn record(mut self, fields: [u32; 4], data: &[u8]) -> Self {
        for field in fields {
            self.u32(field);
        }
        self.bytes.extend_from_slice(data);
        self
    }
}

type Frames = Vec<(skb::FrameMeta, Vec<u8>)>;

fn frames(file: &[u8]) -> (Parser, Frames, Result<(), Damage>) {
    let (mut parser, mut frames, mut at) = (Parser::new(), Vec::new(), 0);
    let end = loop {
        match parser.parse(&file[at..]) {
            Ok(Step::Frame(frame)) => {
                frames.push((frame.meta, file[at..][frame.data].to_vec()));
                at += frame.consumed;
            }
            Ok(Step::Other { consumed }) => at += consumed,
            Ok(Step::Need(_)) => break parser.finish(&file[at..], 0),
            Err(damage) => break Err(damage),
        }
    };
    (parser, frames, end)
}

#[test]
fn both_byte_orders_and_both_units() {
    for big in [false, true] {
        for (magic, ns) in [(MAGIC_MICROS, 5_000), (MAGIC_NANOS, 5)] {
            let file = Build::new(big, magic, (2, 4), 1).record([7, 5, 3, 60], b"abc");
            let (parser, frames, end) = frames(&file.bytes);
            end.unwrap();
            let (meta, data) = &frames[0];
            assert_eq!((meta.caplen, meta.origlen, data.as_slice()), (3, 60, &b"abc"[..]));
            assert_eq!(meta.time_ns, Some(7_000_000_000 + ns));
            assert_eq!((meta.number, meta.linktype), (1, LinkType::ETHERNET));
            let nanoseconds = magic == MAGIC_NANOS;
            let format = Format::Pcap { big_endian: big, nanoseconds, modified: false };
            assert_eq!(parser.format(), Some(format));
        }
    }
    let text = Format::Pcap { big_endian: true, nanoseconds: true, modified: false }.to_string();
    assert_eq!(text, "pcap, big-endian, nanoseconds");
}

#[test]
fn modified_records_have_eight_bytes_more() {
    let file = Build::new(false, MAGIC_MODIFIED, (2, 4), 1)
        .record([1, 2, 2, 2], &[2, 0, 0, 0, 8, 0, 4, 0, 0xaa, 0xbb])
        .record([1, 3, 1, 9], &[2, 0, 0, 0, 8, 0, 4, 0, 0xcc]);
    let (_, frames, end) = frames(&file.bytes);
    end.unwrap();
    let data: Vec<_> = frames.iter().map(|(_, data)| data.as_slice()).collect();
    assert_eq!(data, [&[0xaa, 0xbb][..], &[0xcc][..]]);
}

#[test]
fn old_versions_have_the_lengths_the_other_way_around() {
    let lengths = |version, fields: [u32; 2]| {
        let file = Build::new(false, MAGIC_MICROS, version, 1)
            .record([0, 0, fields[0], fields[1]], b"xyz");
        let (_, frames, end) = frames(&file.bytes);
        end.unwrap();
        (frames[0].0.caplen, frames[0].0.origlen)
    };
    assert_eq!(lengths((2, 4), [3, 90]), (3, 90));
    assert_eq!(lengths((2, 2), [90, 3]), (3, 90));
    assert_eq!(lengths((543, 0), [90, 3]), (3, 90));
    assert_eq!(lengths((2, 3), [90, 3]), (3, 90));
    assert_eq!(lengths((2, 3), [3, 90]), (3, 90));
}

#[test]
fn fcs_length_counts_16_bit_units_and_only_with_its_flag() {
    let fcs = |network: u32| {
        let file = Build::new(true, MAGIC_MICROS, (2, 4), network).record([0; 4], b"");
        let (parser, frames, end) = frames(&file.bytes);
        end.unwrap();
        assert_eq!(frames[0].0.linktype, LinkType::ETHERNET);
        assert_eq!(parser.interfaces()[0].fcs.and_then(|fcs| fcs.bytes), frames[0].0.fcs_len);
        frames[0].0.fcs_len
    };
    assert_eq!(fcs(1), None);
    assert_eq!(fcs(0x2400_0001), Some(4));
    assert_eq!(fcs(0x0400_0001), Some(0));
    assert_eq!(fcs(0x2000_0001), None);
    assert_eq!(fcs(0x03ff_0001), None, "reserved bits are no part of the link type");
}

#[test]
fn odd_records_are_kept_as_they_are() {
    let file = Build::new(false, MAGIC_MICROS, (2, 4), 1)
        .record([0, 0, 0, 0], b"")
        .record([0, 0, 4, 2], b"long")
        .record([u32::MAX, u32::MAX, 1, u32::MAX], b"z");
    let (parser, frames, end) = frames(&file.bytes);
    end.unwrap();
    let lengths: Vec<_> = frames.iter().map(|(m, _)| (m.caplen, m.origlen)).collect();
    assert_eq!(lengths, [(0, 0), (4, 2), (1, u32::MAX)]);
    assert_eq!(frames[2].0.time_ns, Some(4_294_967_295_000_000_000 + 4_294_967_295_000));
    assert_eq!((parser.interfaces()[0].frames, parser.interfaces()[0].caplen_bytes), (3, 5));
}

#[test]
fn a_cut_record_is_one_error_that_says_where() {
    let whole = Build::new(false, MAGIC_MICROS, (2, 4), 1)
        .record([0, 0, 3, 3], b"abc")
        .record([0, 0, 8, 8], b"abcdefgh");
    let (_, found, end) = frames(&whole.bytes[..62]);
    assert_eq!(found.len(), 1);
    let damage = end.unwrap_err();
    assert_eq!((damage.offset, damage.record, damage.part), (43, 2, Part::RecordData));
    assert_eq!(damage.problem, Problem::Cut { need: 24, have: 19 });
    let text = "damaged at byte 43 (pcap record data, number 2): expected 24 bytes, \
                found 19 before the file ends";
    assert_eq!(damage.to_string(), text);
    let damage = frames(&whole.bytes[..50]).2.unwrap_err();
    assert_eq!(
        (damage.part, damage.problem),
        (Part::RecordHeader, Problem::Cut { need: 16, have: 7 })
    );
}

#[test]
fn lengths_beyond_libpcaps_bound_are_damage() {
    let file = |network, caplen| {
        frames(
            &Build::new(false, MAGIC_MICROS, (2, 4), network).record([0, 0, caplen, 0], b"").bytes,
        )
        .2
        .unwrap_err()
    };
    assert_eq!(file(1, 262_145).problem, Problem::Caplen { caplen: 262_145, max: 262_144 });
    assert!(file(1, 262_144).is_cut());
    assert!(file(249, 262_145).is_cut(), "USBPcap frames may be larger");
    assert_eq!(caplen_max(LinkType(249)), 128 << 20);
}

#[test]
fn what_is_no_capture_is_named() {
    let message = |file: &[u8]| frames(file).2.unwrap_err().to_string();
    assert!(message(b"snoop\0\0\0\0\0\0\x02").contains("Sun snoop"));
    assert!(message(b"").contains("an empty file"));
    assert!(message(b"ab").contains("6162"));
    assert!(message(b"hello world").contains("68656c6c"));
    assert!(message(b"hello world").contains("pcapng"));
    let version = Build::new(false, MAGIC_MICROS, (9, 9), 1).bytes;
    assert!(message(&version).contains("9.9"));
    assert!(message(&version[..20]).contains("pcap file header"));
}

#[test]
fn batches_give_what_single_steps_give() {
    let mut file = Build::new(true, MAGIC_NANOS, (2, 4), 1);
    for size in 0..200u32 {
        file = file.record([size, 1, size, size], &vec![7; size as usize]);
    }
    let (_, singles, _) = frames(&file.bytes);
    let (mut parser, mut at, mut found) = (Parser::new(), 0, Vec::new());
    loop {
        let mut records = Vec::new();
        let first = parser.frames() + 1;
        let slice = &file.bytes[at..];
        let end = parser.parse_batch(slice, &mut records, 7).unwrap();
        for (record, number) in records.iter().zip(first..) {
            let meta = parser.meta(record, number, slice);
            found.push((meta, slice[record.data_range()].to_vec()));
        }
        at += end.consumed;
        if end.need > 0 {
            break;
        }
    }
    assert_eq!(found, singles);
    assert_eq!(parser.offset(), file.bytes.len() as u64);
}
