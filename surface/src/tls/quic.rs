//! The handshake inside QUIC's first packets, which are encrypted with keys that anyone can compute
//! (RFC 9001 section 5.2, RFC 9369 section 3.3.1): whoever sees them can read the hellos.

use aes::Aes128;
use aes::cipher::{BlockEncrypt, KeyInit};
use aes_gcm::{AeadInPlace, Aes128Gcm};
use arrayvec::ArrayVec;
use hkdf::Hkdf;
use sha2::Sha256;

use super::hello::Cursor;
use crate::talk::Said;

/// Datagrams of an end that are kept, at most.
pub(crate) const DATAGRAMS_MAX: usize = 4;
/// Packets in one datagram that are looked at.
const PACKETS_MAX: usize = 8;
/// Frames in one packet; what fills it up counts as one.
const FRAMES_MAX: usize = 128;
/// Bytes of a handshake that are put together.
const CRYPTO_BYTES_MAX: usize = 16 << 10;
/// Parts that they come in.
const PARTS_MAX: usize = 128;
/// Connection ids of which keys are made: the first, and one after a retry.
const IDS_MAX: usize = 2;
/// Keys that are tried.
const KEYS_MAX: usize = 6;
/// A connection id has at most so many bytes (RFC 9000 section 17.2).
const ID_MAX: usize = 20;
/// Bytes of the tag behind what is encrypted, and of the sample that masks a header.
const TAG: usize = 16;

/// What versions differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    /// What the keys are made with; more than one where a version is said that does not exist, so
    /// that the server names those that it knows (RFC 9000 section 6.3).
    salts: &'static [[u8; 20]],
    /// Labels of key, vector and header protection.
    labels: [&'static str; 3],
    /// Type of an initial packet.
    initial: u8,
}

const LABELS: [&str; 3] = ["quic key", "quic iv", "quic hp"];
const LABELS2: [&str; 3] = ["quicv2 key", "quicv2 iv", "quicv2 hp"];
/// RFC 9001 section 5.2 (and drafts 33 and 34), RFC 9369 section 3.3.1, drafts 29 to 32, 23 to 28,
/// 21 and 22, and those that Google tried with TLS (T050, T051).
const SALT1: [u8; 20] = *b"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\
       \x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a";
const SALT2: [u8; 20] = *b"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\
       \x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9";
const SALT29: [u8; 20] = *b"\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\
       \x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99";
const SALT23: [u8; 20] = *b"\xc3\xee\xf7\x12\xc7\x2e\xbb\x5a\x11\xa7\
       \xd2\x43\x2b\xb4\x63\x65\xbe\xf9\xf5\x02";
const SALT21: [u8; 20] = *b"\x7f\xbc\xdb\x0e\x7c\x66\xbb\xe9\x19\x3a\
       \x96\xcd\x21\x51\x9e\xbd\x7a\x02\x64\x4a";
const SALT_T50: [u8; 20] = *b"\x7f\xf5\x79\xe5\xac\xd0\x72\x91\x55\x80\
       \x30\x4c\x43\xa2\x36\x7c\x60\x48\x83\x10";
const SALT_T51: [u8; 20] = *b"\x7a\x4e\xde\xf4\xe7\xcc\xee\x5f\xa4\x50\
       \x6c\x19\x12\x4f\xc8\xcc\xda\x6e\x03\x3d";

impl Version {
    const fn of(number: u32) -> Option<Self> {
        let salts: &[[u8; 20]] = match number {
            0x6b33_43cf => {
                return Some(Self { salts: &[SALT2], labels: LABELS2, initial: 1 });
            }
            1 | 0xff00_0021..=0xff00_0022 => &[SALT1],
            0xff00_001d..=0xff00_0020 => &[SALT29],
            // with Facebook's of draft 27
            0xff00_0017..=0xff00_001c | 0xface_b002 | 0xface_b00e => &[SALT23],
            0xff00_0015..=0xff00_0016 | 0xface_b001 => &[SALT21],
            0x5430_3530 => &[SALT_T50],
            0x5430_3531 => &[SALT_T51],
            _ if number & 0x0f0f_0f0f == 0x0a0a_0a0a => &[SALT1, SALT29, SALT23],
            _ => return None,
        };
        Some(Self { salts, labels: LABELS, initial: 0 })
    }
}

