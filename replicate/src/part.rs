//! Map parts: which page of which file lies in which slot (docs/formats/repository.md, "Map part").

use bytes::Bytes;

use crate::error::Error;
use crate::hash::Hash;

const MAGIC: [u8; 8] = *b"FWMAP\0\0\x01";
/// The most entries in a part.
pub(crate) const ENTRIES_MAX: u32 = 1 << 15;
/// Flag of a section: older layers do not count for this file.
pub(crate) const WHOLE: u8 = 1;

/// Parts of all layers.
pub(crate) type PartRefs = Vec<crate::generation::PartRef>;

/// 16 bytes of the keyed hash of a path; zeroes: the catalog.
pub(crate) type FileId = [u8; 16];
/// The catalog's file id.
pub(crate) const CATALOG: FileId = [0; 16];

/// What a section's entries are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Pages,
    Chunks,
    /// The file is no more.
    Gone,
}

/// Head of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) file: FileId,
    pub(crate) kind: Kind,
    pub(crate) whole: bool,
    /// Pages or chunks of the file.
    pub(crate) total: u64,
}

/// One page or chunk; `place` is none for zeroes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<S> {
    pub(crate) index: u64,
    pub(crate) place: Option<Place<S>>,
}

/// Where a page or chunk lies. `S` names the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place<S> {
    pub(crate) segment: S,
    pub(crate) slot: u32,
    pub(crate) id: Hash,
    /// Plain bytes; written for chunks only, 0 for pages read from a part.
    pub(crate) len: u32,
}

/// A segment as a part names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) struct SegmentRef {
    pub(crate) hash: Hash,
    pub(crate) bytes: u32,
}

/// Encodes a part.
pub(crate) fn encode(
    repository: &[u8; 16],
    segments: &[SegmentRef],
    sections: &[(Section, Vec<Entry<u32>>)],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 << 16);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(repository);
    out.extend_from_slice(&(segments.len() as u32).to_le_bytes());
    for segment in segments {
        out.extend_from_slice(&segment.hash.0);
        out.extend_from_slice(&segment.bytes.to_le_bytes());
    }
    out.extend_from_slice(&(sections.len() as u32).to_le_bytes());
    for (section, entries) in sections {
        out.extend_from_slice(&section.file);
        let kind = match section.kind {
            Kind::Pages => 0,
            Kind::Chunks => 1,
            Kind::Gone => 2,
        };
        out.extend_from_slice(&[kind, u8::from(section.whole)]);
        out.extend_from_slice(&section.total.to_le_bytes());
        out.extend_from_slice(&(entries.len() as u32).to_le_bytes());
        let mut previous = 0;
        for entry in entries {
            leb(&mut out, entry.index - previous);
            previous = entry.index;
            let Some(place) = &entry.place else {
                leb(&mut out, 0);
                continue;
            };
            leb(&mut out, u64::from(place.segment) + 1);
            leb(&mut out, u64::from(place.slot));
            out.extend_from_slice(&place.id.0);
            if section.kind == Kind::Chunks {
                leb(&mut out, u64::from(place.len));
            }
        }
    }
    out
}

fn leb(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// A part read from the repository, its bounds checked; entries are decoded when asked for.
#[derive(Debug)]
pub(crate) struct Part {
    name: String,
    bytes: Bytes,
    pub(crate) segments: Vec<SegmentRef>,
    /// Heads, with the byte at which the entries begin and their count.
    pub(crate) sections: Vec<(Section, usize, u32)>,
}

impl Part {
    /// Checks all of it once, so that reading entries later cannot fail.
    pub(crate) fn parse(name: &str, repository: &[u8; 16], bytes: &Bytes) -> Result<Self, Error> {
        let mut at = Cursor { name, bytes, at: 0 };
        if at.take::<8>("a part's magic")? != MAGIC || at.take::<16>("an id")? != *repository {
            return Err(at.bad(0, "a part of this repository"));
        }
        let count = at.number("a count of segments")?;
        if count as usize > bytes.len() / 36 {
            return Err(at.bad(at.at, "a count of segments that fits"));
        }
        let mut segments = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let hash = Hash(at.take("a segment")?);
            segments.push(SegmentRef { hash, bytes: at.number("a segment's size")? });
        }
        let count = at.number("a count of sections")?;
        let mut sections = Vec::new();
        for _ in 0..count {
            let (section, entries) = at.section()?;
            sections.push((section, at.at, entries));
            let mut previous = 0;
            for nth in 0..entries {
                let begin = at.at;
                let entry = at.entry(section.kind, previous)?;
                let rises = nth == 0 || entry.index > previous;
                if !rises || entry.index >= section.total {
                    return Err(at.bad(begin, "an index above the one before and below the total"));
                }
                if entry.place.is_some_and(|place| place.segment as usize >= segments.len()) {
                    return Err(at.bad(begin, "a segment of the part"));
                }
                previous = entry.index;
            }
        }
        if at.at != bytes.len() {
            return Err(at.bad(at.at, "the end of the part"));
        }
        Ok(Self { name: name.to_owned(), segments, sections, bytes: bytes.clone() })
    }

    /// Entries of a section that begin at byte `at`; returns the next too.
    pub(crate) fn entry(
        &self,
        kind: Kind,
        at: usize,
        previous: u64,
    ) -> Result<(Entry<SegmentRef>, usize), Error> {
        let mut cursor = Cursor { name: &self.name, bytes: &self.bytes, at };
        let entry = cursor.entry(kind, previous)?;
        let place = entry.place.map(|place| Place {
            segment: self.segments[place.segment as usize],
            slot: place.slot,
            id: place.id,
            len: place.len,
        });
        Ok((Entry { index: entry.index, place }, cursor.at))
    }
}

