use capture::format::NO_TIME;
use proptest::prelude::*;

use super::*;
use crate::clock::SimClock;
use crate::pace::Decimal;
use crate::sim::{Act, Calls, SimPort};

/// A chunk of numbered frames with recorded times, for port 0.
fn chunk(times: &[i64]) -> Chunk {
    let mut chunk = Chunk::default();
    for (i, time) in times.iter().enumerate() {
        chunk.push(*time, 0, &[&(i as u32).to_be_bytes(), &[0; 56]]);
    }
    chunk
}

fn numbers(calls: &Calls) -> Vec<Vec<u32>> {
    let number = |frame: &Vec<u8>| u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
    calls.lock().unwrap().iter().map(|call| call.iter().map(number).collect()).collect()
}

fn send(
    chunks: Vec<Chunk>,
    rounds: u64,
    port: SimPort,
    plan: &Plan,
    clock: &mut SimClock,
) -> (Report, Vec<Vec<u32>>) {
    let calls = port.calls();
    let mut feed = Feed::of_chunks(chunks, rounds);
    let mut ports: Vec<Box<dyn Transmit>> = vec![Box::new(port)];
    let report = run(&mut feed, &mut ports, plan, clock, &Control::default());
    (report, numbers(&calls))
}

fn recorded() -> Plan {
    Plan::new(Pace::Recorded(Decimal::ONE))
}

#[test]
fn frames_of_one_moment_go_in_one_call_and_others_at_their_own() {
    let times = [5_000, 5_000, 5_000, 8_000, NO_TIME, 20_000];
    let mut clock = SimClock::default();
    let (report, calls) = send(vec![chunk(&times)], 1, SimPort::new(64), &recorded(), &mut clock);
    assert_eq!(calls, [vec![0, 1, 2], vec![3, 4], vec![5]]);
    assert_eq!((report.sent, report.bytes, report.late), (6, 360, 0));
    assert_eq!(report.gap_error_ns(), Some(crate::GapError { p50: 0, p99: 0, p999: 0, max: 0 }));
    assert_eq!((clock.now_ns, report.drift_ns), (LEAD_NS + 15_000, Some(0)));
    assert_eq!((report.asked_ns, report.elapsed_ns), (15_000, 15_000));
    assert_eq!((report.ended, report.odd.untimed), (Ended::File, 1));
}

#[test]
fn who_oversleeps_catches_up_without_a_heap() {
    let times: Vec<i64> = (0..20).map(|i| i * 10_000).collect();
    let oversleep_ns = [0, 0, 35_000].into();
    let mut clock = SimClock { oversleep_ns, ..SimClock::default() };
    let (report, calls) = send(vec![chunk(&times)], 1, SimPort::new(64), &recorded(), &mut clock);
    assert_eq!(calls.len(), 20, "one by one");
    // frame 1 is late by 35 µs, the next by 4.5 µs less, and each after it by 2.5 µs less
    assert_eq!((report.late, report.late_max_ns, report.drift_ns), (6, 35_000, Some(0)));
    let errors = report.gap_error_ns().unwrap();
    assert_eq!((errors.p50 / 10, errors.max / 100), (250, 350));
}

#[test]
fn times_count_from_the_first_frame_however_late_that_was() {
    let oversleep_ns = [0, 700_000].into();
    let mut clock = SimClock { oversleep_ns, ..SimClock::default() };
    let times = [5_000, 15_000, 25_000];
    let (report, calls) = send(vec![chunk(&times)], 1, SimPort::new(64), &recorded(), &mut clock);
    assert_eq!((calls.len(), report.late, report.drift_ns), (3, 0, Some(0)));
    assert_eq!((report.gap_error_ns().map(|e| e.max), report.asked_ns), (Some(0), 20_000));
    assert_eq!(clock.now_ns, LEAD_NS + 720_000);
}

