//! zstd frames one after the other, skippable frames stepped over (RFC 8878, 3.1). Before an error
//! everything is given out that was decompressed.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{Compressed, Counted};

/// The largest window that is accepted: what `zstd --long=27` needs, the most that the
/// `zstd` program itself decompresses without being told to.
const WINDOW_MAX: u64 = 128 * 1024 * 1024;
/// An empty last block (RFC 8878, 3.1.1.2) and room for a checksum: ends a frame early, so that
/// the decoder gives out what it keeps back for later blocks to refer to.
const END_OF_FRAME: [u8; 7] = [1, 0, 0, 0, 0, 0, 0];

pub(super) struct ZstdFrames {
    input: Compressed,
    decoder: FrameDecoder,
    in_frame: bool,
    /// Met after bytes that go first.
    error: Option<io::Error>,
    /// The error was given: there is no more.
    ended: bool,
}

impl ZstdFrames {
    pub(super) fn new(counted: Counted) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW_MAX);
        let input = Compressed::new(counted);
        Self { input, decoder, in_frame: false, error: None, ended: false }
    }

    pub(super) fn compressed_read(&self) -> u64 {
        self.input.read()
    }

    /// Goes to the next frame: false at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.input.0.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.reset(&mut self.input.0) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    let skipped = io::copy(&mut (&mut self.input.0).take(length), &mut io::sink())?;
                    if skipped < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }

    fn check(&self) -> io::Result<()> {
        let stated = self.decoder.get_checksum_from_data();
        let computed = self.decoder.get_calculated_checksum();
        match (stated, computed) {
            (Some(stated), Some(computed)) if stated != computed => {
                let text = format!("checksum of the content is {computed:08x}, not {stated:08x}");
                Err(io::Error::new(io::ErrorKind::InvalidData, text))
            }
            _ => Ok(()),
        }
    }

    /// Decodes blocks until some bytes can be taken, or the frame is at its end.
    fn decode(&mut self) {
        while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
            let block = BlockDecodingStrategy::UptoBlocks(1);
            if let Err(error) = self.decoder.decode_blocks(&mut self.input.0, block) {
                self.error = Some(io::Error::other(error));
                let all = BlockDecodingStrategy::All;
                if self.decoder.decode_blocks(&END_OF_FRAME[..], all).is_err() {
                    return;
                }
            }
        }
    }

    fn read_on(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_frame {
                if !self.next_frame()? {
                    return Ok(0);
                }
                self.in_frame = true;
            }
            self.decode();
            let read = self.decoder.read(buf)?;
            if read > 0 {
                return Ok(read);
            }
            if let Some(error) = self.error.take() {
                return Err(error);
            }
            self.in_frame = false;
            self.check()?;
        }
    }
}

impl Read for ZstdFrames {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() || self.ended {
            return Ok(0);
        }
        let result = self.read_on(buf);
        self.ended = matches!(&result, Err(error) if error.kind() != io::ErrorKind::Interrupted);
        result
    }
}
