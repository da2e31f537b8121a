use super::*;
use crate::facts::{NameKey, RdpFacts, RdpOutcome};
use crate::finding::{Severity, Sure};
use crate::flow::{Opener, TcpState};
use crate::peel::proto;
use crate::record::Sent;
use crate::site::Site;
use crate::tls::TlsFacts;

const MINUTE: i64 = 60_000_000_000;
const SERVER: &str = "192.168.1.10";
const OUTSIDE: &str = "203.0.113.7";

/// A conversation with a service, told apart by its time.
fn flow(src: &str, dst: &str, app: App, minute: i64) -> FlowRecord {
    let sent = Sent { frames: 10, bytes: 2000, missing: 0, again: 0, ttl: 128 };
    FlowRecord {
        src: src.parse().unwrap(),
        src_port: 50_000,
        dst: dst.parse().unwrap(),
        dst_port: 2299,
        proto: proto::TCP,
        app,
        app_sure: true,
        path: std::iter::once(app).collect(),
        opener: Opener::Syn,
        first_ns: 1_000_000 * MINUTE + minute * MINUTE,
        last_ns: 1_000_000 * MINUTE + minute * MINUTE + 1,
        first_frame: 100 + minute.unsigned_abs(),
        opener_sent: sent,
        answerer_sent: sent,
        tcp_state: Some(TcpState::Finished),
        accepted: true,
        ended_by_opener: Some(true),
        vlan: 0,
        tunnels: 0,
        icmp: None,
        facts: Facts::None,
        server_name: None,
    }
}

fn rdp(src: &str, minute: i64, facts: RdpFacts) -> FlowRecord {
    FlowRecord { facts: Facts::Rdp(Box::new(facts)), ..flow(src, SERVER, App::Rdp, minute) }
}

fn selected(selected: u32, outcome: RdpOutcome) -> RdpFacts {
    RdpFacts {
        answered: true,
        selected: Some(selected),
        bytes: [1392, 1238],
        outcome,
        ..RdpFacts::default()
    }
}

fn failure(failure: u32) -> RdpFacts {
    RdpFacts { answered: true, failure: Some(failure), ..RdpFacts::default() }
}

fn findings(flows: impl IntoIterator<Item = FlowRecord>) -> Vec<Finding> {
    let mut site = Site::default();
    flows.into_iter().for_each(|flow| site.flow(&flow));
    site.findings()
}

/// Rule, severity and certainty of each finding, without the exposure that comes of being outside.
fn told(flows: impl IntoIterator<Item = FlowRecord>) -> Vec<(&'static str, Severity, Sure)> {
    findings(flows)
        .iter()
        .map(|finding| (finding.rule.id, finding.severity, finding.sure))
        .filter(|&(id, ..)| id != "exposure.rdp" && id != "access.vpn")
        .collect()
}

fn refused(src: &str, times: i64, apart: i64, from: i64) -> Vec<FlowRecord> {
    (0..times).map(|n| rdp(src, from + n * apart, selected(2, RdpOutcome::Failed))).collect()
}

#[test]
fn the_weakest_level_counts() {
    let inside = "192.168.1.50";
    let nla = || rdp(inside, 0, selected(2, RdpOutcome::Session));
    let tls = || rdp(inside, 1, selected(1, RdpOutcome::Session));
    let standard = |bytes| RdpFacts { bytes, ..selected(0, RdpOutcome::Unknown) };
    assert_eq!(told([nla()]), []);
    assert_eq!(
        told([nla(), rdp(inside, 2, failure(5))]),
        [("desktop.nla-enforced", Severity::Good, Sure::Proven)]
    );
    let weaker = [("desktop.no-nla", Severity::Medium, Sure::Proven)];
    assert_eq!(told([nla(), tls(), rdp(inside, 2, failure(5))]), weaker);
    assert_eq!(
        told([tls(), rdp(inside, 2, standard([400, 500]))]),
        [("desktop.standard-security", Severity::High, Sure::Proven)]
    );
    // agreed to, and never used
    assert_eq!(
        told([rdp(inside, 2, standard([400, 0]))]),
        [("desktop.standard-security", Severity::Medium, Sure::Likely)]
    );
    assert_eq!(
        told([rdp(inside, 2, failure(2))]),
        [("desktop.standard-security", Severity::High, Sure::Proven)]
    );
    assert_eq!(told([rdp(inside, 2, failure(1))]), []);
    // a server elsewhere is not ours
    let elsewhere = FlowRecord { dst: OUTSIDE.parse().unwrap(), ..tls() };
    assert_eq!(told([elsewhere]), []);
}

#[test]
fn an_old_version_counts_once_the_server_chose_it() {
    let version = |version, cipher| {
        let tls = TlsFacts { version: Some(version), cipher, ..TlsFacts::default() };
        rdp("192.168.1.50", 0, RdpFacts { tls: Some(tls), ..selected(2, RdpOutcome::Unknown) })
    };
    let old = [("desktop.old-tls", Severity::Medium, Sure::Proven)];
    assert_eq!(told([version("1.0", Some(0x2f))]), old);
    assert_eq!(told([version("1.0", None), version("1.2", Some(0xc030))]), []);
}

