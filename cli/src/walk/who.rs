//! Who is who: a replayed file holds both directions of a wire, so before anything is walked it
//! is decided which stations are guests. Everyone else lives on the wire.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use capture::{Batch, Reader, Source};
use serde::Serialize;
use skb::{FrameMeta, LinkType, MacAddr};

use crate::term::Progress;

/// Frames looked at on standard input or a live interface before the walk begins.
pub const FRAMES_STDIN: u64 = 4096;
/// Bytes of standard input held for them, at most.
const BYTES_STDIN: usize = 64 << 20;
/// Stations counted apart; frames to further ones are counted together.
const STATIONS_MAX: usize = 65_536;

/// How the guests were chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Chosen {
    /// Named on the command line.
    Named,
    /// The station that most unicast frames are sent to, over the whole file.
    MostReceived,
    /// The same, by the first frames of standard input or of a live interface.
    MostReceivedAtFirst,
    /// No frame to a station was there to choose by.
    Nobody,
}

/// A station and the unicast frames sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Station {
    /// Its address.
    pub mac: MacAddr,
    /// Unicast frames sent to it, as far as was looked.
    pub frames: u64,
}

/// The map.
#[derive(Debug, Clone)]
pub struct Who {
    /// How the guests were chosen.
    pub chosen: Chosen,
    /// The guests, in port order: port 1 is the first.
    pub guests: Vec<Station>,
    /// Other stations by frames received, most first; only the first few.
    pub others: Vec<Station>,
    /// Stations that unicast frames were sent to.
    pub stations: u64,
    /// Unicast frames counted.
    pub unicast: u64,
    /// Frames looked at; `None` when nothing had to be.
    pub looked_at: Option<u64>,
    /// What the file says about the frame asked for, if it was among those looked at.
    pub meta: Option<FrameMeta>,
}

/// What to find out.
#[derive(Debug, Clone)]
pub struct Question {
    /// Guests named on the command line.
    pub named: Vec<MacAddr>,
    /// A frame whose metadata is wanted.
    pub frame: Option<u64>,
}

impl Question {
    /// Nothing has to be read to answer.
    fn is_answered(&self) -> bool {
        !self.named.is_empty() && self.frame.is_none()
    }
}

/// Decides who is who and gives the capture back, at its beginning. A damaged file is read as far
/// as it goes; the walk meets the damage again and reports it.
pub fn decide(
    path: &Path,
    question: &Question,
    mut progress: Progress,
) -> Result<(Who, Source), capture::Error> {
    if path.as_os_str() == "-" {
        return decide_on_stream(Source::open(path)?, question);
    }
    let mut counts = Counts::default();
    let mut meta = None;
    if !question.is_answered() {
        let mut reader = Reader::open(path)?;
        while let Ok(Some(batch)) = reader.next_batch() {
            counts.batch(&batch);
            meta = meta.or_else(|| find(&batch, question.frame));
            progress.at(reader.progress().read);
        }
    }
    let looked_at = (!question.is_answered()).then_some(counts.frames);
    let who = counts.into_who(question, Chosen::MostReceived, looked_at, meta);
    Ok((who, Source::open(path)?))
}

fn find(batch: &Batch<'_>, frame: Option<u64>) -> Option<FrameMeta> {
    let index = frame?.checked_sub(batch.number_first())?;
    Some(batch.frame(usize::try_from(index).ok()?)?.meta)
}

/// Counts by the first frames of a stream, and puts them back in front of the rest.
pub fn decide_on_stream(
    source: Source,
    question: &Question,
) -> Result<(Who, Source), capture::Error> {
    let name = source.name().to_owned();
    let tee = Tee(Arc::new(Mutex::new(Kept { source, bytes: Vec::new(), failed: None })));
    let mut counts = Counts::default();
    let mut meta = None;
    if question.is_answered() {
        let who = counts.into_who(question, Chosen::Named, None, None);
        return Ok((who, Source::from_read(&name, Box::new(Rest(tee.0)))?));
    }
    let looked_through = Source::from_read(&name, Box::new(tee.clone())).and_then(Reader::new);
    let mut reader = looked_through.map_err(|error| tee.take_failed().unwrap_or(error))?;
    while let Ok(Some(batch)) = reader.next_batch() {
        counts.batch(&batch);
        meta = meta.or_else(|| find(&batch, question.frame));
        if counts.frames >= FRAMES_STDIN || tee.held() > BYTES_STDIN {
            break;
        }
    }
    let looked_at = Some(counts.frames);
    let who = counts.into_who(question, Chosen::MostReceivedAtFirst, looked_at, meta);
    let first = tee.take_kept();
    let all = io::Cursor::new(first).chain(Rest(tee.0));
    Ok((who, Source::from_read(&name, Box::new(all))?))
}

