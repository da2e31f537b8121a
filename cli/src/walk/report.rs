//! What a walk came to, as values; how they are printed is `text`'s and [`json`]'s business.

use pipeline::driver::DriverStats;
use pipeline::vswitch::fdb::FdbStats;
use pipeline::{Endpoint, Engine, StageLatency};
use serde::Serialize;
use serde_json::{Map, Value, json};
use skb::trace::Tracer;
use skb::{CopyReason, DropReason, Ledger, MacAddr, PortId, Stage};

use super::plan::{Plan, SwitchKind, WIRE, guest_name};
use super::run::Ran;
use super::who::{Chosen, Who};

/// Everything a walk came to.
#[derive(Debug)]
pub struct Report {
    /// What was walked.
    pub input: String,
    /// Who is who.
    pub who: Who,
    /// The switch type.
    pub switch: SwitchKind,
    /// Whether GRO was on.
    pub gro: bool,
    /// All ports that the switch has.
    pub ports: Vec<PortReport>,
    /// Every reference, accounted for.
    pub ledger: Ledger,
    /// Ring discipline, all ports together.
    pub driver: DriverStats,
    /// Per stage, then `path`.
    pub latencies: Vec<StageLatency>,
    /// The switch's table.
    pub fdb: FdbStats,
    /// Addresses in it at the end, the guests' own included.
    pub fdb_len: usize,
    /// Edges that end at the host, by configuration.
    pub host_edges: usize,
    /// Seconds the walk took.
    pub seconds: f64,
    /// What ended the capture early.
    pub damage: Option<String>,
    /// The interface, of a live walk.
    #[cfg(target_os = "linux")]
    pub live: Option<super::live::LiveReport>,
}

/// One port.
#[derive(Debug, Clone, Serialize)]
pub struct PortReport {
    /// Its number.
    pub port: u8,
    /// Its name.
    pub name: String,
    /// `wire`, `guest`, `live-guest` or `host`.
    pub role: &'static str,
    /// The guest's address.
    pub mac: Option<String>,
    /// `drop` or `credit`.
    pub mode: &'static str,
    /// Frames that came in here.
    pub in_frames: u64,
    /// Their bytes.
    pub in_bytes: u64,
    /// References that left here.
    pub out_frames: u64,
    /// Their bytes.
    pub out_bytes: u64,
}

impl Report {
    /// Reads a finished engine.
    pub fn new<T: Tracer>(
        input: String,
        who: Who,
        plan: &Plan,
        engine: &Engine<T>,
        ran: &Ran,
    ) -> Self {
        let mut driver = DriverStats::default();
        for port in engine.ports() {
            let stats = port.driver().stats();
            driver.interrupts += stats.interrupts;
            driver.polls += stats.polls;
            driver.polls_full += stats.polls_full;
            driver.frames += stats.frames;
        }
        Self {
            input,
            who,
            switch: plan.switch,
            gro: plan.gro,
            ports: ports(plan, engine),
            ledger: engine.ledger(),
            driver,
            latencies: engine.histograms().latencies(ran.ns_per_tick),
            fdb: engine.switch().fdb().stats(),
            fdb_len: engine.switch().fdb().len(),
            host_edges: engine.switch().graph().host_edges(),
            seconds: ran.seconds,
            damage: ran.damage.as_ref().map(ToString::to_string),
            #[cfg(target_os = "linux")]
            live: None,
        }
    }

    /// The same of a live walk.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn with_live(self, live: super::live::LiveReport) -> Self {
        Self { live: Some(live), ..self }
    }

    /// Whether frames came from an interface, not from a file.
    pub fn is_live(&self) -> bool {
        #[cfg(target_os = "linux")]
        return self.live.is_some();
        #[cfg(not(target_os = "linux"))]
        false
    }

    fn live_json(&self) -> Value {
        #[cfg(target_os = "linux")]
        if let Some(live) = &self.live {
            return live.json(self.ledger.frames_in);
        }
        Value::Null
    }

    /// References that the switch decided about.
    pub fn switched(&self) -> u64 {
        self.driver.frames.saturating_sub(self.ledger.merged)
    }

    /// Drops by stage and reason, those that happened.
    pub fn drops(&self) -> impl Iterator<Item = (Stage, DropReason, u64)> + '_ {
        Stage::ALL
            .into_iter()
            .flat_map(move |stage| {
                DropReason::ALL.iter().map(move |reason| {
                    (stage, *reason, self.ledger.dropped[stage as usize][*reason as usize])
                })
            })
            .filter(|(_, _, count)| *count > 0)
    }

    /// `framewalk.ledger/1`.
    pub fn json(&self) -> Value {
        let mut object = ledger_json(&self.ledger);
        let guests: Vec<_> = self.ports.iter().filter_map(|p| p.mac.clone()).collect();
        let more = json!({
            "guests": guests,
            "stages": self.latencies.iter().map(latency_json).collect::<Vec<_>>(),
            "grain": "burst",
            "copies_per_frame": super::text::copies_per_frame(&self.ledger),
            "input": self.input,
            "switch_type": self.switch.name(),
            "gro": self.gro,
            "host_edges": self.host_edges,
            "who": who_json(&self.who),
            "ports": self.ports,
            "napi": {
                "interrupts": self.driver.interrupts,
                "polls": self.driver.polls,
                "polls_full": self.driver.polls_full,
                "frames": self.driver.frames,
            },
            "fdb": self.fdb,
            "fdb_addresses": self.fdb_len,
            "seconds": self.seconds,
            "damage": self.damage,
            "live": self.live_json(),
        });
        if let Value::Object(more) = more {
            object.extend(more);
        }
        Value::Object(object)
    }
}

