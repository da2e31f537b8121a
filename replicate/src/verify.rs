//! Verify: every object that generations need is read whole, every tag and id checked.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crossbeam::channel::bounded;

use crate::drill;
use crate::error::{Damage, Error};
use crate::generation::Manifest;
use crate::hash::Hash;
use crate::layers::{Layers, get_part};
use crate::part::SegmentRef;
use crate::read::{Marks, Slots, marked};
use crate::relocation::Relocations;
use crate::repository::{Reader, Repository};
use crate::segment::{Table, get_whole};
use crate::store::{generation_name, part_name, relocation_name, segment_name};

/// What verify found.
#[derive(Debug, Default)]
pub struct Verified {
    /// Generations that were looked at: number, and whether all of it is good.
    pub generations: BTreeMap<u32, bool>,
    /// Everything that is not as it must be.
    pub damage: Vec<Damage>,
    /// Objects that no generation needs: left by interrupted pushes, or put there by others.
    pub unneeded: Vec<String>,
    /// Objects with names that nothing here would give.
    pub foreign: Vec<String>,
    /// Bytes read.
    pub read: u64,
    /// Pages and chunks whose tag and id were checked; none without the restore key.
    pub opened: u64,
    /// Wall time.
    pub took: Duration,
}

/// What the generations need, as far as it could be found out.
#[derive(Default)]
struct Needs {
    /// Objects by name.
    names: HashSet<String>,
    /// Parts that were read, and which of them are bad.
    parts: HashSet<Hash>,
    bad_parts: HashSet<Hash>,
    /// Slots of the generations to be verified.
    marks: Marks,
    /// The segments of each.
    uses: BTreeMap<u32, Vec<SegmentRef>>,
}

impl Needs {
    /// Reads the map of a generation; all there is to verify of it is noted if it is `wanted`.
    fn generation(
        &mut self,
        repository: &Repository,
        relocations: &Relocations,
        manifest: &Manifest,
        wanted: bool,
        verified: &mut Verified,
    ) -> Result<(), Error> {
        self.names.insert(generation_name(manifest.number));
        // each part for itself: one that is bad must not hide another
        let mut whole = true;
        for part in manifest.layers.iter().flat_map(|layer| &layer.parts) {
            self.names.insert(part_name(&part.hash));
            if !self.parts.insert(part.hash) {
                whole &= !self.bad_parts.contains(&part.hash);
            } else if taken(get_part(repository, part), &mut verified.damage)?.is_none() {
                self.bad_parts.insert(part.hash);
                whole = false;
            }
        }
        let mut own = Marks::default();
        let done = own.generation(repository, relocations, manifest);
        let good = taken(done, &mut verified.damage)?.is_some() && whole;
        self.names.extend(own.0.keys().map(|segment| segment_name(&segment.hash)));
        if wanted {
            verified.generations.insert(manifest.number, good);
            self.uses.insert(manifest.number, own.0.keys().copied().collect());
            for (segment, bits) in own.0 {
                for slot in (0..bits.len() * 64).filter(|slot| marked(&bits, *slot)) {
                    self.marks.mark(segment, slot as u32);
                }
            }
        }
        Ok(())
    }
}

/// Reads and checks the given generation, or all. Without a reader: names, sizes, structure and
/// signatures.
pub fn verify(
    repository: &Repository,
    reader: Option<&Reader>,
    only: Option<u32>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Verified, Error> {
    let begin = Instant::now();
    let (mut verified, mut needs) = (Verified::default(), Needs::default());
    let relocations =
        taken(Relocations::newest(repository), &mut verified.damage)?.unwrap_or_default();
    for read in repository.generations()? {
        let Some(manifest) = taken(read, &mut verified.damage)? else { continue };
        let wanted = only.is_none_or(|only| only == manifest.number);
        needs.generation(repository, &relocations, &manifest, wanted, &mut verified)?;
    }
    if let Some(only) = only
        && !verified.generations.contains_key(&only)
        && verified.damage.is_empty()
    {
        return Err(Error::Request(format!("there is no generation {only}")));
    }
    let bad = segments(repository, reader, &needs.marks, &mut verified, progress)?;
    for (number, segments) in &needs.uses {
        if segments.iter().any(|segment| bad.contains(segment))
            && let Some(good) = verified.generations.get_mut(number)
        {
            *good = false;
        }
    }
    if let Some(reader) = reader {
        maps(repository, reader, &mut verified)?;
    }
    let mut needed = needs.names;
    needed.insert("config".to_owned());
    if relocations.number > 0 {
        needed.insert(relocation_name(relocations.number));
    }
    for object in repository.store.list(Some("drills"))? {
        taken(drill::get(repository, &object.name), &mut verified.damage)?;
        needed.insert(object.name);
    }
    strays(repository, &needed, &mut verified)?;
    verified.took = begin.elapsed();
    Ok(verified)
}

/// Objects that nothing needs.
fn strays(
    repository: &Repository,
    needed: &HashSet<String>,
    verified: &mut Verified,
) -> Result<(), Error> {
    let known = ["segments/", "maps/", "generations/", "relocations/", "drills/"];
    for object in repository.store.list(None)? {
        if needed.contains(&object.name) {
            continue;
        }
        let ours = known.iter().any(|folder| object.name.starts_with(folder));
        if ours { verified.unneeded.push(object.name) } else { verified.foreign.push(object.name) }
    }
    Ok(())
}

/// Damage is noted, other errors end it.
pub(crate) fn taken<T>(
    read: Result<T, Error>,
    damage: &mut Vec<Damage>,
) -> Result<Option<T>, Error> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(Error::Damage(found)) => {
            if !damage.contains(&found) {
                damage.push(found);
            }
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

/// Reads every marked segment whole. Returns the bad ones.
fn segments(
    repository: &Repository,
    reader: Option<&Reader>,
    marks: &Marks,
    verified: &mut Verified,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<HashSet<SegmentRef>, Error> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
    let found = Mutex::new((Vec::new(), HashSet::new(), 0_u64, 0_u64));
    let failed = std::thread::scope(|scope| {
        let (send, jobs) = bounded::<(SegmentRef, &Vec<u64>)>(threads);
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let (jobs, found) = (jobs.clone(), &found);
                scope.spawn(move || -> Result<(), Error> {
                    for (segment, bits) in jobs {
                        let mut damage = Vec::new();
                        let opened = one(repository, reader, segment, Some(bits), &mut damage);
                        let opened = taken(opened, &mut damage)?;
                        let mut found =
                            found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        if !damage.is_empty() {
                            found.1.insert(segment);
                        }
                        found.0.append(&mut damage);
                        found.2 += u64::from(segment.bytes);
                        found.3 += opened.unwrap_or(0);
                        progress(found.2);
                    }
                    Ok(())
                })
            })
            .collect();
        drop(jobs);
        for (segment, bits) in &marks.0 {
            if send.send((*segment, bits)).is_err() {
                break; // every worker failed: their errors tell
            }
        }
        drop(send);
        let ends = workers.into_iter().map(|worker| {
            worker.join().map_err(|_| Error::Request("a worker panicked".to_owned()))?
        });
        ends.fold(Ok(()), Result::and)
    });
    failed?;
    let (mut damage, bad, read, opened) =
        found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    damage.sort_by(|a: &Damage, b: &Damage| (&a.object, a.offset).cmp(&(&b.object, b.offset)));
    verified.damage.append(&mut damage);
    (verified.read, verified.opened) = (read, opened);
    Ok(bad)
}

