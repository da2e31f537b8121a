//! `--verify`: what a box between the two ends does to frames is told apart.

use super::*;

/// What the box does with a frame that has this place among those that come to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Drop,
    Twice,
    /// Swapped with the next.
    Late,
    Flip,
    /// A frame of the box's own comes first.
    Foreign,
}

/// Takes frames in at `from` and sends them by `to`, with faults, until told to stop. The result
/// is how many came in.
fn run_box(from: PacketRx, to: &str, fault: fn(u64) -> Fault, stop: &AtomicBool) -> u64 {
    let mut rx = from;
    let mut tx = open(&link::by_name(to).unwrap(), Some(Method::Sendmmsg)).unwrap();
    let (mut seen, mut late) = (0, None::<Vec<u8>>);
    loop {
        let stopping = stop.load(Ordering::Acquire);
        let mut out = Vec::new();
        let mut one = |data: &[u8]| {
            let mut frame = data.to_vec();
            match fault(seen) {
                Fault::Drop => {}
                Fault::Late => late = Some(frame),
                other => {
                    match other {
                        Fault::Flip => frame[20] ^= 4,
                        Fault::Foreign => out.push(vec![0xee; 99]),
                        _ => {}
                    }
                    if other == Fault::Twice {
                        out.push(frame.clone());
                    }
                    out.push(frame);
                    out.extend(late.take());
                }
            }
            seen += 1;
        };
        if stopping {
            rx.stop().unwrap();
            assert!(rx.drain(Duration::from_secs(5), |frame| one(frame.data)).unwrap());
        } else {
            let _ = rx.poll(Duration::from_millis(5)).unwrap();
            rx.read(|frame| one(frame.data));
        }
        let frames: Vec<&[u8]> = out.iter().map(Vec::as_slice).collect();
        let mut at = 0;
        while at < frames.len() {
            let sent = tx.send(&frames[at..]);
            assert!(sent.error.is_none(), "{:?}", sent.error);
            at += sent.taken;
        }
        if stopping {
            assert_eq!(rx.counts().unwrap().dropped, 0);
            assert_eq!(tx.finish(Duration::from_secs(5)), 0);
            return seen;
        }
    }
}

/// Replays `file` through a box and returns the report.
fn through_a_box(file: &str, fault: fn(u64) -> Fault, args: &[&str]) -> (Value, i32, String) {
    let lab = Lab::new();
    lab.cable("left", "box-in", 1500);
    lab.cable("box-out", "right", 1500);
    let stop = Arc::new(AtomicBool::new(false));
    let from = listen_for("box-in", Duration::from_millis(10));
    let told = Arc::clone(&stop);
    let faulty = std::thread::spawn(move || run_box(from, "box-out", fault, &told));
    let result =
        replay(&[&[file, "-i", "left", "--verify", "right", "--verify-wait", "1"], args].concat());
    stop.store(true, Ordering::Release);
    let seen = faulty.join().unwrap();
    if !result.0.is_null() {
        assert_eq!(seen, count(&result.0, "/sent"), "the box saw all that was sent");
    }
    result
}

fn verified(json: &Value) -> [u64; 7] {
    ["sent", "received", "lost", "duplicated", "reordered", "corrupted", "foreign"]
        .map(|name| count(json, &format!("/verify/{name}")))
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_a_box_that_does_nothing_is_found_intact() {
    let folder = Folder::new("intact");
    let file = folder.pcap(&numbered(10_000, |n| 60 + n as usize % 1000), 20_000);
    let (json, code, said) = through_a_box(&file, |_| Fault::None, &[]);
    assert_eq!((json["verify"]["verdict"].as_str(), code), (Some("intact"), 0), "{json} {said}");
    assert_eq!(verified(&json), [10_000, 10_000, 0, 0, 0, 0, 0]);
    assert_eq!(count(&json, "/verify/verifier_dropped"), 0);
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_loss_copies_disorder_and_damage_are_told_apart() {
    let folder = Folder::new("faults");
    let file = folder.pcap(&numbered(10_000, |n| 60 + n as usize % 1000), 20_000);
    let fault = |n| match n % 1000 {
        100 | 101 => Fault::Drop,
        300 => Fault::Twice,
        500 => Fault::Late,
        700 | 702 | 703 => Fault::Flip,
        900..904 => Fault::Foreign,
        _ => Fault::None,
    };
    // recorded time, and at a rate over rounds with the same bytes again
    let (json, code, said) = through_a_box(&file, fault, &[]);
    assert_eq!((json["verify"]["verdict"].as_str(), code), (Some("damaged"), 1), "{json} {said}");
    assert_eq!(verified(&json), [10_000, 9_950, 20, 10, 10, 30, 40], "{json}");
    let first = |kind: &str| json["verify"]["first"][kind][0]["frame"].as_u64();
    assert_eq!((first("lost"), first("duplicated")), (Some(101), Some(301)));
    assert_eq!((first("reordered"), first("corrupted")), (Some(501), Some(701)));
    let (json, ..) = through_a_box(&file, fault, &["--pps", "40000", "--loop", "3"]);
    assert_eq!(verified(&json), [30_000, 29_850, 60, 30, 30, 90, 120], "{json}");
}

#[test]
#[ignore = "privileged: makes devices in a network namespace of its own"]
fn privileged_a_far_end_that_is_not_there_loses_everything() {
    let (lab, folder) = (Lab::new(), Folder::new("nothing"));
    lab.cable("left", "right", 1500);
    lab.cable("north", "south", 1500);
    let file = folder.pcap(&numbered(1000, |_| 60), 1000);
    let args = [&file, "-i", "left", "--verify", "south", "--verify-wait", "0.1"];
    let (json, code, _) = replay(&args);
    assert_eq!((verified(&json)[2], code), (1000, 1));
    let (_, code, said) = replay(&[&file, "-i", "left", "--verify", "left"]);
    assert!(code == 2 && said.contains("not where they arrive"), "{said}");
    // and at top speed: every frame is accounted for, or the verifier says that it was too slow
    let args = [&file, "-i", "left", "-t", "--loop", "500", "--verify", "right"];
    let (json, _, said) = replay(&args);
    let [sent, received, lost, ..] = verified(&json);
    let unknown = count(&json, "/verify/unknown");
    println!("top speed: {sent} sent, {received} received, {unknown} unknown");
    assert_eq!((sent, lost), (500_000, 0), "{json} {said}");
    assert_eq!(sent, received + unknown);
    let dropped = count(&json, "/verify/verifier_dropped");
    let verdict = if dropped == 0 { "intact" } else { "inconclusive" };
    assert_eq!(json["verify"]["verdict"], verdict, "{json}");
}
