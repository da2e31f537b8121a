//! A conversation as it is given out: `framewalk.flow/1`.

use std::net::IpAddr;

use arrayvec::ArrayVec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::App;
use crate::facts::Facts;
use crate::flow::{Flow, Opener, TcpState};
use crate::inspect::PATH_MAX;
use crate::peel::proto;

/// What one end of a conversation sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Frames.
    pub frames: u64,
    /// Bytes its transport carried.
    pub bytes: u64,
    /// Of these, bytes that the capture lacks (TCP).
    pub missing: u32,
    /// Segments that were seen before (TCP; stops at 65,535).
    pub again: u16,
    /// Lowest time to live seen.
    pub ttl: u8,
}

/// A conversation that is over, or was when the frames ended.
#[derive(Debug, Clone)]
pub struct FlowRecord {
    /// Address of the end that opened it.
    pub src: IpAddr,
    /// Its port, 0 where the transport has none.
    pub src_port: u16,
    /// Address of the other end.
    pub dst: IpAddr,
    /// Its port.
    pub dst_port: u16,
    /// IP protocol number.
    pub proto: u8,
    /// The innermost application identified.
    pub app: App,
    /// It is sure: both ends' bytes say so, or one end's in a way that nothing else has. Otherwise
    /// it is likely.
    pub app_sure: bool,
    /// It, behind what carries it, outermost first.
    pub path: ArrayVec<App, PATH_MAX>,
    /// How the opener is known.
    pub opener: Opener,
    /// Nanoseconds since 1970 of the first frame.
    pub first_ns: i64,
    /// And of the last.
    pub last_ns: i64,
    /// Number of the first frame.
    pub first_frame: u64,
    /// What the opener sent.
    pub opener_sent: Sent,
    /// What the other end sent.
    pub answerer_sent: Sent,
    /// How far the connection came (TCP).
    pub tcp_state: Option<TcpState>,
    /// The other end accepted the connection: it answered the SYN (TCP).
    pub accepted: bool,
    /// Whether the opener was the first to finish or reset it, if anyone did (TCP).
    pub ended_by_opener: Option<bool>,
    /// Identifier of the outermost VLAN tag of the first frame, 0 if there was none.
    pub vlan: u16,
    /// Tunnels the first frame came through.
    pub tunnels: u8,
    /// Type and code of the first message (ICMP, `ICMPv6`).
    pub icmp: Option<(u8, u8)>,
    /// What its protocol says of itself.
    pub facts: Facts,
    /// The name that the opener had asked a name server for, as far as it is kept.
    pub server_name: Option<Box<str>>,
}

impl FlowRecord {
    /// The flow's Community ID, version 1 with seed 0, which other tools give it too
    /// ("Community ID Flow Hashing"). It differs on the two sides of a NAT.
    pub fn community_id(&self) -> String {
        use sha1::{Digest, Sha1};
        let (mut src, mut dst) = ((self.src, self.src_port), (self.dst, self.dst_port));
        let mut one_way = false;
        if let Some((ty, code)) = self.icmp {
            let other = icmp_counterpart(self.proto, ty);
            (src.1, dst.1) = (ty.into(), other.unwrap_or(code).into());
            one_way = other.is_none();
        }
        if dst < src && !one_way {
            std::mem::swap(&mut src, &mut dst);
        }
        let mut sha = Sha1::new();
        sha.update([0, 0]);
        for ip in [src.0, dst.0] {
            match ip {
                IpAddr::V4(ip) => sha.update(ip.octets()),
                IpAddr::V6(ip) => sha.update(ip.octets()),
            }
        }
        sha.update([self.proto, 0]);
        if self.icmp.is_some() || matches!(self.proto, proto::TCP | proto::UDP | proto::SCTP) {
            sha.update(src.1.to_be_bytes());
            sha.update(dst.1.to_be_bytes());
        }
        format!("1:{}", STANDARD.encode(sha.finalize()))
    }

