//! What several test files need.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;

use capture::Damage;
use capture::format::{Parser, Step};
use skb::FrameMeta;

/// What a test prints that needs the reference captures and does not find them.
pub(crate) const SHARED_SKIPPED: &str = "SKIPPED: no ../shared beside the workspace";

/// The folder of reference captures, if there is one beside the workspace.
pub(crate) fn shared() -> Option<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent()?.parent()?.join("shared");
    dir.join("truth/SUMMARY.tsv").is_file().then_some(dir)
}

/// Every reference capture: name and bytes.
pub(crate) fn captures(dir: &std::path::Path) -> impl Iterator<Item = (String, Vec<u8>)> {
    let mut paths: Vec<_> =
        std::fs::read_dir(dir.join("pcaps")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().filter(|path| path.extension().is_some_and(|ext| ext != "tsv")).map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read(path).unwrap())
    })
}

/// What a whole file holds, and how it ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    pub frames: Vec<(FrameMeta, Vec<u8>)>,
    pub damage: Option<Damage>,
}

/// Parses `file` with never more than `piece` bytes beyond what the parser says it needs.
pub(crate) fn walk_in_pieces(file: &[u8], piece: usize) -> Walk {
    let mut parser = Parser::new();
    let mut walk = Walk { frames: Vec::new(), damage: None };
    let (mut at, mut have) = (0usize, piece.min(file.len()));
    walk.damage = loop {
        assert!(at <= have, "the parser went past what it was given");
        match parser.parse(&file[at..have]) {
            Ok(Step::Frame(frame)) => {
                assert!(frame.consumed > 0 && frame.data.end <= have - at);
                assert_eq!(frame.data.len(), frame.meta.caplen as usize);
                walk.frames.push((frame.meta, file[at..have][frame.data].to_vec()));
                at += frame.consumed;
            }
            Ok(Step::Other { consumed }) => {
                assert!(consumed > 0);
                at += consumed;
            }
            Ok(Step::Need(need)) => {
                assert!(need > have - at, "needs {need}, has {}", have - at);
                if have == file.len() {
                    break parser.finish(&file[at..have], 0).err();
                }
                have = (at + need.max(piece)).min(file.len());
            }
            Err(damage) => break Some(damage),
        }
        if at > file.len() {
            break parser.finish(&[], (at - file.len()) as u64).err();
        }
        have = have.max(at);
    };
    assert_eq!(parser.frames(), walk.frames.len() as u64);
    walk
}
