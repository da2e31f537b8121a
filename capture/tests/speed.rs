//! How fast a capture is walked. Not a test of correctness: prints figures, and is run by hand:
//! `CAPTURE=big.pcap cargo test --release -p framewalk-capture --test speed -- --ignored
//! --nocapture`
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test file as a whole")]

use std::time::Instant;

use capture::Reader;

#[test]
#[ignore = "prints figures; needs CAPTURE=FILE and --release"]
fn walk_a_capture() {
    let Some(path) = std::env::var_os("CAPTURE") else { return println!("SKIPPED: no CAPTURE") };
    for _ in 0..5 {
        let start = Instant::now();
        let mut reader = Reader::open(&path).expect("a capture");
        let (mut frames, mut bytes) = (0u64, 0u64);
        while let Some(frame) = reader.next().expect("intact") {
            frames += 1;
            bytes += u64::from(frame.meta.caplen);
        }
        let single = start.elapsed();
        let start = Instant::now();
        let mut reader = Reader::open(&path).expect("a capture");
        let mut batched = 0u64;
        while let Some(batch) = reader.next_batch().expect("intact") {
            batched += batch.records().iter().map(|record| u64::from(record.caplen)).sum::<u64>();
        }
        assert_eq!(bytes, batched);
        let (single, batch) = (single.as_secs_f64(), start.elapsed().as_secs_f64());
        let ns = |seconds: f64| seconds * 1e9 / frames as f64;
        println!(
            "{frames} frames, {bytes} bytes: next {single:.3} s, {:.1} ns a frame; \
             next_batch {batch:.3} s, {:.1} ns a frame",
            ns(single),
            ns(batch)
        );
    }
}
