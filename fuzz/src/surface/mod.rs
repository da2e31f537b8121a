//! Any conversations through the analysis of a network's surface, by families of protocols.
//!
//! The first byte chooses: limits, which of the checks below, and whether the rest is a capture
//! file or conversations whose messages are written field by field ([`script`]), with some fields
//! that lie, and laid into frames that are cut, lost, repeated and swapped ([`net`]). Then:
//!
//! * every frame is in a conversation or counted with the reason why not;
//! * the conversations given out have all frames, none twice, whatever the limits;
//! * an application has its own name at the end of its path;
//! * findings name frames that exist, and only what is proven is high;
//! * memory and what is told stay within their bounds;
//! * taken in other portions, the frames tell the same;
//! * whole messages and the same ones in segments tell the same application where both are sure;
//! * from one end's frames alone nothing is said that only the other end could show.

pub mod net;
pub mod script;

pub mod lan;
pub mod names;
pub mod quic;
pub mod rdp;
pub mod remote;
pub mod site;
pub mod stores;
pub mod web;
pub mod windows;

use std::collections::BTreeMap;

use capture::{Reader, Source};
use surface::{Analyzer, App, Facts, FlowRecord, Limits, RdpOutcome, Severity, Sure};

use self::net::{Dialog, How, Scene, Seen};
use super::input::Input;

/// The first byte of an input whose rest is a capture file.
pub const CAPTURE: u8 = 4;

/// Families by the names of their targets, with what they say.
pub const FAMILIES: &[(&str, &[Dialog])] = &[
    ("surface_rdp", rdp::DIALOGS),
    ("surface_web", web::DIALOGS),
    ("surface_windows", windows::DIALOGS),
    ("surface_lan", lan::DIALOGS),
    ("surface_stores", stores::DIALOGS),
    ("surface_remote", remote::DIALOGS),
    ("surface_site", site::DIALOGS),
    ("surface_report", names::DIALOGS),
];

/// What an input is.
#[derive(Debug)]
enum Given {
    File(Vec<u8>),
    Scene(Scene),
}

/// Runs one input of a family.
pub fn run(data: &[u8], dialogs: &[Dialog]) {
    let mut input = Input::new(data);
    let head = input.u8();
    let few = Limits { flows_max: 3, inspected_bytes_max: 2048 };
    let enough = Limits { flows_max: 1000, inspected_bytes_max: 1 << 20 };
    let limits = Limits {
        flows_max: if head & 1 != 0 { few.flows_max } else { enough.flows_max },
        inspected_bytes_max: if head & 2 != 0 {
            few.inspected_bytes_max
        } else {
            enough.inspected_bytes_max
        },
    };
    let given = if head & CAPTURE != 0 {
        Given::File(input.rest().to_vec())
    } else {
        Given::Scene(Scene::read(&mut input, dialogs, head))
    };
    let file = match &given {
        Given::File(file) => file.clone(),
        Given::Scene(scene) => scene.capture(How { whole: false, seen: Seen::Both }),
    };
    let told = analyze(&file, limits, false);
    hold(&told);
    // which conversations go early depends on the order of a table, not on the frames
    if head & 3 != 0 {
        return;
    }
    match (head >> 6, given) {
        (1, Given::Scene(scene)) if scene.is_plain() => {
            let whole = scene.capture(How { whole: true, seen: Seen::Both });
            same_where_sure(&told, &analyze(&whole, limits, false));
        }
        (2, Given::Scene(scene)) => {
            for seen in [Seen::Client, Seen::Server] {
                let half = analyze(&scene.capture(How { whole: false, seen }), limits, false);
                hold(&half);
                one_end(&half);
            }
        }
        (3, _) => {}
        _ => {
            let again = analyze(&file, limits, true);
            assert_eq!(apps(&told.flows), apps(&again.flows), "in other portions");
        }
    }
}

/// An input with one conversation: this dialog, nothing chosen, no field that lies.
pub fn plain(head: u8, dialog: u8, cut: u8) -> Vec<u8> {
    vec![head, dialog, 0, cut, 0, 0, 0, 0]
}

/// The names of the applications that a dialog without lies is taken for, in whole messages.
pub fn told_by_name(dialogs: &[Dialog], dialog: u8) -> Vec<&'static str> {
    let bytes = plain(0, dialog, 0);
    let scene = Scene::read(&mut Input::new(&bytes[1..]), dialogs, 0);
    let file = scene.capture(How { whole: false, seen: Seen::Both });
    let told = analyze(&file, Limits::default(), false);
    told.flows.iter().flat_map(|flow| &flow.path).map(|app| app.name()).collect()
}