/// The keys of one end for initial packets.
struct Keys {
    packet: Aes128Gcm,
    vector: [u8; 12],
    header: Aes128,
}

/// HKDF-Expand-Label with no context (RFC 8446 section 7.1).
fn expand<const N: usize>(secret: &Hkdf<Sha256>, label: &str) -> Option<[u8; N]> {
    let mut info = ArrayVec::<u8, 40>::new();
    info.try_extend_from_slice(&(N as u16).to_be_bytes()).ok()?;
    info.try_push(6 + label.len() as u8).ok()?;
    info.try_extend_from_slice(b"tls13 ").ok()?;
    info.try_extend_from_slice(label.as_bytes()).ok()?;
    info.try_push(0).ok()?;
    let mut out = [0; N];
    secret.expand(&info, &mut out).ok()?;
    Some(out)
}

impl Keys {
    /// Of an end (`client in`, `server in`) by the connection id that the client chose first.
    fn of(version: &Version, salt: &[u8; 20], id: &[u8], end: &str) -> Option<Self> {
        let initial = Hkdf::<Sha256>::new(Some(salt), id);
        let secret: [u8; 32] = expand(&initial, end)?;
        let secret = Hkdf::<Sha256>::from_prk(&secret).ok()?;
        let [key, vector, header] = version.labels;
        Some(Self {
            packet: Aes128Gcm::new(&expand::<16>(&secret, key)?.into()),
            vector: expand(&secret, vector)?,
            header: Aes128::new(&expand::<16>(&secret, header)?.into()),
        })
    }

    /// The mask of a header (RFC 9001 section 5.4.3).
    fn mask(&self, sample: &[u8; TAG]) -> [u8; 5] {
        let mut block = (*sample).into();
        self.header.encrypt_block(&mut block);
        [block[0], block[1], block[2], block[3], block[4]]
    }

    /// What is in a packet, of which `number_at` bytes are in front of its number.
    fn open(&self, packet: &[u8], number_at: usize) -> Option<Vec<u8>> {
        let sample = packet.get(number_at + 4..)?.first_chunk()?;
        let mask = self.mask(sample);
        let first = packet.first()? ^ (mask[0] & 0x0f);
        let length = usize::from(first & 3) + 1;
        let mut head = packet.get(..number_at + length)?.to_vec();
        head[0] = first;
        // a number of an initial packet is small: what is in the header is all of it
        let mut nonce = self.vector;
        for n in 0..length {
            head[number_at + n] ^= mask[n + 1];
            nonce[12 - length + n] ^= head[number_at + n];
        }
        let body = packet.get(number_at + length..)?;
        let (body, tag) = body.split_at_checked(body.len().checked_sub(TAG)?)?;
        let mut plain = body.to_vec();
        let tag = aes_gcm::Tag::from_slice(tag);
        self.packet.decrypt_in_place_detached(&nonce.into(), &head, &mut plain, tag).ok()?;
        Some(plain)
    }
}

/// A packet with a long header (RFC 9000 section 17.2).
struct Long<'a> {
    version: u32,
    initial: bool,
    destination: &'a [u8],
    /// The packet to its end, and where its number begins.
    packet: &'a [u8],
    number_at: usize,
    behind: &'a [u8],
}

/// A number of 1, 2, 4 or 8 bytes (RFC 9000 section 16).
fn varint(cursor: &mut Cursor<'_>) -> Option<u64> {
    let first = cursor.u8()?;
    let mut value = u64::from(first & 0x3f);
    for &byte in cursor.bytes((1 << (first >> 6)) - 1)? {
        value = value << 8 | u64::from(byte);
    }
    Some(value)
}

fn length(cursor: &mut Cursor<'_>) -> Option<usize> {
    usize::try_from(varint(cursor)?).ok()
}

