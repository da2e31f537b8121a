//! `walk --export`: every frame at every stage, as pcapng that any Wireshark reads.
//!
//! One interface for each stage, `epb_packetid` constant along a frame's way. The format is drawn
//! in `docs/formats/stages.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

use capture::Error;
use capture::write::{FrameOptions, InterfaceSpec, PcapngWriter, SectionSpec};
use pipeline::PortCast;
use skb::trace::Tracer;
use skb::{DropReason, LinkType, Pool, PortId, PortSet, RxDesc, Skb, Stage, Verdict};

/// First words of the file.
const PRIVATE: &str = "This file holds whole frames of a network and so, on a practice's network, \
    patient data. Keep it readable by yourself only and delete it when it is no longer needed.";
const HOW_TO_READ: &str = "Written by framewalk walk --export. One interface per stage: nic, \
    driver, skb, vswitch, guest. A frame keeps its packet id (frame.packet_id) at every stage. \
    All records of a frame carry the time at which it was captured. Records begin with the \
    Ethernet header at every stage, also where the skb's data pointer is already behind it.";

/// Bytes written unless asked otherwise.
pub const BYTES_MAX_DEFAULT: u64 = 2 << 30;

/// Writes what it sees at each stage.
#[derive(Debug)]
pub struct StageExport<W> {
    writer: PcapngWriter<W>,
    /// Five interfaces for each link type met.
    interfaces: BTreeMap<u16, [u32; Stage::COUNT]>,
    ports: Vec<PortCast>,
    written: u64,
    bytes: u64,
    bytes_max: u64,
    /// What ended the export early.
    stopped: Option<Stopped>,
    comment: String,
    joined: Vec<u8>,
}

/// Why no more is written.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// It could not be written.
    #[error(transparent)]
    Failed(#[from] Error),
    /// The budget was reached.
    #[error(
        "the stage export reached its budget of {0} bytes; what was written until then is complete"
    )]
    Budget(u64),
}

impl<W: Write> StageExport<W> {
    /// Starts a file. `ports` are in the order of their ids.
    pub fn new(out: W, ports: Vec<PortCast>, bytes_max: u64) -> Result<Self, Error> {
        let version = concat!("framewalk ", env!("CARGO_PKG_VERSION"));
        let section = SectionSpec {
            userappl: Some(version),
            comments: &[PRIVATE, HOW_TO_READ],
            ..SectionSpec::default()
        };
        let mut export = Self {
            writer: PcapngWriter::new(out, &section)?,
            interfaces: BTreeMap::new(),
            ports,
            written: 0,
            bytes: 0,
            bytes_max,
            stopped: None,
            comment: String::new(),
            joined: Vec::new(),
        };
        export.add_interfaces(LinkType::ETHERNET)?;
        Ok(export)
    }

    /// Records written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Flushes; the error is what ended the export early, if anything did.
    pub fn finish(&mut self) -> Result<(), Stopped> {
        self.writer.flush()?;
        self.stopped.take().map_or(Ok(()), Err)
    }

    fn add_interfaces(&mut self, linktype: LinkType) -> Result<[u32; Stage::COUNT], Error> {
        let mut ids = [0; Stage::COUNT];
        for stage in Stage::ALL {
            let name = match linktype {
                LinkType::ETHERNET => stage.name().to_owned(),
                other => format!("{} ({other})", stage.name()),
            };
            ids[stage as usize] = self.writer.add_interface(&InterfaceSpec {
                linktype,
                name: Some(&name),
                description: Some(describe(stage)),
                ..InterfaceSpec::default()
            })?;
        }
        self.interfaces.insert(linktype.0, ids);
        Ok(ids)
    }

    fn name(&self, port: PortId) -> &str {
        self.ports.get(port.index()).map_or("?", |port| &port.name)
    }

    fn record(&mut self, stage: Stage, about: &About, frame: &[u8], comment: &str) {
        if self.stopped.is_some() {
            return;
        }
        let size = frame.len() as u64 + comment.len() as u64 + 64;
        if self.bytes + size > self.bytes_max {
            self.stopped = Some(Stopped::Budget(self.bytes_max));
            return;
        }
        self.bytes += size;
        if let Err(error) = self.try_record(stage, about, frame, comment) {
            self.stopped = Some(Stopped::Failed(error));
        }
    }

