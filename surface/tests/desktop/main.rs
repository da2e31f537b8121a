//! How remote desktop conversations came out, by conversations that are built, by what mirrors do
//! to them, and on real captures.
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod wire;

use std::path::Path;

use surface::{Analyzer, Facts, Limits, RdpFacts, RdpLevel, RdpOutcome as Outcome};
use wire::{Client, Conversation, Mirror, Server, Tls, Who, analyze, confirm, request};

const ALL: [Tls; 3] = [Tls::Cbc, Tls::Gcm, Tls::Three];
/// Token, challenge, and the answer to it.
const ASKED: [(Who, usize); 3] = [(Client, 57), (Server, 270), (Client, 548)];
const ERROR: (Who, usize) = (Server, 15);
const PROOF: (Who, usize) = (Server, 59);
const CREDENTIALS: (Who, usize) = (Client, 76);
const CONNECT: [(Who, usize); 2] = [(Client, 440), (Server, 110)];

fn facts(conversation: &Conversation, mirror: Mirror) -> RdpFacts {
    let (_, mut flows) = analyze(&conversation.frames(mirror), mirror.snaplen);
    assert_eq!(flows.len(), 1);
    match flows.remove(0).facts {
        Facts::Rdp(facts) => *facts,
        other => panic!("{other:?}"),
    }
}

fn outcome(talk: Vec<(Who, Vec<u8>)>, ended: Option<Who>) -> Outcome {
    let conversation = Conversation::new(talk, ended);
    let outcome = facts(&conversation, Mirror::default()).outcome;
    for mirror in [
        Mirror { twice: true, ..Mirror::default() },
        Mirror { bytewise: true, ..Mirror::default() },
    ] {
        assert_eq!(facts(&conversation, mirror).outcome, outcome, "{mirror:?}");
    }
    for only in [Client, Server] {
        let mirror = Mirror { only: Some(only), ..Mirror::default() };
        assert_eq!(facts(&conversation, mirror).outcome, Outcome::Unknown, "{mirror:?}");
    }
    outcome
}

fn inside(parts: &[&[(Who, usize)]]) -> Vec<(Who, usize)> {
    parts.concat()
}

#[test]
fn scanners_only_knock() {
    let asked = vec![(Client, request("x", 3)), (Server, confirm(2, 2))];
    assert_eq!(outcome(asked.clone(), Some(Client)), Outcome::Probe);
    assert_eq!(outcome(asked, None), Outcome::Unknown);
    let refused = vec![(Client, request("x", 1)), (Server, confirm(3, 5))];
    assert_eq!(outcome(refused, Some(Server)), Outcome::Probe);
    for tls in ALL {
        assert_eq!(outcome(tls.talk(2, &[]), Some(Client)), Outcome::Probe, "{tls:?}");
        let mut talk = tls.talk(2, &[]);
        talk.push((Client, tls.alert()));
        assert_eq!(outcome(talk, Some(Client)), Outcome::Probe, "{tls:?} with an alert");
    }
}

#[test]
fn a_wrong_password_is_told_by_a_short_answer_or_none() {
    for tls in ALL {
        for selected in [2, 8] {
            let error = tls.talk(selected, &inside(&[&ASKED, &[ERROR]]));
            assert_eq!(outcome(error.clone(), Some(Client)), Outcome::Failed, "{tls:?}");
            assert_eq!(outcome(error, Some(Server)), Outcome::Failed, "{tls:?}");
            let silent = tls.talk(selected, &ASKED);
            assert_eq!(outcome(silent.clone(), Some(Server)), Outcome::Failed, "{tls:?}");
            // both say that they close, the server first, though the client hangs up first
            let mut closed = silent.clone();
            closed.extend([(Server, tls.alert()), (Client, tls.alert())]);
            assert_eq!(outcome(closed, Some(Client)), Outcome::Failed, "{tls:?}");
            let mut left = silent.clone();
            left.extend([(Client, tls.alert()), (Server, tls.alert())]);
            assert_eq!(outcome(left, Some(Client)), Outcome::Unknown, "{tls:?}");
            // near misses: the client went away, nobody did, the client was never challenged
            assert_eq!(outcome(silent.clone(), Some(Client)), Outcome::Unknown, "{tls:?}");
            assert_eq!(outcome(silent, None), Outcome::Unknown, "{tls:?}");
            let proven = tls.talk(selected, &inside(&[&ASKED, &[PROOF]]));
            assert_eq!(outcome(proven, Some(Client)), Outcome::Unknown, "{tls:?} left");
            let odd = tls.talk(selected, &[(Client, 57), (Client, 548), ERROR]);
            if tls != Tls::Three {
                assert_eq!(outcome(odd, Some(Server)), Outcome::Unknown, "{tls:?}");
            }
        }
        // without network level authentication the screen asks for the password
        for selected in [1, 4, 0x10] {
            let talk = tls.talk(selected, &inside(&[&ASKED, &[ERROR]]));
            assert_eq!(outcome(talk, Some(Server)), Outcome::Unknown, "{tls:?}");
        }
    }
}