struct Cursor<'a> {
    name: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn bad(&self, at: usize, expected: &str) -> Error {
        let found = match self.bytes.get(at..) {
            Some([]) | None => "the end".to_owned(),
            Some(rest) => crate::hash::hex(&rest[..rest.len().min(8)]),
        };
        Error::damage(self.name, at as u64, expected, found)
    }

    fn take<const N: usize>(&mut self, expected: &str) -> Result<[u8; N], Error> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let taken = *taken.ok_or_else(|| self.bad(self.at, expected))?;
        self.at += N;
        Ok(taken)
    }

    fn number(&mut self, expected: &str) -> Result<u32, Error> {
        self.take(expected).map(u32::from_le_bytes)
    }

    fn leb(&mut self, expected: &str) -> Result<u64, Error> {
        let mut n = 0;
        for shift in (0..63).step_by(7) {
            let [byte] = self.take(expected)?;
            n |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(self.bad(self.at, expected))
    }

    fn section(&mut self) -> Result<(Section, u32), Error> {
        let file = self.take("a file id")?;
        let begin = self.at;
        let [kind, flags] = self.take("a kind")?;
        let kind = match kind {
            0 => Kind::Pages,
            1 => Kind::Chunks,
            2 => Kind::Gone,
            _ => return Err(self.bad(begin, "a kind of section")),
        };
        let total = u64::from_le_bytes(self.take("a total")?);
        let section = Section { file, kind, whole: flags & WHOLE != 0, total };
        Ok((section, self.number("a count of entries")?))
    }

    fn entry(&mut self, kind: Kind, previous: u64) -> Result<Entry<u32>, Error> {
        let begin = self.at;
        let index = previous.checked_add(self.leb("an index")?);
        let index = index.ok_or_else(|| self.bad(begin, "an index"))?;
        let segment = self.leb("a segment")?;
        if segment == 0 {
            return Ok(Entry { index, place: None });
        }
        let segment = u32::try_from(segment - 1).map_err(|_| self.bad(begin, "a segment"))?;
        let slot = u32::try_from(self.leb("a slot")?).map_err(|_| self.bad(begin, "a slot"))?;
        let id = Hash(self.take("an id")?);
        let len = if kind == Kind::Chunks { self.leb("a length")? } else { 0 };
        let len = u32::try_from(len).map_err(|_| self.bad(begin, "a length"))?;
        Ok(Entry { index, place: Some(Place { segment, slot, id, len }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Sections = Vec<(Section, Vec<Entry<u32>>)>;

    fn example() -> (Vec<SegmentRef>, Sections, Vec<u8>) {
        let segments = vec![SegmentRef { hash: Hash([3; 32]), bytes: 77 }; 2];
        let place = |slot, len| Some(Place { segment: 1, slot, id: Hash([slot as u8; 32]), len });
        let section =
            |kind, total| Section { file: [kind as u8; 16], kind, whole: total > 5, total };
        let sections = vec![
            (
                section(Kind::Pages, 1 << 40),
                vec![
                    Entry { index: 0, place: place(300, 0) },
                    Entry { index: 1, place: None },
                    Entry { index: (1 << 40) - 1, place: place(1, 0) },
                ],
            ),
            (section(Kind::Chunks, 3), vec![Entry { index: 2, place: place(9, 70000) }]),
            (section(Kind::Gone, 0), vec![]),
        ];
        let bytes = encode(&[5; 16], &segments, &sections);
        (segments, sections, bytes)
    }

    #[test]
    fn a_part_reads_as_written() {
        let (segments, sections, bytes) = example();
        let part = Part::parse("p", &[5; 16], &bytes.into()).unwrap();
        assert_eq!(part.segments, segments);
        for ((section, entries), (head, at, count)) in sections.iter().zip(&part.sections) {
            assert_eq!((section, entries.len()), (head, *count as usize));
            let (mut at, mut previous) = (*at, 0);
            for entry in entries {
                let (read, next) = part.entry(head.kind, at, previous).unwrap();
                let place = read.place.map(|p| (p.segment.bytes, p.slot, p.id, p.len));
                assert_eq!(place, entry.place.map(|p| (77, p.slot, p.id, p.len)));
                assert_eq!(read.index, entry.index);
                (at, previous) = (next, read.index);
            }
        }
    }

    #[test]
    fn a_cut_part_is_an_error_and_a_changed_one_no_panic() {
        let (_, _, bytes) = example();
        for len in 0..bytes.len() {
            let cut = bytes[..len].to_vec();
            assert!(Part::parse("p", &[5; 16], &cut.into()).is_err(), "{len}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                let _ = Part::parse("p", &[5; 16], &bad.into());
            }
        }
    }
}
