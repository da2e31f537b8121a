//! A server of the protocol on loopback, and peers of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use replicate::keys::Key;
use replicate::push::{Options, Report, push};
use replicate::wire::{
    Awaited, Decoder, Halves, Joined, Limits, Message, PIECE, Peers, Role, Service, Session,
    VERSION, connect, secure,
};
use replicate::{Draft, Error, Hash, InitOptions, NewKeys, Repository, restore, verify};

pub(crate) const PAGE: usize = 16 << 10;

/// A repository with a server in front of it, on a port of loopback.
pub(crate) struct Place {
    dir: tempfile::TempDir,
    pub(crate) keys: NewKeys,
    pub(crate) service: Arc<Service>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) address: String,
    pub(crate) sessions: Arc<Mutex<Vec<Session>>>,
    open: Arc<AtomicUsize>,
    accepting: Option<JoinHandle<()>>,
}

pub(crate) fn options() -> InitOptions {
    InitOptions { segment: 256 << 10, base_every: 4, ..InitOptions::default() }
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = Repository::init(&dir.path().join("repo"), &options(), |_| Ok(())).unwrap();
        let repository = Repository::open(&dir.path().join("repo")).unwrap();
        let service = Service::new(repository, Limits::default()).unwrap();
        Self::serving(dir, keys, service)
    }

    /// A folder that awaits a repository, with the config of one.
    pub(crate) fn awaiting() -> (Self, Draft) {
        let dir = tempfile::tempdir().unwrap();
        let awaited = Awaited::mark(&dir.path().join("repo")).unwrap();
        let (draft, keys) = Draft::new(&options(), Some(awaited.repository), "there").unwrap();
        let service = Service::awaiting(&awaited, Limits::default()).unwrap();
        (Self::serving(dir, keys, service), draft)
    }

    fn serving(dir: tempfile::TempDir, keys: NewKeys, service: Service) -> Self {
        let service = Arc::new(service);
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

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn stream(&self) -> impl Fn() -> io::Result<Halves> + Send + Sync + 'static {
        let address = self.address.clone();
        move || Halves::tcp(TcpStream::connect(&address)?)
    }

    pub(crate) fn join(&self, name: &str, role: Role) -> Joined {
        let code = self.peers.enrol(name, role, 60).unwrap();
        Joined::join(&code, || self.stream()()).unwrap()
    }

    pub(crate) fn open(&self, joined: &Joined) -> Result<Repository, Error> {
        let store = connect("the server", joined.clone(), self.stream())?;
        Repository::in_store(store, "the server")
    }

    pub(crate) fn push(&self, repository: &Repository, paths: &[PathBuf]) -> Result<Report, Error> {
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
    pub(crate) fn settle(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.open.load(Ordering::SeqCst) > 0 {
            assert!(Instant::now() < deadline, "a session does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn good(&self, repository: &Repository) {
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

pub(crate) fn restored(repository: &Repository, key: &Key, to: &Path) -> Vec<u8> {
    let reader = repository.reader(Some(key)).unwrap();
    let newest = repository.generations().unwrap().pop().unwrap().unwrap();
    restore(repository, &reader, &newest, to, &[], &|_| {}).unwrap();
    fs::read(to.join("disk.img")).unwrap()
}

/// A source whose key was stolen: speaks the protocol as it likes.
pub(crate) struct Thief {
    pub(crate) halves: Halves,
    decoder: Decoder,
    next: u32,
}

impl Thief {
    pub(crate) fn new(place: &Place, joined: &Joined) -> Self {
        let halves = secure(place.stream()().unwrap(), joined).unwrap();
        let mut thief = Self { halves, decoder: Decoder::default(), next: 1 };
        thief.say(0, &Message::Hello { version: VERSION });
        let (_, welcome) = thief.hear().unwrap();
        assert!(welcome.starts_with("Welcome"), "{welcome}");
        thief
    }

    pub(crate) fn say(&mut self, id: u32, message: &Message<'_>) {
        let mut frame = Vec::new();
        message.encode(id, &mut frame);
        let _ = self.halves.write.write_all(&frame).and_then(|()| self.halves.write.flush());
    }

    /// The next frame, in words; `None`: the server hung up.
    pub(crate) fn hear(&mut self) -> Option<(u32, String)> {
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

    pub(crate) fn ask(&mut self, message: &Message<'_>) -> String {
        self.next += 1;
        self.say(self.next, message);
        let (id, heard) = self.hear().expect("an answer");
        assert_eq!(id, self.next, "{heard}");
        heard
    }

    pub(crate) fn put(&mut self, name: &str, bytes: &[u8]) -> String {
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
pub(crate) fn all(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
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

pub(crate) fn segment_name(bytes: &[u8]) -> String {
    let hash = Hash::of(bytes).to_string();
    format!("segments/{}/{hash}", &hash[..2])
}
