//! The reader over files: large frames, long options, blocks larger than the buffer, shrinking.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test file as a whole")]

use capture::write::{FrameOptions, InterfaceSpec, PcapWriter, PcapngWriter, SectionSpec};
use capture::{BUFFER_BYTES, Block, Error, Problem, Reader, Source};
use skb::LinkType;
use std::sync::atomic::{AtomicUsize, Ordering};

fn pcapng() -> PcapngWriter<Vec<u8>> {
    let mut writer = PcapngWriter::new(Vec::new(), &SectionSpec::default()).unwrap();
    let spec = InterfaceSpec { linktype: LinkType::ETHERNET, ..InterfaceSpec::default() };
    writer.add_interface(&spec).unwrap();
    writer
}

fn reader(file: Vec<u8>) -> Reader {
    Reader::new(Source::from_bytes("memory", file).unwrap()).unwrap()
}

/// Lengths of all frames, one at a time, in batches and in blocks, and the error at the end.
fn lengths(file: &[u8]) -> (Vec<usize>, Option<String>) {
    let mut one = reader(file.to_vec());
    let mut singles = Vec::new();
    let first_error = loop {
        match one.next() {
            Ok(Some(frame)) => singles.push(frame.data.len()),
            Ok(None) => break None,
            Err(error) => break Some(error.to_string()),
        }
    };
    let mut many = reader(file.to_vec());
    let mut batched = Vec::new();
    let second_error = loop {
        match many.next_batch() {
            Ok(Some(batch)) => {
                batched.extend(batch.records().iter().map(|record| batch.data(record).len()));
            }
            Ok(None) => break None,
            Err(error) => break Some(error.to_string()),
        }
    };
    assert_eq!(singles, batched);
    assert_eq!(first_error, second_error);
    let (in_blocks, third_error) = block_lengths(&mut reader(file.to_vec()));
    assert_eq!(singles, in_blocks);
    assert_eq!(first_error, third_error);
    for bytes in [BUFFER_BYTES, 5_000, 61] {
        if file.len() / bytes < 20_000 {
            assert_eq!(
                ahead_lengths(file, bytes),
                (singles.clone(), first_error.clone()),
                "{bytes}"
            );
        }
    }
    (singles, first_error)
}

/// Lengths of all frames and the error at the end, from a file read ahead in blocks of `bytes`,
/// two at a time and the second first.
fn ahead_lengths(file: &[u8], bytes: usize) -> (Vec<usize>, Option<String>) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("framewalk-ahead-{}-{count}.pcap", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, file).unwrap();
    let mut reader = Reader::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let ahead = reader.ahead(bytes).unwrap();
    let mut lengths = Vec::new();
    let mut blocks = [Block::default(), Block::default()];
    for pair in 0.. {
        for second in [1, 0] {
            ahead.read(pair * 2 + second as u64, &mut blocks[second]);
        }
        for block in &mut blocks {
            match reader.take_block(block) {
                Ok(true) => {
                    let batch = block.batch();
                    assert_eq!(batch.number_first(), lengths.len() as u64 + 1);
                    lengths.extend(batch.records().iter().map(|record| batch.data(record).len()));
                }
                Ok(false) => return (lengths, None),
                Err(error) => {
                    let text = error.to_string().replace(&*path.to_string_lossy(), "memory");
                    return (lengths, Some(text));
                }
            }
        }
    }
    unreachable!()
}

#[test]
fn reading_ahead_can_stop_and_the_rest_be_read_alone() {
    let mut writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET, 0, None).unwrap();
    for n in 0..20_000_u32 {
        writer.write_frame(i64::from(n), 60, &[n as u8; 60]).unwrap();
    }
    let path = std::env::temp_dir().join(format!("framewalk-rejoin-{}.pcap", std::process::id()));
    std::fs::write(&path, writer.finish().unwrap()).unwrap();
    let mut reader = Reader::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let first = reader.next().unwrap().unwrap().meta.number;
    let mut numbers = vec![first];
    let mut block = Block::default();
    while reader.next_block(&mut block).unwrap() && numbers.len() < 2_000 {
        numbers.extend(
            (0..block.batch().records().len() as u64).map(|n| block.batch().number_first() + n),
        );
    }
    numbers.extend(
        (0..block.batch().records().len() as u64).map(|n| block.batch().number_first() + n),
    );
    let ahead = reader.ahead(10_000).unwrap();
    for index in 0..3 {
        ahead.read(index, &mut block);
        assert!(reader.take_block(&mut block).unwrap());
        let batch = block.batch();
        numbers.extend((0..batch.records().len() as u64).map(|n| batch.number_first() + n));
    }
    reader.rejoin().unwrap();
    while let Some(frame) = reader.next().unwrap() {
        numbers.push(frame.meta.number);
    }
    assert!(numbers.windows(2).all(|two| two[0] + 1 == two[1]));
    assert_eq!(numbers.last(), Some(&20_000));
}

/// Lengths of all frames, read into two blocks in turn, and the error at the end.
fn block_lengths(reader: &mut Reader) -> (Vec<usize>, Option<String>) {
    let mut blocks = [Block::default(), Block::default()];
    let mut lengths = Vec::new();
    for turn in 0.. {
        let block = &mut blocks[turn % 2];
        match reader.next_block(block) {
            Ok(true) => {
                let batch = block.batch();
                assert_eq!(batch.number_first(), lengths.len() as u64 + 1);
                assert!(!batch.records().is_empty());
                lengths.extend(batch.records().iter().map(|record| batch.data(record).len()));
            }
            Ok(false) => return (lengths, None),
            Err(error) => {
                assert!(block.batch().records().is_empty());
                assert!(!reader.next_block(block).unwrap(), "an error ends the file");
                return (lengths, Some(error.to_string()));
            }
        }
    }
    unreachable!()
}