/// Decides by frames that `look` shows as they come, and that come again later; it says how many it
/// showed. `is_ethernet` is `None` where nothing is to be looked at: the guests are named.
pub fn decide_on_frames(
    question: &Question,
    is_ethernet: Option<bool>,
    look: impl FnOnce(&mut dyn FnMut(&[u8])) -> anyhow::Result<u64>,
) -> anyhow::Result<Who> {
    let mut counts = Counts::default();
    let Some(is_ethernet) = is_ethernet else {
        return Ok(counts.into_who(question, Chosen::Named, None, None));
    };
    let looked_at = look(&mut |frame| {
        if is_ethernet
            && frame.len() >= 14
            && let Some(to) = frame.first_chunk::<6>()
        {
            counts.count(*to);
        }
    })?;
    Ok(counts.into_who(question, Chosen::MostReceivedAtFirst, Some(looked_at), None))
}

struct Kept {
    source: Source,
    bytes: Vec<u8>,
    /// What ended the source; a source tells it once, and who reads on has to be told again.
    failed: Option<capture::Error>,
}

/// Reads on and keeps what was read.
#[derive(Clone)]
struct Tee(Arc<Mutex<Kept>>);

impl Tee {
    fn held(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bytes.len()
    }

    fn take_kept(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).bytes)
    }

    fn take_failed(&self) -> Option<capture::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).failed.take()
    }
}

impl Read for Tee {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = kept.source.read(buf).map_err(|error| {
            let text = error.to_string();
            kept.failed = Some(error);
            io::Error::other(text)
        })?;
        kept.bytes.extend_from_slice(&buf[..read]);
        Ok(read)
    }
}

/// Reads on.
struct Rest(Arc<Mutex<Kept>>);

impl Read for Rest {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.failed.take() {
            Some(error) => Err(io::Error::other(error)),
            None => kept.source.read(buf).map_err(io::Error::other),
        }
    }
}

/// Unicast frames by destination.
#[derive(Debug, Default)]
struct Counts {
    /// Address to frames and order of first sight.
    to: HashMap<[u8; 6], (u64, u32), foldhash::fast::RandomState>,
    frames: u64,
    unicast: u64,
    /// The address counted last: most frames are to the same one again.
    run: [u8; 6],
    run_frames: u64,
}

impl Counts {
    fn batch(&mut self, batch: &Batch<'_>) {
        self.frames += batch.records().len() as u64;
        for (i, record) in batch.records().iter().enumerate() {
            batch.prefetch(i, 8);
            if record.caplen < 14 || batch.linktype(record) != LinkType::ETHERNET {
                continue;
            }
            if let Some(to) = batch.data(record).first_chunk::<6>() {
                self.count(*to);
            }
        }
    }

    #[inline]
    fn count(&mut self, to: [u8; 6]) {
        // a group is nobody in particular, and all zero is what a loopback device writes
        if to[0] & 1 != 0 || to == [0; 6] {
            return;
        }
        self.unicast += 1;
        if to != self.run {
            self.end_run();
            self.run = to;
        }
        self.run_frames += 1;
    }

    fn end_run(&mut self) {
        if self.run_frames == 0 {
            return;
        }
        let order = self.to.len() as u32;
        if (order as usize) < STATIONS_MAX || self.to.contains_key(&self.run) {
            self.to.entry(self.run).or_insert((0, order)).0 += self.run_frames;
        }
        self.run_frames = 0;
    }

