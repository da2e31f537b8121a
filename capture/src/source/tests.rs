use std::io::Write as _;

use super::*;

const TEXT: &[u8] = b"the quick brown frame jumps over the lazy switch";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn all(file: Vec<u8>) -> Result<Vec<u8>, Error> {
    let mut source = Source::from_bytes("memory", file)?;
    let (mut bytes, mut piece) = (Vec::new(), [0; 7]);
    loop {
        match source.read(&mut piece)? {
            0 => return Ok(bytes),
            read => bytes.extend_from_slice(&piece[..read]),
        }
    }
}

#[test]
fn plain_gzip_and_zstd_give_the_same_bytes() {
    for file in [TEXT.to_vec(), gzip(TEXT), zstd(TEXT)] {
        assert_eq!(all(file).unwrap(), TEXT);
    }
    for short in 0..6 {
        assert_eq!(all(TEXT[..short].to_vec()).unwrap(), &TEXT[..short]);
    }
}

#[test]
fn members_and_frames_follow_each_other() {
    let twice = [TEXT, TEXT].concat();
    assert_eq!(all([gzip(TEXT), gzip(TEXT)].concat()).unwrap(), twice);
    let skippable = [&[0x53, 0x2a, 0x4d, 0x18, 5, 0, 0, 0][..], b"notes"].concat();
    let file = [&skippable[..], &zstd(TEXT), &skippable, &zstd(TEXT), &skippable].concat();
    assert_eq!(all(file).unwrap(), twice);
}

#[test]
fn damaged_compression_is_an_error_that_names_it() {
    for (name, file) in [("gzip", gzip(TEXT)), ("zstd", zstd(TEXT))] {
        let cut = all(file[..file.len() - 5].to_vec()).unwrap_err();
        assert!(matches!(cut, Error::Compression { compression, .. } if compression == name));
        let mut flipped = file.clone();
        let at = flipped.len() - 2;
        flipped[at] ^= 0x40;
        assert!(all(flipped).is_err(), "{name}: the checksum does not match");
    }
    let file = [&[0x53, 0x2a, 0x4d, 0x18, 50, 0, 0, 0][..], b"notes"].concat();
    assert!(matches!(all(file), Err(Error::Compression { .. })));
}

/// Bytes that do not shrink to nothing.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 29) as u8 + b'a'
    };
    (0..len).map(next).collect()
}

/// Everything until the error, and whether there was one.
fn until_error(file: &[u8], piece: usize) -> (Vec<u8>, bool) {
    let mut source = Source::from_bytes("memory", file.to_vec()).unwrap();
    let (mut bytes, mut buf) = (Vec::new(), vec![0; piece]);
    loop {
        match source.read(&mut buf) {
            Ok(0) => return (bytes, false),
            Ok(read) => bytes.extend_from_slice(&buf[..read]),
            Err(_) => {
                assert_eq!(source.read(&mut buf).unwrap(), 0, "after the error is nothing");
                return (bytes, true);
            }
        }
    }
}

#[test]
fn what_comes_before_a_damage_comes_out() {
    let content = noise(1 << 20);
    for (name, file) in [("gzip", gzip(&content)), ("zstd", zstd(&content))] {
        let len = file.len();
        for (at, least) in [(len / 4, 4), (len / 2, 2)] {
            // cut, and damaged: of both forms nearly the share in front of the place
            let mut hit = file.clone();
            hit[at..at + 64].fill(0xff);
            for bytes in [&file[..at], &hit] {
                let (given, failed) = until_error(bytes, 256 * 1024);
                assert!(failed, "{name}");
                let same = given.iter().zip(&content).take_while(|(a, b)| a == b).count();
                assert!(same >= content.len() / least - (160 << 10), "{name} at {at}: {same}");
                let small = until_error(bytes, 1000).0;
                assert_eq!(small, given, "{name}: the same whatever the size of the reads");
            }
        }
    }
}

#[test]
fn all_fields_of_a_gzip_header_are_stepped_over() {
    let plain = gzip(TEXT);
    let mut file = vec![0x1f, 0x8b, 8, 0x1e, 0, 0, 0, 0, 0, 3];
    file.extend([3, 0, 1, 2, 3]);
    file.extend(b"name\0a comment\0\xcc\xcc");
    let fields_end = file.len();
    file.extend(&plain[10..]);
    assert_eq!(all(file.clone()).unwrap(), TEXT);
    for cut in 6..fields_end {
        assert!(all(file[..cut].to_vec()).is_err(), "cut at {cut}");
    }
    let mut wrong_length = gzip(TEXT);
    *wrong_length.last_mut().unwrap() ^= 1;
    assert!(all(wrong_length).is_err());
    assert!(all([&gzip(TEXT)[..], b"and more"].concat()).is_err());
}

#[test]
fn other_compressions_are_named_with_the_command() {
    for (file, command) in [
        (&[0xfd, b'7', b'z', b'X', b'Z', 0, 0][..], "xz -d"),
        (b"BZh91AY", "bzip2 -d"),
        (&[4, 0x22, 0x4d, 0x18, 0, 0], "lz4 -d"),
    ] {
        let text = Source::from_bytes("f", file.to_vec()).unwrap_err().to_string();
        assert!(text.contains(command), "{text}");
    }
}

#[test]
fn progress_counts_the_file_and_a_shrinking_file_is_noticed() {
    let dir = std::env::temp_dir().join(format!("framewalk-source-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("shrinks");
    std::fs::write(&path, vec![7; 100_000]).unwrap();
    let mut source = Source::open(&path).unwrap();
    assert_eq!(source.progress().total, Some(100_000));
    let mut buf = vec![0; 40_000];
    assert_eq!(source.fill(&mut buf).unwrap(), 40_000);
    assert_eq!(source.progress().read, 40_000);
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(50_000).unwrap();
    assert_eq!(source.fill(&mut buf).unwrap(), 10_000);
    assert_eq!(source.shrunk(), Some((100_000, 50_000)));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn missing_files_and_folders_are_named() {
    let text = Source::open("no/such/file.pcap").unwrap_err().to_string();
    assert_eq!(text, "cannot open no/such/file.pcap");
    assert!(Source::open(std::env::temp_dir()).is_err());
}
