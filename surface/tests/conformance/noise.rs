//! What is nothing must be told as nothing, and what is damaged must not do damage.

use surface::App;

use crate::wire::Who::{Answerer, Opener};
use crate::wire::{self, Transport, Variation, Who};
use crate::{Row, rows};

/// Numbers that look random and are the same each time (xorshift64*, Vigna 2016).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end
    }

    fn bytes(&mut self, kind: usize) -> Vec<u8> {
        let length = match self.below(4) {
            0 => 1 + self.below(16),
            1 => 1 + self.below(64),
            _ => 1 + self.below(1400),
        };
        let mut bytes: Vec<u8> = (0..length).map(|_| self.next() as u8).collect();
        match kind {
            // text, small numbers, zeros with a little in them, all bits set
            1 => bytes.iter_mut().for_each(|b| *b = b' ' + *b % 95),
            2 => bytes.iter_mut().for_each(|b| *b %= 4),
            3 => bytes.iter_mut().for_each(|b| *b = if *b < 20 { *b } else { 0 }),
            4 => bytes.iter_mut().for_each(|b| *b |= 0xf0),
            _ => {}
        }
        bytes
    }
}

/// Remote access, of which none may be found where there is none.
fn is_remote(app: App) -> bool {
    matches!(
        app,
        App::Rdp
            | App::RdpUdp
            | App::Vnc
            | App::Ssh
            | App::Telnet
            | App::X11
            | App::Citrix
            | App::PcAnywhere
            | App::DameWare
            | App::Radmin
            | App::NoMachine
            | App::TeamViewer
            | App::AnyDesk
            | App::RustDesk
    )
}

#[test]
fn noise_is_nothing() {
    let mut numbers = Numbers(0x5eed_0000_0001);
    for transport in [Transport::Tcp, Transport::Udp] {
        for kind in 0..5 {
            let mut frames = Vec::new();
            for port in (1..=60_000).step_by(13) {
                let talk = (0..=numbers.below(4)).map(|_| {
                    let who = if numbers.below(2) == 0 { Opener } else { Answerer };
                    (who, numbers.bytes(kind))
                });
                let row = Row::new("noise", transport, &[], talk.collect(), App::Unknown);
                let variation = Variation::on(port);
                frames.append(&mut wire::frames(&row, &variation));
            }
            let apps = wire::apps(&frames, None);
            let told: Vec<_> = apps.iter().filter(|&&app| app != App::Unknown).collect();
            assert!(apps.len() > 4_000, "{} conversations", apps.len());
            assert!(!told.iter().any(|&&app| is_remote(app)), "{transport:?} {kind}: {told:?}");
            // a byte or two say something on some ports
            assert!(told.len() <= 16, "{transport:?} {kind}: {told:?}");
        }
    }
}

/// One byte changed, dropped or put in, or the end cut off.
fn damage(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    let at = numbers.below(bytes.len().max(1));
    match numbers.below(4) {
        _ if bytes.is_empty() => {}
        0 => bytes[at] = numbers.next() as u8,
        1 => drop(bytes.remove(at)),
        2 => bytes.insert(at, numbers.next() as u8),
        _ => bytes.truncate(at),
    }
}

#[test]
fn damaged_rows_do_no_damage() {
    let mut numbers = Numbers(0x5eed_0000_0002);
    let mut told = 0;
    for row in rows() {
        let mut frames = Vec::new();
        for n in 0..400_u16 {
            let mut damaged = row.clone();
            for _ in 0..=numbers.below(3) {
                let message = numbers.below(damaged.talk.len());
                damage(&mut damaged.talk[message].1, &mut numbers);
            }
            let only = [None, Some(Who::Opener), Some(Who::Answerer)][numbers.below(3)];
            let port = 20_000 + n;
            let variation = Variation { only, twice: n % 2 == 1, ..Variation::on(port) };
            frames.append(&mut wire::frames(&damaged, &variation));
        }
        told += wire::apps(&frames, None).iter().filter(|&&app| app == row.app).count();
    }
    assert!(told > 0, "nothing is left of any row");
}
