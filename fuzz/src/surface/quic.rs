//! QUIC's first packets with the handshake in them, encrypted as anyone can (RFC 9001 section 5.2):
//! parts of messages with offsets that overlap and leave holes, acknowledgements, padding.

use aes::cipher::{BlockEncrypt, KeyInit};
use aes::{Aes128, Block};
use aes_gcm::{AeadInPlace, Aes128Gcm};
use hkdf::Hkdf;
use sha2::Sha256;

use super::script::{Script, Who};
use super::web;

const SALT: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad,
    0xcc, 0xbb, 0x7f, 0x0a,
];
/// The connection id that the client chose first.
const ID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

fn expand<const N: usize>(secret: &Hkdf<Sha256>, label: &str) -> [u8; N] {
    let mut info = vec![0, N as u8, 6 + label.len() as u8];
    info.extend(b"tls13 ");
    info.extend(label.as_bytes());
    info.push(0);
    let mut out = [0; N];
    secret.expand(&info, &mut out).expect("a short key");
    out
}

/// `header` ends with a number of four bytes; both are protected.
fn protect(who: Who, mut header: Vec<u8>, mut plain: Vec<u8>) -> Vec<u8> {
    let initial = Hkdf::<Sha256>::new(Some(&SALT), &ID);
    let end = if who == Who::Client { "client in" } else { "server in" };
    let secret: [u8; 32] = expand(&initial, end);
    let secret = Hkdf::<Sha256>::from_prk(&secret).expect("32 bytes");
    let mut nonce: [u8; 12] = expand(&secret, "quic iv");
    let at = header.len() - 4;
    for n in 0..4 {
        nonce[8 + n] ^= header[at + n];
    }
    let cipher = Aes128Gcm::new(&expand::<16>(&secret, "quic key").into());
    let tag = cipher.encrypt_in_place_detached(&nonce.into(), &header, &mut plain);
    plain.extend(tag.expect("a short packet"));
    let mut mask = Block::clone_from_slice(&plain[..16]);
    Aes128::new(&expand::<16>(&secret, "quic hp").into()).encrypt_block(&mut mask);
    header[0] ^= mask[0] & 0x0f;
    for n in 0..4 {
        header[at + n] ^= mask[n + 1];
    }
    header.extend(plain);
    header
}

fn varint(s: &mut Script<'_>, value: u64) {
    match value {
        0..0x40 => s.be(value, 1),
        0x40..0x4000 => s.be(0x4000 | value, 2),
        _ => s.be(0x8000_0000 | value, 4),
    };
}

/// Frames that may be in a first packet, with the handshake in parts.
fn frames(s: &mut Script<'_>, handshake: &[u8], base: usize) {
    let size = usize::from(s.times(200, 254)).max(8);
    let mut parts: Vec<(usize, &[u8])> =
        handshake.chunks(size).enumerate().map(|(n, part)| (base + n * size, part)).collect();
    match s.input.u8() & 3 {
        1 => parts.reverse(),
        2 => parts.extend(parts.clone()),
        _ => {}
    }
    for (offset, part) in parts {
        let head = s.input.u8();
        match head & 7 {
            1 => _ = s.be(1, 1),
            2 => {
                varint(s.be(2, 1), 9);
                varint(s, 0);
                let ranges = u64::from(head >> 3);
                varint(s, ranges);
                varint(s, 0);
                for _ in 0..ranges {
                    varint(s, 1);
                    varint(s, 1);
                }
            }
            3 => _ = s.fill(0, head.into()),
            _ => {}
        }
        varint(s.be(6, 1), offset as u64);
        varint(s, part.len() as u64);
        s.raw(part);
    }
}

/// Both hellos in as many packets as the input says.
pub fn initial(s: &mut Script<'_>) {
    for who in [Who::Client, Who::Server] {
        let handshake = s.inner(|s| match who {
            Who::Client => web::hello_body(s, b"h3"),
            Who::Server => {
                s.raw(&[2]).len_be(3, 0, |s| {
                    s.be(0x0303, 2).fill(0x24, 32).raw(&[0, 0x13, 1, 0]).len_be(2, 0, |s| {
                        s.be(43, 2).len_be(2, 0, |s| _ = s.be(0x0304, 2));
                    });
                });
            }
        });
        let packets = usize::from(s.times(1, 8)).max(1);
        let size = handshake.len().div_ceil(packets).max(1);
        for (n, piece) in handshake.chunks(size).enumerate() {
            let mut plain = s.inner(|s| frames(s, piece, n * size));
            plain.truncate(1400);
            if s.input.u8() & 1 == 0 {
                plain.resize(plain.len().max(1130), 0);
            }
            let header = s.inner(|s| {
                s.raw(&[0xc3, 0, 0, 0, 1]);
                match who {
                    Who::Client => _ = s.raw(&[8]).raw(&ID).raw(&[0]),
                    Who::Server => _ = s.raw(&[0, 8]).fill(9, 8),
                }
                s.be(0, 1).be(0x4000 | (plain.len() as u64 + 20), 2).raw(&[0, 0, 0, 1]);
            });
            // frames too short for a sample of what masks the header
            plain.resize(plain.len().max(16), 0);
            let packet = protect(who, header, plain);
            // sometimes in the same datagram
            if s.at() == 0 || s.input.u8() & 3 != 3 {
                s.say(who);
            }
            s.raw(&packet);
        }
    }
}
