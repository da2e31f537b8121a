//! A recording: one file within its budget, a ring of files, and what a reader finds in them.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use capture::Reader;
use capture::format::InterfaceCounters;
use capture::write::{Heading, Listened, Packing, Plan, Recorded, Recorder};
use skb::LinkType;

/// A folder of the test's own, gone when it ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("record-{name}"));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> =
            std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn plan(path: PathBuf) -> Plan {
    Plan {
        path,
        file_bytes: None,
        file_time: None,
        files_max: None,
        budget_bytes: 1 << 30,
        keep: Duration::from_hours(1),
        packing: Packing::None,
    }
}

fn heading() -> Heading {
    let interface = Listened {
        name: "mirror0".into(),
        linktype: LinkType::ETHERNET,
        comment: "times: the kernel's clock".into(),
        ..Listened::default()
    };
    Heading {
        comments: vec!["patient data".into()],
        userappl: "record test".into(),
        interfaces: vec![interface],
        ..Heading::default()
    }
}

/// The numbers that the frames of a file carry, and the counters at its end.
fn read(path: &Path) -> (Vec<u32>, Option<InterfaceCounters>) {
    let mut reader = Reader::open(path).unwrap();
    let mut numbers = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        assert_eq!(frame.meta.origlen as usize, frame.data.len());
        numbers.push(u32::from_be_bytes(*frame.data.first_chunk().unwrap()));
    }
    let counters = reader.interfaces()[0].counters.as_deref().copied();
    (numbers, counters)
}

fn frame(number: u32, len: usize) -> Vec<u8> {
    let mut frame = vec![0xa5; len];
    frame[..4].copy_from_slice(&number.to_be_bytes());
    frame
}

#[test]
fn one_file_holds_every_frame_up_to_its_budget_and_says_so() {
    let folder = Folder::new("one");
    let path = folder.0.join("a.pcapng");
    let plan = Plan { budget_bytes: 1_000_000, ..plan(path.clone()) };
    let mut recorder = Recorder::create(plan, heading(), 1).unwrap();
    let mut taken = 0;
    for number in 0..20_000 {
        let data = frame(number, 60 + number as usize % 500);
        let flags = (number % 5 == 0).then_some(2);
        taken += u64::from(recorder.frame(0, i64::from(number), data.len() as u32, &data, flags));
    }
    assert!(recorder.is_full() && taken > 2000, "{taken}");
    let received = Some(20_000);
    recorder.set_counters(InterfaceCounters { received, ..InterfaceCounters::default() });
    let done = recorder.finish(99);
    assert_eq!((done.written, done.lost, done.files), (taken, 0, 1));
    assert!(done.bytes <= 1_000_000 + 200, "the last counters come on top: {}", done.bytes);
    let (numbers, counters) = read(&path);
    assert!(numbers.into_iter().eq(0..taken as u32));
    assert_eq!(counters.unwrap().received, received);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_ring_begins_files_by_size_and_deletes_the_oldest_for_the_budget() {
    let folder = Folder::new("ring");
    let plan = Plan {
        file_bytes: Some(100_000),
        budget_bytes: 450_000,
        ..plan(folder.0.join("practice.pcapng"))
    };
    std::fs::write(folder.0.join("practice_notes.txt"), "not ours").unwrap();
    std::fs::write(folder.0.join("practice_1_2.pcapng"), "not ours either").unwrap();
    let mut written = 0;
    for run in 0..2u32 {
        let mut recorder = Recorder::create(plan.clone(), heading(), 1).unwrap();
        for number in 0..4_000 {
            let data = frame(run * 4_000 + number, 200);
            assert!(recorder.frame(0, 5, 200, &data, None), "a ring is never full");
        }
        let Recorded { written: now, lost, files, deleted, .. } = recorder.finish(9);
        assert_eq!((now, lost), (4_000, 0));
        assert!(files >= 9 && deleted >= 5, "{files} files, {deleted} deleted");
        written += now as u32;
    }
    let files: Vec<_> = folder
        .files()
        .into_iter()
        .filter(|f| !f.ends_with("practice_notes.txt") && !f.ends_with("practice_1_2.pcapng"))
        .collect();
    assert_eq!(folder.files().len(), files.len() + 2, "other files stay");
    let bytes: u64 = files.iter().map(|f| std::fs::metadata(f).unwrap().len()).sum();
    assert!(bytes <= 450_000 && files.len() >= 4, "{bytes} bytes in {} files", files.len());
    // what is left is the newest, without a gap
    let numbers: Vec<u32> = files.iter().flat_map(|file| read(file).0).collect();
    assert_eq!(*numbers.last().unwrap(), written - 1);
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));
    for file in &files {
        assert!(std::fs::metadata(file).unwrap().len() <= 100_000 + 400);
        assert!(read(file).1.is_some(), "every file has its counters: {}", file.display());
    }
}