#[test]
fn after_a_long_stall_lateness_goes_fast_and_after_a_longer_one_at_once() {
    let times: Vec<i64> = (0..6_000).map(|i| i * 10_000).collect();
    let stalled = |stall: u64| {
        let oversleep_ns = [0, 0, stall].into();
        let mut clock = SimClock { oversleep_ns, ..SimClock::default() };
        let port = SimPort::new(64);
        let (report, calls) = send(vec![chunk(&times)], 1, port, &recorded(), &mut clock);
        assert_eq!((report.sent, report.drift_ns), (6_000, Some(0)));
        (report, calls)
    };
    let (report, calls) = stalled(8_000_000);
    assert_eq!(calls.len(), 6_000);
    // 7.9 ms at 6.25 µs a frame, 80 µs at 2.5 µs
    assert!((1_290..=1_300).contains(&report.late), "{}", report.late);
    let (_, calls) = stalled(22_000_000);
    assert_eq!(calls[2].len(), 64, "more than 20 ms late");
    assert!(calls[10..].iter().all(|call| call.len() == 1));
}

#[test]
fn a_pace_that_cannot_be_kept_makes_bursts() {
    let plan = Plan::new(Pace::Pps(Decimal::whole(1_000_000).unwrap()));
    let mut clock = SimClock { look_ns: 2_500, ..SimClock::default() };
    let chunks = vec![chunk(&[0; 100])];
    let (report, calls) = send(chunks, 1_000, SimPort::new(64), &plan, &mut clock);
    assert_eq!(report.sent, 100_000);
    assert!(calls.len() < 45_000, "{} calls", calls.len());
    assert!(report.late_max_ns < 1_000_000, "{}", report.late_max_ns);
}

#[test]
fn rates_are_kept_over_rounds_and_chunks() {
    let mut clock = SimClock::default();
    let plan = Plan::new(Pace::Pps(Decimal::whole(3).unwrap()));
    let chunks = vec![chunk(&[9, 1, 7]), chunk(&[NO_TIME])];
    let (report, calls) = send(chunks, 250, SimPort::new(1), &plan, &mut clock);
    assert_eq!((report.sent, calls.len(), report.rounds), (1000, 1000, 250));
    assert_eq!((report.elapsed_ns, report.asked_ns), (333_000_000_000, 333_000_000_000));
}

#[test]
fn limits_end_it_and_are_named() {
    let times: Vec<i64> = (0..10).map(|i| i * 1000).collect();
    let plan = Plan { frames_max: Some(13), ..recorded() };
    let chunks = vec![chunk(&times)];
    let (report, _) = send(chunks.clone(), 0, SimPort::new(64), &plan, &mut SimClock::default());
    assert_eq!((report.sent, report.ended), (13, Ended::Frames));
    let plan = Plan { duration_max_ns: Some(4_500), ..recorded() };
    let mut clock = SimClock::default();
    let (report, _) = send(chunks.clone(), 0, SimPort::new(64), &plan, &mut clock);
    assert_eq!((report.sent, report.ended, report.elapsed_ns), (5, Ended::Seconds, 4_500));
    let mut clock = SimClock { stop_at_ns: Some(LEAD_NS + 7_000), ..SimClock::default() };
    let (report, _) = send(chunks.clone(), 0, SimPort::new(64), &recorded(), &mut clock);
    assert_eq!((report.sent, report.ended), (8, Ended::Stopped));
    let plan = Plan { frames_max: Some(1000), ..Plan::new(Pace::Top) };
    let (report, calls) = send(chunks.clone(), 0, SimPort::new(64), &plan, &mut clock);
    assert_eq!((report.sent, calls.len(), report.gap_error_ns()), (1000, 100, None));
    let plan = Plan { duration_max_ns: Some(1_000_000), ..Plan::new(Pace::Top) };
    let mut clock = SimClock { look_ns: 50_000, ..SimClock::default() };
    let (report, _) = send(chunks, 0, SimPort::new(64), &plan, &mut clock);
    assert_eq!((report.sent, report.ended), (19 * 16 * 10, Ended::Seconds));
}

