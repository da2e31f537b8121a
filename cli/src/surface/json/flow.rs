//! A conversation: `framewalk.flow/1`.

use std::net::IpAddr;

use serde::Serialize;
use surface::{Facts, FlowRecord, RdpFacts, Sent, SmbFacts, TlsFacts, proto};

use super::time;
use crate::term::time::rfc3339;

#[derive(Serialize)]
pub(super) struct Flow<'a> {
    schema: &'static str,
    app: &'static str,
    app_path: Vec<&'static str>,
    app_sure: bool,
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

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
const fn is_false(is: &bool) -> bool {
    !*is
}

/// A name where there is one, else the number of the IP protocol.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Transport {
    Name(&'static str),
    Number(u8),
}

impl Transport {
    pub(super) const fn of(number: u8) -> Self {
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

impl<'a> Flow<'a> {
    pub(super) fn of(flow: &'a FlowRecord) -> Self {
        Self {
            schema: "framewalk.flow/1",
            app: flow.app.name(),
            app_sure: flow.app_sure,
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
                Facts::Store(facts) => facts.tls.as_deref().map(Tls::of),
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
        }
    }
}
