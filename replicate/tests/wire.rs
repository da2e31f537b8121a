//! A repository behind a server: over TLS on loopback, and what the server refuses.
#![allow(clippy::unwrap_used)] // helpers of tests, outside of #[test]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use replicate::keys::Key;
use replicate::push::{Options, Report, push};
use replicate::wire::{
    Decoder, Halves, Joined, Limits, Message, PIECE, Peers, Role, Service, Session, VERSION,
    connect, secure,
};
use replicate::{Error, Hash, InitOptions, NewKeys, Repository, Retention, prune, restore, verify};
use testkit::noise;

const PAGE: usize = 16 << 10;

/// A repository with a server in front of it, on a port of loopback.
struct Place {
    dir: tempfile::TempDir,
    keys: NewKeys,
    service: Arc<Service>,
    peers: Arc<Peers>,
    address: String,
    sessions: Arc<Mutex<Vec<Session>>>,
    open: Arc<AtomicUsize>,
    accepting: Option<JoinHandle<()>>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = InitOptions { segment: 256 << 10, base_every: 4, ..InitOptions::default() };
        let keys = Repository::init(&dir.path().join("repo"), &options, |_| Ok(())).unwrap();
        let repository = Repository::open(&dir.path().join("repo")).unwrap();
        let service = Arc::new(Service::new(repository, Limits::default()).unwrap());
        let peers = Arc::new(Peers::open(&dir.path().join("serve")).unwrap());
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let sessions: Arc<Mutex<Vec<Session>>> = Arc::default();
        let open = Arc::new(AtomicUsize::new(0));
        let (serving, known, told, count) =
            (Arc::clone(&service), Arc::clone(&peers), Arc::clone(&sessions), Arc::clone(&open));
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.stopped() {
                    return;
                }
                let (serving, known) = (Arc::clone(&serving), Arc::clone(&known));
                let (told, count) = (Arc::clone(&told), Arc::clone(&count));
                count.fetch_add(1, Ordering::SeqCst);
                let halves = Halves::tcp(stream.unwrap()).unwrap();
                std::thread::spawn(move || {
                    let session = serving.tls(halves, &known);
                    told.lock().unwrap().push(session);
                    count.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        let accepting = Some(accepting);
        Self { dir, keys, service, peers, address, sessions, open, accepting }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn stream(&self) -> impl Fn() -> io::Result<Halves> + Send + Sync + 'static {
        let address = self.address.clone();
        move || Halves::tcp(TcpStream::connect(&address)?)
    }

    fn join(&self, name: &str, role: Role) -> Joined {
        let code = self.peers.enrol(name, role, 60).unwrap();
        Joined::join(&code, || self.stream()()).unwrap()
    }

    fn open(&self, joined: &Joined) -> Result<Repository, Error> {
        let store = connect("the server", joined.clone(), self.stream())?;
        Repository::in_store(store, "the server")
    }

    fn push(&self, repository: &Repository, paths: &[PathBuf]) -> Result<Report, Error> {
        let writer = repository.writer(&self.keys.source)?;
        let options = Options {
            paths: paths.to_vec(),
            state: self.path("state"),
            trust_stat: Vec::new(),
            full_hash_every: 0,
            snapshot: false,
            threads: 2,
            ..Options::default()
        };
        push(repository, &writer, &options, &mut |_| {})
    }

    /// Waits until every session has ended.
    fn settle(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.open.load(Ordering::SeqCst) > 0 {
            assert!(Instant::now() < deadline, "a session does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn good(&self, repository: &Repository) {
        let reader = repository.reader(Some(&self.keys.restore)).unwrap();
        let found = verify(repository, Some(&reader), None, &|_| {}).unwrap();
        assert!(found.damage.is_empty(), "{:?}", found.damage);
        assert!(found.generations.values().all(|good| *good));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.service.stop();
        let _ = TcpStream::connect(&self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn restored(repository: &Repository, key: &Key, to: &Path) -> Vec<u8> {
    let reader = repository.reader(Some(key)).unwrap();
    let newest = repository.generations().unwrap().pop().unwrap().unwrap();
    restore(repository, &reader, &newest, to, &[], &|_| {}).unwrap();
    fs::read(to.join("disk.img")).unwrap()
}

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

/// A source whose key was stolen: speaks the protocol as it likes.
struct Thief {
    halves: Halves,
    decoder: Decoder,
    next: u32,
}

impl Thief {
    fn new(place: &Place, joined: &Joined) -> Self {
        let halves = secure(place.stream()().unwrap(), joined).unwrap();
        let mut thief = Self { halves, decoder: Decoder::default(), next: 1 };
        thief.say(0, &Message::Hello { version: VERSION });
        let (_, welcome) = thief.hear().unwrap();
        assert!(welcome.starts_with("Welcome"), "{welcome}");
        thief
    }

    fn say(&mut self, id: u32, message: &Message<'_>) {
        let mut frame = Vec::new();
        message.encode(id, &mut frame);
        let _ = self.halves.write.write_all(&frame).and_then(|()| self.halves.write.flush());
    }

    /// The next frame, in words; `None`: the server hung up.
    fn hear(&mut self) -> Option<(u32, String)> {
        loop {
            match self.decoder.poll() {
                Ok(Some((id, message))) => return Some((id, format!("{message:?}"))),
                Ok(None) => {}
                Err(e) => panic!("{e}"),
            }
            match self.halves.read.read(self.decoder.space()) {
                Ok(0) => return None,
                Ok(n) => self.decoder.filled(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }

    fn ask(&mut self, message: &Message<'_>) -> String {
        self.next += 1;
        self.say(self.next, message);
        let (id, heard) = self.hear().expect("an answer");
        assert_eq!(id, self.next, "{heard}");
        heard
    }

    fn put(&mut self, name: &str, bytes: &[u8]) -> String {
        self.next += 1;
        self.say(self.next, &Message::Put { size: bytes.len() as u64, name });
        for piece in bytes.chunks(PIECE) {
            self.say(self.next, &Message::Data(piece));
        }
        let (id, heard) = self.hear().expect("an answer");
        assert_eq!(id, self.next, "{heard}");
        heard
    }
}

/// Every file of a folder with its bytes.
fn all(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

fn segment_name(bytes: &[u8]) -> String {
    let hash = Hash::of(bytes).to_string();
    format!("segments/{}/{hash}", &hash[..2])
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
        assert!(heard.starts_with("Refused") || heard == "Done { one: 0, two: 0 }", "{heard}");
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

/// Passes bytes on until so many went by in both directions together, then cuts; the next
/// connection gets the next number.
fn cutting(to: String, cuts: Vec<u64>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut cuts = cuts.into_iter();
        for near in listener.incoming().map_while(Result::ok) {
            let left = Arc::new(AtomicI64::new(cuts.next().map_or(i64::MAX, |n| n as i64)));
            let Ok(far) = TcpStream::connect(&to) else { continue };
            for (mut from, mut into) in
                [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)]
            {
                let left = Arc::clone(&left);
                std::thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(n @ 1..) = from.read(&mut bytes) {
                        let before = left.fetch_sub(n as i64, Ordering::Relaxed);
                        let may = (before.max(0) as usize).min(n);
                        if into.write_all(&bytes[..may]).is_err() || may < n {
                            break;
                        }
                    }
                    let _ = from.shutdown(std::net::Shutdown::Both);
                    let _ = into.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    address
}

/// Moments to cut at: `FRAMEWALK_KILLS` for a long run.
fn cuts() -> u64 {
    std::env::var("FRAMEWALK_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(12)
}

#[test]
fn a_connection_cut_anywhere_costs_a_segment_at_most() {
    let place = Place::new();
    let joined = place.join("web1", Role::Source);
    let image = place.path("disk.img");
    let size = 1000 * PAGE as u64; // 16 MB: a segment is 1.6 %
    let mut past = 0;
    for round in 0..cuts() {
        fs::write(&image, noise(100 + round, size as usize)).unwrap();
        // the n-th connection is cut after so many bytes: early, in the middle, near the end
        let at = size * (round * 37 % 101) / 100 + round * 911;
        let address = cutting(place.address.clone(), vec![at]);
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
        assert!(received <= needed + size / 20, "cut at {at}: {received} bytes for {needed}");
        past += u64::from(at < size);
    }
    assert!(past * 2 > cuts(), "most are cut in the middle");
    place.good(&Repository::open(&place.path("repo")).unwrap());
}
