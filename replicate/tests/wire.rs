//! A repository behind a server: over TLS on loopback, and what the server refuses.
#![allow(clippy::unwrap_used)] // helpers of tests, outside of #[test]

#[path = "wire/init.rs"]
mod init;
#[path = "wire/place.rs"]
mod place;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use place::{PAGE, Place, Thief, all, restored, segment_name};
use replicate::keys::Key;
use replicate::wire::{Halves, Joined, Message, Role, connect, secure};
use replicate::{Repository, Retention, prune, verify};
use testkit::noise;
use testkit::place::kills;
use testkit::way::Way;

#[test]
fn all_of_it_over_tls() {
    let place = Place::new();
    let image = place.path("disk.img");
    let (source, reads) = (place.join("web1", Role::Source), place.join("safe", Role::Restore));
    let prunes = place.join("keeper", Role::Prune);
    assert_eq!((source.role, &*source.peer), (Role::Source, "web1"));
    let mut bytes = noise(1, 300 * PAGE);
    for round in 0..6 {
        bytes[round * 40 * PAGE..(round * 40 + 20) * PAGE]
            .copy_from_slice(&noise(round as u64 + 2, 20 * PAGE));
        fs::write(&image, &bytes).unwrap();
        let repository = place.open(&source).unwrap();
        let report = place.push(&repository, std::slice::from_ref(&image)).unwrap();
        assert_eq!((report.manifest.number, report.anew), (round as u32 + 1, None));
        assert!(report.sent > 20 * PAGE as u64, "counted: {}", report.sent);
    }
    let repository = place.open(&reads).unwrap();
    place.good(&repository);
    assert!(restored(&repository, &place.keys.restore, &place.path("out")) == bytes);
    let keep = Retention { last: 2, ..Retention::default() };
    let pruning = place.open(&prunes).unwrap();
    let pruned = prune(&pruning, &place.keys.prune, &keep, 0, false).unwrap();
    assert_eq!(pruned.kept, [5, 6]);
    assert!(pruned.deleted > 0 && pruned.compacted > 0, "{pruned:?}");
    place.good(&repository);
    place.good(&Repository::open(&place.path("repo")).unwrap());
    assert!(restored(&repository, &place.keys.restore, &place.path("again")) == bytes);
}

