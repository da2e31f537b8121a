//! Retention, and compaction of ciphertext: order in docs/formats/repository.md, "Prune".

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::crypt::Slot;
use crate::error::Error;
use crate::generation::Manifest;
use crate::hash::Hash;
use crate::keys::{Key, Secret};
use crate::part::SegmentRef;
use crate::read::{Marks, marked};
use crate::relocation::Relocations;
use crate::repository::Repository;
use crate::segment::{self, Builder, SLOTS_MAX, Table, get_whole};
use crate::store::{generation_name, part_name, relocation_name, segment_name};

/// Which generations to keep, of each set. The newest of a set is always kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct Retention {
    /// The newest so many.
    pub last: usize,
    /// The newest of each of so many days (UTC).
    pub daily: usize,
    /// The newest of each of so many weeks.
    pub weekly: usize,
    /// The newest of each of so many months.
    pub monthly: usize,
}

/// What prune did, or would do.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Generations kept.
    pub kept: Vec<u32>,
    /// Generations dropped.
    pub dropped: Vec<u32>,
    /// Objects deleted.
    pub deleted: u64,
    /// Their bytes.
    pub freed: u64,
    /// Segments whose live slots were copied.
    pub compacted: u64,
    /// Bytes put for that.
    pub copied: u64,
    /// Unneeded objects too young to delete.
    pub young: u64,
    /// Bytes of the slots that kept generations need.
    pub live: u64,
    /// Wall time.
    pub took: Duration,
}

impl Retention {
    /// The numbers to keep.
    fn keep(&self, manifests: &[Manifest]) -> HashSet<u32> {
        let mut keep = HashSet::new();
        let sets: HashSet<_> = manifests.iter().map(|m| m.set).collect();
        for set in sets {
            let of_set = || manifests.iter().rev().filter(move |m| m.set == set).enumerate();
            keep.extend(of_set().take(self.last.max(1)).map(|(_, m)| m.number));
            let by = |count: usize, name: &dyn Fn(&Manifest) -> String| {
                let mut seen = HashSet::new();
                let newest = of_set().filter(|(_, m)| seen.insert(name(m))).take(count);
                newest.map(|(_, m)| m.number).collect::<Vec<_>>()
            };
            let time = |m: &Manifest, format: &str| {
                jiff::Timestamp::from_second(m.started)
                    .unwrap_or_default()
                    .strftime(format)
                    .to_string()
            };
            keep.extend(by(self.daily, &|m| time(m, "%F")));
            keep.extend(by(self.weekly, &|m| time(m, "%G-%V")));
            keep.extend(by(self.monthly, &|m| time(m, "%Y-%m")));
        }
        keep
    }
}

/// Drops generations by `retention`, copies what lives out of segments that are mostly dead, and
/// deletes what nothing needs and is older than `grace` seconds. `dry`: only says what it would do.
pub fn prune(
    repository: &Repository,
    key: &Key,
    retention: &Retention,
    grace: i64,
    dry: bool,
) -> Result<Pruned, Error> {
    let begin = Instant::now();
    let sign = repository.pruner(key)?;
    // with a manifest that cannot be read nobody knows what it needs: then nothing is deleted
    let manifests = repository.generations()?.into_iter().collect::<Result<Vec<_>, _>>()?;
    let keep = retention.keep(&manifests);
    let (kept, dropped): (Vec<_>, Vec<_>) =
        manifests.into_iter().partition(|manifest| keep.contains(&manifest.number));
    let mut pruned = Pruned {
        kept: kept.iter().map(|manifest| manifest.number).collect(),
        dropped: dropped.iter().map(|manifest| manifest.number).collect(),
        ..Pruned::default()
    };
    let mut relocations = Relocations::newest(repository)?;
    let mut marks = Marks::default();
    for manifest in &kept {
        marks.generation(repository, &relocations, manifest)?;
    }
    if dry {
        pruned.took = begin.elapsed();
        return Ok(pruned);
    }
    for manifest in &dropped {
        repository.store.delete(&generation_name(manifest.number))?;
    }
    let dead = compact(repository, &sign, &marks, &mut relocations, &mut pruned)?;
    sweep(repository, &kept, &marks, &dead, &relocations, grace, &mut pruned)?;
    pruned.took = begin.elapsed();
    Ok(pruned)
}

