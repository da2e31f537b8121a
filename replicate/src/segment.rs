//! Segments: slots back to back and a table (docs/formats/repository.md, "Segment").

use std::sync::Arc;

use bytes::Bytes;

use crate::crypt::{RAW_BYTES_MAX, SEALED_KEY_BYTES, Slot};
use crate::direct::Aligned;
use crate::error::Error;
use crate::hash::Hash;
use crate::part::SegmentRef;
use crate::store::{Store, segment_name};

const MAGIC: [u8; 8] = *b"FWSEG\0\0\x01";
const END: [u8; 8] = *b"FWSEGEND";
const HEAD: usize = 24;
const FOOT: usize = 16;
const ENTRY: usize = 60;
/// The most slots in a segment.
pub(crate) const SLOTS_MAX: usize = 1 << 16;
/// Bytes read from a segment's end at first: holds most tables.
const TAIL: u64 = 256 << 10;

/// A segment being filled.
#[derive(Debug)]
pub(crate) struct Builder {
    bytes: Aligned,
    keys: Vec<[u8; SEALED_KEY_BYTES]>,
    slots: Vec<Slot>,
}

impl Builder {
    /// A segment over memory that an older one had; `capacity` is room in bytes.
    pub(crate) fn new(repository: &[u8; 16], memory: Vec<u8>, capacity: usize) -> Self {
        let mut bytes = Aligned::over(memory, capacity);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(repository);
        Self { bytes, keys: Vec::new(), slots: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Bytes that the finished segment would have with `more` bytes of one more slot.
    pub(crate) fn bytes_with(&self, more: usize) -> usize {
        let table = 8 + (self.keys.len() + 1) * SEALED_KEY_BYTES + (self.slots.len() + 1) * ENTRY;
        self.bytes.len() + more + table + FOOT
    }

    /// Adds a slot; its offset and key are set here. Returns its number.
    pub(crate) fn push(&mut self, slot: Slot, key: &[u8; SEALED_KEY_BYTES], stored: &[u8]) -> u32 {
        let number = self.keys.iter().position(|known| known == key).unwrap_or_else(|| {
            self.keys.push(*key);
            self.keys.len() - 1
        });
        let offset = self.bytes.len() as u32;
        self.bytes.extend_from_slice(stored);
        self.slots.push(Slot { offset, key: number as u16, stored: stored.len() as u32, ..slot });
        self.slots.len() as u32 - 1
    }

    /// The finished object.
    pub(crate) fn finish(self) -> Aligned {
        let Self { mut bytes, keys, slots } = self;
        let table = bytes.len() as u32;
        bytes.extend_from_slice(&(keys.len() as u32).to_le_bytes());
        for key in &keys {
            bytes.extend_from_slice(key);
        }
        bytes.extend_from_slice(&(slots.len() as u32).to_le_bytes());
        for slot in &slots {
            bytes.extend_from_slice(&slot.id.0);
            for number in [slot.offset, slot.stored, slot.raw] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(&slot.key.to_le_bytes());
            bytes.extend_from_slice(&[slot.flags, 0]);
            bytes.extend_from_slice(&slot.nonce);
        }
        let length = bytes.len() as u32 - table;
        bytes.extend_from_slice(&table.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&END);
        bytes
    }
}

/// A finished segment, as `bytes` can hold it.
struct Shared(Arc<Aligned>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

/// Puts a finished segment under its name; synced when this returns. Its memory comes back.
pub(crate) fn put(store: &Store, segment: Aligned) -> Result<(SegmentRef, Vec<u8>), Error> {
    let hash = Hash::of(segment.as_ref());
    let named = SegmentRef { hash, bytes: segment.len() as u32 };
    let segment = Arc::new(segment);
    store.put(&segment_name(&hash), &Bytes::from_owner(Shared(Arc::clone(&segment))))?;
    let memory = Arc::try_unwrap(segment).map(Aligned::into_inner);
    Ok((named, memory.unwrap_or_default()))
}

/// A segment's table.
#[derive(Debug)]
pub(crate) struct Table {
    /// Where it begins in the segment.
    pub(crate) offset: u64,
    pub(crate) keys: Vec<[u8; SEALED_KEY_BYTES]>,
    pub(crate) slots: Vec<Slot>,
}

impl Table {
    /// Reads a segment's end. `bytes` is the segment's length by the index. What is in front, the
    /// repository's id too, is checked where the whole segment is read.
    pub(crate) fn get(store: &Store, name: &str, bytes: u32) -> Result<Self, Error> {
        let bytes = u64::from(bytes);
        check_size(store, name, bytes)?;
        let from = bytes.saturating_sub(TAIL);
        let tail = store.range(name, from, bytes)?;
        let (table, length) = foot(name, bytes, &tail)?;
        let tail = if table < from { store.range(name, table, bytes)? } else { tail };
        let start = tail.len() - (bytes - table) as usize;
        Self::parse(name, table, &tail[start..start + length as usize])
    }

    /// From the whole segment.
    pub(crate) fn of_segment(
        name: &str,
        repository: &[u8; 16],
        segment: &[u8],
    ) -> Result<Self, Error> {
        let head = segment.get(..HEAD).unwrap_or_default();
        if head.get(..8) != Some(&MAGIC) || head.get(8..) != Some(&repository[..]) {
            return Err(Error::damage(name, 0, "a segment of this repository", "something else"));
        }
        let bytes = segment.len() as u64;
        let (table, length) = foot(name, bytes, segment)?;
        Self::parse(name, table, &segment[table as usize..(table + length) as usize])
    }

    fn parse(name: &str, offset: u64, table: &[u8]) -> Result<Self, Error> {
        let bad = |at: usize, expected: &str, found: u64| {
            Error::damage(name, offset + at as u64, expected, found.to_string())
        };
        let number = |at: usize| {
            let four = table.get(at..at + 4).and_then(|four| four.try_into().ok());
            four.map(u32::from_le_bytes).ok_or_else(|| bad(at, "a number", 0))
        };
        let keys = number(0)? as usize;
        let slots_at = 4 + keys.saturating_mul(SEALED_KEY_BYTES);
        if keys > usize::from(u16::MAX) || slots_at + 4 > table.len() {
            return Err(bad(0, "a count of keys that fits", keys as u64));
        }
        let slots = number(slots_at)? as usize;
        if slots > SLOTS_MAX || slots_at + 4 + slots * ENTRY != table.len() {
            return Err(bad(slots_at, "a count of slots that fits", slots as u64));
        }
        let keys_end = 4 + keys * SEALED_KEY_BYTES;
        let (key_list, _) = table[4..keys_end].as_chunks::<SEALED_KEY_BYTES>();
        let (entries, _) = table[keys_end + 4..].as_chunks::<ENTRY>();
        let mut list = Vec::with_capacity(slots);
        for (index, entry) in entries.iter().enumerate() {
            let at = keys_end + 4 + index * ENTRY;
            let four = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| entry[at + i]));
            let slot = Slot {
                id: Hash(std::array::from_fn(|i| entry[i])),
                offset: four(32),
                stored: four(36),
                raw: four(40),
                key: u16::from_le_bytes([entry[44], entry[45]]),
                flags: entry[46],
                nonce: std::array::from_fn(|i| entry[48 + i]),
            };
            let end = u64::from(slot.offset) + u64::from(slot.stored);
            if (slot.offset as usize) < HEAD || end > offset {
                return Err(bad(at + 32, "a slot inside the segment", end));
            }
            if slot.raw as usize > RAW_BYTES_MAX {
                return Err(bad(at + 40, "at most 1 MiB in a slot", u64::from(slot.raw)));
            }
            if usize::from(slot.key) >= keys {
                return Err(bad(at + 44, "a key of the table", u64::from(slot.key)));
            }
            list.push(slot);
        }
        Ok(Self { offset, keys: key_list.to_vec(), slots: list })
    }
}

fn foot(name: &str, bytes: u64, tail: &[u8]) -> Result<(u64, u64), Error> {
    let at = bytes.saturating_sub(FOOT as u64);
    let Some(foot) = tail.last_chunk::<FOOT>().filter(|foot| foot[8..] == END) else {
        return Err(Error::damage(name, at, "a segment's end", "other bytes or fewer"));
    };
    let four = |at: usize| u64::from(u32::from_le_bytes(std::array::from_fn(|i| foot[at + i])));
    let (table, length) = (four(0), four(4));
    if (table as usize) < HEAD || table + length + FOOT as u64 != bytes {
        let found = format!("{table} + {length}");
        return Err(Error::damage(name, at, "the place of the table", found));
    }
    Ok((table, length))
}

fn check_size(store: &Store, name: &str, bytes: u64) -> Result<(), Error> {
    match store.size(name)? {
        None => Err(Error::damage(name, 0, "an object", "none")),
        Some(found) if found != bytes => {
            let found = format!("{found} bytes");
            Err(Error::damage(name, bytes, format!("{bytes} bytes"), found))
        }
        Some(_) => Ok(()),
    }
}

/// All of a segment, its length and name checked.
pub(crate) fn get_whole(
    store: &Store,
    name: &str,
    hash: &Hash,
    bytes: u32,
) -> Result<Bytes, Error> {
    check_size(store, name, u64::from(bytes))?;
    let segment = store
        .get(name, u64::from(bytes))?
        .ok_or_else(|| Error::damage(name, 0, "an object", "none"))?;
    let found = Hash::of(&segment);
    if found != *hash {
        let expected = format!("bytes whose BLAKE3 is {hash}");
        return Err(Error::damage(name, 0, expected, found.to_string()));
    }
    Ok(segment)
}