#[test]
fn a_stolen_source_key_changes_no_stored_generation() {
    let place = Place::new();
    let image = place.path("disk.img");
    fs::write(&image, noise(1, 100 * PAGE)).unwrap();
    let source = place.join("web1", Role::Source);
    let repository = place.open(&source).unwrap();
    let first = place.push(&repository, std::slice::from_ref(&image)).unwrap();
    fs::write(&image, noise(2, 100 * PAGE)).unwrap();
    place.push(&repository, &[image]).unwrap();
    drop(repository);
    let folder = place.path("repo");
    let before = all(&folder);
    let names: Vec<_> = before
        .keys()
        .map(|path| path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned())
        .collect();
    let mut thief = Thief::new(&place, &source);
    let mut refused = 0;
    let mut must_refuse = |heard: String, what: &str| {
        assert!(heard.starts_with("Refused"), "{what}: {heard}");
        refused += 1;
    };
    for name in &names {
        must_refuse(thief.ask(&Message::Delete { name }), name);
        let heard = thief.put(name, b"overwritten");
        let there = "Done { one: 0,";
        assert!(heard.starts_with("Refused") || heard.starts_with(there), "{heard}");
        if name.starts_with("segments") {
            must_refuse(thief.ask(&Message::Get { most: 1 << 30, name }), "reads a segment");
        }
    }
    must_refuse(thief.ask(&Message::Sweep { grace: 0 }), "sweep");
    for name in [
        "../outside",
        "segments/../../outside",
        "/etc/passwd",
        "config",
        "config2",
        "",
        ".",
        "generations/1",
        "generations/../config",
        "segments/ab/..",
        "peers.json",
    ] {
        must_refuse(thief.put(name, b"x"), name);
        must_refuse(thief.ask(&Message::Delete { name }), name);
    }
    must_refuse(thief.ask(&Message::List { folder: ".." }), "list ..");
    // relocations are prune's; the signature would be missing too
    must_refuse(thief.put("relocations/00000001", b"framewalk relocation 1\n"), "relocation");
    // bytes under a name that is not their hash; of no or of another repository
    let (real, other) = (noise(7, 5000), noise(8, 5000));
    must_refuse(thief.put(&segment_name(&real), &other), "other bytes");
    must_refuse(thief.put(&segment_name(&real), &real), "no segment");
    let huge = Message::Put { size: 1 << 40, name: &segment_name(&real) };
    must_refuse(thief.ask(&huge), "a tebibyte");
    drop(thief); // what it announced must not be waited for
    let mut thief = Thief::new(&place, &source);
    // forged manifests: an old one again, cut, changed, with the next number, signed by another
    let stored = fs::read(folder.join("generations/00000002")).unwrap();
    let text = String::from_utf8(stored.clone()).unwrap();
    for forged in [
        stored.clone(),
        stored[..stored.len() - 1].to_vec(),
        text.replace("\"number\":2", "\"number\":3").into_bytes(),
        b"framewalk generation 1\n".to_vec(),
        vec![0xff; 300],
    ] {
        must_refuse(thief.put("generations/00000003", &forged), "forged");
    }
    must_refuse(thief.put("generations/99999999", &stored), "out of order");
    drop(thief);
    // signed with the stolen key itself: the next number, but of a time to come, or of parts that
    // are not there, or a number out of order
    let Key::Source { sign, .. } = &place.keys.source else { panic!() };
    let sign: String = serde_json::from_value(serde_json::to_value(sign).unwrap()).unwrap();
    let secret: Vec<u8> =
        (0..32).map(|i| u8::from_str_radix(&sign[2 * i..2 * i + 2], 16).unwrap()).collect();
    let secret = ed25519_dalek::SigningKey::from_bytes(&secret.try_into().unwrap());
    let signed = |body: &str| {
        use ed25519_dalek::Signer;
        let title = "framewalk generation 1";
        let signature = secret.sign(format!("{title}\n{body}").as_bytes()).to_bytes();
        format!("{title}\n{}\n{body}", replicate::hex(&signature)).into_bytes()
    };
    let body = text.splitn(3, '\n').nth(2).unwrap();
    let with = |member: &str, value: serde_json::Value| {
        let mut manifest: serde_json::Value = serde_json::from_str(body).unwrap();
        manifest["number"] = 3.into();
        manifest[member] = value;
        signed(&manifest.to_string())
    };
    let mut thief = Thief::new(&place, &source);
    must_refuse(
        thief.put("generations/00000003", &with("finished", (1_i64 << 40).into())),
        "future",
    );
    must_refuse(
        thief.put("generations/00000003", &with("started", (1_i64 << 40).into())),
        "turned",
    );
    must_refuse(thief.put("generations/00000004", &with("number", 4.into())), "a gap");
    let nowhere = serde_json::json!([{"generation": 3, "parts": [
        {"hash": "ab".repeat(32), "bytes": 100, "entries": 1}]}]);
    must_refuse(thief.put("generations/00000003", &with("layers", nowhere)), "missing parts");
    drop(thief);
    assert!(refused > 50, "{refused}");
    place.settle(); // every session has ended
    assert_eq!(all(&folder), before, "not a byte differs, and nothing was left");
    let direct = Repository::open(&folder).unwrap();
    place.good(&direct);
    assert_eq!(first.manifest.number, 1);
    let told: u64 = place.sessions.lock().unwrap().iter().map(|s| s.refused).sum();
    assert!(told >= refused, "the sessions' reports count them: {told}");
}

#[test]
fn each_role_does_its_own() {
    let place = Place::new();
    let image = place.path("disk.img");
    fs::write(&image, noise(1, 30 * PAGE)).unwrap();
    let source = place.open(&place.join("web1", Role::Source)).unwrap();
    place.push(&source, std::slice::from_ref(&image)).unwrap();
    for role in [Role::Restore, Role::Prune] {
        let other = place.open(&place.join(&role.to_string(), role)).unwrap();
        fs::write(&image, noise(2, 30 * PAGE)).unwrap();
        let denied = place.push(&other, std::slice::from_ref(&image)).unwrap_err().to_string();
        assert!(denied.contains("may not put"), "{role}: {denied}");
    }
    let keep = Retention { last: 1, ..Retention::default() };
    let reads = place.open(&place.join("reads", Role::Restore)).unwrap();
    for repository in [&source, &reads] {
        place.push(&source, std::slice::from_ref(&image)).unwrap();
        let denied = prune(repository, &place.keys.prune, &keep, 0, false).unwrap_err();
        assert!(denied.to_string().contains("may not"), "{denied}");
    }
    let reader = source.reader(Some(&place.keys.restore)).unwrap();
    let denied = verify(&source, Some(&reader), None, &|_| {}).unwrap_err().to_string();
    assert!(denied.contains("may not read segments/"), "{denied}");
}

