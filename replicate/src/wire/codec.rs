//! Frames of the repository protocol (docs/formats/backup-protocol.md). Bytes in, messages out: no
//! input or output happens here.
//!
//! ```text
//! u32 length of what follows | u32 request | u8 kind | body
//! ```

/// Bytes of an object's data in one frame, at most: others get their turn between two.
pub const PIECE: usize = 256 << 10;
/// Length, request, kind.
pub(crate) const HEAD: usize = 9;
/// The most that the length field may say.
const LENGTH_MAX: usize = PIECE + 5;
/// Bytes of an object's name, at most.
pub(crate) const NAME_MAX: usize = 128;
/// Bytes of a reason, at most.
pub(crate) const TEXT_MAX: usize = 1024;
/// Version of the protocol.
pub const VERSION: u16 = 1;

const MAGIC: [u8; 6] = *b"FWREPO";

/// What one side tells the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message<'a> {
    /// First of all: which version the client speaks.
    Hello {
        /// [`VERSION`].
        version: u16,
    },
    /// First of all, from a key that the server does not know: a one-time code.
    Join {
        /// The code's secret.
        secret: [u8; 16],
    },
    /// All of an object of at most `most` bytes: `Data`..., `Done`; or `Absent`, `Long`.
    Get {
        /// Bytes.
        most: u64,
        /// The object.
        name: &'a str,
    },
    /// Bytes `from..to` of an object, fewer at its end: `Data`..., `Done`; or `Absent`.
    Range {
        /// First byte.
        from: u64,
        /// Behind the last.
        to: u64,
        /// The object.
        name: &'a str,
    },
    /// Whether an object exists: `Done` with its size, or `Absent`.
    Size {
        /// The object.
        name: &'a str,
    },
    /// Objects in a folder, or all if it is empty: `Data`..., `Done`.
    List {
        /// Such as `generations`.
        folder: &'a str,
    },
    /// A new object, whose `size` bytes follow in `Data` of the same request: `Done` says 1 when
    /// it is synced, 0 if the name exists.
    Put {
        /// Bytes.
        size: u64,
        /// The object.
        name: &'a str,
    },
    /// A piece of an object or of an answer.
    Data(&'a [u8]),
    /// Removes an object: `Done`.
    Delete {
        /// The object.
        name: &'a str,
    },
    /// Removes what killed processes were putting, if older: `Done` with count and bytes.
    Sweep {
        /// Seconds.
        grace: i64,
    },
    /// Are you there.
    Ping,
    /// The sender ends the session.
    Bye,
    /// The answer to `Hello` and `Join`.
    Welcome {
        /// [`VERSION`] of the server.
        version: u16,
        /// 1 source, 2 restore, 3 prune.
        role: u8,
        /// The repository's id.
        repository: [u8; 16],
        /// How the server calls this peer.
        peer: &'a str,
    },
    /// A request is done.
    Done {
        /// See the request.
        one: u64,
        /// See the request.
        two: u64,
    },
    /// No such object.
    Absent,
    /// The object has more bytes than were asked for.
    Long {
        /// Its bytes.
        size: u64,
    },
    /// The server does not do this for this peer.
    Refused {
        /// Why.
        why: &'a str,
    },
    /// The server could not do it.
    Failed {
        /// Why.
        why: &'a str,
    },
    /// Yes.
    Pong,
}

/// Bytes that are no frame of this protocol: the session cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at} of the stream: expected {expected}")]
pub struct Malformed {
    /// Bytes since the session began.
    pub at: u64,
    /// What the protocol has there.
    pub expected: &'static str,
}