#[test]
fn a_full_queue_is_waited_for_and_other_refusals_cost_one_frame() {
    let script = [
        Act::Take(1, SendError::NoBuffers),
        Act::Take(0, SendError::NoBuffers),
        Act::Take(1, SendError::TooLong { len: 60, max: 50 }),
        Act::Take(0, SendError::Down),
    ];
    let port = SimPort::new(64).with_script(script);
    let (report, calls) =
        send(vec![chunk(&[0; 8])], 1, port, &recorded(), &mut SimClock::default());
    assert_eq!(calls, [vec![0], vec![], vec![1], vec![], vec![4, 5, 6, 7]]);
    assert_eq!((report.sent, report.waits, report.failed_total()), (6, 2, 2));
    assert_eq!((report.failed["too-long"], report.failed["interface-down"]), (1, 1));
    // no room for a second: the frame is given up, the next gets its chance
    let script = (0..3).map(|_| Act::Take(0, SendError::NoBuffers));
    let mut clock = SimClock { look_ns: 600_000_000, ..SimClock::default() };
    let port = SimPort::new(1).with_script(script);
    let (report, calls) = send(vec![chunk(&[0; 2])], 1, port, &recorded(), &mut clock);
    assert_eq!((report.sent, &report.failed), (1, &[("no-buffers", 1)].into()));
    assert_eq!(calls.last().unwrap(), &[1]);
}

#[test]
fn a_vanished_interface_ends_it() {
    let port = SimPort::new(4).with_script([Act::Take(2, SendError::Gone)]);
    let (report, _) = send(vec![chunk(&[0; 8])], 9, port, &recorded(), &mut SimClock::default());
    assert_eq!((report.sent, report.ended), (2, Ended::InterfaceGone));
    assert_eq!(report.failed, [("interface-gone", 2)].into());
}

#[test]
fn neighbours_of_different_ports_keep_their_order() {
    let mut chunk = Chunk::default();
    for (i, port) in [0u16, 0, 1, 0, 1, 1, 7].into_iter().enumerate() {
        chunk.push(0, port, &[&(i as u32).to_be_bytes(), &[0; 56]]);
    }
    let (a, b) = (SimPort::new(64), SimPort::new(64));
    let (calls_a, calls_b) = (a.calls(), b.calls());
    let mut ports: Vec<Box<dyn Transmit>> = vec![Box::new(a), Box::new(b)];
    let mut feed = Feed::of_chunks(vec![chunk], 1);
    let (mut clock, control) = (SimClock::default(), Control::default());
    let report = run(&mut feed, &mut ports, &recorded(), &mut clock, &control);
    assert_eq!(numbers(&calls_a), [vec![0, 1], vec![3]]);
    assert_eq!(numbers(&calls_b), [vec![2], vec![4, 5]]);
    assert_eq!((report.by_port, report.failed), (vec![3, 3], [("no-such-port", 1)].into()));
}

proptest! {
    #[test]
    fn every_frame_goes_once_in_order_and_never_before_its_time(
        gaps in prop::collection::vec(prop_oneof![Just(0), 1..5_000_i64], 1..300),
        oversleep in prop::collection::vec(0..20_000_u64, 0..50),
        burst_max in 1..70_usize,
        cut in 1..50_usize,
    ) {
        let times: Vec<i64> =
            gaps.iter().scan(0, |now, gap| { *now += gap; Some(*now) }).collect();
        let mut chunks = Vec::new();
        for (i, part) in times.chunks(cut).enumerate() {
            let mut chunk = Chunk::default();
            for (j, time) in part.iter().enumerate() {
                chunk.push(*time, 0, &[&((i * cut + j) as u32).to_be_bytes(), &[0; 56]]);
            }
            chunks.push(chunk);
        }
        let mut clock = SimClock { oversleep_ns: oversleep.into(), ..SimClock::default() };
        let port = SimPort::new(burst_max);
        let (report, calls) = send(chunks, 1, port, &recorded(), &mut clock);
        prop_assert!(calls.iter().all(|call| (1..=burst_max).contains(&call.len())));
        let sent: Vec<u32> = calls.concat();
        prop_assert_eq!(sent, (0..times.len() as u32).collect::<Vec<_>>());
        prop_assert_eq!(report.asked_ns, (times[times.len() - 1] - times[0]) as u64);
        prop_assert!(report.drift_ns >= Some(0));
    }
}