fn ports<T: Tracer>(plan: &Plan, engine: &Engine<T>) -> Vec<PortReport> {
    let mac_of: Vec<(MacAddr, PortId)> = plan.guest_ports().collect();
    let stats = engine.switch().stats();
    engine
        .ports()
        .iter()
        .enumerate()
        .filter_map(|(index, port)| {
            let id = PortId(index as u8);
            engine.switch().port(id)?;
            let mac = mac_of.iter().find(|(_, port)| *port == id).map(|(mac, _)| mac.to_string());
            let (name, role) = match (id, &mac, port.endpoint()) {
                (WIRE, ..) => ("wire".to_owned(), "wire"),
                (_, Some(_), Endpoint::Host(_)) => (guest_name(id), "live-guest"),
                (_, Some(_), _) => (guest_name(id), "guest"),
                (_, None, _) => ("host".to_owned(), "host"),
            };
            let counts = stats.port(id);
            let (out_frames, out_bytes) = port.endpoint().taken();
            Some(PortReport {
                port: id.0,
                name,
                role,
                mac,
                mode: port.mode().name(),
                in_frames: counts.rx_frames,
                in_bytes: counts.rx_bytes,
                out_frames,
                out_bytes,
            })
        })
        .collect()
}

/// The terms of the ledger under the names of the contract.
pub fn ledger_json(ledger: &Ledger) -> Map<String, Value> {
    let mut dropped = Map::new();
    for reason in DropReason::ALL {
        let count = ledger.dropped_for(*reason);
        if count > 0 {
            dropped.insert(reason.name().to_owned(), count.into());
        }
    }
    let mut by_stage = Map::new();
    for stage in Stage::ALL {
        let mut reasons = Map::new();
        for reason in DropReason::ALL {
            let count = ledger.dropped[stage as usize][*reason as usize];
            if count > 0 {
                reasons.insert(reason.name().to_owned(), count.into());
            }
        }
        if !reasons.is_empty() {
            by_stage.insert(stage.name().to_owned(), reasons.into());
        }
    }
    let copies = CopyReason::ALL.iter().filter(|reason| ledger.copies[**reason as usize] > 0);
    let copies: Map<String, Value> =
        copies.map(|r| (r.name().to_owned(), ledger.copies[*r as usize].into())).collect();
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("schema", "framewalk.ledger/1".into());
    put("in", ledger.frames_in.into());
    put("originated", ledger.originated.into());
    put("cloned", ledger.cloned.into());
    put("split", ledger.split.into());
    put("delivered", ledger.delivered.into());
    put("dropped", dropped.into());
    put("dropped_by_stage", by_stage.into());
    put("consumed", ledger.consumed.into());
    put("merged", ledger.merged.into());
    put("held", ledger.held.into());
    put("host", ledger.host.into());
    put("balanced", ledger.check().is_ok().into());
    put("copies", copies.into());
    object
}

/// One stage's line of the JSON.
pub fn latency_json(latency: &StageLatency) -> Value {
    // a tenth of a nanosecond is far below what a burst's stamp can tell
    let ns = |value: f64| (value * 10.0).round() / 10.0;
    json!({
        "stage": latency.stage,
        "frames": latency.frames,
        "p50_ns": ns(latency.p50_ns),
        "p99_ns": ns(latency.p99_ns),
        "p999_ns": ns(latency.p999_ns),
        "max_ns": ns(latency.max_ns),
    })
}

fn who_json(who: &Who) -> Value {
    let station = |s: &super::who::Station| json!({"mac": s.mac.to_string(), "frames": s.frames});
    json!({
        "chosen": who.chosen,
        "looked_at": who.looked_at,
        "unicast": who.unicast,
        "stations": who.stations,
        "guests": who.guests.iter().map(station).collect::<Vec<_>>(),
        "others": who.others.iter().map(station).collect::<Vec<_>>(),
    })
}

impl Chosen {
    /// How the guests were chosen, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Named => "named on the command line",
            Self::MostReceived => "the station that most unicast frames are sent to",
            Self::MostReceivedAtFirst => {
                "the station that most unicast frames of the beginning are sent to"
            }
            Self::Nobody => "nobody: no Ethernet frame here is addressed to a station",
        }
    }
}