fn long(bytes: &[u8]) -> Option<Long<'_>> {
    let mut cursor = Cursor(bytes);
    let first = cursor.u8()?;
    if first & 0xc0 != 0xc0 {
        return None;
    }
    let version = u32::from(cursor.u16()?) << 16 | u32::from(cursor.u16()?);
    let destination = cursor.vec8().filter(|id| id.len() <= ID_MAX)?;
    cursor.vec8().filter(|id| id.len() <= ID_MAX)?;
    let initial = Version::of(version)?.initial == first >> 4 & 3;
    if initial {
        let token = length(&mut cursor)?;
        cursor.bytes(token)?;
    }
    let rest = length(&mut cursor)?;
    let number_at = bytes.len() - cursor.0.len();
    cursor.bytes(rest)?;
    let (packet, behind) = bytes.split_at(bytes.len() - cursor.0.len());
    Some(Long { version, initial, destination, packet, number_at, behind })
}

/// A part of a handshake: where it begins, and its bytes within a decrypted packet.
struct Part {
    offset: usize,
    bytes: Vec<u8>,
}

/// The parts of a handshake in a packet (RFC 9000 section 19); what is not allowed in it ends it.
fn parts(plain: &[u8], out: &mut Vec<Part>) -> Option<()> {
    let mut cursor = Cursor(plain);
    for _ in 0..FRAMES_MAX {
        while let [0, rest @ ..] = cursor.0 {
            cursor.0 = rest;
        }
        match cursor.u8()? {
            1 => {}
            kind @ (2 | 3) => {
                varint(&mut cursor)?;
                varint(&mut cursor)?;
                let ranges = varint(&mut cursor)?;
                varint(&mut cursor)?;
                let numbers = ranges.checked_mul(2)? + if kind == 3 { 3 } else { 0 };
                for _ in 0..numbers {
                    varint(&mut cursor)?;
                }
            }
            // CRYPTO; Google's versions have it where streams are elsewhere
            6 | 8 => {
                let offset = length(&mut cursor)?;
                let count = length(&mut cursor)?;
                let bytes = cursor.bytes(count)?;
                if out.len() < PARTS_MAX && offset < CRYPTO_BYTES_MAX {
                    out.push(Part { offset, bytes: bytes.to_vec() });
                }
            }
            _ => return None,
        }
    }
    None
}

/// What of a handshake is there without a gap in front.
fn join(mut parts: Vec<Part>) -> Vec<u8> {
    parts.sort_by_key(|part| part.offset);
    let mut joined = Vec::new();
    for part in parts {
        let Some(known) = joined.len().checked_sub(part.offset) else { break };
        let new = part.bytes.get(known..).unwrap_or_default();
        joined.extend_from_slice(&new[..new.len().min(CRYPTO_BYTES_MAX - joined.len())]);
    }
    joined
}

