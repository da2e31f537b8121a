//! Cut and flipped captures: never a panic, never more memory than a frame, and every frame
//! before the damage.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test file as a whole")]

mod common;

use capture::format::{Parser, Step};
use capture::{Block, Error, Reader, Source};

use common::{SHARED_SKIPPED, captures, shared, walk_in_pieces};

/// Frames (number and length) and whether the file ended with an error, read frame by frame and
/// in blocks.
fn read(bytes: &[u8]) -> (Vec<(u64, u32)>, Option<Error>) {
    let one = read_frames(bytes);
    let many = read_blocks(bytes);
    assert_eq!(one.0, many.0);
    assert_eq!(format!("{:?}", one.1), format!("{:?}", many.1));
    one
}

fn read_blocks(bytes: &[u8]) -> (Vec<(u64, u32)>, Option<Error>) {
    let mut frames = Vec::new();
    let source = Source::from_bytes("test", bytes.to_vec()).expect("memory can be read");
    let mut reader = match Reader::new(source) {
        Ok(reader) => reader,
        Err(error) => return (frames, Some(error)),
    };
    let mut block = Block::default();
    loop {
        match reader.next_block(&mut block) {
            Ok(true) => {
                let batch = block.batch();
                let found = (0..batch.records().len()).filter_map(|at| batch.frame(at));
                frames.extend(found.map(|frame| (frame.meta.number, frame.meta.caplen)));
            }
            Ok(false) => return (frames, None),
            Err(error) => return (frames, Some(error)),
        }
    }
}

fn read_frames(bytes: &[u8]) -> (Vec<(u64, u32)>, Option<Error>) {
    let mut frames = Vec::new();
    let source = Source::from_bytes("test", bytes.to_vec()).expect("memory can be read");
    let mut reader = match Reader::new(source) {
        Ok(reader) => reader,
        Err(error) => return (frames, Some(error)),
    };
    loop {
        match reader.next() {
            Ok(Some(frame)) => frames.push((frame.meta.number, frame.meta.caplen)),
            Ok(None) => return (frames, None),
            Err(error) => {
                assert!(matches!(reader.next(), Ok(None)), "an error ends the file");
                return (frames, Some(error));
            }
        }
    }
}

/// Where the whole frames of an undamaged file end.
fn frame_ends(file: &[u8]) -> Vec<usize> {
    let (mut parser, mut at, mut ends) = (Parser::new(), 0, Vec::new());
    while let Some(rest) = file.get(at..) {
        match parser.parse(rest) {
            Ok(Step::Frame(frame)) => {
                at += frame.consumed;
                ends.push(at);
            }
            Ok(Step::Other { consumed }) => at += consumed,
            Ok(Step::Need(_)) | Err(_) => break,
        }
    }
    ends
}

fn cut(name: &str, file: &[u8], step: usize) {
    let ends = frame_ends(file);
    for len in (0..file.len()).step_by(step) {
        let whole = ends.iter().filter(|end| **end <= len).count();
        let (frames, _) = read(&file[..len]);
        assert_eq!(frames.len(), whole, "{name} cut at {len}");
    }
}

fn flip(name: &str, file: &[u8], step: usize) {
    let mut bytes = file.to_vec();
    for at in (0..file.len()).step_by(step) {
        for mask in [0xff, 0x01, 0x80] {
            bytes[at] ^= mask;
            let whole = walk_in_pieces(&bytes, usize::MAX >> 1);
            let (frames, error) = read(&bytes);
            assert_eq!(frames.len(), whole.frames.len(), "{name} with byte {at} ^ {mask:#x}");
            assert_eq!(error.is_some(), whole.damage.is_some(), "{name} byte {at} ^ {mask:#x}");
            bytes[at] ^= mask;
        }
    }
}

#[test]
fn captures_cut_anywhere_give_the_frames_before_the_cut() {
    let Some(dir) = shared() else { return println!("{SHARED_SKIPPED}") };
    for (name, file) in captures(&dir) {
        // all of the small ones, and 40 places of each large one
        cut(&name, &file, (file.len() / 40).max(97));
    }
}

#[test]
fn captures_with_flipped_bytes_do_no_harm() {
    let Some(dir) = shared() else { return println!("{SHARED_SKIPPED}") };
    for (name, file) in captures(&dir) {
        let file = &file[..file.len().min(64 * 1024)];
        flip(&name, file, (file.len() / 30).max(13));
    }
}

/// Nightly: the whole sweep, minutes.
#[test]
#[ignore = "minutes; run nightly with --release --ignored"]
fn nightly_captures_cut_at_every_97th_byte() {
    let Some(dir) = shared() else { return println!("{SHARED_SKIPPED}") };
    for (name, file) in captures(&dir) {
        cut(&name, &file, 97);
    }
}

/// Nightly: every byte of the first 4 KiB of every file, then every 97th.
#[test]
#[ignore = "minutes; run nightly with --release --ignored"]
fn nightly_captures_with_every_byte_flipped() {
    let Some(dir) = shared() else { return println!("{SHARED_SKIPPED}") };
    for (name, file) in captures(&dir) {
        flip(&name, &file[..file.len().min(4096)], 1);
        flip(&name, &file[..file.len().min(64 * 1024)], 97);
    }
}

/// Gives one byte at a time.
struct Drip(Vec<u8>, usize);

impl std::io::Read for Drip {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let byte = self.0.get(self.1..self.1 + 1).unwrap_or_default();
        let len = byte.len().min(buf.len());
        buf[..len].copy_from_slice(&byte[..len]);
        self.1 += len;
        Ok(len)
    }
}

#[test]
fn a_foreign_magic_is_named_from_a_pipe() {
    // found by the fuzz target `capture_reader`: four bytes from a pipe were judged at once
    for len in 0..=12 {
        let file = &b"iptrace 1.0\n"[..len];
        let whole = read(file).1.map(|error| error.to_string());
        let pipe = Source::from_read("test", Box::new(Drip(file.to_vec(), 0))).unwrap();
        let piped = Reader::new(pipe).err().map(|error| error.to_string());
        assert_eq!(whole, piped, "{len} bytes");
        assert_eq!(whole.unwrap().contains("AIX iptrace"), len >= 8, "{len} bytes");
    }
}
