//! Nanoseconds per frame of the full decode, captures held in memory, one core.
//!
//! `cargo run --release -p framewalk-testkit --example decode_speed -- CAPTURE...`
#![allow(clippy::print_stdout)] // a tool for the terminal

use std::hint::black_box;
use std::time::{Duration, Instant};

use capture::Reader;
use skb::FrameMeta;
use skb::decode::{Decoded, Decoder};

fn main() {
    let mut frames: Vec<(FrameMeta, Vec<u8>)> = Vec::new();
    for path in std::env::args_os().skip(1) {
        let Ok(mut reader) = Reader::open(&path) else { continue };
        while let Ok(Some(frame)) = reader.next() {
            frames.push((frame.meta, frame.data.to_vec()));
        }
    }
    for verify in [true, false] {
        let mut decoder = Decoder { verify_checksums: verify, ..Decoder::new() };
        let mut out = Decoded::default();
        let mut best = Duration::MAX;
        for _ in 0..20 {
            let start = Instant::now();
            for (meta, bytes) in &frames {
                decoder.decode(meta, bytes, &mut out);
                black_box(&out);
            }
            best = best.min(start.elapsed());
        }
        println!(
            "{} frames, checksums {}: best {:.1} ns per frame",
            frames.len(),
            if verify { "checked" } else { "not checked" },
            best.as_nanos() as f64 / frames.len().max(1) as f64
        );
    }
}
