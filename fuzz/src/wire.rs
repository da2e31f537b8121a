//! Any bytes as what a peer of a backup server sends, and as what a client is answered.
//!
//! The first byte is the role, the second how the stream is cut into reads. With the third odd, a
//! hello is put in front, so that what follows are requests.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use replicate::wire::{Decoder, Halves, Limits, Message, Role, Service, VERSION};
use replicate::{InitOptions, Repository};

/// A repository that no input may change: what it was, and who serves it.
struct Served {
    service: Service,
    root: PathBuf,
    before: BTreeMap<PathBuf, Vec<u8>>,
}

fn served() -> &'static Served {
    static SERVED: OnceLock<Served> = OnceLock::new();
    SERVED.get_or_init(|| {
        let name = "framewalk-fuzz-wire-";
        for old in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
            let old_name = old.file_name().to_string_lossy().into_owned();
            let process = old_name.strip_prefix(name).and_then(|id| id.parse::<u32>().ok());
            if process.is_some_and(|id| !Path::new("/proc").join(id.to_string()).exists()) {
                let _ = fs::remove_dir_all(old.path()); // of a run that is over
            }
        }
        let root = std::env::temp_dir().join(format!("{name}{}", std::process::id())).join("repo");
        let _ = fs::remove_dir_all(&root);
        Repository::init(&root, &InitOptions::default(), |_| Ok(())).expect("a repository");
        fs::create_dir_all(root.join("generations")).expect("a folder");
        fs::write(root.join("generations/00000001"), b"kept").expect("an object");
        let repository = Repository::open(&root).expect("the repository");
        let service = Service::new(repository, Limits::default()).expect("a service");
        let before = all(&root);
        Served { service, root, before }
    })
}

fn all(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(all(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).expect("a file"));
        }
    }
    found
}

/// Gives its bytes in portions.
struct Dripping {
    bytes: io::Cursor<Vec<u8>>,
    portion: usize,
}

impl Read for Dripping {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = out.len().min(self.portion);
        self.bytes.read(&mut out[..most])
    }
}

/// Keeps what the server says.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic elsewhere").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Every message of the bytes reads the same after it was written again, however they are cut;
/// and a server does no more than the role may: nothing that is stored changes, only prune
/// removes, what it says are frames.
pub fn run(data: &[u8]) {
    let [role, portion, hello, bytes @ ..] = data else { return };
    let portion = usize::from(*portion) + 1;
    assert_eq!(messages(bytes, portion), messages(bytes, usize::MAX), "cut in other places");
    let role = [Role::Source, Role::Restore, Role::Prune][usize::from(*role) % 3];
    let mut stream = Vec::new();
    if hello & 1 == 1 {
        Message::Hello { version: VERSION }.encode(0, &mut stream);
    }
    stream.extend_from_slice(bytes);
    let served = served();
    let heard = Heard::default();
    let halves = Halves {
        read: Box::new(Dripping { bytes: io::Cursor::new(stream), portion }),
        write: Box::new(heard.clone()),
        close: Arc::new(|| {}),
        from: "the input".to_owned(),
    };
    let session = served.service.plain(halves, "peer", role);
    assert!(!session.ended.is_empty(), "a session ends for a reason");
    let said = heard.0.lock().expect("no panic elsewhere").clone();
    let (said, whole) = messages(&said, usize::MAX);
    assert!(whole, "the server says whole frames");
    assert!(said.iter().all(|frame| frame.1[8] >= 64 || frame.1[8] == 8), "and only answers");
    let after = all(&served.root);
    if role == Role::Prune {
        assert!(after.keys().all(|path| served.before.contains_key(path)), "nothing is added");
        for (path, bytes) in &served.before {
            if !after.contains_key(path) {
                fs::write(path, bytes).expect("put back for the next input");
            }
        }
    } else {
        assert_eq!(after, served.before, "nothing changed, nothing was left");
    }
}

