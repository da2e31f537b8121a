//! What is known of the site: `framewalk.host/1`, `framewalk.service/1`, `framewalk.key-service/1`,
//! `framewalk.finding/1`, `framewalk.surface/1`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Serialize;
use surface::{Analyzer, Finding, Forward, Health, Host, KeyService, Service};

use super::super::origin::Origin;
use super::flow::Transport;
use super::time;

/// A host inside and what it is called.
#[derive(Serialize)]
pub(super) struct HostLine<'a> {
    schema: &'static str,
    host: IpAddr,
    names: Vec<NameLine<'a>>,
    cards: Vec<CardLine>,
    first: Option<String>,
    last: Option<String>,
    frame: u64,
}

#[derive(Serialize)]
struct NameLine<'a> {
    name: &'a str,
    by: &'static str,
}

#[derive(Serialize)]
struct CardLine {
    maker: String,
    id: String,
    local: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hypervisor: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct Total<'a> {
    schema: &'static str,
    flows: u64,
    frames: u64,
    bytes: u64,
    in_flows: u64,
    fragments: u64,
    not_ip: u64,
    malformed: u64,
    evicted: u64,
    unlooked: u64,
    overlooked: u64,
    capture: Option<&'a Origin>,
    mirror: Mirror,
    forwards: Vec<ForwardLine>,
}

#[derive(Serialize)]
struct Mirror {
    connections: u64,
    one_sided: f64,
    again: f64,
    with_gaps: f64,
    nat_side: &'static str,
    vlans: Vec<u16>,
    remarks: Vec<String>,
}

impl From<Health> for Mirror {
    fn from(health: Health) -> Self {
        let Health { connections, one_sided, again, with_gaps, nat_side, vlans, remarks } = health;
        let nat_side = nat_side.name();
        Self { connections, one_sided, again, with_gaps, nat_side, vlans, remarks }
    }
}

/// A port of the router that opens one inside.
#[derive(Serialize)]
struct ForwardLine {
    outer: IpAddr,
    outer_port: u16,
    inner: IpAddr,
    inner_port: u16,
}

impl From<Forward> for ForwardLine {
    fn from(forward: Forward) -> Self {
        let Forward { outer, outer_port, inner, inner_port } = forward;
        Self { outer, outer_port, inner, inner_port }
    }
}

#[derive(Serialize)]
struct Evidence {
    frame: u64,
}

#[derive(Serialize)]
pub(super) struct FindingLine<'a> {
    schema: &'static str,
    rule: &'static str,
    severity: &'static str,
    sure: &'static str,
    title: &'static str,
    hosts: &'a [IpAddr],
    #[serde(skip_serializing_if = "is_none")]
    hosts_more: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    detail: &'a str,
    evidence: Vec<Evidence>,
    capture_sha256: Option<&'a str>,
    count: u64,
    first: Option<String>,
    last: Option<String>,
    meaning: &'static str,
    action: &'static str,
    refute: &'static str,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_none(n: &u64) -> bool {
    *n == 0
}

/// A host that others depend on.
#[derive(Serialize)]
pub(super) struct KeyLine<'a> {
    schema: &'static str,
    role: &'static str,
    host: IpAddr,
    ports: Vec<PortLine>,
    clients: &'a BTreeSet<IpAddr>,
    by_hour: [u64; 24],
    written: u64,
    read: u64,
    needs: Vec<Need>,
    copies: Vec<CopyLine>,
}

#[derive(Serialize)]
struct PortLine {
    port: u16,
    app: &'static str,
}

#[derive(Serialize)]
struct Need {
    role: &'static str,
    host: IpAddr,
}

#[derive(Serialize)]
struct CopyLine {
    to: IpAddr,
    app: &'static str,
    by_name: bool,
    bytes: u64,
    flows: u64,
    first: Option<String>,
    last: Option<String>,
    frame: u64,
}

