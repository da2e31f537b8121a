//! Conversations as JSON Lines: `framewalk.flow/1`.

use std::io::Write;
use std::net::IpAddr;

use serde::Serialize;
use surface::{Counts, Facts, FlowRecord, Sent, TlsFacts, proto};

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
}

impl Writer {
    pub(super) fn flow(&mut self, flow: &FlowRecord) -> anyhow::Result<()> {
        let time = |ns: i64| (ns != 0).then(|| rfc3339(ns));
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
                _ => None,
            },
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

    pub(super) fn finish(&mut self, counts: &Counts) -> anyhow::Result<()> {
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
        })?;
        Ok(self.flush()?)
    }
}