/// Reads a segment whole and checks it; `bits` are the slots that generations need, if known.
pub(crate) fn one(
    repository: &Repository,
    reader: Option<&Reader>,
    segment: SegmentRef,
    bits: Option<&[u64]>,
    damage: &mut Vec<Damage>,
) -> Result<u64, Error> {
    let name = segment_name(&segment.hash);
    let id = &repository.config.repository;
    // even if the name is wrong, which slots are bad is worth knowing
    let bytes = match get_whole(&repository.store, &name, &segment.hash, segment.bytes) {
        Err(Error::Damage(found)) => {
            let wrong = found.clone();
            damage.push(found);
            if !wrong.expected.starts_with("bytes whose") {
                return Ok(0);
            }
            let most = u64::from(segment.bytes);
            repository.store.get(&name, most)?.unwrap_or_default()
        }
        read => read?,
    };
    let table = Table::of_segment(&name, id, &bytes)?;
    let keys = match reader {
        Some(reader) => reader.data_keys(&name, &table)?,
        None => return Ok(0),
    };
    let mut opened = 0;
    let (mut stored, mut plain) = (Vec::new(), Vec::new());
    let reader = reader.ok_or_else(|| Error::Key("reading needs restore.key".to_owned()))?;
    for (number, slot) in table.slots.iter().enumerate() {
        let from = slot.offset as usize;
        stored.clear();
        stored.extend_from_slice(&bytes[from..from + slot.stored as usize]);
        let key = &keys[usize::from(slot.key)];
        if let Err(bad) = key.open(*id, &reader.id_key.0, slot, &mut stored, &mut plain) {
            let expected = format!("{} (slot {number}, id {})", bad.expected(), slot.id);
            let found = if bits.is_none_or(|bits| marked(bits, number)) {
                "other bytes"
            } else {
                "other bytes; no generation needs them"
            };
            taken::<()>(Err(Error::damage(&name, from as u64, expected, found)), damage)?;
        }
        opened += 1;
    }
    let slots = table.slots.len();
    let bits = bits.unwrap_or_default();
    if let Some(beyond) = (slots..bits.len() * 64).find(|slot| marked(bits, *slot)) {
        return Err(Error::damage(
            name,
            table.offset,
            format!("slot {beyond}"),
            format!("{slots} slots"),
        ));
    }
    Ok(opened)
}

/// Every entry of every map leads to a slot with its id; catalogs can be read.
fn maps(repository: &Repository, reader: &Reader, verified: &mut Verified) -> Result<(), Error> {
    let Some(slots) = taken(Slots::open(repository, reader), &mut verified.damage)? else {
        return Ok(());
    };
    let numbers: Vec<_> =
        verified.generations.iter().filter(|(_, good)| **good).map(|g| *g.0).collect();
    for number in numbers {
        let done = generation(&slots, number);
        let good = taken(done, &mut verified.damage)?.is_some();
        verified.generations.insert(number, good);
    }
    Ok(())
}

fn generation(slots: &Slots<'_>, number: u32) -> Result<(), Error> {
    let manifest = Manifest::get(slots.repository, number)?;
    let mut layers = Layers::open(slots.repository, &manifest)?;
    for file in layers.files() {
        let mut entries = layers.merged(&file)?;
        while let Some(entry) = entries.next()? {
            let Some(place) = entry.place else { continue };
            let (segment, slot) = slots.relocations.find(place.segment, place.slot);
            let table = slots.table(segment)?;
            let found = table.table.slots.get(slot as usize).map(|slot| slot.id);
            if found != Some(place.id) {
                let name = segment_name(&segment.hash);
                let expected = format!("slot {slot} with id {}", place.id);
                return Err(Error::damage(
                    name,
                    table.table.offset,
                    expected,
                    format!("{found:?}"),
                ));
            }
        }
    }
    slots.catalog(&mut layers, number, |_| Ok(()))
}