#[derive(Serialize)]
pub(super) struct ServiceLine<'a> {
    schema: &'static str,
    app: &'static str,
    transport: Transport,
    host: IpAddr,
    port: u16,
    flows: u64,
    clients: &'a BTreeSet<IpAddr>,
    by_hour: [u64; 24],
    written: u64,
    read: u64,
    first: Option<String>,
    last: Option<String>,
    frame: u64,
}

impl<'a> HostLine<'a> {
    pub(super) fn of(host: &'a Host) -> Self {
        let names = host.names.iter().map(|(by, name)| NameLine { name, by: by.name() });
        let card = |card: &surface::Card| {
            let [a, b, c] = card.maker;
            let (local, hypervisor) = (card.local, card.hypervisor);
            CardLine {
                maker: format!("{a:02x}:{b:02x}:{c:02x}"),
                id: card.id.to_string(),
                local,
                hypervisor,
            }
        };
        Self {
            schema: "framewalk.host/1",
            host: host.ip,
            names: names.collect(),
            cards: host.cards.iter().map(card).collect(),
            first: time(host.first_ns),
            last: time(host.last_ns),
            frame: host.frame,
        }
    }
}

impl<'a> ServiceLine<'a> {
    pub(super) fn of(service: &'a Service) -> Self {
        Self {
            schema: "framewalk.service/1",
            app: service.app.name(),
            transport: Transport::of(service.proto),
            host: service.host,
            port: service.port,
            flows: service.flows,
            clients: &service.clients,
            by_hour: service.by_hour,
            written: service.written,
            read: service.read,
            first: time(service.first_ns),
            last: time(service.last_ns),
            frame: service.frame,
        }
    }
}

impl<'a> KeyLine<'a> {
    pub(super) fn of(key: &'a KeyService) -> Self {
        let ports = key.ports.iter().map(|&(port, app)| PortLine { port, app: app.name() });
        let needs = key.needs.iter().map(|&(role, host)| Need { role: role.name(), host });
        let copies = key.copies.iter().map(|copied| CopyLine {
            to: copied.to,
            app: copied.app.name(),
            by_name: copied.by_name,
            bytes: copied.bytes,
            flows: copied.flows,
            first: time(copied.first_ns),
            last: time(copied.last_ns),
            frame: copied.frame,
        });
        Self {
            schema: "framewalk.key-service/1",
            role: key.role.name(),
            host: key.host,
            ports: ports.collect(),
            clients: &key.clients,
            by_hour: key.by_hour,
            written: key.written,
            read: key.read,
            needs: needs.collect(),
            copies: copies.collect(),
        }
    }
}

impl<'a> FindingLine<'a> {
    pub(super) fn of(finding: &'a Finding, origin: Option<&'a Origin>) -> Self {
        let rule = finding.rule;
        Self {
            schema: "framewalk.finding/1",
            rule: rule.id,
            severity: finding.severity.name(),
            sure: finding.sure.name(),
            title: rule.title,
            hosts: &finding.hosts,
            hosts_more: finding.hosts_more,
            port: (finding.port != 0).then_some(finding.port),
            detail: &finding.detail,
            evidence: finding.evidence.iter().map(|&frame| Evidence { frame }).collect(),
            capture_sha256: origin.and_then(Origin::sha256),
            count: finding.count,
            first: time(finding.first_ns),
            last: time(finding.last_ns),
            meaning: rule.meaning,
            action: rule.action,
            refute: rule.refute,
        }
    }
}

impl<'a> Total<'a> {
    pub(super) fn of(analyzer: &Analyzer, flows: u64, origin: Option<&'a Origin>) -> Self {
        let (counts, site) = (analyzer.counts(), analyzer.site());
        Self {
            schema: "framewalk.surface/1",
            flows,
            frames: counts.frames,
            bytes: counts.bytes,
            in_flows: counts.in_flows,
            fragments: counts.fragments,
            not_ip: counts.not_ip,
            malformed: counts.malformed,
            evicted: counts.evicted,
            unlooked: counts.unlooked,
            overlooked: site.overlooked(),
            capture: origin,
            mirror: site.health().into(),
            forwards: site.forwards().into_iter().map(ForwardLine::from).collect(),
        }
    }
}
