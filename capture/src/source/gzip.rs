//! gzip members one after the other (RFC 1952), up to a damage byte for byte: what one call has
//! decompressed is given out before the error that the same call met.

use std::io::{self, BufRead, Read};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{Compressed, Counted};

/// Flags of a member's header (RFC 1952, 2.3.1).
const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0xe0;

pub(super) struct GzipMembers {
    input: Compressed,
    inflate: Decompress,
    crc: Crc,
    in_member: bool,
    /// Met after bytes that go first.
    error: Option<io::Error>,
    /// The error was given: there is no more.
    ended: bool,
}

impl GzipMembers {
    pub(super) fn new(counted: Counted) -> Self {
        Self {
            input: Compressed::new(counted),
            inflate: Decompress::new(false),
            crc: Crc::new(),
            in_member: false,
            error: None,
            ended: false,
        }
    }

    pub(super) fn compressed_read(&self) -> u64 {
        self.input.read()
    }

    /// Goes to the next member: false at the end of the file.
    fn next_member(&mut self) -> io::Result<bool> {
        if self.input.0.fill_buf()?.is_empty() {
            return Ok(false);
        }
        self.skip_header()?;
        self.inflate.reset(false);
        self.crc.reset();
        self.in_member = true;
        Ok(true)
    }

    /// RFC 1952, 2.3. The header's own CRC is not checked: nothing in the header matters here.
    fn skip_header(&mut self) -> io::Result<()> {
        let mut fixed = [0; 10];
        self.input.0.read_exact(&mut fixed)?;
        let [0x1f, 0x8b, 8, flags, ..] = fixed else {
            return Err(damaged("what follows is no gzip member"));
        };
        if flags & RESERVED != 0 {
            return Err(damaged("reserved flags in the gzip header"));
        }
        if flags & EXTRA != 0 {
            let mut len = [0; 2];
            self.input.0.read_exact(&mut len)?;
            self.skip(u64::from(u16::from_le_bytes(len)))?;
        }
        for text in [NAME, COMMENT] {
            if flags & text != 0 {
                self.skip_text()?;
            }
        }
        if flags & HEADER_CRC != 0 { self.skip(2) } else { Ok(()) }
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.input.0).take(bytes), &mut io::sink())?;
        if skipped < bytes { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// A text and the zero byte behind it, of any length, in flat memory.
    fn skip_text(&mut self) -> io::Result<()> {
        loop {
            let held = match self.input.0.fill_buf() {
                Ok([]) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(held) => held,
                // the header's beginning is consumed: it cannot be begun again
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = held.iter().position(|&byte| byte == 0);
            let consumed = end.map_or(held.len(), |at| at + 1);
            self.input.0.consume(consumed);
            if end.is_some() {
                return Ok(());
            }
        }
    }

    /// CRC and length behind a member (RFC 1952, 2.3.1).
    fn check_trailer(&mut self) -> io::Result<()> {
        let mut trailer = [0; 8];
        self.input.0.read_exact(&mut trailer)?;
        let [a, b, c, d, ..] = trailer;
        let stated = u32::from_le_bytes([a, b, c, d]);
        let computed = self.crc.sum();
        if stated != computed {
            let text = format!("checksum of the content is {computed:08x}, not {stated:08x}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let [.., a, b, c, d] = trailer;
        if u32::from_le_bytes([a, b, c, d]) != self.crc.amount() {
            return Err(damaged("the content's length is not the one stated behind it"));
        }
        Ok(())
    }

    /// Decompresses into `buf`: how many bytes, and what went wrong after them.
    fn inflate(&mut self, buf: &mut [u8]) -> (usize, io::Result<()>) {
        let input = match self.input.0.fill_buf() {
            Ok(input) => input,
            Err(error) => return (0, Err(error)),
        };
        let at_end = input.is_empty();
        let flush = if at_end { FlushDecompress::Finish } else { FlushDecompress::None };
        let (in_before, out_before) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(input, buf, flush);
        let consumed = (self.inflate.total_in() - in_before) as usize;
        let given = (self.inflate.total_out() - out_before) as usize;
        self.input.0.consume(consumed);
        self.crc.update(buf.get(..given).unwrap_or_default());
        let after = match status {
            Ok(Status::StreamEnd) => {
                self.in_member = false;
                self.check_trailer()
            }
            Ok(_) if given == 0 && at_end => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) if given == 0 && consumed == 0 => Err(damaged("deflate stands still")),
            Ok(_) => Ok(()),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        };
        (given, after)
    }

    fn read_on(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_member && !self.next_member()? {
                return Ok(0);
            }
            match self.inflate(buf) {
                (0, Ok(())) => {}
                (0, Err(error)) => return Err(error),
                (given, after) => {
                    self.error = after.err();
                    return Ok(given);
                }
            }
        }
    }
}

impl Read for GzipMembers {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() || self.ended {
            return Ok(0);
        }
        let result = self.error.take().map_or_else(|| self.read_on(buf), Err);
        self.ended = matches!(&result, Err(error) if error.kind() != io::ErrorKind::Interrupted);
        result
    }
}

#[cold]
fn damaged(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