    fn try_record(
        &mut self,
        stage: Stage,
        about: &About,
        frame: &[u8],
        comment: &str,
    ) -> Result<(), Error> {
        let ids = match self.interfaces.get(&about.linktype.0) {
            Some(ids) => *ids,
            None => self.add_interfaces(about.linktype)?,
        };
        let options = FrameOptions {
            packet_id: Some(about.id),
            comments: &[comment],
            ..FrameOptions::default()
        };
        let interface = ids[stage as usize];
        // tags put in or taken out, and super-frames, change the length
        let origlen = about.origlen.max(frame.len() as u32);
        self.writer.write_frame(interface, about.time_ns.max(0), origlen, frame, &options)?;
        self.written += 1;
        Ok(())
    }

    fn record_skb(&mut self, stage: Stage, pool: &Pool, skb: &Skb, what: &str) {
        let mut comment = std::mem::take(&mut self.comment);
        comment.clear();
        let (data, tail, end) = skb.geometry();
        // writing into a string cannot fail
        let _ = write!(comment, "{stage}: {what}; head 0 data {data} tail {tail} end {end}");
        if skb.pulled() > 0 {
            let _ = write!(comment, " ({} bytes pulled)", skb.pulled());
        }
        let _ = write!(comment, "; in by {}", self.name(skb.ingress));
        if skb.vlan_tci != 0 {
            let _ = write!(comment, "; vlan {}", skb.vid());
        }
        let about = About {
            id: skb.id,
            time_ns: skb.time_ns,
            origlen: skb.origlen,
            linktype: skb.linktype,
        };
        if pool.frags_len(skb) == 0 {
            self.record(stage, &about, pool.frame(skb), &comment);
        } else {
            let mut joined = std::mem::take(&mut self.joined);
            joined.clear();
            joined.extend_from_slice(pool.frame(skb));
            pool.frags(skb).for_each(|piece| joined.extend_from_slice(piece));
            self.record(stage, &about, &joined, &comment);
            self.joined = joined;
        }
        self.comment = comment;
    }

    fn names(&self, set: PortSet) -> String {
        set.map(|port| self.name(port)).collect::<Vec<_>>().join(", ")
    }
}

struct About {
    id: u64,
    time_ns: i64,
    origlen: u32,
    linktype: LinkType,
}

fn describe(stage: Stage) -> &'static str {
    match stage {
        Stage::Nic => "the adapter: descriptor in the rx ring",
        Stage::Driver => "the driver: sk_buff built around the buffer",
        Stage::Skb => "the skb stage: classified, Ethernet header pulled",
        Stage::Vswitch => "the virtual switch: learned, looked up, decided",
        Stage::Guest => "the far end: one record for each reference that leaves by a port",
    }
}

impl<W: Write> Tracer for StageExport<W> {
    const ON: bool = true;

    fn arrived(&mut self, pool: &Pool, desc: &RxDesc) {
        let about = About {
            id: desc.id,
            time_ns: desc.time_ns,
            origlen: desc.origlen,
            linktype: desc.linktype,
        };
        let frame = pool.received(desc);
        let comment = format!(
            "nic: rx descriptor names {} bytes; in by {}",
            frame.len(),
            self.name(desc.ingress)
        );
        self.record(Stage::Nic, &about, frame, &comment);
    }

    fn stage(&mut self, stage: Stage, pool: &Pool, skb: &Skb) {
        let what = if stage == Stage::Driver { "sk_buff built" } else { "classified" };
        self.record_skb(stage, pool, skb, what);
    }

    fn verdict(&mut self, pool: &Pool, skb: &Skb, verdict: &Verdict) {
        let what = match verdict {
            Verdict::Forward(set) => format!("forward to {}", self.names(*set)),
            Verdict::Consume => "taken by the switch".to_owned(),
            Verdict::Drop(reason) => dropped_words(*reason),
        };
        self.record_skb(Stage::Vswitch, pool, skb, &what);
    }

    fn delivered(&mut self, pool: &Pool, skb: &Skb, port: PortId) {
        let what = format!("out by {}", self.name(port));
        self.record_skb(Stage::Guest, pool, skb, &what);
    }

    fn dropped(
        &mut self,
        stage: Stage,
        pool: &Pool,
        skb: &Skb,
        reason: DropReason,
        port: Option<PortId>,
    ) {
        // a frame the switch drops whole was written with its verdict
        let Some(port) = port else { return };
        let what = format!("to {}: {}", self.name(port), dropped_words(reason));
        self.record_skb(stage, pool, skb, &what);
    }
}

fn dropped_words(reason: DropReason) -> String {
    format!("dropped, {reason}: {}", reason.describe().trim().replace('`', ""))
}
