//! Frame builders and oracles for tests.
//!
//! * [`build`] makes frames: etherparse's builder where it reaches, our own bytes beyond it.
//! * [`net`] moves a test into a network namespace of its own (Linux, root).
//! * [`place`] runs a program in a folder and with homes of a test's own.
//! * [`way`] counts and cuts what passes between a client and a server.
//! * [`truth`] compares the decoder with the fields tshark prints for the same capture.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod build;
#[cfg(target_os = "linux")]
pub mod net;
pub mod place;
pub mod process;
pub mod truth;
pub mod way;

/// Bytes that nothing can compress, another for every seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..len.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(len).collect()
}
