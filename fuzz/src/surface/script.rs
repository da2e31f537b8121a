//! Messages of a protocol, written field by field. The fields that others are read by (lengths,
//! counts, offsets, nesting) are numbered, and those that the input chose lie.

use super::super::input::Input;

/// Fields that lie in one conversation.
pub const LIES_MAX: usize = 7;
/// Bytes of one message.
const MESSAGE_MAX: usize = 20_000;
/// Bytes of all messages of a conversation.
const MESSAGES_MAX: usize = 60_000;

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Who opened the conversation.
    Client,
    /// Who answers.
    Server,
}

/// A message.
#[derive(Debug, Clone)]
pub struct Message {
    /// Who says it.
    pub who: Who,
    /// What.
    pub bytes: Vec<u8>,
}

/// Messages as they are written.
#[derive(Debug)]
pub struct Script<'a> {
    /// What is left of the conversation's choices.
    pub input: Input<'a>,
    lies: Vec<(u8, u8)>,
    field: u8,
    who: Who,
    bytes: Vec<u8>,
    messages: Vec<Message>,
    total: usize,
}

impl<'a> Script<'a> {
    /// Nothing said yet. A lie is the number of a field and what becomes of it.
    pub fn new(input: Input<'a>, lies: Vec<(u8, u8)>) -> Self {
        let (bytes, messages) = (Vec::new(), Vec::new());
        Self { input, lies, field: 0, who: Who::Client, bytes, messages, total: 0 }
    }

    /// What was said.
    pub fn finish(mut self) -> Vec<Message> {
        self.end();
        self.messages
    }

    fn end(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        if bytes.is_empty() || self.total >= MESSAGES_MAX {
            return;
        }
        bytes.truncate(MESSAGE_MAX);
        self.total += bytes.len();
        self.messages.push(Message { who: self.who, bytes });
    }

    /// The client says what follows.
    pub fn client(&mut self) -> &mut Self {
        self.say(Who::Client)
    }

    /// The server says what follows.
    pub fn server(&mut self) -> &mut Self {
        self.say(Who::Server)
    }

    /// Somebody says what follows.
    pub fn say(&mut self, who: Who) -> &mut Self {
        self.end();
        self.who = who;
        self
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        if self.bytes.len() < MESSAGE_MAX {
            self.bytes.extend_from_slice(bytes);
        }
        self
    }

    /// The same byte again and again.
    pub fn fill(&mut self, byte: u8, count: usize) -> &mut Self {
        let count = count.min(MESSAGE_MAX.saturating_sub(self.bytes.len()));
        self.bytes.resize(self.bytes.len() + count, byte);
        self
    }

    /// Bytes of the input, behind their number; without any, `otherwise`.
    pub fn free(&mut self, otherwise: &[u8]) -> &mut Self {
        let length = usize::from(self.input.u8());
        let bytes = self.input.take(length);
        self.raw(if bytes.is_empty() { otherwise } else { bytes })
    }