impl Message<'_> {
    fn kind(&self) -> u8 {
        match self {
            Self::Hello { .. } => 1,
            Self::Join { .. } => 2,
            Self::Get { .. } => 3,
            Self::Range { .. } => 4,
            Self::Size { .. } => 5,
            Self::List { .. } => 6,
            Self::Put { .. } => 7,
            Self::Data(_) => 8,
            Self::Delete { .. } => 9,
            Self::Sweep { .. } => 10,
            Self::Ping => 11,
            Self::Bye => 12,
            Self::Welcome { .. } => 64,
            Self::Done { .. } => 65,
            Self::Absent => 66,
            Self::Long { .. } => 67,
            Self::Refused { .. } => 68,
            Self::Failed { .. } => 69,
            Self::Pong => 70,
        }
    }

    /// Appends the frame. Texts are cut to what a frame may hold.
    pub fn encode(&self, request: u32, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&request.to_le_bytes());
        out.push(self.kind());
        match *self {
            Self::Hello { version } => {
                out.extend_from_slice(&MAGIC);
                out.extend_from_slice(&version.to_le_bytes());
            }
            Self::Join { secret } => {
                out.extend_from_slice(&MAGIC);
                out.extend_from_slice(&secret);
            }
            Self::Get { most: size, name } | Self::Put { size, name } => {
                out.extend_from_slice(&size.to_le_bytes());
                text(out, name, NAME_MAX);
            }
            Self::Range { from, to, name } => {
                out.extend_from_slice(&from.to_le_bytes());
                out.extend_from_slice(&to.to_le_bytes());
                text(out, name, NAME_MAX);
            }
            Self::Size { name } | Self::List { folder: name } | Self::Delete { name } => {
                text(out, name, NAME_MAX);
            }
            Self::Data(bytes) => out.extend_from_slice(&bytes[..bytes.len().min(PIECE)]),
            Self::Sweep { grace } => out.extend_from_slice(&grace.to_le_bytes()),
            Self::Ping | Self::Bye | Self::Absent | Self::Pong => {}
            Self::Welcome { version, role, repository, peer } => {
                out.extend_from_slice(&MAGIC);
                out.extend_from_slice(&version.to_le_bytes());
                out.push(role);
                out.extend_from_slice(&repository);
                text(out, peer, NAME_MAX);
            }
            Self::Done { one, two } => {
                out.extend_from_slice(&one.to_le_bytes());
                out.extend_from_slice(&two.to_le_bytes());
            }
            Self::Long { size } => out.extend_from_slice(&size.to_le_bytes()),
            Self::Refused { why } | Self::Failed { why } => text(out, why, TEXT_MAX),
        }
        let length = (out.len() - begin - 4) as u32;
        out[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn parse(kind: u8, body: &[u8]) -> Result<Message<'_>, &'static str> {
        let mut body = Body(body);
        let message = match kind {
            1 => {
                body.magic()?;
                Message::Hello { version: u16::from_le_bytes(body.take("a version")?) }
            }
            2 => {
                body.magic()?;
                Message::Join { secret: body.take("a secret of 16 bytes")? }
            }
            3 => Message::Get { most: body.number()?, name: body.text(NAME_MAX)? },
            4 => Message::Range {
                from: body.number()?,
                to: body.number()?,
                name: body.text(NAME_MAX)?,
            },
            5 => Message::Size { name: body.text(NAME_MAX)? },
            6 => Message::List { folder: body.text(NAME_MAX)? },
            7 => Message::Put { size: body.number()?, name: body.text(NAME_MAX)? },
            8 => Message::Data(std::mem::take(&mut body.0)),
            9 => Message::Delete { name: body.text(NAME_MAX)? },
            10 => Message::Sweep { grace: i64::from_le_bytes(body.take("a number")?) },
            11 => Message::Ping,
            12 => Message::Bye,
            64 => {
                body.magic()?;
                Message::Welcome {
                    version: u16::from_le_bytes(body.take("a version")?),
                    role: body.take::<1>("a role")?[0],
                    repository: body.take("a repository's id")?,
                    peer: body.text(NAME_MAX)?,
                }
            }
            65 => Message::Done { one: body.number()?, two: body.number()? },
            66 => Message::Absent,
            67 => Message::Long { size: body.number()? },
            68 => Message::Refused { why: body.text(TEXT_MAX)? },
            69 => Message::Failed { why: body.text(TEXT_MAX)? },
            70 => Message::Pong,
            _ => return Err("a known kind of frame"),
        };
        if body.0.is_empty() { Ok(message) } else { Err("the end of the frame") }
    }
}

/// The head of a `Data` frame whose body is written from where it lies.
pub(crate) fn data_head(request: u32, bytes: usize) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&(bytes as u32 + 5).to_le_bytes());
    head[4..8].copy_from_slice(&request.to_le_bytes());
    head[8] = 8;
    head
}

fn text(out: &mut Vec<u8>, text: &str, most: usize) {
    let end = (0..=text.len().min(most)).rev().find(|end| text.is_char_boundary(*end));
    out.extend_from_slice(&text.as_bytes()[..end.unwrap_or(0)]);
}

struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn take<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], &'static str> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(expected)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn number(&mut self) -> Result<u64, &'static str> {
        self.take("a number").map(u64::from_le_bytes)
    }

    fn magic(&mut self) -> Result<(), &'static str> {
        if self.take("the magic FWREPO")? == MAGIC { Ok(()) } else { Err("the magic FWREPO") }
    }

    fn text(&mut self, most: usize) -> Result<&'a str, &'static str> {
        let all = std::mem::take(&mut self.0);
        if all.len() > most {
            return Err("a shorter text");
        }
        std::str::from_utf8(all).map_err(|_| "text in UTF-8")
    }
}

/// With less room behind them, bytes are moved to the buffer's beginning.
const ROOM: usize = 64 << 10;

/// Cuts a stream of bytes into messages. Its memory is fixed: two of the largest frames.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
    /// Bytes of the stream in front of `begin`.
    passed: u64,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { buffer: vec![0; 2 * (HEAD + LENGTH_MAX) + ROOM], begin: 0, end: 0, passed: 0 }
    }
}

impl Decoder {
    /// Where the stream's next bytes go; never empty after [`Decoder::poll`] said `None`.
    pub fn space(&mut self) -> &mut [u8] {
        // not at every read: a frame comes in many
        if self.begin == self.end || self.buffer.len() - self.end < ROOM {
            self.buffer.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
        }
        &mut self.buffer[self.end..]
    }

    /// So many bytes were put into the space.
    pub fn filled(&mut self, bytes: usize) {
        self.end = (self.end + bytes).min(self.buffer.len());
    }

    /// The next whole frame.
    pub fn poll(&mut self) -> Result<Option<(u32, Message<'_>)>, Malformed> {
        let at = self.passed;
        let bad = |behind: u64, expected| Malformed { at: at + behind, expected };
        let waiting = &self.buffer[self.begin..self.end];
        let Some((length, rest)) = waiting.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        // checked before anything is waited for
        if !(5..=LENGTH_MAX).contains(&length) {
            return Err(bad(0, "a length of 5 to 262,149"));
        }
        if rest.len() < length {
            return Ok(None);
        }
        let from = self.begin + 4;
        self.begin = from + length;
        self.passed += 4 + length as u64;
        let frame = &self.buffer[from..from + length];
        let request = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]);
        let message = Message::parse(frame[4], &frame[5..]).map_err(|e| bad(9, e))?;
        Ok(Some((request, message)))
    }
}
