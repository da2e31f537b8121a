//! Conversations as JSON Lines: `framewalk.flow/1`.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::IpAddr;

use serde::Serialize;
use surface::{
    Analyzer, Facts, Finding, FlowRecord, Forward, Health, Host, KeyService, RdpFacts, Sent,
    Service, SmbFacts, TlsFacts, proto,
};

use crate::term::time::rfc3339;

/// Writes lines to standard output.
#[derive(Debug, Default)]
pub(super) struct Writer {
    buf: Vec<u8>,
    count: u64,
}

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 16;

#[derive(Serialize)]
struct Flow<'a> {
    schema: &'static str,
    app: &'static str,
    app_path: Vec<&'static str>,
    transport: Transport,
    src: IpAddr,
    src_port: u16,
    dst: IpAddr,
    dst_port: u16,
    opener: &'static str,
    community_id: String,
    first: Option<String>,
    last: Option<String>,
    seconds: f64,
    frame: u64,
    sent: Ends,
    received: Ends,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnels: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rdp: Option<Rdp<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    smb: Option<Smb>,
    /// A password crossed in clear.
    #[serde(skip_serializing_if = "is_false")]
    clear_logon: bool,
}

#[derive(Serialize)]
struct Smb {
    version1: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    dialect: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_required: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ntlm: Option<&'static str>,
}

impl From<SmbFacts> for Smb {
    fn from(facts: SmbFacts) -> Self {
        Self {
            version1: facts.version1,
            dialect: facts.dialect.map(|dialect| format!("0x{dialect:04x}")),
            signing_required: facts.signing_required,
            ntlm: facts.ntlm.map(surface::Ntlm::name),
        }
    }
}

/// A host inside and what it is called.
#[derive(Serialize)]
struct HostLine<'a> {
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
    local: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hypervisor: Option<&'static str>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
const fn is_false(is: &bool) -> bool {
    !*is
}

/// A name where there is one, else the number of the IP protocol.
#[derive(Serialize)]
#[serde(untagged)]
enum Transport {
    Name(&'static str),
    Number(u8),
}

impl Transport {
    const fn of(number: u8) -> Self {
        Self::Name(match number {
            proto::TCP => "tcp",
            proto::UDP => "udp",
            proto::ICMP => "icmp",
            proto::ICMPV6 => "icmpv6",
            proto::IGMP => "igmp",
            proto::SCTP => "sctp",
            proto::GRE => "gre",
            proto::ESP => "esp",
            proto::AH => "ah",
            proto::OSPF => "ospf",
            proto::EIGRP => "eigrp",
            proto::PIM => "pim",
            proto::VRRP => "vrrp",
            other => return Self::Number(other),
        })
    }
}

#[derive(Serialize)]
struct Ends {
    frames: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "is_zero")]
    missing: u32,
    #[serde(skip_serializing_if = "is_zero")]
    again: u32,
    ttl: u8,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl From<Sent> for Ends {
    fn from(sent: Sent) -> Self {
        let Sent { frames, bytes, missing, again, ttl } = sent;
        Self { frames, bytes, missing, again: again.into(), ttl }
    }
}

#[derive(Serialize)]
struct Tls<'a> {
    version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cipher: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sni: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    alpn: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    alpn_chosen: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja4: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Certificate<'a>>,
}

#[derive(Serialize)]
struct Certificate<'a> {
    subject: Option<&'a str>,
    organization: Option<&'a str>,
    issuer: Option<&'a str>,
    self_issued: bool,
    not_before: String,
    not_after: String,
    sha256: &'a str,
}

impl<'a> Tls<'a> {
    fn of(facts: &'a TlsFacts) -> Self {
        let time = |seconds: i64| rfc3339(seconds.saturating_mul(1_000_000_000));
        Self {
            version: facts.version,
            cipher: facts.cipher.map(|cipher| format!("0x{cipher:04x}")),
            sni: facts.sni.as_deref(),
            alpn: &facts.alpn,
            alpn_chosen: facts.alpn_chosen.as_deref(),
            ja4: facts.ja4.as_deref(),
            certificate: facts.certificate.as_ref().map(|c| Certificate {
                subject: c.subject.as_deref(),
                organization: c.organization.as_deref(),
                issuer: c.issuer.as_deref(),
                self_issued: c.self_issued,
                not_before: time(c.not_before),
                not_after: time(c.not_after),
                sha256: &c.sha256,
            }),
        }
    }
}

/// A remote desktop; names are keyed hashes. Numbers that are masks or codes are hexadecimal.
#[derive(Serialize)]
struct Rdp<'a> {
    level: Option<&'static str>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_flags: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    selected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_flags: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cookie: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cookie_length: Option<u16>,
    routing_token: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<RdpClientLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption: Option<Encryption>,
    records: [u32; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_by: Option<&'static str>,
}

#[derive(Serialize)]
struct RdpClientLine<'a> {
    name: Option<String>,
    build: u32,
    windows: Option<&'static str>,
    channels: &'a [&'static str],
    channels_other: u16,
}

#[derive(Serialize)]
struct Encryption {
    method: String,
    level: u32,
}

