//! Data keys, slots sealed and opened, signatures: only what well-kept crates give.

use std::time::{Duration, Instant};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::hash::Hash;

/// Bytes of a data key sealed to the restore key: ephemeral key 32, tag 16, key 32.
pub(crate) const SEALED_KEY_BYTES: usize = 80;
/// The most that a slot holds when unpacked.
pub(crate) const RAW_BYTES_MAX: usize = 1 << 20;
/// Flag of a slot: compressed before it was encrypted.
pub(crate) const COMPRESSED: u8 = 1;

/// A slot's place in its segment and what is needed to open it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Keyed BLAKE3 of the plain bytes.
    pub(crate) id: Hash,
    /// Byte offset in the segment.
    pub(crate) offset: u32,
    /// Bytes in the segment, tag included.
    pub(crate) stored: u32,
    /// Bytes when unpacked.
    pub(crate) raw: u32,
    /// Place of the data key in the segment's table.
    pub(crate) key: u16,
    /// [`COMPRESSED`].
    pub(crate) flags: u8,
    /// Never twice under one data key.
    pub(crate) nonce: [u8; 12],
}

/// 32 random bytes from the system.
pub(crate) fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    // A system without random numbers cannot make keys: there is nothing to fall back to.
    getrandom::fill(&mut bytes[..]).expect("the system gives random bytes");
    bytes
}

/// A data key, ready for use. None for a repository without encryption.
#[derive(Clone)]
pub(crate) struct DataKey(Option<Box<LessSafeKey>>);

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey")
    }
}

/// Why a slot did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bad {
    /// The tag does not match: changed bytes, or a slot of another page.
    Tag,
    /// It does not unpack to its raw length.
    Unpack,
    /// The id of what came out is another.
    Id,
}

impl Bad {
    /// What was expected there.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Self::Tag => "a slot with a valid tag",
            Self::Unpack => "a slot that unpacks to its length",
            Self::Id => "a slot whose contents have its id",
        }
    }
}

impl DataKey {
    /// From the key's bytes; `None` where nothing is encrypted.
    pub(crate) fn new(key: Option<&[u8; 32]>) -> Self {
        let cipher = |key: &[u8; 32]| {
            let key = UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are its length");
            Box::new(LessSafeKey::new(key))
        };
        Self(key.map(cipher))
    }

    /// Compresses and encrypts `raw` onto `out`. Returns stored bytes and flags.
    ///
    /// `raw` is at most [`RAW_BYTES_MAX`] long.
    pub(crate) fn seal(
        &self,
        context: &Context,
        nonce: [u8; 12],
        raw: &[u8],
        out: &mut Packed,
    ) -> Sealed {
        let Packed { scratch, out } = out;
        let (start, begin) = (out.len(), Instant::now());
        let most = lz4_flex::block::get_maximum_output_size(raw.len());
        if scratch.len() < most {
            scratch.resize(most, 0);
        }
        let packed = lz4_flex::block::compress_into(raw, scratch);
        let flags = match packed {
            Ok(len) if len + len / 32 < raw.len() => {
                out.extend_from_slice(&scratch[..len]);
                COMPRESSED
            }
            _ => {
                out.extend_from_slice(raw);
                0
            }
        };
        let packing = begin.elapsed();
        if let Some(cipher) = &self.0 {
            let data = context.bytes(raw.len() as u32, flags);
            let tag = cipher
                .seal_in_place_separate_tag(
                    Nonce::assume_unique_for_key(nonce),
                    Aad::from(data),
                    &mut out[start..],
                )
                .expect("a slot is far below the limit of AES-GCM");
            out.extend_from_slice(tag.as_ref());
        }
        Sealed { stored: (out.len() - start) as u32, flags, packing }
    }