    /// One of these, by the input.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        let choice = usize::from(self.input.u8()) % choices.len().max(1);
        choices.get(choice).copied()
    }

    /// How often, by the input; at most `max` times.
    pub fn times(&mut self, otherwise: u8, max: u8) -> u8 {
        match self.input.u8() {
            0 => otherwise,
            n => (n - 1) % max.saturating_add(1),
        }
    }

    /// The value of the next field of so many bytes: this one, or a lie.
    fn field(&mut self, value: u64, bytes: usize) -> u64 {
        let number = self.field;
        self.field = self.field.saturating_add(1);
        let Some(&(_, lie)) = self.lies.iter().find(|lie| lie.0 == number) else { return value };
        let max = if bytes >= 8 { u64::MAX } else { (1 << (bytes * 8)) - 1 };
        let told = match lie {
            0 => 0,
            1 => 1,
            2 => max,
            3 => value.wrapping_add(1),
            4 => value.wrapping_sub(1),
            5 => value.wrapping_mul(2),
            6 => value / 2,
            7 => max / 2,
            8 => max / 2 + 1,
            9 => value.swap_bytes() >> (64 - 8 * bytes.clamp(1, 8)),
            10 => value.wrapping_add(256),
            11 => 255,
            12 => 0x4000,
            13 => max - 3,
            lie => value ^ u64::from(lie),
        };
        told & max
    }

    /// A field in network order.
    pub fn be(&mut self, value: u64, bytes: usize) -> &mut Self {
        let value = self.field(value, bytes).to_be_bytes();
        self.raw(&value[8 - bytes.min(8)..])
    }

    /// A field with its low byte first.
    pub fn le(&mut self, value: u64, bytes: usize) -> &mut Self {
        let value = self.field(value, bytes).to_le_bytes();
        self.raw(&value[..bytes.min(8)])
    }

    fn place(&mut self, bytes: usize, body: impl FnOnce(&mut Self)) -> (usize, u64) {
        let at = self.bytes.len();
        self.fill(0, bytes);
        let begin = self.bytes.len();
        body(self);
        (at, (self.bytes.len() - begin) as u64)
    }

    fn patch(&mut self, at: usize, value: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    }

    /// A length in network order, of what `body` writes and `more`.
    pub fn len_be(&mut self, bytes: usize, more: i64, body: impl FnOnce(&mut Self)) -> &mut Self {
        let (at, length) = self.place(bytes, body);
        let value = self.field(length.wrapping_add_signed(more), bytes).to_be_bytes();
        self.patch(at, &value[8 - bytes.min(8)..]);
        self
    }

    /// The same with its low byte first.
    pub fn len_le(&mut self, bytes: usize, more: i64, body: impl FnOnce(&mut Self)) -> &mut Self {
        let (at, length) = self.place(bytes, body);
        let value = self.field(length.wrapping_add_signed(more), bytes).to_le_bytes();
        self.patch(at, &value[..bytes.min(8)]);
        self
    }

    /// An element of BER (X.690): tag, length in as few bytes as do, or as the lie has it.
    pub fn tlv(&mut self, tag: u8, body: impl FnOnce(&mut Self)) -> &mut Self {
        self.raw(&[tag]);
        let begin = self.bytes.len();
        body(self);
        let length = (self.bytes.len() - begin) as u64;
        let told = self.field(length, 4);
        let mut head = match told {
            0..0x80 => vec![told as u8],
            0x80..0x100 => vec![0x81, told as u8],
            0x100..0x1_0000 => vec![0x82, (told >> 8) as u8, told as u8],
            // indefinite; then forms of four bytes and of too many
            0x7fff_ffff => vec![0x80],
            0x8000_0000 => vec![0x88, 0, 0, 0, 0, 0, 0, 0, 1],
            _ => [&[0x84][..], &(told as u32).to_be_bytes()].concat(),
        };
        if begin <= self.bytes.len() {
            let rest = self.bytes.split_off(begin);
            self.bytes.append(&mut head);
            self.bytes.extend(rest);
        }
        self
    }

    /// Elements inside each other, as deep as the input says: up to 255 deep.
    pub fn nest(&mut self, tag: u8) -> &mut Self {
        let depth = self.input.u8();
        self.nested(tag, depth)
    }

    fn nested(&mut self, tag: u8, depth: u8) -> &mut Self {
        match depth {
            0 => self,
            _ => self.tlv(tag, |s| _ = s.nested(tag, depth - 1)),
        }
    }

    /// Where the next byte of this message goes.
    pub fn at(&self) -> usize {
        self.bytes.len()
    }

    /// What `body` writes, which is said nowhere yet.
    pub fn inner(&mut self, body: impl FnOnce(&mut Self)) -> Vec<u8> {
        let outer = std::mem::take(&mut self.bytes);
        body(self);
        std::mem::replace(&mut self.bytes, outer)
    }

    /// Text in UTF-16 with its low bytes first.
    pub fn utf16(&mut self, text: &str) -> &mut Self {
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        self.raw(&bytes)
    }
}
