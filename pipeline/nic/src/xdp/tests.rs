use super::*;
use crate::link::{by_index, by_name};
use crate::sys::plain::{Plain, become_nobody};
use crate::tx::{self, Method};
use testkit::net::Lab;

use std::process::Command;

const SECOND: Duration = Duration::from_secs(1);

/// Frame `number`: its number in the destination address, then bytes that depend on it.
fn frame(number: u32, len: usize) -> Vec<u8> {
    let mut bytes = vec![2, 0];
    bytes.extend(number.to_be_bytes());
    bytes.extend([2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
    bytes.extend((14..len).map(|at| (at as u32 * 31 + number * 7) as u8));
    bytes
}

/// Everything that comes until nothing has for a while.
fn receive_all(rx: &mut AfXdpRx) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while rx.poll(Duration::from_millis(100)).unwrap() == Wake::Frames {
        all.extend(rx.next_burst().frames().map(|frame| frame.data.to_vec()));
    }
    all
}

fn xdp_of(interface: &str) -> String {
    let out = Command::new("ip").args(["-o", "link", "show", interface]).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let words = text.split_whitespace().filter(|word| word.starts_with("xdp"));
    words.collect::<Vec<_>>().join(" ")
}

#[test]
#[ignore = "privileged: loads an XDP program in a network namespace of its own"]
fn privileged_af_xdp_receives_every_paced_frame_in_order_byte_for_byte() {
    for (mtu, longest) in [(1500, 1514), (9000, 9014)] {
        for mode in [Mode::Native, Mode::Generic] {
            let lab = Lab::new();
            lab.cable("left", "right", mtu);
            let (left, right) = (by_name("left").unwrap(), by_name("right").unwrap());
            let config = Config { mode: Some(mode), slots: 2048, promiscuous: true };
            let mut queues = AfXdpRx::open(&right, &config).unwrap();
            assert_eq!((queues.len(), queues[0].mode()), (1, mode));
            assert_eq!(by_index(right.index).unwrap().unwrap().promiscuity, 1);
            let mut stack = Plain::open(right.index);
            let frames: Vec<Vec<u8>> = (0..10_000_u32)
                .map(|number| frame(number, 14 + (number as usize * 37) % (longest - 13)))
                .chain([frame(10_000, longest)])
                .collect();
            let before = now_ns();
            let mut way = tx::open(&left, Some(Method::Sendmmsg)).unwrap();
            let mut got = Vec::new();
            for burst in frames.chunks(50) {
                let slices: Vec<&[u8]> = burst.iter().map(Vec::as_slice).collect();
                let sent = way.send(&slices);
                assert!(sent.error.is_none(), "{sent:?}");
                let wanted = got.len() + burst.len();
                while got.len() < wanted {
                    let woke = queues[0].poll(SECOND).unwrap();
                    assert_eq!(woke, Wake::Frames, "{mode}, {mtu}: {} frames", got.len());
                    for frame in queues[0].next_burst().frames() {
                        assert!(frame.time_ns >= before && frame.time_ns <= now_ns());
                        got.push(frame.data.to_vec());
                    }
                }
            }
            for (number, (got, sent)) in got.iter().zip(&frames).enumerate() {
                assert!(got == sent, "{mode}, {mtu}: frame {number} of {} bytes", sent.len());
            }
            assert_eq!(got.len(), frames.len());
            let counts = queues[0].counts().unwrap();
            assert_eq!((counts.received, counts.dropped()), (frames.len() as u64, 0));
            let passed = stack.next(Duration::from_millis(20)).map(<[u8]>::len);
            assert_eq!(passed, None, "{mode}: the stack saw a frame");
        }
    }
}

#[test]
#[ignore = "privileged: loads an XDP program in a network namespace of its own"]
fn privileged_af_xdp_counts_what_it_loses_under_overload() {
    for mode in [Mode::Native, Mode::Generic] {
        let lab = Lab::new();
        lab.cable("left", "right", 1500);
        let (left, right) = (by_name("left").unwrap(), by_name("right").unwrap());
        let config = Config { mode: Some(mode), slots: 256, promiscuous: false };
        let mut queues = AfXdpRx::open(&right, &config).unwrap();
        let mut way = tx::open(&left, Some(Method::Sendmmsg)).unwrap();
        let frames: Vec<Vec<u8>> = (0..64).map(|number| frame(number, 200)).collect();
        let slices: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        let mut received = 0;
        let mut taken = 0;
        for round in 0..1000 {
            let sent = way.send(&slices);
            assert!(sent.error.is_none(), "{sent:?}");
            taken += sent.taken as u64;
            if round % 100 == 99 {
                // once in a while, far too seldom
                received += queues[0].next_burst().frames().count() as u64;
            }
        }
        assert_eq!(way.finish(SECOND), 0);
        received += receive_all(&mut queues[0]).len() as u64;
        let counts = queues[0].counts().unwrap();
        assert_eq!(counts.received, received);
        assert!(received >= 256 && counts.dropped() > 0, "{mode}: {counts:?}");
        // frames that the cable itself had no room for
        let cable = by_index(left.index).unwrap().unwrap().counters.tx_dropped;
        assert_eq!(taken, received + counts.dropped() + cable, "{mode}: {counts:?}, {cable}");
    }
}

#[test]
#[ignore = "privileged: loads an XDP program in a network namespace of its own"]
fn privileged_the_program_is_gone_with_the_last_receiver_and_only_one_fits() {
    let lab = Lab::new();
    let many = ["numtxqueues", "3", "numrxqueues", "3"];
    let add = ["link", "add", "left"].iter().chain(&many).chain(&["type", "veth", "peer"]);
    let peer = ["name", "right"].iter().chain(&many);
    lab.ip(&add.chain(peer).copied().collect::<Vec<_>>());
    lab.ip(&["link", "set", "left", "up"]);
    lab.ip(&["link", "set", "right", "up"]);
    let (left, right) = (by_name("left").unwrap(), by_name("right").unwrap());
    for mode in [None, Some(Mode::Generic)] {
        let config = Config { mode, ..Config::default() };
        let mut queues = AfXdpRx::open(&right, &config).unwrap();
        assert_eq!(queues.len(), 3);
        assert_eq!(queues[0].mode(), mode.unwrap_or(Mode::Native));
        assert!(xdp_of("right").starts_with("xdp"), "{}", xdp_of("right"));
        let error = AfXdpRx::open(&right, &config).unwrap_err();
        assert!(matches!(error, XdpError::Taken { .. }), "{error:?}");
        let mut way = tx::open(&left, Some(Method::Sendmmsg)).unwrap();
        let frames: Vec<Vec<u8>> = (0..30).map(|number| frame(number, 100)).collect();
        let slices: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        assert_eq!(way.send(&slices).taken, 30);
        let got: usize = queues.iter_mut().map(|queue| receive_all(queue).len()).sum();
        assert_eq!(got, 30);
        let last = queues.pop();
        drop(queues);
        assert!(xdp_of("right").starts_with("xdp"), "one receiver is left");
        drop(last);
        assert_eq!(xdp_of("right"), "");
        assert_eq!(by_index(right.index).unwrap().unwrap().promiscuity, 0);
        // frames reach the stack again
        let mut stack = Plain::open(right.index);
        assert_eq!(way.send(&slices).taken, 30);
        for sent in &frames {
            assert_eq!(stack.next(SECOND), Some(&sent[..]));
        }
    }
}

#[test]
#[ignore = "privileged: removes devices in a network namespace of its own"]
fn privileged_a_receiver_says_that_its_interface_is_gone() {
    for mode in [Mode::Native, Mode::Generic] {
        let lab = Lab::new();
        lab.cable("left", "right", 1500);
        let config = Config { mode: Some(mode), ..Config::default() };
        let mut queues = AfXdpRx::open(&by_name("right").unwrap(), &config).unwrap();
        assert_eq!(queues[0].poll(Duration::from_millis(1)).unwrap(), Wake::Nothing);
        lab.ip(&["link", "delete", "right"]);
        assert_eq!(queues[0].poll(SECOND).unwrap(), Wake::Gone, "{mode}");
        assert!(queues[0].next_burst().is_empty());
    }
}

#[test]
#[ignore = "privileged: starts as root, to go on without rights"]
fn privileged_who_may_not_receive_is_told_the_command_that_mends_it() {
    let lab = Lab::new();
    lab.cable("left", "right", 1500);
    let right = by_name("right").unwrap();
    std::thread::spawn(move || {
        become_nobody();
        let error = AfXdpRx::open(&right, &Config::default()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("sudo setcap cap_net_raw,cap_net_admin,cap_bpf+ep"), "{text}");
    })
    .join()
    .unwrap();
}
