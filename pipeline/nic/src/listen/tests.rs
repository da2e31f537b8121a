#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testkit::net::{Lab, number, numbered};

use super::*;
use crate::link;
use crate::tx::{self, Method};

#[test]
fn ways_are_read_as_they_are_printed() {
    for way in Way::ALL {
        assert_eq!(way.to_string().parse(), Ok(way));
    }
    assert_eq!("pf_ring".parse::<Way>(), Err(WayError));
}

fn send(frames: &[Vec<u8>]) {
    let mut tx = tx::open(&link::by_name("left").unwrap(), Some(Method::Sendmmsg)).unwrap();
    for part in frames.chunks(32) {
        let part: Vec<&[u8]> = part.iter().map(Vec::as_slice).collect();
        assert_eq!(tx.send(&part).taken, part.len());
        std::thread::sleep(Duration::from_micros(300));
    }
    assert_eq!(tx.finish(Duration::from_secs(5)), 0);
}

/// Sends numbered frames while all listeners read, stops them, and gives what each one read.
fn heard(way: Way, workers: u16, filter: Option<&str>) -> (Vec<Vec<u32>>, RxCounts) {
    let config = Config { way, workers, filter: filter.map(str::to_owned), ..Config::default() };
    let mut listeners = open("right", &config).unwrap();
    let frames = numbered(3000, |n| 60 + n as usize % 1400);
    let mut all = Vec::new();
    let mut sum = RxCounts::default();
    let sent = &AtomicBool::new(false);
    let frames = &frames;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            send(frames);
            sent.store(true, Ordering::Relaxed);
        });
        let readers: Vec<_> = listeners
            .iter_mut()
            .map(|rx| {
                scope.spawn(move || {
                    let mut numbers = Vec::new();
                    let mut each = |frame: &Frame<'_>| {
                        // the kernel itself has things to say on a new cable
                        if let Some(n) = number(frame.data) {
                            assert!(frame.data == &frames[n as usize][..], "frame {n} differs");
                            assert!(frame.time_ns > 0 && frame.origlen as usize >= 60);
                            numbers.push(n);
                        }
                    };
                    while !sent.load(Ordering::Relaxed) {
                        rx.poll(Duration::from_millis(5)).unwrap();
                        while rx.read(&mut each).unwrap() > 0 {}
                    }
                    rx.stop().unwrap();
                    assert!(rx.drain(Duration::from_secs(2), &mut each).unwrap());
                    let counts = rx.counts().unwrap();
                    assert_eq!(counts.seen, counts.read + counts.dropped, "{counts:?}");
                    (numbers, counts)
                })
            })
            .collect();
        for reader in readers {
            let (numbers, counts) = reader.join().unwrap();
            assert!(numbers.is_sorted(), "out of order");
            all.push(numbers);
            sum.seen += counts.seen;
            sum.dropped += counts.dropped;
            sum.filtered += counts.filtered;
        }
    });
    assert_eq!(sum.dropped, 0, "{sum:?}");
    (all, sum)
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_every_way_hears_every_frame() {
    let lab = Lab::new();
    lab.cable("left", "right", 1500);
    for way in Way::ALL {
        if way == Way::Libpcap && !crate::bpf::AVAILABLE {
            continue;
        }
        let (heard, _) = heard(way, 1, None);
        let mut numbers: Vec<u32> = heard.into_iter().flatten().collect();
        numbers.sort_unstable();
        assert_eq!(numbers.len(), 3000, "{way}");
        assert!(numbers.into_iter().eq(0..3000), "{way}");
    }
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_workers_share_the_frames_and_each_frame_has_one() {
    let lab = Lab::new();
    lab.cable("left", "right", 1500);
    let (heard, _) = heard(Way::Packet, 3, None);
    assert_eq!(heard.len(), 3);
    let mut numbers: Vec<u32> = heard.into_iter().flatten().collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..3000));
}

#[cfg(feature = "libpcap")]
#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_every_way_has_tcpdump_filters() {
    let lab = Lab::new();
    lab.cable("left", "right", 1500);
    for way in Way::ALL {
        let (heard, counts) = heard(way, 1, Some("greater 760"));
        let numbers: Vec<u32> = heard.into_iter().flatten().collect();
        let expected: Vec<u32> = (0..3000).filter(|n| 60 + n % 1400 >= 760).collect();
        assert!(numbers == expected, "{way}: {} of {}", numbers.len(), expected.len());
        if way != Way::Libpcap {
            assert!(counts.filtered as usize >= 3000 - expected.len(), "{way}: {counts:?}");
        }
    }
}