#[test]
fn a_ring_by_time_keeps_a_number_of_files_and_drops_what_is_old() {
    let folder = Folder::new("time");
    let plan = Plan {
        file_time: Some(Duration::from_millis(20)),
        files_max: Some(3),
        ..plan(folder.0.join("t.pcapng"))
    };
    let mut recorder = Recorder::create(plan.clone(), heading(), 1).unwrap();
    for number in 0..6 {
        assert!(recorder.frame(0, 5, 60, &frame(number, 60), None));
        std::thread::sleep(Duration::from_millis(25));
        recorder.tick();
    }
    recorder.note(7, "the interface went down");
    assert_eq!(recorder.finish(9).written, 6);
    assert_eq!(folder.files().len(), 3);
    let numbers: Vec<u32> = folder.files().iter().flat_map(|file| read(file).0).collect();
    assert_eq!(numbers, [4, 5], "the third file is new and empty");
    std::thread::sleep(Duration::from_millis(30));
    let short = Plan { keep: Duration::from_millis(1), ..plan };
    Recorder::create(short, heading(), 1).unwrap().finish(9);
    assert_eq!(folder.files().len(), 1, "older than may be kept");
}

#[test]
fn a_file_larger_than_half_the_budget_is_refused() {
    let folder = Folder::new("refused");
    let plan =
        Plan { file_bytes: Some(600), budget_bytes: 1000, ..plan(folder.0.join("x.pcapng")) };
    let error = Recorder::create(plan, heading(), 1).unwrap_err().to_string();
    assert!(error.contains("half the budget") && error.contains("600"), "{error}");
    assert!(folder.files().is_empty());
    let nowhere = self::plan(folder.0.join("no/such/folder/x.pcapng"));
    let error = Recorder::create(nowhere, heading(), 1).unwrap_err().to_string();
    assert!(error.contains("no/such/folder/x.pcapng"), "{error}");
}

#[test]
fn compressed_files_hold_the_same_and_keep_to_the_budget() {
    for (ending, packing) in [("gz", Packing::Gzip), ("zst", Packing::Zstd)] {
        let folder = Folder::new(&format!("packed-{ending}"));
        let path = folder.0.join(format!("a.pcapng.{ending}"));
        assert_eq!(Packing::of_name(&path), packing);
        let budget = 600_000;
        let plan = Plan { budget_bytes: budget, packing, ..plan(path.clone()) };
        let mut recorder = Recorder::create(plan, heading(), 1).unwrap();
        let mut sent = Vec::new();
        let mut noise = 1u64;
        for number in 0..9000u32 {
            // hardly to be compressed
            let data: Vec<u8> = (0..200)
                .map(|_| {
                    noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (noise >> 56) as u8
                })
                .collect();
            if recorder.frame(0, i64::from(number), 200, &data, None) {
                sent.push(data);
            }
            if number % 100 == 99 {
                recorder.flush();
            }
        }
        assert!(recorder.is_full());
        let recorded = recorder.finish(9);
        assert_eq!((recorded.written, recorded.lost), (sent.len() as u64, 0));
        let size = std::fs::metadata(&path).unwrap().len();
        assert_eq!(size, recorded.bytes);
        assert!(size <= budget + 1000 && size > budget / 2, "{size}");
        let mut reader = Reader::open(&path).unwrap();
        let mut at = 0;
        while let Some(frame) = reader.next().unwrap() {
            assert!(frame.data == sent[at], "frame {at}");
            at += 1;
        }
        assert_eq!(at, sent.len());
        // its writer may die at any moment: what stands before can be read
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 700]).unwrap();
        let mut reader = Reader::open(&path).unwrap();
        let mut left = 0;
        while let Ok(Some(frame)) = reader.next() {
            assert!(frame.data == sent[left], "frame {left}");
            left += 1;
        }
        assert!(left > at - 200, "{left} of {at}");
    }
}
