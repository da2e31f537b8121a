use super::super::{Format, InterfaceCounters, Step};
use super::*;

/// Puts blocks together in one byte order.
#[derive(Clone)]
struct Build {
    big: bool,
    bytes: Vec<u8>,
}

impl Build {
    /// A section header of unknown length, without options.
    fn section(big: bool) -> Self {
        Self { big, bytes: Vec::new() }.restart(big)
    }

    fn restart(mut self, big: bool) -> Self {
        self.big = big;
        let body = [&self.u32(BYTE_ORDER_MAGIC)[..], &self.u16(1), &self.u16(0), &[0xff; 8]];
        let body = body.concat();
        self.block(BLOCK_SECTION, &body)
    }

    fn u16(&self, value: u16) -> [u8; 2] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn u32(&self, value: u32) -> [u8; 4] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn u64(&self, value: u64) -> [u8; 8] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn option(&self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = [&self.u16(code)[..], &self.u16(value.len() as u16), value].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn block(mut self, kind: u32, body: &[u8]) -> Self {
        let padded = body.len().next_multiple_of(4);
        let total = self.u32(padded as u32 + 12);
        let kind = self.u32(kind);
        self.bytes.extend_from_slice(&kind);
        self.bytes.extend_from_slice(&total);
        self.bytes.extend_from_slice(body);
        self.bytes.resize(self.bytes.len() + padded - body.len(), 0);
        self.bytes.extend_from_slice(&total);
        self
    }

    fn interface(self, linktype: u16, snaplen: u32, options: &[u8]) -> Self {
        let body = [&self.u16(linktype)[..], &[0; 2], &self.u32(snaplen), options].concat();
        self.block(BLOCK_INTERFACE, &body)
    }

    fn enhanced(self, interface: u32, units: u64, data: &[u8], options: &[u8]) -> Self {
        let mut body = [interface, (units >> 32) as u32, units as u32, data.len() as u32, 999]
            .map(|field| self.u32(field))
            .concat();
        body.extend_from_slice(data);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend_from_slice(options);
        self.block(BLOCK_ENHANCED_PACKET, &body)
    }
}

type Frames = Vec<(FrameMeta, Vec<u8>)>;

fn frames(file: &[u8]) -> (Parser, Frames, Result<(), Damage>) {
    let (mut parser, mut frames, mut at) = (Parser::new(), Vec::new(), 0);
    let end = loop {
        let Some(rest) = file.get(at..) else {
            break parser.finish(&[], (at - file.len()) as u64);
        };
        match parser.parse(rest) {
            Ok(Step::Frame(frame)) => {
                frames.push((frame.meta, rest[frame.data].to_vec()));
                at += frame.consumed;
            }
            Ok(Step::Other { consumed }) => at += consumed,
            Ok(Step::Need(_)) => break parser.finish(rest, 0),
            Err(damage) => break Err(damage),
        }
    };
    (parser, frames, end)
}

#[test]
fn sections_in_both_orders_number_their_interfaces_on() {
    let file = Build::section(true)
        .interface(1, 0, &[])
        .interface(101, 0, &[])
        .enhanced(1, 5, b"first", &[])
        .restart(false)
        .interface(113, 0, &[])
        .enhanced(0, 6, b"second", &[]);
    let (parser, frames, end) = frames(&file.bytes);
    end.unwrap();
    let seen: Vec<_> = frames
        .iter()
        .map(|(m, d)| (m.number, m.section, m.interface, m.linktype.0, m.time_ns, d.as_slice()))
        .collect();
    assert_eq!(
        seen,
        [(1, 0, 1, 101, Some(5_000), &b"first"[..]), (2, 1, 2, 113, Some(6_000), &b"second"[..])]
    );
    assert_eq!(parser.sections().len(), 2);
    assert_eq!(parser.interfaces()[2].index, 0);
    assert_eq!(parser.format(), Some(Format::Pcapng { big_endian: true }));
}

#[test]
fn interface_options_in_both_orders() {
    for big in [false, true] {
        let b = Build::section(big);
        let options = [
            b.option(2, b"eth0"),
            b.option(3, b"mirror port"),
            b.option(1, "Gr\u{fc}\u{df}e".as_bytes()),
            b.option(8, &b.u64(1_000_000_000)),
            b.option(9, &[9]),
            b.option(11, b"\0tcp"),
            b.option(13, &[32]),
            b.option(14, &b.u64(-3i64 as u64)),
        ]
        .concat(); // without opt_endofopt, which is optional
        let file = b.interface(1, 96, &options).enhanced(0, 10, b"x", &[]);
        let (parser, frames, end) = frames(&file.bytes);
        end.unwrap();
        let interface = &parser.interfaces()[0];
        assert_eq!(
            (interface.name(), interface.description()),
            (Some("eth0"), Some("mirror port"))
        );
        let texts = interface.texts.as_ref().unwrap();
        assert_eq!(texts.comments, ["Gr\u{fc}\u{df}e"]);
        assert_eq!(texts.filter.as_deref(), Some("tcp"));
        assert_eq!((interface.snaplen, interface.speed_bps), (96, Some(1_000_000_000)));
        assert_eq!(interface.fcs.map(|fcs| (fcs.stated, fcs.bytes)), Some((32, Some(4))));
        assert_eq!(frames[0].0.time_ns, Some(-2_999_999_990));
        assert_eq!(frames[0].0.fcs_len, Some(4));
    }
}

#[test]
fn frame_options_in_both_orders() {
    for big in [false, true] {
        let b = Build::section(big).interface(1, 0, &[]);
        let options = [
            b.option(1, b"seen"),
            b.option(2, &b.u32(0x0000_0081)),
            b.option(4, &b.u64(12)),
            b.option(5, &b.u64(0x1122_3344_5566_7788)),
            b.option(0, b""),
        ]
        .concat();
        let file = b.enhanced(0, 1, b"12345", &options);
        let (_, frames, end) = frames(&file.bytes);
        end.unwrap();
        let meta = frames[0].0;
        assert_eq!((meta.flags, meta.drop_count), (Some(0x81), Some(12)));
        assert_eq!(meta.packet_id, Some(0x1122_3344_5566_7788));
        assert_eq!(meta.fcs_len, Some(4), "from the flags, bits 5 to 8");
        assert_eq!((meta.caplen, meta.origlen), (5, 999));
    }
}

#[test]
fn simple_packets_are_cut_at_the_snap_length_and_have_no_time() {
    let b = Build::section(false).interface(1, 4, &[]);
    let cut = [&b.u32(10)[..], b"abcd"].concat();
    let short = [&b.u32(3)[..], b"xyz"].concat();
    let file = b.block(BLOCK_SIMPLE_PACKET, &cut).block(BLOCK_SIMPLE_PACKET, &short);
    let (_, frames, end) = frames(&file.bytes);
    end.unwrap();
    let seen: Vec<_> =
        frames.iter().map(|(m, d)| (m.caplen, m.origlen, m.time_ns, d.as_slice())).collect();
    assert_eq!(seen, [(4, 10, None, &b"abcd"[..]), (3, 3, None, &b"xyz"[..])]);
}

#[test]
fn obsolete_packet_blocks_state_their_drops() {
    for big in [false, true] {
        let b = Build::section(big).interface(1, 0, &[]);
        let body = |drops: u16| {
            let mut body = [b.u16(0), b.u16(drops)].concat();
            for field in [0, 7, 2, 2] {
                body.extend_from_slice(&b.u32(field));
            }
            body.extend_from_slice(b"ok\0\0");
            body.extend_from_slice(&b.option(2, &b.u32(1)));
            body
        };
        let file = b
            .clone()
            .block(BLOCK_OBSOLETE_PACKET, &body(3))
            .block(BLOCK_OBSOLETE_PACKET, &body(0xffff));
        let (_, frames, end) = frames(&file.bytes);
        end.unwrap();
        let seen: Vec<_> = frames.iter().map(|(m, _)| (m.drop_count, m.flags)).collect();
        assert_eq!(seen, [(Some(3), Some(1)), (None, Some(1))]);
        assert_eq!((frames[0].1.as_slice(), frames[0].0.time_ns), (&b"ok"[..], Some(7_000)));
    }
}

#[test]
fn statistics_are_kept_and_other_blocks_counted() {
    let b = Build::section(true).interface(1, 0, &[]);
    let body = |interface: u32, drops: u64| {
        let head = [b.u32(interface), b.u32(0), b.u32(0)].concat();
        [head, b.option(5, &b.u64(drops)), b.option(7, &b.u64(2))].concat()
    };
    let file = b
        .clone()
        .block(BLOCK_STATISTICS, &body(0, 1))
        .block(BLOCK_STATISTICS, &body(0, 9))
        .block(BLOCK_STATISTICS, &body(4, 9))
        .block(BLOCK_NAME_RESOLUTION, &[0; 4])
        .block(BLOCK_DECRYPTION_SECRETS, &[0; 12])
        .block(BLOCK_CUSTOM, &[0; 8])
        .block(BLOCK_CUSTOM_NO_COPY, &[0; 8])
        .block(0x8000_1234, &[1; 100]);
    let (parser, frames, end) = frames(&file.bytes);
    end.unwrap();
    assert!(frames.is_empty());
    let counters = parser.interfaces()[0].counters.as_deref().copied();
    let expected =
        InterfaceCounters { dropped: Some(9), os_dropped: Some(2), ..InterfaceCounters::default() };
    assert_eq!(counters, Some(expected));
    let blocks = parser.blocks();
    assert_eq!((blocks.statistics, blocks.statistics_orphaned), (3, 1));
    assert_eq!((blocks.name_resolution, blocks.decryption_secrets), (1, 1));
    assert_eq!((blocks.custom, blocks.unknown), (2, 1));
}

#[test]
fn large_blocks_are_stepped_over_without_being_held() {
    let large = 10 * 1024 * 1024;
    let file = Build::section(false)
        .interface(1, 0, &[])
        .block(BLOCK_CUSTOM, &vec![0; large])
        .enhanced(0, 0, b"after", &[]);
    let mut parser = Parser::new();
    let mut at = 0;
    // never more than 64 bytes are shown, which is enough for this file's headers and frame
    loop {
        let end = (at + 64).min(file.bytes.len());
        match parser.parse(&file.bytes[at..end]).unwrap() {
            Step::Frame(frame) => {
                assert_eq!(&file.bytes[at..][frame.data], b"after");
                break;
            }
            Step::Other { consumed } => at += consumed,
            Step::Need(need) => panic!("needs {need} at {at}"),
        }
    }
}

#[test]
fn options_beyond_what_is_held_are_skipped_with_their_frame_kept() {
    let b = Build::section(false).interface(1, 0, &[]);
    let options: Vec<u8> = (0..8).flat_map(|_| b.option(1, &vec![b'c'; 60_000])).collect();
    let file = b.enhanced(0, 0, b"kept", &options).enhanced(0, 0, b"next", &[]);
    let (_, found, end) = frames(&file.bytes);
    end.unwrap();
    let data: Vec<_> = found.iter().map(|(_, data)| data.as_slice()).collect();
    assert_eq!(data, [b"kept", b"next"]);
    let mut wrong = file.bytes.clone();
    let at = wrong.len() - 40; // the first packet block's trailing length
    wrong[at] ^= 1;
    let (_, found, end) = frames(&wrong);
    assert_eq!(found.len(), 1);
    assert_eq!(end.unwrap_err().part, Part::BlockTrailer);
}

#[test]
fn damage_is_named() {
    let b = Build::section(false);
    let problem = |file: Build| frames(&file.bytes).2.unwrap_err().problem;
    let unknown = problem(b.clone().enhanced(0, 0, b"x", &[]));
    assert_eq!(unknown, Problem::UnknownInterface { index: 0, count: 0 });
    let with = b.clone().interface(1, 0, &[]);
    let after_restart = problem(with.clone().restart(true).enhanced(0, 0, b"x", &[]));
    assert_eq!(after_restart, Problem::UnknownInterface { index: 0, count: 0 });
    let mut trailer = with.clone().enhanced(0, 0, b"x", &[]);
    *trailer.bytes.last_mut().unwrap() = 1;
    let damage = frames(&trailer.bytes).2.unwrap_err();
    assert_eq!((damage.part, damage.record), (Part::BlockTrailer, 3));
    assert_eq!(damage.offset, trailer.bytes.len() as u64 - 4);
    let mut past = with.clone().enhanced(0, 0, b"1234", &[]);
    let at = past.bytes.len() - 16; // captured length
    past.bytes[at] = 200;
    assert_eq!(problem(past), Problem::CaplenPastBlock { caplen: 200, room: 4 });
    let mut order = b.clone();
    order.bytes[8] = 0;
    assert_eq!(problem(order), Problem::ByteOrder { found: 0x1a2b_3c00 });
    let mut version = b.clone();
    version.bytes[12] = 2;
    assert_eq!(problem(version), Problem::Version { major: 2, minor: 0 });
    let mut tiny = b;
    tiny.bytes.extend_from_slice(&[6, 0, 0, 0, 8, 0, 0, 0]);
    assert_eq!(problem(tiny), Problem::BlockLength { found: 8, min: 12 });
}

#[test]
fn very_many_texts_do_not_grow_memory() {
    let b = Build::section(false);
    let option = b.option(1, &vec![b'x'; 60_000]);
    let mut file = b;
    for _ in 0..100 {
        file = file.interface(1, 0, &option);
    }
    let (parser, _, end) = frames(&file.bytes);
    end.unwrap();
    let kept: usize = parser
        .interfaces()
        .iter()
        .filter_map(|interface| interface.texts.as_ref())
        .flat_map(|texts| &texts.comments)
        .map(String::len)
        .sum();
    assert!(kept <= TEXT_BYTES_MAX);
    assert_eq!(parser.blocks().texts_dropped, 100 - (TEXT_BYTES_MAX / 60_000) as u64);
}