/// What an analysis told.
pub struct Told {
    /// Conversations.
    pub flows: Vec<FlowRecord>,
    /// Frames that went in.
    pub frames: u64,
    /// What else there is.
    pub analyzer: Analyzer,
}

/// Analyses a capture; frame by frame if so asked.
pub fn analyze(file: &[u8], limits: Limits, one_by_one: bool) -> Told {
    let mut analyzer = Analyzer::new(limits);
    let mut frames = 0;
    let mut flows = Vec::new();
    if let Ok(mut reader) = Source::from_bytes("input", file.to_vec()).and_then(Reader::new) {
        while let Ok(Some(batch)) = reader.next_batch() {
            frames += batch.records().len() as u64;
            if one_by_one {
                for index in 0..batch.records().len() {
                    analyzer.frames(&batch, [index]);
                }
            } else {
                analyzer.batch(&batch);
            }
            flows.extend(analyzer.ended());
        }
    }
    flows.extend(analyzer.finish());
    Told { flows, frames, analyzer }
}

/// What holds for any frames.
pub fn hold(told: &Told) {
    let Told { flows, frames, analyzer } = told;
    let counts = analyzer.counts();
    assert_eq!(counts.frames, *frames);
    assert_eq!(
        counts.frames,
        counts.in_flows + counts.fragments + counts.not_ip + counts.malformed
    );
    let in_flows: u64 =
        flows.iter().map(|flow| flow.opener_sent.frames + flow.answerer_sent.frames).sum();
    assert_eq!(in_flows, counts.in_flows);
    for flow in flows {
        assert_eq!(flow.path.last().copied().unwrap_or(App::Unknown), flow.app);
        assert!(flow.first_frame >= 1 && flow.first_frame <= *frames);
        assert!(flow.first_ns <= flow.last_ns);
        if let Facts::Tls(facts) = &flow.facts {
            let names = facts.sni.iter().chain(&facts.alpn).chain(&facts.alpn_chosen);
            assert!(names.flat_map(|name| name.chars()).all(|c| !c.is_control()));
        }
    }
    let site = analyzer.site();
    for finding in site.findings() {
        assert!(finding.sure == Sure::Proven || finding.severity < Severity::High);
        assert!(finding.evidence.iter().all(|frame| (1..=*frames).contains(frame)));
        assert!(!finding.evidence.is_empty() && finding.count > 0);
        assert!(!finding.detail.chars().any(char::is_control), "{:?}", finding.detail);
        assert!(finding.first_ns <= finding.last_ns);
    }
    for host in site.hosts() {
        let names = host.names.iter().flat_map(|(_, name)| name.chars());
        assert!(names.into_iter().all(|c| !c.is_control()), "{:?}", host.names);
    }
    let clients: usize = site.services().iter().map(|service| service.clients.len()).sum();
    assert!(clients as u64 <= *frames);
    let _ = (site.health(), site.key_services());
}

fn apps(flows: &[FlowRecord]) -> BTreeMap<u64, App> {
    flows.iter().map(|flow| (flow.first_frame, flow.app)).collect()
}

/// Sure of an application by whole messages and by segments: it is the same.
fn same_where_sure(cut: &Told, whole: &Told) {
    let by_ends = |told: &Told| -> BTreeMap<_, _> {
        let ends = |flow: &FlowRecord| {
            let mut ends = [(flow.src, flow.src_port), (flow.dst, flow.dst_port)];
            ends.sort();
            (ends, flow.proto)
        };
        told.flows.iter().map(|flow| (ends(flow), (flow.app, flow.app_sure))).collect()
    };
    let whole = by_ends(whole);
    for (ends, (app, sure)) in by_ends(cut) {
        if let Some(&(other, true)) = whole.get(&ends)
            && sure
        {
            assert_eq!(app, other, "{ends:?}: in segments, and whole");
        }
    }
}

/// Frames of one end alone.
fn one_end(half: &Told) {
    for flow in &half.flows {
        if flow.opener_sent.frames > 0 && flow.answerer_sent.frames > 0 {
            continue; // two conversations between the same ends, opened from either
        }
        if flow.answerer_sent.frames == 0 {
            assert!(!flow.accepted, "nobody was seen to accept it");
        }
        if let Facts::Rdp(facts) = &flow.facts {
            assert!(
                matches!(facts.outcome, RdpOutcome::Unknown | RdpOutcome::Probe),
                "{:?} by one end's frames",
                facts.outcome
            );
        }
    }
}
