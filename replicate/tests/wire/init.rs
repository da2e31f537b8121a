//! Repositories made over the network.

use std::fs;
use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Mutex;

use replicate::wire::{Halves, Joined, Message, Role, connect};
use replicate::{Draft, Repository};
use testkit::noise;
use testkit::place::kills;
use testkit::way::Way;

use crate::place::{PAGE, Place, Thief, all, options, restored, segment_name};

#[test]
fn only_who_is_enrolled_for_it_makes_the_repository_and_only_once() {
    let (place, draft) = Place::awaiting();
    let folder = place.path("repo");
    let config = draft.text().as_bytes();
    // other roles are let in, and told that there is nothing yet
    for role in [Role::Source, Role::Restore, Role::Prune] {
        let why = place.open(&place.join(&role.to_string(), role)).unwrap_err().to_string();
        assert!(why.contains("no repository here yet"), "{role}: {why}");
    }
    let maker = place.join("web1", Role::Init);
    let why = place.peers.enrol("web2", Role::Init, 60).unwrap_err().to_string();
    assert!(why.contains("web1 is to make the repository already"), "{why}");
    let why = place.open(&maker).unwrap_err().to_string();
    assert!(why.contains("has no config"), "{why}");
    // the role gives a config of the awaited id, and nothing else
    let mut thief = Thief::new(&place, &maker);
    let (other, _) = Draft::new(&options(), None, "there").unwrap();
    let segment = segment_name(b"x");
    for (name, bytes) in [
        ("config", &b"{}"[..]),
        ("config", other.text().as_bytes()),
        ("config", &config[..config.len() - 1]),
        ("config", &noise(1, 65_537)),
        (&segment, b"x"),
        ("generations/00000001", b"x"),
        ("awaited", b"x"),
        ("../config", b"x"),
    ] {
        let heard = thief.put(name, bytes);
        assert!(heard.starts_with("Refused"), "{name}: {heard}");
    }
    for asked in [
        Message::Delete { name: "config" },
        Message::List { folder: "" },
        Message::Sweep { grace: 0 },
        Message::Get { most: 1, name: &segment },
        Message::Range { from: 0, to: 1, name: "config" },
    ] {
        let heard = thief.ask(&asked);
        assert!(heard.starts_with("Refused"), "{asked:?}: {heard}");
    }
    assert!(!folder.join("config").exists());
    assert_eq!(all(&folder).len(), 1, "the mark, and nothing that was staged");
    let heard = thief.put("config", config);
    assert!(heard.starts_with("Done { one: 1,"), "{heard}");
    assert_eq!(all(&folder).into_values().collect::<Vec<_>>(), [config.to_vec()]);
    // not again: not in this session, not in another, not by another role, not by a new code
    assert!(thief.put("config", config).starts_with("Refused"));
    drop(thief);
    place.settle();
    let listed = place.peers.list().unwrap();
    let role = |name: &str| listed.iter().find(|peer| peer.name == name).unwrap().role;
    assert_eq!(role("web1"), Role::Source, "the role is used up");
    for name in ["keeper", "pruner", "pusher"] {
        let role = match name {
            "keeper" => Role::Restore,
            "pruner" => Role::Prune,
            _ => Role::Source,
        };
        let mut other = Thief::new(&place, &place.join(name, role));
        assert!(other.put("config", other_text(&draft).as_bytes()).starts_with("Refused"));
    }
    let late = place.peers.enrol("late", Role::Init, 60).unwrap();
    let why = Joined::join(&late, || place.stream()()).unwrap_err().to_string();
    assert!(why.contains("it is made"), "{why}");
    let mut again = Thief::new(&place, &maker);
    assert!(again.put("config", config).starts_with("Refused"));
    drop(again);
    assert_eq!(fs::read(folder.join("config")).unwrap(), config);

    // the maker is a source, the keys are those of the draft
    let image = place.path("disk.img");
    fs::write(&image, noise(1, 50 * PAGE)).unwrap();
    let source = place.open(&maker).unwrap();
    place.push(&source, std::slice::from_ref(&image)).unwrap();
    let denied = source.store.range(&segment_of(&folder), 0, 1).unwrap_err().to_string();
    assert!(denied.contains("the role source may not read"), "{denied}");
    let direct = Repository::open(&folder).unwrap();
    place.good(&direct);
    assert!(restored(&direct, &place.keys.restore, &place.path("out")) == noise(1, 50 * PAGE));
}

/// A config of the same repository that is another.
fn other_text(draft: &Draft) -> String {
    let (other, _) = Draft::new(&options(), Some(*draft.repository()), "there").unwrap();
    other.text().to_owned()
}

fn segment_of(folder: &Path) -> String {
    let segments = all(&folder.join("segments"));
    let first = segments.keys().next().unwrap();
    first.strip_prefix(folder).unwrap().to_str().unwrap().to_owned()
}

#[test]
fn an_init_cut_anywhere_leaves_nothing_or_what_a_second_try_completes() {
    let mut made = 0;
    for round in 0..kills() {
        let (place, draft) = Place::awaiting();
        let maker = place.join("web1", Role::Init);
        // the handshake takes some 1,300 bytes both ways, the whole some 3,000
        let at = round * 3200 / kills();
        let address = Way::new(place.address.clone(), vec![at]).address;
        let once = Mutex::new(Some(()));
        let stream = move || {
            let again = || io::Error::new(io::ErrorKind::PermissionDenied, "cut");
            once.lock().unwrap().take().ok_or_else(again)?;
            Halves::tcp(TcpStream::connect(&address)?)
        };
        let tried = connect("the server", maker.clone(), stream)
            .and_then(|store| draft.make(store, "the server"));
        drop(tried);
        place.settle();
        let config = place.path("repo/config");
        if config.exists() {
            made += 1;
            assert_eq!(fs::read(&config).unwrap(), draft.text().as_bytes(), "cut at {at}");
        } else {
            assert_eq!(all(&place.path("repo")).len(), 1, "the mark alone: cut at {at}");
        }
        let store = connect("the server", maker.clone(), place.stream()).unwrap();
        draft.make(store, "the server").unwrap_or_else(|e| panic!("cut at {at}: {e}"));
        assert!(place.open(&maker).is_ok());
        let (other, _) = Draft::new(&options(), Some(*draft.repository()), "there").unwrap();
        let store = connect("the server", maker.clone(), place.stream()).unwrap();
        assert!(other.make(store, "the server").is_err(), "another is not made over it");
    }
    assert!(made > 0 && made < kills(), "cut before and behind the moment: {made}");
}
