use super::*;
use crate::link::{by_index, by_name};
use crate::sys::plain::{Plain, Tap, become_nobody};
use testkit::net::Lab;

use std::thread;
use std::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// Frame `number`: its number in the destination address, `len` bytes that depend on both.
fn frame(number: u32, len: usize) -> Vec<u8> {
    let mut bytes = vec![2, 0];
    bytes.extend(number.to_be_bytes());
    bytes.extend([2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
    let mut state = u64::from(number) << 20 | len as u64 | 1;
    while bytes.len() < len {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        bytes.push((state >> 56) as u8);
    }
    bytes.truncate(len);
    bytes
}

/// All of `frames`, in bursts of sizes that change.
fn send_all(way: &mut dyn Transmit, frames: &[Vec<u8>]) {
    let slices: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
    let (mut at, mut burst) = (0, 1);
    while at < slices.len() {
        let end = (at + burst).min(slices.len());
        let sent = way.send(&slices[at..end]);
        assert!(sent.error.is_none(), "{}: frame {}: {sent:?}", way.method(), at + sent.taken);
        assert_eq!(sent.taken, end - at);
        at = end;
        burst = burst % 200 + 7;
    }
    assert_eq!(way.finish(SECOND), 0);
}

#[test]
fn methods_have_names_and_errors_have_causes() {
    for method in Method::ALL {
        assert_eq!(method.to_string().parse::<Method>().unwrap(), method);
    }
    let error = "carrier-pigeon".parse::<Method>().unwrap_err().to_string();
    assert!(error.contains("carrier-pigeon") && error.contains("af-xdp"), "{error}");
    assert_eq!(SendError::TooLong { len: 2, max: 1 }.cause(), "too-long");
}

#[test]
fn bounds_are_those_of_the_mtu_and_a_tag_is_extra() {
    let bounds = Bounds::of_mtu(1500);
    let mut tagged = frame(0, 1518);
    assert_eq!(bounds.max(&tagged), 1514);
    tagged[12..14].copy_from_slice(&[0x81, 0]);
    assert!(bounds.check(&tagged).is_ok() && bounds.check(&frame(0, 1514)).is_ok());
    assert!(bounds.check(&frame(0, 14)).is_ok());
    let (short, long) = (frame(0, 13), frame(0, 1515));
    assert!(matches!(bounds.check(&short), Err(SendError::TooShort { len: 13, min: 14 })));
    assert!(matches!(bounds.check(&long), Err(SendError::TooLong { len: 1515, max: 1514 })));
    assert!(matches!(bounds.check(&[]), Err(SendError::TooShort { len: 0, .. })));
}

#[test]
#[ignore = "privileged: sends over a cable in a network namespace of its own"]
fn privileged_every_method_delivers_ten_thousand_frames_in_order_byte_for_byte() {
    for method in Method::ALL {
        let lab = Lab::new();
        lab.cable("left", "right", 9000);
        let (left, right) = (by_name("left").unwrap(), by_name("right").unwrap());
        let mut receiver = Plain::open(right.index);
        let frames: Vec<Vec<u8>> = (0..10_000_u32)
            .map(|number| {
                // 14 to 1514 bytes, all of them, and now and then a jumbo frame; runs of those too
                let jumbo = number % 97 == 0 || (4000..4010).contains(&number);
                let len = if jumbo { 2000 + number * 3 % 7015 } else { 14 + number * 7 % 1501 };
                frame(number, len as usize)
            })
            .chain([frame(10_000, 9014), frame(10_001, 60)])
            .collect();
        let mut way = open(&left, Some(method)).unwrap();
        assert_eq!(way.method(), method);
        send_all(&mut *way, &frames);
        for (number, sent) in frames.iter().enumerate() {
            let got = receiver.next(SECOND);
            assert!(
                got == Some(sent),
                "{method}: frame {number} of {} bytes: got {:?}",
                sent.len(),
                got.map(|got| (got.len(), &got[..14]))
            );
        }
        assert_eq!(receiver.next(Duration::from_millis(50)), None, "{method}: one too many");
        let count = frames.len() as u64;
        let bytes: usize = frames.iter().map(Vec::len).sum();
        let near = by_index(left.index).unwrap().unwrap().counters.since(&left.counters);
        let far = by_index(right.index).unwrap().unwrap().counters.since(&right.counters);
        assert_eq!((near.tx_packets, far.rx_packets), (count, count), "{method}");
        // veth counts the frame behind its Ethernet header at one end, with it at the other
        assert!(near.tx_bytes == bytes as u64, "{method}: {} of {bytes}", near.tx_bytes);
    }
}

#[test]
#[ignore = "privileged: sends over a cable in a network namespace of its own"]
fn privileged_frames_out_of_bounds_are_refused_in_place_and_the_others_go() {
    for method in Method::ALL {
        let lab = Lab::new();
        lab.cable("left", "right", 1500);
        let (left, right) = (by_name("left").unwrap(), by_name("right").unwrap());
        let mut way = open(&left, Some(method)).unwrap();
        let mut tagged = frame(4, 1518);
        tagged[12..16].copy_from_slice(&[0x81, 0, 0, 5]);
        let frames = [
            frame(0, 1514),
            frame(1, 1515),
            frame(2, 60),
            frame(3, 13),
            tagged.clone(),
            frame(5, 65_000),
            frame(6, 64),
        ];
        tagged.push(0);
        let mut slices: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        slices.push(&tagged);
        let (mut rest, mut causes) = (&slices[..], Vec::new());
        while !rest.is_empty() {
            let sent = way.send(rest);
            let at = slices.len() - rest.len() + sent.taken;
            rest = &rest[sent.taken..];
            if let Some(error) = sent.error {
                causes.push((at, error.cause()));
                rest = &rest[1..];
            }
        }
        let expected = [(1, "too-long"), (3, "too-short"), (5, "too-long"), (7, "too-long")];
        assert_eq!(causes, expected, "{method}");
        assert_eq!(way.finish(SECOND), 0, "{method}");
        let far = by_index(right.index).unwrap().unwrap().counters;
        assert_eq!(far.rx_packets, 4, "{method}");
        // an MTU made smaller later is found out by the kernel, or the frame is lost there
        lab.ip(&["link", "set", "left", "mtu", "1000"]);
        if method != Method::AfXdp {
            let sent = way.send(&slices[..1]);
            assert!(
                matches!(sent.error, Some(SendError::TooLong { len: 1514, max: 1014 })),
                "{method}: {sent:?}"
            );
        }
    }
}

#[test]
#[ignore = "privileged: switches and removes devices in a network namespace of its own"]
fn privileged_an_interface_that_goes_down_comes_back_and_vanishes_is_told_apart() {
    for method in Method::ALL {
        let lab = Lab::new();
        lab.cable("left", "right", 1500);
        let (left, right) = (by_name("left").unwrap(), by_name("right").unwrap());
        let mut way = open(&left, Some(method)).unwrap();
        let frames: Vec<Vec<u8>> = (0..40).map(|number| frame(number, 100)).collect();
        let slices: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        let mut arrived = 0;
        for (end, other) in [("left", "right"), ("right", "left"), ("left", "right")] {
            let sent = way.send(&slices);
            assert!(sent.taken == 40 && sent.error.is_none(), "{method}, {end}: {sent:?}");
            assert_eq!(way.finish(SECOND), 0, "{method}, {end}");
            arrived += 40;
            lab.ip(&["link", "set", end, "down"]);
            for _ in 0..20 {
                let sent = way.send(&slices);
                assert!(matches!(sent.error, Some(SendError::Down)), "{method}, {end}: {sent:?}");
                assert_eq!(sent.taken, 0, "{method}, {end}");
            }
            lab.ip(&["link", "set", end, "up"]);
            assert!(by_name(other).unwrap().up);
        }
        let sent = way.send(&slices[..10]);
        assert!(sent.taken == 10 && sent.error.is_none(), "{method}: {sent:?}");
        assert_eq!(way.finish(SECOND), 0, "{method}: what was refused is not waited for");
        let far = by_index(right.index).unwrap().unwrap().counters;
        assert_eq!(far.rx_packets, arrived + 10, "{method}: refused frames were not sent later");
        lab.ip(&["link", "delete", "left"]);
        let sent = way.send(&slices);
        assert!(matches!(sent.error, Some(SendError::Gone)), "{method}: {sent:?}");
        assert_eq!(sent.taken, 0, "{method}");
    }
}

#[test]
#[ignore = "privileged: removes devices in a network namespace of its own"]
fn privileged_a_device_removed_while_frames_go_out_ends_the_sending() {
    for method in Method::ALL {
        for act in [&["set", "left", "down"][..], &["delete", "left"]] {
            let lab = Lab::new();
            lab.cable("left", "right", 1500);
            let left = by_name("left").unwrap();
            let sender = thread::spawn(move || {
                let mut way = open(&left, Some(method)).unwrap();
                let frame = frame(0, 200);
                let (burst, start) = ([&frame[..]; 64], Instant::now());
                let mut taken = 0;
                while start.elapsed() < 10 * SECOND {
                    let sent = way.send(&burst);
                    taken += sent.taken;
                    match sent.error {
                        None | Some(SendError::NoBuffers) => {}
                        Some(error) => {
                            way.finish(SECOND / 10);
                            return (taken, Some(error));
                        }
                    }
                }
                (taken, None)
            });
            thread::sleep(Duration::from_millis(200));
            lab.ip(&[&["link"], act].concat());
            let start = Instant::now();
            let (taken, error) = sender.join().unwrap();
            assert!(start.elapsed() < 2 * SECOND, "{method}, {act:?}: {:?}", start.elapsed());
            assert!(taken > 64, "{method}, {act:?}: {taken}");
            // a device that is deleted goes down first
            assert!(
                matches!(error, Some(SendError::Down | SendError::Gone)),
                "{method}, {act:?}: {error:?}"
            );
        }
    }
}

#[test]
#[ignore = "privileged: makes a TAP device in a network namespace of its own"]
fn privileged_what_a_full_device_has_no_room_for_is_never_called_sent() {
    for method in Method::ALL {
        let lab = Lab::new();
        let mut tap = Tap::new("tap");
        lab.ip(&["link", "set", "tap", "txqueuelen", "100", "up"]);
        let mut way = open(&by_name("tap").unwrap(), Some(method)).unwrap();
        while tap.next().is_some() {} // what the stack says on its own
        let frames: Vec<Vec<u8>> = (0..250).map(|number| frame(number, 100)).collect();
        let (mut at, mut taken, mut refused) = (0, Vec::new(), Vec::new());
        while at < frames.len() {
            let end = (at + 40).min(frames.len());
            let slices: Vec<&[u8]> = frames[at..end].iter().map(Vec::as_slice).collect();
            let sent = way.send(&slices);
            taken.extend(at..at + sent.taken);
            at += sent.taken;
            match sent.error {
                None => assert_eq!(at, end),
                Some(SendError::NoBuffers) => {
                    refused.push(at);
                    at += 1;
                }
                Some(error) => panic!("{method}: frame {at}: {error:?}"),
            }
        }
        // those that the driver dropped, or still has
        let left = way.finish(Duration::from_millis(200));
        let mut arrived = Vec::new();
        while let Some(bytes) = tap.next() {
            let number = u32::from_be_bytes(bytes[2..6].try_into().unwrap()) as usize;
            assert!(taken.contains(&number), "{method}: frame {number} was refused, and came");
            assert_eq!(bytes, frames[number], "{method}");
            arrived.push(number);
        }
        println!("{method}: {} taken, {left} not left, {} came", taken.len(), arrived.len());
        assert!(arrived.is_sorted() && arrived.len() >= 100, "{method}: {}", arrived.len());
        if method == Method::AfXdp {
            assert_eq!(taken.len() as u64 - left, arrived.len() as u64, "{method}");
        } else {
            assert_eq!(taken, arrived, "{method}: refused {refused:?}");
            assert!(!refused.is_empty(), "{method}");
        }
        // there is room again
        assert_eq!(way.send(&[&frames[0]]).taken, 1, "{method}");
        assert_eq!(tap.next().as_ref(), Some(&frames[0]), "{method}");
        way.finish(SECOND);
    }
}

#[test]
#[ignore = "privileged: opens sockets in a network namespace of its own"]
fn privileged_the_fastest_that_works_is_chosen_and_the_others_have_reasons() {
    let lab = Lab::new();
    lab.cable("left", "right", 1500);
    let left = by_name("left").unwrap();
    for _ in 0..5 {
        // the queue is busy for a moment after each round
        let chosen = choose(&left, None).unwrap();
        assert_eq!(chosen.transmit.method(), Method::AfXdp, "{:?}", chosen.passed_over);
        assert!(chosen.passed_over.is_empty());
    }
    let holder = open(&left, Some(Method::AfXdp)).unwrap();
    let chosen = choose(&left, None).unwrap();
    assert_eq!(chosen.transmit.method(), Method::Sendmmsg);
    let [(Method::AfXdp, why)] = &chosen.passed_over[..] else { panic!("{chosen:?}") };
    assert!(why.to_string().contains("left"), "{why}");
    drop(holder);
    let tun = "tun-of-test";
    lab.ip(&["tuntap", "add", "dev", tun, "mode", "tun"]);
    let error = choose(&by_name(tun).unwrap(), None).unwrap_err();
    assert!(matches!(error, TxError::NotEthernet { .. }), "{error}");
}

#[test]
#[ignore = "privileged: starts as root, to go on without rights"]
fn privileged_who_may_not_send_is_told_the_command_that_mends_it() {
    let lab = Lab::new();
    lab.cable("left", "right", 1500);
    let left = by_name("left").unwrap();
    thread::spawn(move || {
        become_nobody();
        for method in [None, Some(Method::AfXdp), Some(Method::Sendmmsg), Some(Method::TxRing)] {
            let error = choose(&left, method).unwrap_err();
            assert!(matches!(error, TxError::NotPermitted { .. }), "{error:?}");
            let (text, program) = (error.to_string(), std::env::current_exe().unwrap());
            let command = "sudo setcap cap_net_raw,cap_net_admin,cap_bpf+ep";
            assert!(text.contains(command) && text.contains("left"), "{text}");
            assert!(text.contains(&program.display().to_string()), "{text}");
        }
    })
    .join()
    .unwrap();
}