/// Gives bytes, then an error of the system.
struct Breaks(std::io::Cursor<Vec<u8>>);

impl std::io::Read for Breaks {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buf)? {
            0 => Err(std::io::Error::from_raw_os_error(5)),
            read => Ok(read),
        }
    }
}

#[test]
fn frames_before_a_read_error_come_out() {
    let long = "c".repeat(60_000);
    let comments = [long.as_str(); 20];
    let mut writer = pcapng();
    let plenty = FrameOptions { comments: &comments, ..FrameOptions::default() };
    writer.write_frame(0, 1, 3, b"one", &FrameOptions::default()).unwrap();
    writer.write_frame(0, 2, 3, b"two", &plenty).unwrap();
    let mut file = writer.finish().unwrap();
    file.truncate(file.len() - 100_000); // within the options of the second frame
    let breaking = || {
        let source = Breaks(std::io::Cursor::new(file.clone()));
        Reader::new(Source::from_read("disk", Box::new(source)).unwrap()).unwrap()
    };
    let mut reader = breaking();
    for _ in 0..2 {
        assert_eq!(reader.next().unwrap().unwrap().data.len(), 3);
    }
    assert!(matches!(reader.next(), Err(Error::Io { operation: "read", .. })));
    assert!(reader.next().unwrap().is_none());
    let mut reader = breaking();
    assert_eq!(reader.next_batch().unwrap().unwrap().records().len(), 2);
    assert!(matches!(reader.next_batch(), Err(Error::Io { .. })));
    assert!(reader.next_batch().unwrap().is_none());
    let (lengths, error) = block_lengths(&mut breaking());
    assert_eq!(lengths, [3, 3]);
    assert_eq!(error.unwrap(), "cannot read disk");
}

#[test]
fn frames_as_large_as_the_bound_are_read() {
    let sizes = [10, 262_144, 0, 262_144, 92_442, 5];
    let mut writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET, 0, None).unwrap();
    for size in sizes {
        writer.write_frame(0, size as u32, &vec![1; size]).unwrap();
    }
    assert_eq!(lengths(&writer.finish().unwrap()), (sizes.to_vec(), None));
    let mut writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET, 0, None).unwrap();
    assert!(writer.write_frame(0, 1, &vec![1; 262_145]).is_err());
}

#[test]
fn options_and_blocks_larger_than_the_buffer_are_stepped_over() {
    let long = "c".repeat(60_000);
    let comments = [long.as_str(); 20];
    let mut writer = pcapng();
    let plenty = FrameOptions { comments: &comments, ..FrameOptions::default() };
    writer.write_frame(0, 1, 3, b"one", &plenty).unwrap();
    writer.write_frame(0, 2, 3, b"two", &FrameOptions::default()).unwrap();
    let mut file = writer.finish().unwrap();
    let total = (3 * BUFFER_BYTES + 12) as u32;
    file.extend_from_slice(&0x0badu32.to_le_bytes());
    file.extend_from_slice(&total.to_le_bytes());
    file.resize(file.len() + 3 * BUFFER_BYTES, 0xee);
    file.extend_from_slice(&total.to_le_bytes());
    let mut more = pcapng();
    more.write_frame(0, 3, 5, b"three", &plenty).unwrap();
    file.extend_from_slice(&more.finish().unwrap());
    assert_eq!(lengths(&file), (vec![3, 3, 5], None));
    // cut within the last frame's options, beyond what is held with it
    file.truncate(file.len() - 100_000);
    let (sizes, error) = lengths(&file);
    assert_eq!(sizes, [3, 3, 5]);
    assert!(error.is_some_and(|text| text.contains("before the file ends")));
}

#[test]
fn a_file_that_shrinks_is_one_clear_error() {
    let mut writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET, 0, None).unwrap();
    for _ in 0..2000 {
        writer.write_frame(0, 984, &[5; 984]).unwrap(); // 1000 bytes with the header
    }
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("shrinks.pcap");
    std::fs::write(&path, writer.finish().unwrap()).unwrap();
    let mut reader = Reader::open(&path).unwrap();
    assert!(reader.next().unwrap().is_some());
    // at a record boundary, where a shorter file would look whole
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1_000_024).unwrap();
    let mut frames = 1;
    let error = loop {
        match reader.next() {
            Ok(Some(_)) => frames += 1,
            Ok(None) => panic!("the file shrank unnoticed after {frames} frames"),
            Err(error) => break error,
        }
    };
    assert_eq!(frames, 1000);
    let Error::Damage { damage, .. } = &error else { panic!("{error}") };
    assert_eq!(damage.problem, Problem::Shrunk { opened: 2_000_024, read: 1_000_024 });
    assert!(reader.next().unwrap().is_none());
}

#[test]
fn progress_and_statistics_add_up() {
    let mut writer = pcapng();
    for size in [10u32, 20, 30] {
        let data = vec![0; size as usize];
        writer.write_frame(0, 5, size * 2, &data, &FrameOptions::default()).unwrap();
    }
    let file = writer.finish().unwrap();
    let len = file.len() as u64;
    let mut reader = reader(file);
    while reader.next().unwrap().is_some() {}
    let sum = reader.statistics();
    assert_eq!((sum.frames, sum.caplen_bytes, sum.origlen_bytes), (3, 60, 120));
    assert_eq!(sum.linktypes.get(&LinkType::ETHERNET), Some(&3));
    assert_eq!((reader.progress().read, reader.progress().total), (len, Some(len)));
    assert_eq!(reader.format().to_string(), "pcapng, little-endian");
}
