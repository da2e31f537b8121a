//! Where the bytes of a capture come from: a file, standard input, memory; plain, gzip or zstd.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use crate::error::Error;
use gzip::GzipMembers;
use zstd::ZstdFrames;

mod gzip;
mod zstd;

/// Compressed bytes read at once.
const COMPRESSED_BUFFER: usize = 256 * 1024;
const PREFIX_MAX: usize = 6;

/// How far reading has come, for a progress bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Bytes taken from the file (compressed, if it is).
    pub read: u64,
    /// The file's bytes, if it is a regular file.
    pub total: Option<u64>,
}

/// The bytes of a capture, decompressed. Plain files are read straight into the caller's buffer.
pub struct Source {
    name: String,
    total: Option<u64>,
    inner: Inner,
}

enum Inner {
    Plain(Counted),
    Gzip(Box<GzipMembers>),
    Zstd(Box<ZstdFrames>),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .field("compression", &self.compression())
            .field("progress", &self.progress())
            .finish_non_exhaustive()
    }
}

impl Source {
    /// Opens a file, or standard input if the path is `-`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        if path.as_os_str() == "-" {
            return Self::from_read("standard input", Box::new(io::stdin()));
        }
        let name = path.display().to_string();
        let failed = |source| Error::Io { operation: "open", object: name.clone(), source };
        let file = File::open(path).map_err(failed)?;
        let info = file.metadata().map_err(failed)?;
        if info.is_dir() {
            return Err(failed(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        let total = info.is_file().then_some(info.len());
        Self::new(name, total, Input::File(file))
    }

    /// Bytes in memory.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, Error> {
        let total = Some(bytes.len() as u64);
        let read = Input::Other(Box::new(io::Cursor::new(bytes)));
        Self::new(name.to_owned(), total, read)
    }

    /// Anything that can be read. `name` is what messages call it.
    pub fn from_read(name: &str, read: Box<dyn Read + Send>) -> Result<Self, Error> {
        Self::new(name.to_owned(), None, Input::Other(read))
    }

    fn new(name: String, total: Option<u64>, input: Input) -> Result<Self, Error> {
        let mut counted = Counted { input, prefix: [0; PREFIX_MAX], given: 0, filled: 0, read: 0 };
        counted.fill_prefix().map_err(|source| Error::Io {
            operation: "read",
            object: name.clone(),
            source,
        })?;
        let prefix = &counted.prefix[..counted.filled];
        let unread = |compression, command| {
            Err(Error::UnreadCompression { object: name.clone(), compression, command })
        };
        let inner = match prefix {
            [0x1f, 0x8b, ..] => Inner::Gzip(Box::new(GzipMembers::new(counted)))
            ,
            // a frame (RFC 8878, 3.1.1) or a skippable frame (3.1.2)
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                Inner::Zstd(Box::new(ZstdFrames::new(counted)))
            }
            [0xfd, b'7', b'z', b'X', b'Z', 0] => return unread("xz", "xz -d"),
            [b'B', b'Z', b'h', ..] => return unread("bzip2", "bzip2 -d"),
            [0x04, 0x22, 0x4d, 0x18, ..] => return unread("lz4", "lz4 -d"),
            _ => Inner::Plain(counted),
        };
        Ok(Self { name, total, inner })
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `gzip` or `zstd`, if it is compressed.
    pub fn compression(&self) -> Option<&'static str> {
        match &self.inner {
            Inner::Plain(_) => None,
            Inner::Gzip(_) => Some("gzip"),
            Inner::Zstd(_) => Some("zstd"),
        }
    }

    /// Bytes taken from the file, and how many it has.
    pub fn progress(&self) -> Progress {
        let read = match &self.inner {
            Inner::Plain(counted) => counted.read - (counted.filled - counted.given) as u64,
            Inner::Gzip(gzip) => gzip.compressed_read(),
            Inner::Zstd(zstd) => zstd.compressed_read(),
        };
        Progress { read, total: self.total }
    }

    /// After the end was reached: the size the file had when it was opened, and the bytes it
    /// really had, if those are fewer.
    pub fn shrunk(&self) -> Option<(u64, u64)> {
        let Progress { read, total } = self.progress();
        // a compressed stream may end before its file does; only a plain one must reach the end
        let opened = total.filter(|_| matches!(self.inner, Inner::Plain(_)))?;
        (read < opened).then_some((opened, read))
    }

    /// Reads once into `buf`: how many bytes, 0 only at the end (or if `buf` is empty).
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        loop {
            let result = match &mut self.inner {
                Inner::Plain(counted) => counted.read(buf),
                Inner::Gzip(gzip) => gzip.read(buf),
                Inner::Zstd(zstd) => zstd.read(buf),
            };
            match result {
                Ok(read) => return Ok(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.read_failed(source)),
            }
        }
    }

    /// Reads until `buf` is full or the end is reached.
    pub fn fill(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.read(&mut buf[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }

    /// A plain file's second handle, and how far it was read.
    pub(crate) fn plain_file(&self) -> Option<(File, u64)> {
        let Inner::Plain(counted) = &self.inner else { return None };
        let Input::File(file) = &counted.input else { return None };
        let all_given = counted.given == counted.filled;
        let file = file.try_clone().ok().filter(|_| all_given && self.total.is_some())?;
        Some((file, counted.read))
    }

    /// Counts bytes that were read through the second handle.
    pub(crate) fn advance(&mut self, bytes: u64) {
        if let Inner::Plain(counted) = &mut self.inner {
            counted.read += bytes;
        }
    }

    /// Goes on reading where the count says.
    pub(crate) fn seek_to_read(&mut self) -> Result<(), Error> {
        let sought = match &mut self.inner {
            Inner::Plain(Counted { input: Input::File(file), read, .. }) => {
                file.seek(io::SeekFrom::Start(*read)).map(drop)
            }
            _ => Ok(()),
        };
        sought.map_err(|source| self.read_failed(source))
    }

    #[cold]
    pub(crate) fn read_failed(&self, source: io::Error) -> Error {
        let object = self.name.clone();
        match self.compression() {
            // an error of the system has a number, one of a decompressor has none
            Some(compression) if source.raw_os_error().is_none() => {
                Error::Compression { object, compression, offset: self.progress().read, source }
            }
            _ => Error::Io { operation: "read", object, source },
        }
    }
}

/// A decompressor's input.
struct Compressed(BufReader<Counted>);

impl Compressed {
    fn new(counted: Counted) -> Self {
        Self(BufReader::with_capacity(COMPRESSED_BUFFER, counted))
    }

    /// Bytes taken from the file.
    fn read(&self) -> u64 {
        self.0.get_ref().read
    }
}

enum Input {
    File(File),
    Other(Box<dyn Read + Send>),
}

impl Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buf),
            Self::Other(read) => read.read(buf),
        }
    }
}

/// Counts what is read, and gives the first bytes (already looked at) out again.
struct Counted {
    input: Input,
    prefix: [u8; PREFIX_MAX],
    given: usize,
    filled: usize,
    read: u64,
}

impl Counted {
    fn fill_prefix(&mut self) -> io::Result<()> {
        while self.filled < PREFIX_MAX {
            match self.input.read(&mut self.prefix[self.filled..]) {
                Ok(0) => break,
                Ok(read) => {
                    self.filled += read;
                    self.read += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let first = &self.prefix[self.given..self.filled];
        let given = first.len().min(buf.len());
        buf[..given].copy_from_slice(&first[..given]);
        self.given += given;
        // the rest in the same call, so that large reads stay large; what cannot be read now
        // is reported by the next call, which has nothing to give back
        match self.input.read(&mut buf[given..]) {
            Ok(read) => {
                self.read += read as u64;
                Ok(given + read)
            }
            Err(_) if given > 0 => Ok(given),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
