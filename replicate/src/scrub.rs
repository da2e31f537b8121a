//! Scrub: so many bytes of what lies in the repository, what was read longest ago first.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::drill;
use crate::error::{Damage, Error};
use crate::generation::Manifest;
use crate::hash::{Hash, unhex};
use crate::part::{Part, SegmentRef};
use crate::read::Marks;
use crate::relocation::Relocations;
use crate::repository::{OBJECT_BYTES_MAX, Reader, Repository};
use crate::store::{Store, part_name, segment_name};
use crate::verify::{one, taken};

/// What a scrub found.
#[derive(Debug, Default)]
pub struct Scrubbed {
    /// Segments and parts read, and their bytes.
    pub objects: u64,
    /// Their bytes.
    pub read: u64,
    /// Segments and parts that there are.
    pub all_objects: u64,
    /// Their bytes.
    pub all_bytes: u64,
    /// Of all, how many were never read by a scrub that is remembered.
    pub never: u64,
    /// When the one that was read longest ago was, seconds since 1970, unless some never were.
    pub oldest: Option<i64>,
    /// Pages and chunks whose tag and id were checked; none without the restore key.
    pub opened: u64,
    /// Everything that is not as it must be.
    pub damage: Vec<Damage>,
    /// Generations that need something damaged.
    pub hit: Vec<u32>,
    /// Wall time.
    pub took: Duration,
}

/// When each object was read and found good, by name: kept between runs.
pub type Memory = BTreeMap<String, i64>;

/// Reads every manifest and drill, and of segments and parts what was read longest ago, up to
/// `budget` bytes, one object at least. Without a reader: names, structure and signatures.
pub fn scrub(
    repository: &Repository,
    reader: Option<&Reader>,
    memory: &mut Memory,
    budget: u64,
    progress: &dyn Fn(u64),
) -> Result<Scrubbed, Error> {
    let begin = Instant::now();
    let mut scrubbed = Scrubbed::default();
    let damage = &mut scrubbed.damage;
    let relocations = taken(Relocations::newest(repository), damage)?.unwrap_or_default();
    let sizes = sizes(repository, damage)?;
    scrubbed.all_objects = sizes.len() as u64;
    scrubbed.all_bytes = sizes.values().sum();
    memory.retain(|name, _| sizes.contains_key(name));
    let queue = sizes.keys().map(|name| (memory.get(name).copied(), name.clone()));
    // none before some: what was never read comes first
    let queue: BTreeSet<_> = queue.collect();
    let mut manifests = Vec::new();
    for read in repository.generations()? {
        manifests.extend(taken(read, damage)?);
    }
    for part in manifests.iter().flat_map(|m| &m.layers).flat_map(|layer| &layer.parts) {
        let name = part_name(&part.hash);
        there(&repository.store, &sizes, &name, u64::from(part.bytes), damage)?;
    }
    let mut bad: HashSet<String> = HashSet::new();
    for (_, name) in &queue {
        let bytes = sizes[name];
        if scrubbed.objects > 0 && scrubbed.read + bytes > budget {
            break;
        }
        let mut found = Vec::new();
        let done = if name.starts_with("maps/") {
            part(repository, name, bytes, &relocations, &sizes, &mut found).map(|()| 0)
        } else {
            segment(repository, reader, name, bytes, &mut found)
        };
        scrubbed.opened += taken(done, &mut found)?.unwrap_or(0);
        if found.is_empty() {
            memory.insert(name.clone(), crate::push::now());
        } else {
            // looked at first again, and what it needs and has not is its damage too
            memory.remove(name);
            bad.insert(name.clone());
        }
        scrubbed.damage.extend(found);
        scrubbed.objects += 1;
        scrubbed.read += bytes;
        progress(scrubbed.read);
    }
    scrubbed.never = scrubbed.all_objects - memory.len() as u64;
    scrubbed.oldest = memory.values().min().copied().filter(|_| scrubbed.never == 0);
    if !scrubbed.damage.is_empty() {
        bad.extend(scrubbed.damage.iter().map(|damage| damage.object.clone()));
        scrubbed.hit = hit(repository, &relocations, &manifests, &bad)?;
    }
    scrubbed.took = begin.elapsed();
    Ok(scrubbed)
}

/// Segments and parts by name, with their bytes. Drills are read at once: they are small and few.
fn sizes(repository: &Repository, damage: &mut Vec<Damage>) -> Result<HashMap<String, u64>, Error> {
    let mut sizes = HashMap::new();
    for object in repository.store.list(None)? {
        match object.name.split('/').next().unwrap_or_default() {
            "drills" => {
                taken(drill::get(repository, &object.name), damage)?;
            }
            "segments" | "maps" => {
                sizes.insert(object.name, object.bytes);
            }
            _ => {}
        }
    }
    Ok(sizes)
}