#[test]
fn a_right_password_is_told_by_what_follows() {
    for tls in ALL {
        let logon = inside(&[&ASKED, &[PROOF, CREDENTIALS]]);
        let connected = inside(&[&logon, &CONNECT]);
        assert_eq!(outcome(tls.talk(2, &connected), Some(Client)), Outcome::Succeeded, "{tls:?}");
        assert_eq!(outcome(tls.talk(2, &logon), Some(Client)), Outcome::Unknown, "{tls:?}");
        // the server's verdict of four bytes, where sizes are exact
        let verdict = inside(&[&logon, &[(Server, 4)]]);
        let expected = if tls == Tls::Cbc { Outcome::Unknown } else { Outcome::Succeeded };
        assert_eq!(outcome(tls.talk(8, &verdict), Some(Client)), expected, "{tls:?}");
        assert_eq!(outcome(tls.talk(2, &verdict), Some(Client)), Outcome::Unknown, "{tls:?}");
        let screens = vec![(Server, 1300); 20];
        let shown = inside(&[&connected, &[(Client, 20); 8], &screens]);
        assert_eq!(outcome(tls.talk(2, &shown), None), Outcome::Session, "{tls:?}");
        assert_eq!(outcome(tls.talk(1, &shown), None), Outcome::Session, "{tls:?}");
    }
}

#[test]
fn what_the_capture_lacks_is_not_guessed() {
    let talk = Tls::Gcm.talk(2, &inside(&[&ASKED, &[ERROR]]));
    let conversation = Conversation::new(talk, Some(Server));
    let mut frames = conversation.frames(Mirror::default());
    let whole = frames.len();
    for missing in 3..whole - 2 {
        let lost = frames.remove(missing);
        let (_, flows) = analyze(&frames, None);
        if let Facts::Rdp(facts) = &flows[0].facts {
            assert_ne!(facts.outcome, Outcome::Succeeded, "without {missing}");
            assert_ne!(facts.outcome, Outcome::Failed, "without {missing}");
        }
        frames.insert(missing, lost);
    }
    let cut = Mirror { snaplen: Some(128), ..Mirror::default() };
    assert_ne!(facts(&conversation, cut).outcome, Outcome::Succeeded);
}

#[test]
fn names_are_kept_as_hashes_only() {
    let conversation = Conversation::new(Tls::Gcm.talk(2, &ASKED), Some(Server));
    let (_, flows) = analyze(&conversation.frames(Mirror::default()), None);
    let Facts::Rdp(facts) = &flows[0].facts else { panic!("{:?}", flows[0].facts) };
    assert_eq!(facts.cookie.unwrap().0, 6);
    assert_eq!((facts.requested, facts.selected), (Some(0xb), Some(2)));
    assert_eq!(facts.level(), Some(RdpLevel::Nla));
    assert!(!format!("{:?}", flows[0]).contains("melton"));
}