/// The handshake messages of an end in its initial packets, as far as they are there. `client` is
/// what the client said, which has the ids that the keys come from.
pub(super) fn handshake(client: &Said<'_>, of: &Said<'_>, end: &str) -> Vec<u8> {
    let mut keys = ArrayVec::<Keys, KEYS_MAX>::new();
    let mut ids = ArrayVec::<&[u8], IDS_MAX>::new();
    for (datagram, _) in client.datagrams().take(DATAGRAMS_MAX) {
        // the first that the client chose, and the one that a retry gave; without a retry the
        // second is the server's own, and opens nothing
        if let Some(packet) = long(datagram).filter(|packet| packet.initial)
            && !ids.contains(&packet.destination)
            && let Some(version) = Version::of(packet.version)
            && ids.try_push(packet.destination).is_ok()
        {
            let of = |salt| Keys::of(&version, salt, packet.destination, end);
            for of in version.salts.iter().filter_map(of) {
                let _ = keys.try_push(of);
            }
        }
    }
    let mut found = Vec::new();
    for (datagram, _) in of.datagrams().take(DATAGRAMS_MAX) {
        let mut rest = datagram;
        for _ in 0..PACKETS_MAX {
            let Some(packet) = long(rest) else { break };
            rest = packet.behind;
            if packet.initial
                && let Some(plain) =
                    keys.iter().find_map(|keys| keys.open(packet.packet, packet.number_at))
            {
                let _ = parts(&plain, &mut found);
            }
        }
    }
    join(found)
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A client's initial datagram of 1200 bytes with these frames.
    pub(crate) fn client_initial(version: u32, id: &[u8], number: u8, frames: &[u8]) -> Vec<u8> {
        seal(version, id, "client in", (id, &[]), &[0, 0, 0, number], frames, 1200)
    }

    /// A packet filled up to `size`; `ids` are those in its header.
    pub(crate) fn seal(
        number: u32,
        id: &[u8],
        end: &str,
        ids: (&[u8], &[u8]),
        packet_number: &[u8],
        frames: &[u8],
        size: usize,
    ) -> Vec<u8> {
        let version = Version::of(number).unwrap();
        let keys = Keys::of(&version, &version.salts[0], id, end).unwrap();
        let mut head = vec![0xc0 | version.initial << 4 | (packet_number.len() as u8 - 1)];
        head.extend(number.to_be_bytes());
        for id in [ids.0, ids.1] {
            head.push(id.len() as u8);
            head.extend(id);
        }
        head.push(0);
        let number_at = head.len() + 2;
        let mut plain = frames.to_vec();
        plain
            .resize(plain.len().max(size.saturating_sub(number_at + packet_number.len() + TAG)), 0);
        head.extend((0x4000 | (packet_number.len() + plain.len() + TAG) as u16).to_be_bytes());
        head.extend(packet_number);
        let mut nonce = keys.vector;
        for (byte, of) in nonce[12 - packet_number.len()..].iter_mut().zip(packet_number) {
            *byte ^= of;
        }
        let tag = keys.packet.encrypt_in_place_detached(&nonce.into(), &head, &mut plain).unwrap();
        let mut packet = head;
        packet.extend(plain);
        packet.extend(tag);
        let mask = keys.mask(packet[number_at + 4..].first_chunk().unwrap());
        packet[0] ^= mask[0] & 0x0f;
        for n in 0..packet_number.len() {
            packet[number_at + n] ^= mask[n + 1];
        }
        packet
    }

    /// A CRYPTO frame.
    pub(crate) fn crypto(offset: u16, bytes: &[u8]) -> Vec<u8> {
        let mut frame = vec![6];
        frame.extend((0x4000 | offset).to_be_bytes());
        frame.extend((0x4000 | bytes.len() as u16).to_be_bytes());
        frame.extend(bytes);
        frame
    }

    /// The client's hello of RFC 9001 appendix A.2, as a frame.
    pub(crate) const CLIENT_HELLO: &str =
        "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c
         00000413011302010000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006
         001d0017001800100007000504616c706e000500050100000000003300260024001d00209370b2c9caa4
         7fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e040305
         0306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ff
         ff07048000ffff0801100104800075300901100f088394c8f03e51570806048000ffff";
    /// The connection id of both RFCs' appendices.
    pub(crate) const ID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
}

#[cfg(test)]
mod tests {
    use super::testing::*;
    use super::*;
    use crate::detect::testing::hex;
    use crate::talk::{Cut, Talk};

    /// What both ends said in datagrams.
    fn facts(client: &[&[u8]], server: &[&[u8]]) -> crate::tls::TlsFacts {
        let cuts = |said: &[&[u8]]| {
            let mut end = 0;
            let cut = |one: &&[u8]| {
                end += one.len();
                Cut { end: end as u16, wire: one.len() as u16 }
            };
            said.iter().map(cut).collect::<Vec<_>>()
        };
        let (client_cuts, server_cuts) = (cuts(client), cuts(server));
        let (client, server) = (client.concat(), server.concat());
        super::super::quic_facts(&Talk {
            opener: Said::new(&client, &client_cuts, true),
            answerer: Said::new(&server, &server_cuts, true),
            ..Talk::default()
        })
    }

