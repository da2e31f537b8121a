//! The analysis of a source of frames, by one thread or two.

use std::collections::VecDeque;
use std::ops::Range;

use capture::Batch;

use crate::App;
use crate::engine::{Counts, Engine, Limits, Sink};
use crate::facts::{Facts, NameKey};
use crate::peel::Packet;
use crate::record::FlowRecord;
use crate::site::{Message, Site};

/// The analysis of one source of frames.
#[derive(Debug)]
pub struct Analyzer {
    engine: Engine<Here>,
}

impl Analyzer {
    /// Nothing seen yet.
    pub fn new(limits: Limits) -> Self {
        let key = NameKey::random();
        let site = Site::new(key);
        let here = Here { site, ended: Vec::new(), told: Told::default() };
        Self { engine: Engine::new(limits, key, here) }
    }

    /// Names and network cards are hashed with this key, so that they can be compared over
    /// analyses.
    #[must_use]
    pub fn with_name_key(mut self, key: NameKey) -> Self {
        self.engine.key = key;
        self.engine.sink.site.set_key(key);
        self
    }

    /// Leaves a part of the conversations to another thread, before the first frame. What that one
    /// tells of a batch goes to [`batch_with`](Self::batch_with).
    pub fn split(&mut self) -> Share {
        Share { engine: self.engine.split(Told::default()) }
    }

    /// What was counted so far.
    pub const fn counts(&self) -> Counts {
        self.engine.counts
    }

    /// What was learned from the conversations that are over; from all after
    /// [`finish`](Self::finish).
    pub const fn site(&self) -> &Site {
        &self.engine.sink.site
    }

    /// Takes all frames of a batch.
    pub fn batch(&mut self, batch: &Batch<'_>) {
        self.frames(batch, 0..batch.records().len());
    }

    /// Takes the frames of a batch that have these indices, in rising order.
    pub fn frames(&mut self, batch: &Batch<'_>, indices: impl IntoIterator<Item = usize>) {
        self.engine.frames(batch, indices);
    }

    /// Takes all frames of a batch, of which the other part has told this. What comes back is empty
    /// and can be used again.
    pub fn batch_with(&mut self, batch: &Batch<'_>, told: Told) -> Told {
        self.engine.sink.told = told;
        self.batch(batch);
        self.engine.sink.rest()
    }

    /// Conversations that are over, in the order in which they ended.
    pub fn ended(&mut self) -> std::vec::Drain<'_, FlowRecord> {
        self.engine.sink.ended.drain(..)
    }

    /// Nothing more comes: what is still open is given out, in the order in which it began.
    pub fn finish(&mut self) -> Vec<FlowRecord> {
        let mut flows = Vec::new();
        self.finish_into(|flow| flows.push(flow));
        flows.sort_by_key(|flow| flow.first_frame);
        flows
    }

    /// As [`finish`](Self::finish), one by one, behind those that ended before.
    pub fn finish_into(&mut self, mut out: impl FnMut(FlowRecord)) {
        self.ended().for_each(&mut out);
        self.engine.finish(|here| here.ended.drain(..).for_each(&mut out));
        let _ = self.engine.sink.rest();
        self.ended().for_each(&mut out);
    }

    /// As [`finish_into`](Self::finish_into), with what the other part told and counted.
    pub fn finish_with(&mut self, told: Told, counts: Counts, out: impl FnMut(FlowRecord)) {
        self.engine.sink.told = told;
        self.finish_into(out);
        self.engine.counts.add(counts);
    }
}

/// The analysis of a part of the conversations, on a thread of its own.
#[derive(Debug)]
pub struct Share {
    engine: Engine<Told>,
}

impl Share {
    /// Takes all frames of a batch. What they tell is added to `told`, which must be empty.
    pub fn batch(&mut self, batch: &Batch<'_>, told: Told) -> Told {
        self.engine.sink = told;
        self.engine.frames(batch, 0..batch.records().len());
        std::mem::take(&mut self.engine.sink)
    }

    /// Nothing more comes: what is still open, and what was counted of all.
    pub fn finish(mut self) -> (Told, Counts) {
        self.engine.finish(|_| {});
        (self.engine.sink, self.engine.counts)
    }
}

