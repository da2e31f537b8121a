//! Frames of one size out of a device as fast as they go: `blast LINK SIZE SECONDS [METHOD]`.
//!
//! The far end's `rx_packets` says what arrived; this prints what was taken.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [link, size, seconds, rest @ ..] = &args[..] else {
        return Err("usage: blast LINK SIZE SECONDS [af-xdp|sendmmsg|tx-ring]".into());
    };
    let method = rest.first().map(|method| method.parse()).transpose()?;
    let mut frame = vec![0; size.parse::<usize>()?.max(14)];
    // to nobody's address, with the EtherType for local experiments (IEEE 802)
    frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5]);
    let link = framewalk_nic::link::by_name(link)?;
    let chosen = framewalk_nic::tx::choose(&link, method)?;
    for (method, why) in &chosen.passed_over {
        println!("not {method}: {why}");
    }
    let mut way = chosen.transmit;
    let frames = vec![&frame[..]; way.burst_max()];
    let (mut taken, mut refused) = (0_u64, 0_u64);
    let (start, seconds) = (Instant::now(), Duration::from_secs_f64(seconds.parse()?));
    while start.elapsed() < seconds {
        let sent = way.send(&frames);
        taken += sent.taken as u64;
        match sent.error {
            None => {}
            Some(framewalk_nic::tx::SendError::NoBuffers) => refused += 1,
            Some(error) => return Err(error.into()),
        }
    }
    let took = start.elapsed().as_secs_f64();
    let left = way.finish(Duration::from_secs(1));
    let mpps = taken as f64 / took / 1e6;
    println!(
        "{}: {mpps:.3} Mpps, {taken} taken, {left} not left, {refused} times full",
        way.method()
    );
    Ok(())
}