/// The frames of a stream, each as written again, and whether it ended with a whole one.
fn messages(bytes: &[u8], portion: usize) -> (Vec<(u32, Vec<u8>)>, bool) {
    let mut decoder = Decoder::default();
    let mut rest = bytes;
    let mut found: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut used = 0;
    loop {
        match decoder.poll() {
            Ok(Some((request, message))) => {
                let mut frame = Vec::new();
                message.encode(request, &mut frame);
                assert_eq!(frame, bytes[used..used + frame.len()], "{message:?}");
                used += frame.len();
                found.push((request, frame));
                continue;
            }
            Ok(None) => {}
            Err(e) => {
                assert!(e.at as usize <= bytes.len(), "inside the stream");
                return (found, false);
            }
        }
        if rest.is_empty() {
            return (found, used == bytes.len());
        }
        let space = decoder.space();
        let taken = space.len().min(portion).min(rest.len());
        assert!(taken > 0, "there is room for a frame");
        space[..taken].copy_from_slice(&rest[..taken]);
        decoder.filled(taken);
        rest = &rest[taken..];
    }
}

/// Seeds: each kind of frame from each role, some whole conversations, and some that are cut.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let hash = "ab".repeat(32);
    let segment = format!("segments/ab/{hash}");
    let map = format!("maps/ab/{hash}");
    let requests: &[(&str, &[Message<'_>])] = &[
        ("get", &[Message::Get { most: 1 << 16, name: "config" }]),
        ("long", &[Message::Get { most: 1, name: "generations/00000001" }]),
        ("range", &[Message::Range { from: 1, to: 3, name: "generations/00000001" }]),
        ("beyond", &[Message::Range { from: 9, to: 1, name: "generations/00000001" }]),
        ("size", &[Message::Size { name: &segment }, Message::Ping, Message::Bye]),
        ("list", &[Message::List { folder: "" }, Message::List { folder: "../" }]),
        (
            "put-segment",
            &[
                Message::Put { size: 9, name: &segment },
                Message::Data(b"FWSEG"),
                Message::Data(b"more"),
            ],
        ),
        ("put-map", &[Message::Put { size: 5, name: &map }, Message::Data(b"FWMAP")]),
        (
            "put-manifest",
            &[
                Message::Put { size: 23, name: "generations/00000002" },
                Message::Data(b"framewalk generation 1\n"),
            ],
        ),
        (
            "put-again",
            &[Message::Put { size: 1, name: "generations/00000001" }, Message::Data(b"x")],
        ),
        (
            "put-table",
            &[
                Message::Put { size: 23, name: "relocations/00000001" },
                Message::Data(b"framewalk relocation 1\n"),
            ],
        ),
        ("put-more", &[Message::Put { size: 2, name: &map }, Message::Data(b"more than two")]),
        ("put-outside", &[Message::Put { size: 1, name: "../x" }, Message::Data(b"x")]),
        (
            "delete",
            &[Message::Delete { name: "generations/00000001" }, Message::Delete { name: "config" }],
        ),
        ("sweep", &[Message::Sweep { grace: 0 }, Message::Sweep { grace: i64::MIN }]),
        ("unasked", &[Message::Data(b"of no put")]),
        (
            "answers",
            &[
                Message::Done { one: 1, two: 2 },
                Message::Absent,
                Message::Pong,
                Message::Long { size: 3 },
                Message::Refused { why: "no" },
                Message::Failed { why: "disk" },
            ],
        ),
        ("hello", &[Message::Hello { version: 1 }, Message::Hello { version: 2 }]),
        ("join", &[Message::Join { secret: [7; 16] }]),
        ("welcome", &[Message::Welcome { version: 1, role: 1, repository: [1; 16], peer: "p" }]),
    ];
    let mut seeds = Vec::new();
    for (name, messages) in requests {
        for (role, word) in ["source", "restore", "prune"].iter().enumerate() {
            let mut seed = vec![role as u8, 255, 1];
            for message in *messages {
                message.encode(7, &mut seed);
            }
            if role == 1 {
                seed[1] = 2; // in drips
            }
            seeds.push((format!("{name}-{word}"), seed.clone()));
            if role == 0 {
                seed.truncate(seed.len() - 1);
                seeds.push((format!("{name}-cut"), seed));
            }
        }
    }
    seeds
}