    fn into_who(
        mut self,
        question: &Question,
        chosen: Chosen,
        looked_at: Option<u64>,
        meta: Option<FrameMeta>,
    ) -> Who {
        self.end_run();
        let stations = self.to.len() as u64;
        let mut by_frames: Vec<_> = self.to.iter().map(|(mac, count)| (*mac, *count)).collect();
        by_frames.sort_unstable_by_key(|(_, (frames, order))| (u64::MAX - frames, *order));
        let frames_to = |mac: MacAddr| self.to.get(&mac.0).map_or(0, |(frames, _)| *frames);
        let (chosen, guests) = match (question.named.as_slice(), by_frames.first()) {
            ([], None) => (Chosen::Nobody, Vec::new()),
            ([], Some((mac, (frames, _)))) => {
                (chosen, vec![Station { mac: MacAddr(*mac), frames: *frames }])
            }
            (named, _) => {
                let station = |mac: &MacAddr| Station { mac: *mac, frames: frames_to(*mac) };
                (Chosen::Named, named.iter().map(station).collect())
            }
        };
        let others = by_frames
            .iter()
            .map(|(mac, (frames, _))| Station { mac: MacAddr(*mac), frames: *frames })
            .filter(|s| !guests.iter().any(|g| g.mac == s.mac))
            .take(3)
            .collect();
        Who { chosen, guests, others, stations, unicast: self.unicast, looked_at, meta }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use capture::write::PcapWriter;

    fn capture(frames: &[[u8; 6]]) -> Vec<u8> {
        let mut writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET, 0, None).unwrap();
        for to in frames {
            let mut frame = [0u8; 60];
            frame[..6].copy_from_slice(to);
            frame[6] = 2;
            writer.write_frame(0, 60, &frame).unwrap();
        }
        writer.finish().unwrap()
    }

    fn ask(frames: &[[u8; 6]], named: Vec<MacAddr>) -> (Who, u64) {
        let source = Source::from_bytes("test", capture(frames)).unwrap();
        let question = Question { named, frame: Some(2) };
        let (who, source) = decide_on_stream(source, &question).unwrap();
        let mut reader = Reader::new(source).unwrap();
        let mut left = 0;
        while reader.next().unwrap().is_some() {
            left += 1;
        }
        (who, left)
    }

    const A: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const B: [u8; 6] = [2, 0, 0, 0, 0, 2];
    const ALL: [u8; 6] = [0xff; 6];

    #[test]
    fn most_unicast_wins_ties_go_to_the_first_seen_and_no_frame_is_lost() {
        let (who, left) = ask(&[ALL, ALL, ALL, B, A, B], Vec::new());
        assert_eq!(who.guests, [Station { mac: MacAddr(B), frames: 2 }]);
        assert_eq!(who.others, [Station { mac: MacAddr(A), frames: 1 }]);
        assert_eq!((who.unicast, who.stations, left), (3, 2, 6));
        assert_eq!(who.meta.map(|m| m.number), Some(2));
        let (who, _) = ask(&[B, A, A, B], Vec::new());
        assert_eq!(who.guests[0].mac, MacAddr(B));
    }

    #[test]
    fn named_guests_come_in_their_order_and_nobody_is_nobody() {
        let (who, left) = ask(&[A, B, B], vec![MacAddr(A), MacAddr([2; 6])]);
        assert_eq!(who.guests.iter().map(|g| g.frames).collect::<Vec<_>>(), [1, 0]);
        assert_eq!((who.chosen, left), (Chosen::Named, 3));
        let (who, left) = ask(&[ALL, [0; 6]], Vec::new());
        assert_eq!((who.chosen, who.guests.len(), left), (Chosen::Nobody, 0, 2));
    }

    #[test]
    fn a_long_stream_is_decided_on_its_beginning_and_walked_whole() {
        let mut frames = vec![A; FRAMES_STDIN as usize];
        frames.extend(vec![B; 20_000]);
        let (who, left) = ask(&frames, Vec::new());
        assert_eq!((who.guests[0].mac, left), (MacAddr(A), 24_096));
        assert!(who.looked_at.unwrap() < 10_000);
    }
}
