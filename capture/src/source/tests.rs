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
