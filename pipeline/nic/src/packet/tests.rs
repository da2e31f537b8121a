use testkit::net::numbered;

use super::*;

#[test]
fn a_tag_goes_back_between_addresses_and_type() {
    let mut bytes = vec![0xee; 10];
    let frame: Vec<u8> = (0..20).collect();
    bytes.extend_from_slice(&frame);
    assert!(restore_tag(&mut bytes, 10, 0x88a8, 0x2064));
    assert_eq!(bytes[..6], [0xee; 6]);
    assert_eq!(bytes[6..18], frame[..12]);
    assert_eq!(bytes[18..22], [0x88, 0xa8, 0x20, 0x64]);
    assert_eq!(bytes[22..], frame[12..]);
    assert!(!restore_tag(&mut [0; 20], 3, TPID_8021Q, 1), "no room before it");
    assert!(!restore_tag(&mut [0; 20], 10, TPID_8021Q, 1), "cut within the addresses");
}

pub(super) fn send(interface: &str, frames: &[Vec<u8>]) {
    let link = link::by_name(interface).unwrap();
    let mut tx = crate::tx::open(&link, Some(crate::tx::Method::Sendmmsg)).unwrap();
    let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
    let mut rest = &frames[..];
    while !rest.is_empty() {
        let burst = rest.len().min(tx.burst_max());
        let sent = tx.send(&rest[..burst]);
        assert!(sent.error.is_none(), "{:?}", sent.error);
        rest = &rest[sent.taken..];
    }
    assert_eq!(tx.finish(Duration::from_secs(5)), 0);
}