    pub(crate) fn new(flow: Flow) -> Self {
        let [opener, answerer] = [flow.opener, flow.opener.other()];
        let sent = |side: crate::flow::Side| Sent {
            frames: flow.frames[side.index()],
            bytes: flow.bytes[side.index()],
            missing: flow.missing[side.index()],
            again: flow.again[side.index()],
            ttl: flow.ttl[side.index()],
        };
        let tcp_state = flow.tcp_state();
        let accepted = flow.accepted();
        let ended_by_opener = flow.ended_by().map(|side| side == opener);
        let (src, src_port) = flow.key.end(opener);
        let (dst, dst_port) = flow.key.end(answerer);
        Self {
            src: src.ip(),
            src_port,
            dst: dst.ip(),
            dst_port,
            proto: flow.key.proto,
            app: flow.app,
            app_sure: flow.app_sure,
            path: if flow.path.is_empty() && flow.app != App::Unknown {
                std::iter::once(flow.app).collect()
            } else {
                flow.path
            },
            opener: flow.opener_by,
            first_ns: flow.first_ns,
            last_ns: flow.last_ns,
            first_frame: flow.first_frame,
            opener_sent: sent(opener),
            answerer_sent: sent(answerer),
            tcp_state,
            accepted,
            ended_by_opener,
            vlan: flow.vlan,
            tunnels: flow.tunnels,
            icmp: flow.icmp,
            facts: flow.facts,
            server_name: None,
        }
    }
}

/// The message that answers, or is answered by, an ICMP message (Community ID, its table of types).
const fn icmp_counterpart(ip_proto: u8, ty: u8) -> Option<u8> {
    Some(match (ip_proto, ty) {
        (proto::ICMP, 0) => 8,
        (proto::ICMP, 8) => 0,
        (proto::ICMP, 9) => 10,
        (proto::ICMP, 10) => 9,
        (proto::ICMP, 13) => 14,
        (proto::ICMP, 14) => 13,
        (proto::ICMP, 15) => 16,
        (proto::ICMP, 16) => 15,
        (proto::ICMP, 17) => 18,
        (proto::ICMP, 18) => 17,
        (proto::ICMPV6, 128) => 129,
        (proto::ICMPV6, 129) => 128,
        (proto::ICMPV6, 130) => 131,
        (proto::ICMPV6, 131) => 130,
        (proto::ICMPV6, 133) => 134,
        (proto::ICMPV6, 134) => 133,
        (proto::ICMPV6, 135) => 136,
        (proto::ICMPV6, 136) => 135,
        (proto::ICMPV6, 139) => 140,
        (proto::ICMPV6, 140) => 139,
        (proto::ICMPV6, 144) => 145,
        (proto::ICMPV6, 145) => 144,
        _ => return None,
    })
}

#[cfg(test)]
pub(crate) mod testing {
    use crate::flow::{Flow, Key};
    use crate::peel::{Address, Packet, TcpHead, proto};

    /// A conversation that a SYN has opened, from the first end to the second, not counted yet.
    pub(crate) fn opened(from: ([u8; 4], u16), to: ([u8; 4], u16)) -> Flow {
        let packet = Packet {
            src: Address::v4(from.0),
            dst: Address::v4(to.0),
            src_port: from.1,
            dst_port: to.1,
            proto: proto::TCP,
            ttl: 64,
            vlan: 0,
            tunnels: 0,
            tcp: TcpHead { flags: 2, ..TcpHead::default() },
            icmp: None,
            payload: &[],
            payload_wire: 0,
            macs: None,
        };
        let (key, side) = Key::of(&packet);
        Flow::new(key, side, &packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn community_ids_are_the_published_ones() {
        let id = |a, ap, b, bp| FlowRecord::new(testing::opened((a, ap), (b, bp))).community_id();
        let expected = "1:LQU9qZlK+B5F3KDmev6m5PMibrg=";
        assert_eq!(id([128, 232, 110, 120], 34855, [66, 35, 250, 204], 80), expected);
        assert_eq!(id([66, 35, 250, 204], 80, [128, 232, 110, 120], 34855), expected);
        let expected = "1:2Fik1iJfUXFh2GFCjS5Yb8bngdw=";
        assert_eq!(id([203, 0, 113, 7], 50000, [192, 168, 1, 10], 2299), expected);
    }
}