/// Capture, frame, how it came out, level, and the client's build where it is in clear; by looking
/// at each with tshark.
type Real = (&'static str, u64, Outcome, Option<RdpLevel>, Option<u32>);
const REAL: [Real; 8] = [
    (
        "lab__rdp_xrdp_freerdp_rc4_443_oddport",
        1,
        Outcome::Unknown,
        Some(RdpLevel::Standard),
        Some(18363),
    ),
    ("lab__rdp_xrdp_freerdp_tls_3389", 1, Outcome::Unknown, Some(RdpLevel::Tls), None),
    // the capture ends behind the server's verdict
    ("ndpi__pcap-rdp", 1, Outcome::Succeeded, Some(RdpLevel::Nla), None),
    // TLS and nothing in it, every frame twice
    ("zeek__rdp-no-cookie-mstshash", 1, Outcome::Probe, Some(RdpLevel::Nla), None),
    ("zeek__rdp-proprietary-encryption", 1, Outcome::Probe, None, None),
    ("zeek__rdp-proprietary-encryption", 9, Outcome::Session, Some(RdpLevel::Standard), Some(6000)),
    // the password was right, and the client left to ask its user about the certificate
    ("zeek__rdp-to-ssl", 1, Outcome::Unknown, Some(RdpLevel::Nla), None),
    ("zeek__rdp-to-ssl", 20, Outcome::Session, Some(RdpLevel::Nla), None),
];

#[test]
fn real_conversations() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/pcaps");
    if !dir.is_dir() {
        println!("skipped: no ../shared/pcaps beside the project");
        return;
    }
    for (name, frame, outcome, level, build) in REAL {
        let mut reader = capture::Reader::open(dir.join(format!("{name}.pcap"))).unwrap();
        let mut analyzer = Analyzer::new(Limits::default());
        while let Some(batch) = reader.next_batch().unwrap() {
            analyzer.batch(&batch);
        }
        let flows = analyzer.finish();
        let flow = flows.iter().find(|flow| flow.first_frame == frame).unwrap();
        let Facts::Rdp(facts) = &flow.facts else { panic!("{name}: {:?}", flow.facts) };
        assert_eq!(facts.outcome, outcome, "{name} {frame}");
        assert_eq!(facts.level(), level, "{name} {frame}");
        assert_eq!(facts.client.as_ref().map(|client| client.build), build, "{name} {frame}");
    }
}

/// Refused log-ons from one address, one after the other, then a session if `then`.
fn guessing(times: u16, then: bool) -> Vec<Conversation> {
    let failed = Tls::Gcm.talk(2, &inside(&[&ASKED, &[ERROR]]));
    let session =
        [&ASKED[..], &[PROOF, CREDENTIALS], &CONNECT, &[(Client, 20); 8], &[(Server, 1300); 20]];
    let mut all = vec![Conversation::new(failed, Some(Server)); usize::from(times)];
    if then {
        all.push(Conversation::new(Tls::Gcm.talk(2, &inside(&session)), Some(Client)));
    }
    for (conversation, port) in all.iter_mut().zip(50_000..) {
        conversation.client.1 = port;
    }
    all
}

fn findings(conversations: &[Conversation], mirror: Mirror) -> Vec<surface::Finding> {
    let frames: Vec<_> =
        conversations.iter().flat_map(|conversation| conversation.frames(mirror)).collect();
    analyze(&frames, None).0.site().findings()
}

#[test]
fn guessing_then_in_from_the_frames() {
    let rules = |times, then, twice| -> Vec<&str> {
        let mirror = Mirror { twice, ..Mirror::default() };
        findings(&guessing(times, then), mirror).iter().map(|finding| finding.rule.id).collect()
    };
    assert_eq!(rules(12, true, false), ["desktop.guessed", "desktop.guessing", "exposure.rdp"]);
    assert_eq!(rules(12, false, false), ["desktop.guessing", "exposure.rdp"]);
    // a mirror that shows every frame twice makes no ten of five
    assert_eq!(rules(5, true, true), ["exposure.rdp"]);
    assert_eq!(rules(9, true, false), ["exposure.rdp"]);
    // nor does one on both sides of the router
    let mut both = guessing(5, true);
    for mut outer in both.clone() {
        outer.server.0 = [198, 51, 100, 2];
        outer.ttl += 1;
        both.push(outer);
    }
    let told = findings(&both, Mirror::default());
    assert!(told.iter().all(|finding| !finding.rule.id.starts_with("desktop.")));
    let guessed = &findings(&guessing(12, true), Mirror::default())[0];
    assert_eq!(guessed.severity, surface::Severity::Critical);
    // the frames named begin conversations
    let failed = guessing(1, false)[0].frames(Mirror::default()).len() as u64;
    let begins = |frame: u64| (frame - 1).is_multiple_of(failed);
    assert!(guessed.evidence.iter().all(|&frame| begins(frame)), "{:?}", guessed.evidence);
}

#[test]
fn whatever_the_bytes_nothing_breaks() {
    let frames: Vec<_> =
        guessing(1, true).iter().flat_map(|one| one.frames(Mirror::default())).collect();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    for _ in 0..2000 {
        let mut damaged = frames.clone();
        for _ in 0..=next(4) {
            let frame = next(damaged.len());
            // behind the addresses, so that it stays the same conversation
            let at = 38 + next(damaged[frame].len() - 38);
            damaged[frame][at] = next(256) as u8;
        }
        if next(3) == 0 {
            damaged.swap_remove(next(frames.len()));
        }
        analyze(&damaged, None).0.site().findings();
    }
}