fn drained(rx: &mut PacketRx) -> Vec<(Vec<u8>, u32)> {
    let mut got = Vec::new();
    rx.stop().unwrap();
    let all = rx
        .drain(Duration::from_secs(5), |frame| got.push((frame.data.to_vec(), frame.origlen)))
        .unwrap();
    assert!(all, "{:?}", rx.counts());
    got
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_every_frame_arrives_as_it_was_sent_and_is_counted() {
    let lab = testkit::net::Lab::new();
    lab.cable("left", "right", 9000);
    let before = link::by_name("right").unwrap().counters;
    let mut rx = PacketRx::open("right", &Config::default()).unwrap();
    let frames = numbered(20_000, |n| 60 + (n as usize * 37) % 8950);
    let (mut got, mut bad_time) = (0, 0);
    let began = std::time::SystemTime::now();
    for part in frames.chunks(1000) {
        send("left", part);
        // the blocks that are full; the one being filled stays
        let mut check = |frame: &Frame<'_>| {
            assert_eq!(frame.data, frames[got], "frame {got}");
            assert_eq!(frame.direction, Direction::ToOthers);
            got += 1;
        };
        while rx.read(&mut check) > 0 {}
    }
    let rest = drained(&mut rx);
    for (at, (data, origlen)) in rest.iter().enumerate() {
        assert!(*data == frames[got + at] && *origlen as usize == data.len(), "{}", got + at);
    }
    let mut again = PacketRx::open("right", &Config::default()).unwrap();
    send("left", &frames[..3]);
    again.stop().unwrap();
    again
        .drain(Duration::from_secs(5), |frame| {
            let time = std::time::UNIX_EPOCH + Duration::from_nanos(frame.time_ns as u64);
            bad_time += u32::from(time < began || time > std::time::SystemTime::now());
        })
        .unwrap();
    assert_eq!((got + rest.len(), bad_time), (frames.len(), 0));
    let counts = rx.counts().unwrap();
    assert_eq!((counts.seen, counts.read, counts.dropped), (20_000, 20_000, 0));
    let after = link::by_name("right").unwrap().counters.since(&before);
    assert_eq!(after.rx_packets, 20_003, "the interface's own count");
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_a_ring_that_nobody_reads_loses_frames_and_counts_each() {
    let lab = testkit::net::Lab::new();
    lab.cable("left", "right", 1500);
    let config = Config { ring_bytes: 256 << 10, ..Config::default() };
    let mut rx = PacketRx::open("right", &config).unwrap();
    let frames = numbered(5_000, |_| 1000);
    send("left", &frames);
    let got = drained(&mut rx);
    let counts = rx.counts().unwrap();
    assert_eq!(counts.seen, 5_000);
    assert_eq!(counts.read, got.len() as u64);
    assert_eq!(counts.seen, counts.read + counts.dropped);
    assert!(counts.dropped > 4_000 && counts.ring_full > 0 && counts.read > 100, "{counts:?}");
    assert!(got.iter().zip(&frames).all(|((data, _), sent)| data == sent), "the first ones whole");
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_the_kernel_runs_the_filter_and_refused_frames_are_counted() {
    let lab = testkit::net::Lab::new();
    lab.cable("left", "right", 1500);
    // the low byte of the frame's number is 7
    let filter = vec![
        Instruction { code: 0x30, jt: 0, jf: 0, k: 17 },
        Instruction { code: 0x15, jt: 0, jf: 1, k: 7 },
        Instruction::ret(SNAPLEN_MAX),
        Instruction::ret(0),
    ];
    let config = Config { filter, snaplen: 100, ..Config::default() };
    let mut rx = PacketRx::open("right", &config).unwrap();
    let frames = numbered(2_560, |n| 60 + n as usize % 1000);
    send("left", &frames);
    let got = drained(&mut rx);
    let counts = rx.counts().unwrap();
    assert_eq!((counts.seen, counts.filtered, got.len()), (2_560, 2_550, 10));
    for ((data, origlen), number) in got.iter().zip((7..).step_by(256)) {
        let sent: &Vec<u8> = &frames[number];
        assert_eq!((&data[..], *origlen as usize), (&sent[..sent.len().min(100)], sent.len()));
    }
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_vlan_tags_that_the_kernel_took_off_are_put_back() {
    let lab = testkit::net::Lab::new();
    lab.cable("left", "right", 1500);
    let mut rx = PacketRx::open("right", &Config::default()).unwrap();
    let mut frames = numbered(300, |n| 64 + n as usize);
    for (number, frame) in frames.iter_mut().enumerate() {
        // untagged, 802.1Q, and a service tag with a customer tag in it
        let tags: &[u8] = match number % 3 {
            0 => &[],
            1 => &[0x81, 0x00, 0x60, 0x64],
            _ => &[0x88, 0xa8, 0x00, 0x0a, 0x81, 0x00, 0x20, 0x14],
        };
        frame.splice(12..12, tags.iter().copied());
    }
    send("left", &frames);
    let got = drained(&mut rx);
    assert_eq!(got.len(), frames.len());
    for ((data, origlen), sent) in got.iter().zip(&frames) {
        assert_eq!((data, *origlen as usize), (sent, sent.len()));
    }
    assert_eq!(rx.counts().unwrap().tags_restored, 200);
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_an_interface_may_go_down_change_its_name_vanish_and_come_back() {
    let lab = testkit::net::Lab::new();
    lab.cable("left", "right", 1500);
    let mut rx = PacketRx::open("right", &Config::default()).unwrap();
    let change = |rx: &mut PacketRx| {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if let Wake::Link(change) = rx.poll(Duration::from_millis(50)).unwrap() {
                return change;
            }
        }
        panic!("nothing noticed in 10 s");
    };
    let frames = numbered(10, |_| 60);
    let mut got = 0;
    lab.ip(&["link", "set", "right", "down"]);
    assert_eq!(change(&mut rx), LinkChange::Down);
    lab.ip(&["link", "set", "right", "name", "mirror"]);
    let (from, to) = ("right".to_owned(), "mirror".to_owned());
    assert_eq!(change(&mut rx), LinkChange::Renamed { from, to });
    lab.ip(&["link", "set", "mirror", "up"]);
    assert_eq!(change(&mut rx), LinkChange::Up);
    send("left", &frames);
    std::thread::sleep(Duration::from_millis(50));
    while rx.read(|_| got += 1) > 0 {}
    assert_eq!(got, 10, "it listens again after it was down");
    lab.ip(&["link", "delete", "mirror"]);
    assert_eq!(change(&mut rx), LinkChange::Gone);
    lab.cable("left", "mirror", 1500);
    assert_eq!(change(&mut rx), LinkChange::Back);
    send("left", &frames);
    assert_eq!(drained(&mut rx).len(), 10, "and after it was made anew");
    assert_eq!(rx.counts().unwrap().seen, 20);
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_sockets_of_a_fanout_group_keep_both_directions_of_a_flow_together() {
    let lab = testkit::net::Lab::new();
    lab.cable("left", "right", 1500);
    let config = Config { fanout_group: Some(77), ..Config::default() };
    let mut workers = [0, 1].map(|_| PacketRx::open("right", &config).unwrap());
    let frames: Vec<Vec<u8>> = (0..400u16)
        .map(|n| {
            use testkit::build::{eth, ip4_udp};
            let client = 40_000 + n / 2;
            if n % 2 == 0 {
                return eth(0x0800, &ip4_udp(client, 443, &[0; 32]));
            }
            let mut back = eth(0x0800, &ip4_udp(443, client, &[0; 32]));
            let (from, to) = back[26..34].split_at_mut(4);
            from.swap_with_slice(to);
            back
        })
        .collect();
    send("left", &frames);
    let shares = workers.each_mut().map(|rx| drained(rx).len());
    assert_eq!(shares[0] + shares[1], frames.len());
    assert!(shares.iter().all(|share| *share > 40 && share % 2 == 0), "{shares:?}");
}