/// An object that something needs must be there, of its size. One that was not listed may have
/// been put since.
fn there(
    store: &Store,
    sizes: &HashMap<String, u64>,
    name: &str,
    bytes: u64,
    damage: &mut Vec<Damage>,
) -> Result<(), Error> {
    let listed = sizes.get(name).copied();
    let found = match listed.map_or_else(|| store.size(name), |bytes| Ok(Some(bytes)))? {
        Some(found) if found == bytes => return Ok(()),
        Some(found) => format!("{found} bytes"),
        None => "none".to_owned(),
    };
    let expected = format!("an object of {bytes} bytes");
    let lack = Damage { object: name.to_owned(), offset: 0, expected, found };
    if !damage.contains(&lack) {
        damage.push(lack);
    }
    Ok(())
}

/// The hash that an object is named by.
fn named(name: &str) -> Result<Hash, Error> {
    let hash = name.rsplit('/').next().and_then(unhex).map(Hash);
    let expected = "a name that is a BLAKE3, in its folder";
    let hash = hash.ok_or_else(|| Error::damage(name, 0, expected, "another"))?;
    if name == segment_name(&hash) || name == part_name(&hash) {
        Ok(hash)
    } else {
        Err(Error::damage(name, 0, expected, "another"))
    }
}

fn segment(
    repository: &Repository,
    reader: Option<&Reader>,
    name: &str,
    bytes: u64,
    damage: &mut Vec<Damage>,
) -> Result<u64, Error> {
    let hash = named(name)?;
    let Ok(bytes) = u32::try_from(bytes) else {
        return Err(Error::damage(name, 0, "a segment of at most 4 GiB", bytes.to_string()));
    };
    one(repository, reader, SegmentRef { hash, bytes }, None, damage)
}

/// Reads a part; every segment that its entries lead to must be there.
fn part(
    repository: &Repository,
    name: &str,
    bytes: u64,
    relocations: &Relocations,
    sizes: &HashMap<String, u64>,
    damage: &mut Vec<Damage>,
) -> Result<(), Error> {
    let hash = named(name)?;
    let whole = repository.store.get(name, bytes.min(OBJECT_BYTES_MAX))?;
    let whole = whole.ok_or_else(|| Error::damage(name, 0, "an object", "none"))?;
    let found = Hash::of(&whole);
    if found != hash {
        let expected = format!("bytes whose BLAKE3 is {hash}");
        return Err(Error::damage(name, 0, expected, found.to_string()));
    }
    let part = Part::parse(name, &repository.config.repository, &whole)?;
    let mut seen = HashSet::new();
    for (section, at, entries) in &part.sections {
        let (mut at, mut before) = (*at, 0);
        for _ in 0..*entries {
            let (entry, next) = part.entry(section.kind, at, before)?;
            (at, before) = (next, entry.index);
            let Some(place) = entry.place else { continue };
            let (segment, _) = relocations.find(place.segment, place.slot);
            if seen.insert(segment.hash) {
                let (name, bytes) = (segment_name(&segment.hash), u64::from(segment.bytes));
                there(&repository.store, sizes, &name, bytes, damage)?;
            }
        }
    }
    Ok(())
}

/// The generations that need a bad object.
fn hit(
    repository: &Repository,
    relocations: &Relocations,
    manifests: &[Manifest],
    bad: &HashSet<String>,
) -> Result<Vec<u32>, Error> {
    let mut hit = Vec::new();
    for manifest in manifests {
        let mut parts = manifest.layers.iter().flat_map(|layer| &layer.parts);
        let mut marks = Marks::default();
        let is_hit = parts.any(|part| bad.contains(&part_name(&part.hash)))
            || match marks.generation(repository, relocations, manifest) {
                Ok(()) => marks.0.keys().any(|s| bad.contains(&segment_name(&s.hash))),
                Err(Error::Damage(_)) => true,
                Err(e) => return Err(e),
            };
        if is_hit {
            hit.push(manifest.number);
        }
    }
    Ok(hit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draft::InitOptions;

    #[test]
    fn what_came_after_the_listing_is_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        let options = InitOptions { encryption: false, ..InitOptions::default() };
        Repository::init(folder.path(), &options, |_| Ok(())).unwrap();
        let store = Store::directory(folder.path()).unwrap();
        store.put("maps/late", &bytes::Bytes::from_static(b"0123456789")).unwrap();
        let listed = HashMap::from([("maps/short".to_owned(), 9)]);
        let mut damage = Vec::new();
        there(&store, &listed, "maps/late", 10, &mut damage).unwrap();
        assert_eq!(damage, []);
        there(&store, &listed, "maps/none", 10, &mut damage).unwrap();
        there(&store, &listed, "maps/short", 10, &mut damage).unwrap();
        there(&store, &listed, "maps/none", 10, &mut damage).unwrap();
        let found: Vec<_> = damage.iter().map(|damage| &*damage.found).collect();
        assert_eq!(found, ["none", "9 bytes"]);
    }
}