#[test]
fn exposure_goes_by_the_level() {
    let severity = |flows: Vec<FlowRecord>| {
        findings(flows).iter().find(|f| f.rule.id == "exposure.rdp").map(|f| f.severity)
    };
    let one = |value| rdp(OUTSIDE, 0, selected(value, RdpOutcome::Session));
    assert_eq!(severity(vec![one(0)]), Some(Severity::Critical));
    assert_eq!(severity(vec![one(1)]), Some(Severity::High));
    assert_eq!(severity(vec![one(2)]), Some(Severity::High));
    let required = || rdp("192.168.1.50", 1, failure(5));
    assert_eq!(severity(vec![one(2), required()]), Some(Severity::Medium));
    assert_eq!(severity(vec![one(2), required(), one(1)]), Some(Severity::High));
    assert_eq!(severity(vec![required()]), None);
}

#[test]
fn guessing_takes_ten_in_ten_minutes() {
    let guessing = [("desktop.guessing", Severity::High, Sure::Proven)];
    assert_eq!(told(refused(OUTSIDE, 10, 1, 0)), guessing);
    assert_eq!(told(refused(OUTSIDE, 9, 1, 0)), []);
    assert_eq!(told(refused(OUTSIDE, 30, 3, 0)), [], "a person who never learns");
    // whatever the order in which the conversations end
    let mut turned = refused(OUTSIDE, 10, 1, 0);
    turned.reverse();
    assert_eq!(told(turned), guessing);
    // knocking is not guessing
    let probes = (0..50).map(|n| rdp(OUTSIDE, n, selected(2, RdpOutcome::Probe)));
    assert_eq!(told(probes), []);
    let unknown = (0..50).map(|n| rdp(OUTSIDE, n, selected(2, RdpOutcome::Unknown)));
    assert_eq!(told(unknown), []);
    // conversations of all sizes are no program's
    let mut sizes = refused(OUTSIDE, 12, 0, 0);
    for (n, flow) in sizes.iter_mut().enumerate() {
        let Facts::Rdp(facts) = &mut flow.facts else { continue };
        facts.bytes = [1000 + n as u64 * 500, 1238];
    }
    let detail = |flows| {
        let mut findings = findings(flows).into_iter();
        findings.find(|finding| finding.rule.id == "desktop.guessing").unwrap().detail
    };
    let inferred = "(inferred from the sizes of what was said inside TLS)";
    let several = [("desktop.guessing", Severity::Medium, Sure::Likely)];
    assert_eq!(told(sizes.clone()), several);
    let (one, many) = (detail(refused(OUTSIDE, 10, 1, 0)), detail(sizes));
    assert!(one.contains("alike") && one.ends_with(inferred), "{one}");
    assert!(!many.contains("alike") && many.ends_with(inferred), "{many}");
    // a stored password inside that is out of date
    let own = [("desktop.guessing", Severity::Medium, Sure::Proven)];
    assert_eq!(told(refused("192.168.1.50", 10, 1, 0)), own);
}

#[test]
fn slow_guessing_and_swarms() {
    let slow = [("desktop.guessing-slowly", Severity::High, Sure::Proven)];
    // nine at the pace of one in less than two minutes, three times
    let windows = |n: i64| -> Vec<FlowRecord> {
        (0..n)
            .flat_map(|window| {
                (0..9).map(move |try_| {
                    let mut flow = refused(OUTSIDE, 1, 0, window * 120).remove(0);
                    flow.first_ns += try_ * MINUTE * 5 / 4 * 3 / 2;
                    flow
                })
            })
            .collect()
    };
    assert_eq!(told(windows(3)), slow);
    assert_eq!(told(windows(2)), []);
    assert_eq!(told(refused(OUTSIDE, 50, 25, 0)), slow);
    assert_eq!(told(refused(OUTSIDE, 50, 40, 0)), [], "over more than a day");
    let swarm = |n: i64, apart: i64| -> Vec<FlowRecord> {
        (0..n).flat_map(|n| refused(&format!("198.51.{n}.7"), 1, 0, n * apart)).collect()
    };
    assert_eq!(told(swarm(20, 60)), [("desktop.guessing-swarm", Severity::High, Sure::Proven)]);
    assert_eq!(told(swarm(19, 60)), []);
    assert_eq!(told(swarm(40, 120)), [], "never twenty in a day");
}