    /// Decrypts and unpacks `stored` into `out`, and checks its id.
    pub(crate) fn open(
        &self,
        repository: [u8; 16],
        id_key: &[u8; 32],
        slot: &Slot,
        stored: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Bad> {
        let raw = slot.raw as usize;
        let plain = match &self.0 {
            None => &stored[..],
            Some(cipher) => {
                let data = Context { repository, id: slot.id }.bytes(slot.raw, slot.flags);
                let nonce = Nonce::assume_unique_for_key(slot.nonce);
                cipher.open_in_place(nonce, Aad::from(data), stored).map_err(|_| Bad::Tag)?
            }
        };
        if raw > RAW_BYTES_MAX {
            return Err(Bad::Unpack);
        }
        out.clear();
        if slot.flags & COMPRESSED == 0 {
            out.extend_from_slice(plain);
        } else {
            out.resize(raw, 0);
            let len = lz4_flex::block::decompress_into(plain, out).map_err(|_| Bad::Unpack)?;
            out.truncate(len);
        }
        if out.len() != raw {
            return Err(Bad::Unpack);
        }
        if blake3::keyed_hash(id_key, out) != slot.id.0 {
            return Err(Bad::Id);
        }
        Ok(())
    }
}

/// Where slots are sealed to, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    /// Slots as they are stored.
    pub(crate) out: Vec<u8>,
    /// Memory to compress in.
    pub(crate) scratch: Vec<u8>,
}

/// How a slot was stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sealed {
    /// Bytes, tag included.
    pub(crate) stored: u32,
    /// [`COMPRESSED`].
    pub(crate) flags: u8,
    /// Time spent compressing.
    pub(crate) packing: Duration,
}

/// What a slot is bound to beside its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// The repository's id.
    pub(crate) repository: [u8; 16],
    /// The slot's id.
    pub(crate) id: Hash,
}

impl Context {
    fn bytes(&self, raw: u32, flags: u8) -> [u8; 53] {
        let mut bytes = [0; 53];
        bytes[..16].copy_from_slice(&self.repository);
        bytes[16..48].copy_from_slice(&self.id.0);
        bytes[48..52].copy_from_slice(&raw.to_le_bytes());
        bytes[52] = flags;
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(raw: &[u8]) -> (DataKey, Slot, Vec<u8>) {
        let key = DataKey::new(Some(&[7; 32]));
        let id = Hash(*blake3::keyed_hash(&[1; 32], raw).as_bytes());
        let mut out = Packed::default();
        let nonce = [3; 12];
        let sealed = key.seal(&Context { repository: [9; 16], id }, nonce, raw, &mut out);
        let Sealed { stored, flags, .. } = sealed;
        (key, Slot { id, offset: 0, stored, raw: raw.len() as u32, key: 0, flags, nonce }, out.out)
    }

    #[test]
    fn a_slot_opens_as_it_was_and_not_otherwise() {
        for raw in [vec![5; 16384], (0..9999_u32).flat_map(|n| (n * n).to_le_bytes()).collect()] {
            let (key, slot, stored) = sealed(&raw);
            let mut out = Vec::new();
            let mut open = |slot: &Slot, mut stored: Vec<u8>, repository| {
                key.open([repository; 16], &[1; 32], slot, &mut stored, &mut out)
                    .map(|()| out.clone())
            };
            assert_eq!(open(&slot, stored.clone(), 9).unwrap(), raw);
            assert_eq!(open(&slot, stored.clone(), 8), Err(Bad::Tag));
            for at in [0, stored.len() / 2, stored.len() - 1] {
                let mut bad = stored.clone();
                bad[at] ^= 1;
                assert_eq!(open(&slot, bad, 9), Err(Bad::Tag));
            }
            assert_eq!(open(&slot, stored[..3].to_vec(), 9), Err(Bad::Tag));
            let other = Slot { id: Hash([1; 32]), ..slot };
            assert_eq!(open(&other, stored.clone(), 9), Err(Bad::Tag));
            let longer = Slot { raw: slot.raw + 1, ..slot };
            assert_eq!(open(&longer, stored, 9), Err(Bad::Tag));
        }
    }

    #[test]
    fn without_a_key_the_id_still_tells() {
        let raw = vec![7; 4096];
        let id = Hash(*blake3::keyed_hash(&[1; 32], &raw).as_bytes());
        let (key, mut packed) = (DataKey::new(None), Packed::default());
        let sealed = key.seal(&Context { repository: [0; 16], id }, [0; 12], &raw, &mut packed);
        let mut out = packed.out;
        let Sealed { stored, flags, .. } = sealed;
        let slot = Slot { id, offset: 0, stored, raw: 4096, key: 0, flags, nonce: [0; 12] };
        let mut plain = Vec::new();
        assert_eq!(key.open([0; 16], &[1; 32], &slot, &mut out.clone(), &mut plain), Ok(()));
        assert_eq!(plain, raw);
        out[1] = 8; // the byte that is repeated
        let bad = key.open([0; 16], &[1; 32], &slot, &mut out, &mut plain);
        assert!(matches!(bad, Err(Bad::Id | Bad::Unpack)));
    }
}