    /// RFC 9001 appendix A.3 and RFC 9369 appendix A.3.
    const SERVER1: &str =
        "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394
        100f37a1c69797554780bb38cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9
        c73cc3f3bded74b562bfb19fb84022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42
        158407dd074ee";
    const SERVER2: &str =
        "dc6b3343cf0008f067a5502a4262b5004075d92faaf16f05d8a4398c47089698baeea26b9
        1eb761d9b89237bbf87263017915358230035f7fd3945d88965cf17f9af6e16886c61bfc703106fbaf3cb4cfa523
        82dd16a393e42757507698075b2c984c707f0a0812d8cd5a6881eaf21ceda98f4bd23f6fe1a3e2c43edd9ce7ca84
        bed8521e2e140";

    #[test]
    fn the_packets_of_the_documents() {
        let frames = hex(CLIENT_HELLO);
        for (version, head, end, server) in [
            (
                1,
                "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11",
                "e221af44860018ab0856972e194cd934",
                SERVER1,
            ),
            (
                0x6b33_43cf,
                "d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485",
                "a18b2faa745b6fe189cf772a9f84cbfc",
                SERVER2,
            ),
        ] {
            let client = client_initial(version, &ID, 2, &frames);
            assert!(client.starts_with(&hex(head)) && client.ends_with(&hex(end)));
            assert_eq!(client.len(), 1200);
            let facts = facts(&[&client], &[&hex(server)]);
            assert_eq!(facts.sni.as_deref(), Some("example.com"));
            assert_eq!(facts.alpn, ["alpn"]);
            assert_eq!((facts.version, facts.cipher), (Some("1.3"), Some(0x1301)));
            assert!(facts.ja4.is_some_and(|ja4| ja4.starts_with("q13d0211an_")));
        }
    }

    #[test]
    fn hellos_in_parts_and_out_of_order() {
        let hello = &hex(CLIENT_HELLO)[4..];
        let one = [crypto(100, &hello[100..180]), vec![1, 0, 0], crypto(0, &hello[..50])].concat();
        let two = [crypto(180, &hello[180..]), crypto(40, &hello[40..110])].concat();
        let [one, two] =
            [(1, &one), (2, &two)].map(|(number, frames)| client_initial(1, &ID, number, frames));
        for said in [[&one[..], &two], [&two, &one]] {
            assert_eq!(facts(&said, &[]).sni.as_deref(), Some("example.com"));
        }
        assert_eq!(facts(&[&one], &[]).sni, None);
    }

    #[test]
    fn behind_a_retry_the_keys_are_new() {
        let frames = hex(CLIENT_HELLO);
        let first = client_initial(1, &ID, 0, &[1]);
        let again = client_initial(1, b"chosen!!", 1, &frames);
        let server = seal(
            1,
            b"chosen!!",
            "server in",
            (&[], b"abc"),
            &[0],
            &crypto(
                0,
                &hex("020000280303eefce7f7b37ba1d1632e96677825ddf73988cfc79825df566dc5430b
                             9a045a12001302000000"),
            ),
            0,
        );
        let facts = facts(&[&first, &again], &[&server]);
        assert_eq!((facts.sni.as_deref(), facts.cipher), (Some("example.com"), Some(0x1302)));
    }

    #[test]
    fn damage_is_nothing() {
        let client = client_initial(1, &ID, 2, &hex(CLIENT_HELLO));
        for at in [0, 4, 6, 20, 30, 1199] {
            let mut bad = client.clone();
            bad[at] ^= 0x40;
            assert_eq!(facts(&[&bad], &[]).sni, None, "byte {at}");
        }
        for end in 0..client.len() {
            assert_eq!(facts(&[&client[..end]], &[]).sni, None);
        }
        // of Google's kind
        let hello = &hex(CLIENT_HELLO)[1..];
        let google = client_initial(0x5430_3531, &ID, 1, &[&[8], hello].concat());
        assert_eq!(facts(&[&google], &[]).sni.as_deref(), Some("example.com"));
        // frames that lie
        for frames in [&[2, 0, 0, 0xff, 0xff, 0xff, 0xff][..], &[6, 0, 0x7f, 0xff, 1], &[0x40]] {
            assert_eq!(facts(&[&client_initial(1, &ID, 0, frames)], &[]).sni, None);
        }
    }
}