/// Copies live slots out of segments that are more than a quarter dead, or small. Returns them.
fn compact(
    repository: &Repository,
    sign: &Secret,
    marks: &Marks,
    relocations: &mut Relocations,
    pruned: &mut Pruned,
) -> Result<HashSet<Hash>, Error> {
    let most = repository.config.segment;
    let mut sparse = Vec::new();
    for (segment, bits) in &marks.0 {
        let table = repository.table(&segment.hash, segment.bytes)?;
        let slots = table.slots.iter().enumerate();
        let live: u64 =
            slots.filter(|(n, _)| marked(bits, *n)).map(|(_, s)| u64::from(s.stored)).sum();
        pruned.live += live;
        let quarter = live * 4 < u64::from(segment.bytes) * 3;
        if quarter || segment.bytes < most / 4 {
            sparse.push((*segment, bits, quarter));
        }
    }
    // one small segment alone is best left where it is
    if sparse.len() < 2 {
        sparse.retain(|(_, _, quarter)| *quarter);
    }
    if sparse.is_empty() {
        return Ok(HashSet::new());
    }
    sparse.sort_by_key(|(segment, _, _)| segment.hash);
    let mut copier = Copier::new(repository);
    for (segment, bits, _) in &sparse {
        let name = segment_name(&segment.hash);
        let bytes = get_whole(&repository.store, &name, &segment.hash, segment.bytes)?;
        let table = Table::of_segment(&name, &repository.config.repository, &bytes)?;
        for (number, slot) in table.slots.iter().enumerate().filter(|(n, _)| marked(bits, *n)) {
            let stored = &bytes[slot.offset as usize..(slot.offset + slot.stored) as usize];
            let key = &table.keys[usize::from(slot.key)];
            copier.copy(segment.hash, number as u32, slot, key, stored)?;
        }
    }
    let moves = copier.finish()?;
    pruned.compacted = sparse.len() as u64;
    pruned.copied = moves
        .iter()
        .map(|(_, _, to, _)| to)
        .collect::<HashSet<_>>()
        .iter()
        .map(|s| u64::from(s.bytes))
        .sum();
    relocate(relocations, &moves, marks);
    relocations.put(repository, sign)?;
    Ok(sparse.iter().map(|(segment, _, _)| segment.hash).collect())
}

/// Old segment, old slot, where it lies now.
type Move = (Hash, u32, SegmentRef, u32);

/// The table after these moves: older moves are led on, those of dead slots forgotten.
fn relocate(relocations: &mut Relocations, moves: &[Move], marks: &Marks) {
    let by_old: HashMap<(Hash, u32), (SegmentRef, u32)> =
        moves.iter().map(|(old, slot, to, at)| ((*old, *slot), (*to, *at))).collect();
    let mut segments: Vec<SegmentRef> = Vec::new();
    let mut numbers = HashMap::new();
    let mut moved: HashMap<Hash, Vec<(u32, u32, u32)>> = HashMap::new();
    let mut note = |old: Hash, slot: u32, to: SegmentRef, at: u32| {
        let number = *numbers.entry(to).or_insert_with(|| {
            segments.push(to);
            segments.len() as u32 - 1
        });
        moved.entry(old).or_default().push((slot, number, at));
    };
    for (old, list) in &relocations.moved {
        for (slot, number, at) in list {
            let now = relocations.segments[*number as usize];
            if let Some((to, at)) = by_old.get(&(now.hash, *at)) {
                note(*old, *slot, *to, *at);
            } else if marks.0.get(&now).is_some_and(|bits| marked(bits, *at as usize)) {
                note(*old, *slot, now, *at);
            }
        }
    }
    for (old, slot, to, at) in moves {
        note(*old, *slot, *to, *at);
    }
    for list in moved.values_mut() {
        list.sort_unstable();
    }
    relocations.segments = segments;
    relocations.moved = moved;
}

