//! Drills on record: signed, of this repository, told apart by machine and key.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of #[test]

use std::fs;

use replicate::push::{Options, push};
use replicate::{
    Drill, InitOptions, Machine, Manifest, NewKeys, Repository, WithKey, compare, data_bytes,
    drills, record_drill, restore, verify,
};
use testkit::noise;

fn made(dir: &std::path::Path) -> (Repository, NewKeys, Manifest) {
    let options = InitOptions { encryption: true, segment: 128 << 10, base_every: 3 };
    let keys = Repository::init(&dir.join("repo"), &options, |_| Ok(())).unwrap();
    let repository = Repository::open(&dir.join("repo")).unwrap();
    fs::create_dir(dir.join("src")).unwrap();
    fs::write(dir.join("src/disk.img"), noise(1, 300_000)).unwrap();
    fs::write(dir.join("src/long.txt"), noise(2, 200_000)).unwrap();
    let options = Options {
        paths: vec![dir.join("src")],
        state: dir.join("state"),
        trust_stat: Vec::new(),
        full_hash_every: 86_400,
        snapshot: false,
        threads: 2,
        ..Options::default()
    };
    let writer = repository.writer(&keys.source).unwrap();
    let manifest = push(&repository, &writer, &options, &mut |_| {}).unwrap().manifest;
    (repository, keys, manifest)
}

#[test]
fn a_record_counts_only_from_elsewhere_with_the_sheet_and_signed_here() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (repository, keys, manifest) = made(dir.path());
    let reader = repository.reader(Some(&keys.restore)).unwrap();
    let mut drill = Drill::new(&repository, &reader, &manifest);
    assert_eq!(drill.elsewhere, Some(false), "this is the machine that pushed");
    let pushed = manifest.machine.unwrap();
    let far = Machine { id: [1; 8], boot: [2; 8] };
    assert!(far.is_other_than(&pushed));
    // a container has another machine-id, but the same kernel
    assert!(!Machine { id: [1; 8], boot: pushed.boot }.is_other_than(&pushed));
    drill.good = true;
    assert!(!drill.proves());
    drill.elsewhere = Some(true);
    assert!(!drill.proves(), "with the key file");
    drill.with = WithKey::Sheet;
    assert!(drill.proves());
    let text = drill.signed(&reader).unwrap();
    assert_eq!(record_drill(&repository, &text).unwrap(), drill);
    record_drill(&repository, &text).unwrap();
    let (good, bad) = drills(&repository).unwrap();
    assert_eq!((good, bad.len()), (vec![drill.clone()], 0), "twice is once");
    // changed, of another repository, or signed by who can only push
    let changed = text.replace("\"good\":true", "\"good\":null");
    assert!(record_drill(&repository, &changed).is_err());
    let (stranger, strange_keys, strange) = made(other.path());
    let strange_reader = stranger.reader(Some(&strange_keys.restore)).unwrap();
    let foreign = Drill::new(&stranger, &strange_reader, &strange).signed(&strange_reader).unwrap();
    assert!(record_drill(&repository, &foreign).is_err());
    assert!(record_drill(&repository, "framewalk drill 1\n").is_err());
    // whoever writes into the folder is named, and nothing is believed
    fs::write(dir.path().join("repo/drills").join("0".repeat(64)), foreign).unwrap();
    let (good, bad) = drills(&repository).unwrap();
    assert_eq!((good.len(), bad.len()), (1, 1));
    let found = verify(&repository, Some(&reader), None, &|_| {}).unwrap();
    assert!(found.damage.iter().any(|d| d.object.starts_with("drills/0")), "{found:?}");
    assert!(found.generations.values().all(|good| *good));
}

#[test]
fn what_was_restored_is_compared_to_the_last_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (repository, keys, manifest) = made(dir.path());
    let reader = repository.reader(Some(&keys.restore)).unwrap();
    let to = dir.path().join("out");
    restore(&repository, &reader, &manifest, &to, &[], &|_| {}).unwrap();
    let compared = || compare(&repository, &reader, &manifest, &to, &|_| {}).unwrap();
    let good = compared();
    assert_eq!((good.good, good.bad.len(), good.read), (2, 0, 500_000));
    let needed = data_bytes(&repository, &manifest).unwrap();
    assert!((500_000..600_000).contains(&needed), "{needed}");
    for (name, at) in [("src/disk.img", 299_999), ("src/long.txt", 0)] {
        let whole = fs::read(to.join(name)).unwrap();
        let mut bad = whole.clone();
        bad[at] ^= 1;
        fs::write(to.join(name), &bad).unwrap();
        assert_eq!(compared().bad[0].0.to_str(), Some(name));
        fs::write(to.join(name), &whole[1..]).unwrap();
        assert_eq!(compared().bad.len(), 1, "shorter");
        fs::remove_file(to.join(name)).unwrap();
        assert_eq!(compared().bad.len(), 1, "gone");
        fs::write(to.join(name), &whole).unwrap();
    }
    assert!(compared().bad.is_empty());
}

#[test]
fn scrubs_read_everything_in_turn_and_name_what_is_damaged() {
    use replicate::{Memory, scrub};
    let dir = tempfile::tempdir().unwrap();
    let (repository, keys, _) = made(dir.path());
    let reader = repository.reader(Some(&keys.restore)).unwrap();
    let mut memory = Memory::new();
    // one object at a time, however small the budget: all of them, each once
    let all = scrub(&repository, None, &mut Memory::new(), u64::MAX, &|_| {}).unwrap();
    assert!(all.objects > 4 && all.objects == all.all_objects && all.opened == 0, "{all:?}");
    for round in 1..=all.all_objects {
        let some = scrub(&repository, Some(&reader), &mut memory, 1, &|_| {}).unwrap();
        assert_eq!((some.objects, some.damage.len()), (1, 0));
        assert_eq!(some.never, all.all_objects - round);
        assert_eq!(some.oldest.is_some(), round == all.all_objects);
    }
    // the one that was read longest ago comes next
    let (name, _) = memory.iter().next_back().unwrap();
    let name = name.clone();
    memory.insert(name.clone(), 7);
    scrub(&repository, Some(&reader), &mut memory, 1, &|_| {}).unwrap();
    assert!(memory[&name] > 7);
    for folder in ["segments/", "maps/"] {
        let name = memory.keys().find(|name| name.starts_with(folder)).unwrap().clone();
        let path = dir.path().join("repo").join(&name);
        let good = fs::read(&path).unwrap();
        for with in [None, Some(&reader)] {
            let damaged = || {
                let found = scrub(&repository, with, &mut Memory::new(), u64::MAX, &|_| {});
                let found = found.unwrap();
                assert_eq!(found.hit, [1], "{found:?}");
                found.damage.iter().any(|damage| damage.object == name)
            };
            for at in [0, good.len() / 2, good.len() - 1] {
                let mut bad = good.clone();
                bad[at] ^= 4;
                fs::write(&path, bad).unwrap();
                assert!(damaged(), "{name} at {at}");
            }
            fs::write(&path, &good[..good.len() - 1]).unwrap();
            assert!(damaged(), "{name} cut");
            fs::remove_file(&path).unwrap();
            assert!(damaged(), "{name} gone");
            fs::write(&path, &good).unwrap();
        }
    }
    let found = scrub(&repository, Some(&reader), &mut memory, u64::MAX, &|_| {}).unwrap();
    assert!(found.damage.is_empty() && found.hit.is_empty() && found.opened > 20, "{found:?}");
}