#[test]
fn unknown_keys_are_refused_on_both_sides() {
    let (place, elsewhere) = (Place::new(), Place::new());
    let joined = place.join("web1", Role::Source);
    // this server does not know the key of a peer of another one, and its own is another's
    let why = elsewhere.open(&joined).unwrap_err().to_string();
    assert!(why.contains("not known here"), "the client pins: {why}");
    place.peers.revoke("web1").unwrap();
    let why = place.open(&joined).unwrap_err().to_string();
    assert!(why.contains("not enrolled"), "the server refuses: {why}");
    // a code of another server: its secret is not even shown
    let code = elsewhere.peers.enrol("x", Role::Source, 60).unwrap();
    let why = Joined::join(&code, || place.stream()()).unwrap_err().to_string();
    assert!(why.contains("not known here"), "{why}");
    assert!(Joined::join(&code, || elsewhere.stream()()).is_ok());
    let why = Joined::join(&code, || elsewhere.stream()()).unwrap_err().to_string();
    assert!(why.contains("not enrolled") || why.contains("used"), "{why}");
    // with another code out, a used one is told apart
    let _out = elsewhere.peers.enrol("y", Role::Source, 60).unwrap();
    let why = Joined::join(&code, || elsewhere.stream()()).unwrap_err().to_string();
    assert!(why.contains("used already"), "{why}");
    let late = elsewhere.peers.enrol("late", Role::Source, 0).unwrap();
    let why = Joined::join(&late, || elsewhere.stream()()).unwrap_err().to_string();
    assert!(why.contains("expired"), "{why}");
    // and who speaks no TLS at all
    let mut stream = TcpStream::connect(&place.address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard);
    assert!(!heard.windows(6).any(|bytes| bytes == b"FWREPO"));
}

#[test]
fn a_revoked_peer_loses_its_open_session() {
    let place = Place::new();
    let joined = place.join("web1", Role::Source);
    let repository = place.open(&joined).unwrap();
    assert!(repository.store.list(None).is_ok());
    place.peers.revoke("web1").unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let why = loop {
        match repository.store.list(None) {
            Err(e) => break e.to_string(),
            Ok(_) => assert!(Instant::now() < deadline, "the session lives on"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(why.contains("revoked"), "{why}");
}

#[test]
fn hostile_bytes_cost_a_session_and_nothing_else() {
    let place = Place::new();
    let joined = place.join("web1", Role::Source);
    let image = place.path("disk.img");
    fs::write(&image, noise(1, 50 * PAGE)).unwrap();
    // one that stalls in the middle of a put, one that never says hello, one in the handshake
    let mut stalls = Thief::new(&place, &joined);
    stalls.say(9, &Message::Put { size: 100_000, name: &segment_name(b"x") });
    stalls.say(9, &Message::Data(&[0; 10]));
    let _silent = secure(place.stream()().unwrap(), &joined).unwrap();
    let _raw = TcpStream::connect(&place.address).unwrap();
    for bad in [
        &[0xff; 64][..],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0],
        b"\x06\0\0\0\x01\0\0\0\xeeA",
        b"\x09\0\0\0\x01\0\0\0\x08data",
    ] {
        let mut thief = Thief::new(&place, &joined);
        thief.halves.write.write_all(bad).unwrap();
        thief.halves.write.flush().unwrap();
        assert_eq!(thief.hear(), None, "the session ends");
    }
    let repository = place.open(&joined).unwrap();
    place.push(&repository, &[image]).unwrap();
    place.good(&Repository::open(&place.path("repo")).unwrap());
}

#[test]
fn a_connection_cut_anywhere_costs_a_segment_at_most() {
    let place = Place::new();
    let joined = place.join("web1", Role::Source);
    let image = place.path("disk.img");
    let size = 1000 * PAGE as u64; // 16 MB: a segment is 1.6 %
    let (mut past, mut most) = (0, 0);
    for round in 0..kills() {
        fs::write(&image, noise(100 + round, size as usize)).unwrap();
        // the n-th connection is cut after so many bytes: early, in the middle, near the end
        let at = size * (round * 37 % 101) / 100 + round * 911;
        let address = Way::new(place.address.clone(), vec![at]).address;
        let stream = move || Halves::tcp(TcpStream::connect(&address)?);
        let repository = loop {
            // one that is cut in its first handshake is tried again by who calls
            match connect("the server", joined.clone(), stream.clone()) {
                Ok(store) => break Repository::in_store(store, "the server").unwrap(),
                Err(e) => assert!(at < 10_000, "cut at {at}: {e}"),
            }
        };
        let report = place.push(&repository, std::slice::from_ref(&image)).unwrap();
        drop(repository);
        assert_eq!(report.manifest.number as u64, round + 1, "each is stored once");
        place.settle();
        let received: u64 = place.sessions.lock().unwrap().drain(..).map(|s| s.received).sum();
        let needed = report.sent + 10_000;
        most = most.max(received.saturating_sub(needed));
        assert!(received <= needed + size / 20, "cut at {at}: {received} bytes for {needed}");
        past += u64::from(at < size);
    }
    assert!(past * 2 > kills(), "most are cut in the middle");
    println!("kills: connections cut, at most {most} of {size} bytes were sent again");
    place.good(&Repository::open(&place.path("repo")).unwrap());
}