struct Copier<'a> {
    repository: &'a Repository,
    building: Builder,
    /// Of the segment being filled: old segment and slot, new slot.
    pending: Vec<(Hash, u32, u32)>,
    moves: Vec<Move>,
}

fn begin(repository: &Repository, memory: Vec<u8>) -> Builder {
    Builder::new(&repository.config.repository, memory, repository.config.segment as usize)
}

impl<'a> Copier<'a> {
    fn new(repository: &'a Repository) -> Self {
        let building = begin(repository, Vec::new());
        Self { repository, building, pending: Vec::new(), moves: Vec::new() }
    }

    fn copy(
        &mut self,
        old: Hash,
        number: u32,
        slot: &Slot,
        key: &[u8; 80],
        stored: &[u8],
    ) -> Result<(), Error> {
        let most = self.repository.config.segment as usize;
        if self.building.bytes_with(stored.len()) > most || self.building.slots() == SLOTS_MAX {
            self.close()?;
        }
        let at = self.building.push(*slot, key, stored);
        self.pending.push((old, number, at));
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        if self.building.is_empty() {
            return Ok(());
        }
        let empty = Builder::new(&[0; 16], Vec::new(), 0);
        let building = std::mem::replace(&mut self.building, empty);
        let (to, memory) = segment::put(&self.repository.store, building.finish())?;
        self.building = begin(self.repository, memory);
        self.moves.extend(self.pending.drain(..).map(|(old, slot, at)| (old, slot, to, at)));
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Move>, Error> {
        self.close()?;
        Ok(self.moves)
    }
}

/// Deletes what nothing needs.
fn sweep(
    repository: &Repository,
    kept: &[Manifest],
    marks: &Marks,
    dead: &HashSet<Hash>,
    relocations: &Relocations,
    grace: i64,
    pruned: &mut Pruned,
) -> Result<(), Error> {
    // a push that ends meanwhile may have put a manifest: what it needs is looked up again
    let listed = repository.store.list(Some("generations"))?;
    let known: HashSet<_> = kept.iter().map(|manifest| generation_name(manifest.number)).collect();
    if let Some(new) = listed.iter().find(|object| !known.contains(&object.name)) {
        let say =
            format!("{} appeared while pruning: nothing was deleted, run prune again", new.name);
        return Err(Error::Request(say));
    }
    let mut needed: HashSet<String> = HashSet::new();
    let parts = kept.iter().flat_map(|m| &m.layers).flat_map(|layer| &layer.parts);
    needed.extend(parts.map(|part| part_name(&part.hash)));
    let live = marks.0.keys().filter(|segment| !dead.contains(&segment.hash));
    needed.extend(live.map(|segment| segment_name(&segment.hash)));
    needed.extend(relocations.segments.iter().map(|segment| segment_name(&segment.hash)));
    if relocations.number > 0 {
        needed.insert(relocation_name(relocations.number));
    }
    let (staged, bytes) = repository.store.sweep_staged(grace)?;
    pruned.deleted += staged;
    pruned.freed += bytes;
    let now = jiff::Timestamp::now().as_second();
    for folder in ["segments", "maps", "relocations"] {
        for object in repository.store.list(Some(folder))? {
            if needed.contains(&object.name) {
                continue;
            }
            let moved = dead.iter().any(|hash| segment_name(hash) == object.name);
            if !moved && folder != "relocations" && now - object.changed < grace {
                pruned.young += 1;
                continue;
            }
            repository.store.delete(&object.name)?;
            pruned.deleted += 1;
            pruned.freed += object.bytes;
        }
    }
    Ok(())
}