impl<'a> Rdp<'a> {
    fn of(facts: &'a RdpFacts, flow: &FlowRecord) -> Self {
        let hex = |n: u32| format!("0x{n:02x}");
        let flags = |n: u8| format!("0x{n:02x}");
        Self {
            level: facts.level().map(surface::RdpLevel::name),
            outcome: facts.outcome.name(),
            requested: facts.requested.map(hex),
            request_flags: facts.request_flags.map(flags),
            selected: facts.selected.map(hex),
            failure: facts.failure.map(hex),
            response_flags: facts.response_flags.map(flags),
            cookie: facts.cookie.map(|(_, name)| name.to_string()),
            cookie_length: facts.cookie.map(|(length, _)| length),
            routing_token: facts.routing_token,
            client: facts.client.as_ref().map(|client| RdpClientLine {
                name: client.name.map(|name| name.to_string()),
                build: client.build,
                windows: client.windows(),
                channels: &client.channels,
                channels_other: client.channels_other,
            }),
            encryption: facts
                .encryption
                .map(|(method, level)| Encryption { method: hex(method), level }),
            records: facts.records,
            ended_by: flow.ended_by_opener.map(|by| if by { "client" } else { "server" }),
        }
    }
}

#[derive(Serialize)]
struct Total {
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
struct FindingLine<'a> {
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
struct KeyLine<'a> {
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
struct ServiceLine<'a> {
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

fn time(ns: i64) -> Option<String> {
    (ns != 0).then(|| rfc3339(ns))
}

impl Writer {
    pub(super) fn flow(&mut self, flow: &FlowRecord) -> anyhow::Result<()> {
        let line = Flow {
            schema: "framewalk.flow/1",
            app: flow.app.name(),
            app_path: flow.path.iter().map(|app| app.name()).collect(),
            transport: Transport::of(flow.proto),
            src: flow.src,
            src_port: flow.src_port,
            dst: flow.dst,
            dst_port: flow.dst_port,
            opener: flow.opener.name(),
            community_id: flow.community_id(),
            first: time(flow.first_ns),
            last: time(flow.last_ns),
            seconds: flow.last_ns.saturating_sub(flow.first_ns) as f64 / 1e9,
            frame: flow.first_frame,
            sent: flow.opener_sent.into(),
            received: flow.answerer_sent.into(),
            tcp_state: flow.tcp_state.map(surface::TcpState::name),
            vlan: (flow.vlan != 0).then_some(flow.vlan),
            tunnels: (flow.tunnels != 0).then_some(flow.tunnels),
            tls: match &flow.facts {
                Facts::Tls(facts) => Some(Tls::of(facts)),
                Facts::Rdp(facts) => facts.tls.as_ref().map(Tls::of),
                _ => None,
            },
            rdp: match &flow.facts {
                Facts::Rdp(facts) => Some(Rdp::of(facts, flow)),
                _ => None,
            },
            server_name: flow.server_name.as_deref(),
            smb: match flow.facts {
                Facts::Smb(facts) => Some(facts.into()),
                _ => None,
            },
            clear_logon: flow.facts == Facts::ClearLogon,
        };
        self.count += 1;
        self.line(&line)
    }

    fn line(&mut self, line: &impl Serialize) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.buf, line)?;
        self.buf.push(b'\n');
        if self.buf.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&self.buf)?;
        self.buf.clear();
        stdout.flush()
    }

    fn host(&mut self, host: &Host) -> anyhow::Result<()> {
        let names = host.names.iter().map(|(by, name)| NameLine { name, by: by.name() });
        let card = |card: &surface::Card| {
            let [a, b, c] = card.maker;
            let (local, hypervisor) = (card.local, card.hypervisor);
            CardLine { maker: format!("{a:02x}:{b:02x}:{c:02x}"), local, hypervisor }
        };
        self.line(&HostLine {
            schema: "framewalk.host/1",
            host: host.ip,
            names: names.collect(),
            cards: host.cards.iter().map(card).collect(),
            first: time(host.first_ns),
            last: time(host.last_ns),
            frame: host.frame,
        })
    }

    fn service(&mut self, service: &Service) -> anyhow::Result<()> {
        self.line(&ServiceLine {
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
        })
    }

    fn key_service(&mut self, key: &KeyService) -> anyhow::Result<()> {
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
        self.line(&KeyLine {
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
        })
    }

    fn finding(&mut self, finding: &Finding) -> anyhow::Result<()> {
        let rule = finding.rule;
        self.line(&FindingLine {
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
            count: finding.count,
            first: time(finding.first_ns),
            last: time(finding.last_ns),
            meaning: rule.meaning,
            action: rule.action,
            refute: rule.refute,
        })
    }

    /// What is known when all conversations are over.
    pub(super) fn finish(&mut self, analyzer: &Analyzer) -> anyhow::Result<()> {
        let (counts, site) = (analyzer.counts(), analyzer.site());
        for host in site.hosts() {
            self.host(&host)?;
        }
        for service in site.services() {
            self.service(&service)?;
        }
        for key in site.key_services() {
            self.key_service(&key)?;
        }
        for finding in site.findings() {
            self.finding(&finding)?;
        }
        self.line(&Total {
            schema: "framewalk.surface/1",
            flows: self.count,
            frames: counts.frames,
            bytes: counts.bytes,
            in_flows: counts.in_flows,
            fragments: counts.fragments,
            not_ip: counts.not_ip,
            malformed: counts.malformed,
            evicted: counts.evicted,
            unlooked: counts.unlooked,
            mirror: site.health().into(),
            forwards: site.forwards().into_iter().map(ForwardLine::from).collect(),
        })?;
        Ok(self.flush()?)
    }
}