#[test]
fn guessing_then_in() {
    let accepted = |src: &str, minute| rdp(src, minute, selected(2, RdpOutcome::Session));
    let all = |extra: FlowRecord| {
        let mut flows = refused(OUTSIDE, 12, 0, 0);
        flows.push(extra);
        told(flows)
    };
    let guessing = ("desktop.guessing", Severity::High, Sure::Proven);
    let guessed = ("desktop.guessed", Severity::Critical, Sure::Proven);
    assert_eq!(all(accepted(OUTSIDE, 30)), [guessed, guessing]);
    // accepted, as far as sizes tell; what follows is shown rather, if it was seen
    let only = |minute| rdp(OUTSIDE, minute, selected(2, RdpOutcome::Succeeded));
    assert_eq!(all(only(30)), [guessed, guessing]);
    let mut flows = refused(OUTSIDE, 12, 0, 0);
    flows.extend([only(20), accepted(OUTSIDE, 40)]);
    let finding = findings(flows).into_iter().find(|f| f.rule.id == "desktop.guessed").unwrap();
    assert_eq!(finding.severity, Severity::Critical);
    assert!(finding.detail.contains("was used from 203.0.113.7 (frame 140"), "{}", finding.detail);
    // a neighbour of the guesser may be another
    let near = ("desktop.guessed", Severity::Medium, Sure::Likely);
    assert_eq!(all(accepted("203.0.113.99", 30)), [guessing, near]);
    // near misses: elsewhere, before, two days later, no log-on before the screen
    assert_eq!(all(accepted("198.51.100.1", 30)), [guessing]);
    assert_eq!(all(accepted(OUTSIDE, -30)), [guessing]);
    assert_eq!(all(accepted(OUTSIDE, 2 * 24 * 60)), [guessing]);
    assert_eq!(
        all(rdp(OUTSIDE, 30, selected(1, RdpOutcome::Session))),
        [guessing, ("desktop.no-nla", Severity::Medium, Sure::Proven)]
    );
    // a person who mistyped three times
    let mut person = refused(OUTSIDE, 3, 1, 0);
    person.push(accepted(OUTSIDE, 5));
    assert_eq!(told(person), []);
    // the frames: of the guesses, and of the one that was right
    let mut flows = refused(OUTSIDE, 12, 0, 0);
    flows.push(accepted(OUTSIDE, 30));
    let guessed = findings(flows).into_iter().find(|f| f.rule.id == "desktop.guessed").unwrap();
    assert_eq!(guessed.evidence, [100, 130]);
    assert_eq!(guessed.hosts[0], SERVER.parse::<IpAddr>().unwrap());
}

#[test]
fn ways_in() {
    let tunnel = |minute| {
        let flow = flow("198.51.100.9", "192.168.1.1", App::WireGuard, minute);
        FlowRecord { proto: proto::UDP, dst_port: 51_820, ..flow }
    };
    let pool = |minute| rdp("10.8.0.2", minute, selected(2, RdpOutcome::Session));
    let direct = || rdp(OUTSIDE, 3, selected(2, RdpOutcome::Session));
    let through = ("access.desktop-through-vpn", Severity::Good, Sure::Likely);
    assert_eq!(told([tunnel(0), pool(1)]), [through]);
    assert_eq!(
        told([tunnel(0), pool(1), direct()]),
        [("access.desktop-both-ways", Severity::Medium, Sure::Likely), through]
    );
    // near misses: much later, before, from the server's own network, without a tunnel
    assert_eq!(told([tunnel(0), pool(2)]), []);
    assert_eq!(told([tunnel(1), pool(0)]), []);
    let desk = rdp("192.168.1.50", 1, selected(2, RdpOutcome::Session));
    assert_eq!(told([tunnel(0), desk, direct()]), []);
    assert_eq!(told([pool(1), direct()]), []);
}

#[test]
fn users_behind_the_router() {
    let hidden = [("exposure.hidden-behind-router", Severity::Medium, Sure::Likely)];
    let from = |src: &str, ttl| {
        let mut flow = rdp(src, i64::from(ttl), selected(2, RdpOutcome::Session));
        flow.opener_sent.ttl = ttl;
        flow
    };
    let router = "192.168.1.1";
    assert_eq!(told([from(router, 113)]), hidden);
    assert_eq!(told([from(router, 126), from(router, 127), from(router, 64)]), hidden);
    assert_eq!(told([from(router, 126), from(router, 64)]), []);
    assert_eq!(told([from(router, 60), from(router, 255)]), []);
    // another network is some routers away, and a remote service only counts
    assert_eq!(told([from("192.168.9.1", 113)]), []);
    let web = FlowRecord { app: App::Http, facts: Facts::None, ..from(router, 113) };
    assert_eq!(told([web]), []);
}

#[test]
fn memory_is_bounded() {
    let mut site = Site::default();
    let key = NameKey::new([1; 32]);
    for n in 0..5000_u32 {
        let [_, _, a, b] = n.to_be_bytes();
        let mut one =
            rdp(&format!("198.{}.{a}.{b}", 18 + n % 2), 0, selected(2, RdpOutcome::Failed));
        let Facts::Rdp(facts) = &mut one.facts else { continue };
        facts.cookie = Some((4, key.hash("rdp-user", &n.to_be_bytes())));
        site.flow(&one);
        one.dst = format!("192.168.{a}.{b}").parse().unwrap();
        site.flow(&one);
    }
    assert!(site.desktops.servers.len() <= SERVERS_MAX);
    assert!(site.findings().len() < 10 * SERVERS_MAX);
}
