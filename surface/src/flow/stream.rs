//! One direction of a TCP connection, put in order within a bounded memory.

/// Bytes held back while an earlier segment is missing.
const HELD_BYTES_MAX: usize = 16 << 10;
/// Segments held back.
const HELD_MAX: usize = 16;

/// The next piece of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Bytes, in order.
    Data(&'a [u8]),
    /// So many bytes are missing from the capture.
    Gap(u32),
}

#[derive(Debug)]
struct Held {
    seq: u32,
    bytes: Vec<u8>,
    /// Bytes on the wire behind `bytes`, cut by the snap length.
    cut: u32,
}

/// Puts segments in order.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    next: u32,
    started: bool,
    /// Began with a SYN.
    whole: bool,
    held: Vec<Held>,
    held_bytes: usize,
}

impl Stream {
    /// Whether the first byte of the stream was given out first.
    pub(crate) const fn whole(&self) -> bool {
        self.whole
    }

    /// Bytes held back.
    pub(crate) const fn held(&self) -> usize {
        self.held_bytes
    }

    /// A SYN with this sequence number: data begins behind it.
    pub(crate) fn syn(&mut self, seq: u32) {
        if !self.started {
            self.next = seq.wrapping_add(1);
            self.started = true;
            self.whole = true;
        }
    }

    /// A segment: `bytes` of the `wire` bytes it had. Gives out what is in order now.
    pub(crate) fn push(
        &mut self,
        seq: u32,
        bytes: &[u8],
        wire: u32,
        out: &mut impl FnMut(Piece<'_>),
    ) {
        if wire == 0 {
            return;
        }
        if !self.started {
            self.started = true;
            self.next = seq;
        }
        let cut = wire.saturating_sub(bytes.len() as u32);
        if (seq.wrapping_sub(self.next) as i32) <= 0 {
            self.take(seq, bytes, cut, out);
            self.release(out);
            return;
        }
        let place = self.held.partition_point(|held| (held.seq.wrapping_sub(seq) as i32) < 0);
        if self.held.get(place).is_some_and(|held| held.seq == seq) {
            return; // sent again while the one before it is missing
        }
        self.held_bytes += bytes.len();
        self.held.insert(place, Held { seq, bytes: bytes.to_vec(), cut });
        while self.held.len() > HELD_MAX || self.held_bytes > HELD_BYTES_MAX {
            self.skip(out);
        }
    }

    /// Nothing more comes: what is held back is given out with its gaps.
    pub(crate) fn end(&mut self, out: &mut impl FnMut(Piece<'_>)) {
        while !self.held.is_empty() {
            self.skip(out);
        }
    }

    /// Gives up on what is missing in front of the first segment held back.
    fn skip(&mut self, out: &mut impl FnMut(Piece<'_>)) {
        let Some(first) = self.held.first() else { return };
        let missing = first.seq.wrapping_sub(self.next);
        self.next = first.seq;
        out(Piece::Gap(missing));
        self.release(out);
    }

    /// Gives out what is held back and in order.
    fn release(&mut self, out: &mut impl FnMut(Piece<'_>)) {
        while self.held.first().is_some_and(|h| (h.seq.wrapping_sub(self.next) as i32) <= 0) {
            let held = self.held.remove(0);
            self.held_bytes -= held.bytes.len();
            self.take(held.seq, &held.bytes, held.cut, out);
        }
    }

    /// A segment that begins at the next byte or before it.
    fn take(&mut self, seq: u32, bytes: &[u8], cut: u32, out: &mut impl FnMut(Piece<'_>)) {
        let known = self.next.wrapping_sub(seq) as usize;
        if let Some(new) = bytes.get(known..).filter(|new| !new.is_empty()) {
            self.next = self.next.wrapping_add(new.len() as u32);
            out(Piece::Data(new));
        }
        let end = seq.wrapping_add(bytes.len() as u32).wrapping_add(cut);
        let behind = end.wrapping_sub(self.next) as i32;
        if behind > 0 {
            self.next = end;
            out(Piece::Gap(behind as u32));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(segments: &[(u32, &[u8], u32)]) -> (Vec<u8>, u32) {
        let (mut stream, mut bytes, mut gaps) = (Stream::default(), Vec::new(), 0);
        stream.syn(u32::MAX - 3);
        let mut out = |piece: Piece<'_>| match piece {
            Piece::Data(data) => bytes.extend_from_slice(data),
            Piece::Gap(gap) => gaps += gap,
        };
        for &(at, data, wire) in segments {
            stream.push((u32::MAX - 2).wrapping_add(at), data, wire, &mut out);
        }
        stream.end(&mut out);
        (bytes, gaps)
    }

    #[test]
    fn segments_come_in_order_once_across_the_wrap() {
        let segments: [(u32, &[u8], u32); 5] =
            [(0, b"abc", 3), (6, b"ghi", 3), (0, b"abc", 3), (2, b"cdefg", 5), (9, b"j", 1)];
        assert_eq!(run(&segments), (b"abcdefghij".to_vec(), 0));
    }

    #[test]
    fn what_is_missing_is_counted() {
        assert_eq!(run(&[(0, b"ab", 10), (10, b"k", 1)]), (b"abk".to_vec(), 8));
        assert_eq!(run(&[(4, b"ef", 2), (8, b"i", 1)]), (b"efi".to_vec(), 6));
    }

    #[test]
    fn memory_is_bounded() {
        let (mut stream, mut given) = (Stream::default(), 0_usize);
        stream.syn(0);
        for n in 0..1000_u32 {
            stream.push(1000 + n * 2000, &[0; 1500], 1500, &mut |piece| {
                if let Piece::Data(data) = piece {
                    given += data.len();
                }
            });
            assert!(stream.held.len() <= HELD_MAX && stream.held_bytes <= HELD_BYTES_MAX);
        }
        assert!(given >= 1500 * 980);
    }
}
