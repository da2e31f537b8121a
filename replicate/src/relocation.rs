//! Where slots of compacted segments lie now (docs/formats/repository.md, "Prune").

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::hash::Hash;
use crate::keys::{self, Secret};
use crate::part::SegmentRef;
use crate::repository::{OBJECT_BYTES_MAX, Repository};
use crate::store::relocation_name;

const TITLE: &str = "framewalk relocation 1";

/// The newest table.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Relocations {
    repository: String,
    pub(crate) number: u32,
    /// New segments.
    pub(crate) segments: Vec<SegmentRef>,
    /// Old segment to (old slot, new segment in the table, new slot), by old slot.
    pub(crate) moved: HashMap<Hash, Vec<(u32, u32, u32)>>,
}

impl Relocations {
    /// Reads the newest; none is an empty one.
    pub(crate) fn newest(repository: &Repository) -> Result<Self, Error> {
        let listed = repository.store.list(Some("relocations"))?;
        let Some(newest) = listed.last() else { return Ok(Self::default()) };
        let name = newest.name.clone();
        let bytes = repository.store.get(&name, OBJECT_BYTES_MAX * 16)?;
        let bytes = bytes.ok_or_else(|| Error::damage(&name, 0, "an object", "none"))?;
        let number = name.rsplit_once('/').and_then(|(_, number)| number.parse().ok());
        let foreign = || Error::damage(&name, 0, "a relocation table", "a foreign object");
        Self::parse(repository, number.ok_or_else(foreign)?, &bytes)
    }

    /// Checks a table's bytes.
    pub(crate) fn parse(repository: &Repository, number: u32, bytes: &[u8]) -> Result<Self, Error> {
        let name = relocation_name(number);
        let body = keys::checked(&name, TITLE, repository.prune_public(), bytes)?;
        let table: Self = serde_json::from_str(body).map_err(|e| {
            Error::damage(&name, e.column() as u64, "a table's JSON", e.to_string())
        })?;
        let ours = table.repository == crate::hex(&repository.config.repository)
            && table.number == number
            && table.moved.values().flatten().all(|(_, s, _)| (*s as usize) < table.segments.len());
        if ours {
            Ok(table)
        } else {
            Err(Error::damage(name, 0, "a table of this repository", "another"))
        }
    }

    /// Where a slot lies now.
    pub(crate) fn find(&self, segment: SegmentRef, slot: u32) -> (SegmentRef, u32) {
        let Some(moved) = self.moved.get(&segment.hash) else { return (segment, slot) };
        match moved.binary_search_by_key(&slot, |(old, _, _)| *old) {
            Ok(at) => (self.segments[moved[at].1 as usize], moved[at].2),
            Err(_) => (segment, slot),
        }
    }

    /// Puts a new table, synced.
    pub(crate) fn put(&mut self, repository: &Repository, sign: &Secret) -> Result<(), Error> {
        self.repository = crate::hex(&repository.config.repository);
        loop {
            self.number += 1;
            let body = serde_json::to_string(self).map_err(|e| Error::Request(e.to_string()))?;
            let text = keys::signed(TITLE, sign, &body);
            if repository.store.put(&relocation_name(self.number), &text.into())? {
                return Ok(());
            }
        }
    }
}