/// What a thread of its own has found, in the order in which it came about.
#[derive(Debug, Default)]
pub struct Told {
    events: VecDeque<(u64, Event)>,
    /// What messages carried.
    bytes: Vec<u8>,
}

#[derive(Debug)]
enum Event {
    /// With its time.
    Syn(Packet<'static>, i64),
    /// With its time; what it carries lies there in `bytes`.
    Router(Packet<'static>, i64, Range<usize>),
    /// What it carries lies there in `bytes`.
    Message(Message<'static>, Range<usize>),
    Flow(FlowRecord),
}

impl Told {
    fn keep(&mut self, payload: &[u8]) -> Range<usize> {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        at..self.bytes.len()
    }
}

impl Sink for Told {
    fn syn(&mut self, packet: &Packet<'_>, time_ns: i64, frame: u64) {
        let packet = packet.without_payload();
        self.events.push_back((frame, Event::Syn(packet, time_ns)));
    }

    fn router(&mut self, packet: &Packet<'_>, time_ns: i64, frame: u64) {
        let at = self.keep(packet.payload);
        self.events.push_back((frame, Event::Router(packet.without_payload(), time_ns, at)));
    }

    /// The first part's.
    fn link_frame(&mut self, _: &[u8], _: i64, _: u64) {}

    fn message(&mut self, message: &Message<'_>, frame: u64) {
        let at = self.keep(message.payload);
        self.events.push_back((frame, Event::Message(message.without_payload(), at)));
    }

    fn flow(&mut self, record: FlowRecord, frame: u64) {
        self.events.push_back((frame, Event::Flow(record)));
    }
}

/// Where everything comes together.
#[derive(Debug)]
struct Here {
    site: Site,
    ended: Vec<FlowRecord>,
    /// Of the other part, not heard yet.
    told: Told,
}

impl Here {
    /// Hears what the other part told of frames before this one.
    #[inline(always)]
    fn catch_up(&mut self, frame: u64) {
        while self.told.events.front().is_some_and(|(at, _)| *at < frame) {
            self.next();
        }
    }

    #[inline(never)]
    fn next(&mut self) {
        let Some((frame, event)) = self.told.events.pop_front() else { return };
        match event {
            Event::Syn(packet, time_ns) => self.site.syn(&packet, time_ns, frame),
            Event::Router(packet, time_ns, at) => {
                let payload = self.told.bytes.get(at).unwrap_or_default();
                self.site.router(&Packet { payload, ..packet }, time_ns, frame);
            }
            Event::Message(message, at) => {
                let payload = self.told.bytes.get(at).unwrap_or_default();
                self.site.message(&Message { payload, ..message });
            }
            Event::Flow(record) => self.over(record),
        }
    }

    /// Hears the rest. What is empty now comes back.
    fn rest(&mut self) -> Told {
        while !self.told.events.is_empty() {
            self.next();
        }
        self.told.bytes.clear();
        std::mem::take(&mut self.told)
    }

    fn over(&mut self, mut record: FlowRecord) {
        record.server_name = self.site.server_name(&record);
        if self.site.carries_file(&record) {
            // what its bytes looked like is the file's, not the conversation's
            (record.app, record.app_sure, record.facts) = (App::FtpData, true, Facts::None);
            record.path = std::iter::once(App::FtpData).collect();
        }
        self.site.flow(&record);
        self.ended.push(record);
    }
}

impl Sink for Here {
    fn syn(&mut self, packet: &Packet<'_>, time_ns: i64, frame: u64) {
        self.catch_up(frame);
        self.site.syn(packet, time_ns, frame);
    }

    fn router(&mut self, packet: &Packet<'_>, time_ns: i64, frame: u64) {
        self.catch_up(frame);
        self.site.router(packet, time_ns, frame);
    }

    fn link_frame(&mut self, bytes: &[u8], time_ns: i64, frame: u64) {
        self.catch_up(frame);
        self.site.link_frame(bytes, time_ns, frame);
    }

    fn message(&mut self, message: &Message<'_>, frame: u64) {
        self.catch_up(frame);
        self.site.message(message);
    }

    fn flow(&mut self, record: FlowRecord, frame: u64) {
        self.catch_up(frame);
        self.over(record);
    }
}
