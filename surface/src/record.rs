//! A conversation as it is given out: `framewalk.flow/1`.

use std::net::IpAddr;

use arrayvec::ArrayVec;

use crate::App;
use crate::flow::{Flow, Opener, TcpState};
use crate::inspect::PATH_MAX;

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
    /// Identifier of the outermost VLAN tag of the first frame, 0 if there was none.
    pub vlan: u16,
    /// Tunnels the first frame came through.
    pub tunnels: u8,
}

impl FlowRecord {
    pub(crate) fn new(flow: &Flow) -> Self {
        let [opener, answerer] = [flow.opener, flow.opener.other()];
        let sent = |side: crate::flow::Side| Sent {
            frames: flow.frames[side.index()],
            bytes: flow.bytes[side.index()],
            missing: flow.missing[side.index()],
            again: flow.again[side.index()],
            ttl: flow.ttl[side.index()],
        };
        let (src, src_port) = flow.key.end(opener);
        let (dst, dst_port) = flow.key.end(answerer);
        Self {
            src: src.ip(),
            src_port,
            dst: dst.ip(),
            dst_port,
            proto: flow.key.proto,
            app: flow.app,
            path: if flow.path.is_empty() && flow.app != App::Unknown {
                std::iter::once(flow.app).collect()
            } else {
                flow.path.clone()
            },
            opener: flow.opener_by,
            first_ns: flow.first_ns,
            last_ns: flow.last_ns,
            first_frame: flow.first_frame,
            opener_sent: sent(opener),
            answerer_sent: sent(answerer),
            tcp_state: flow.tcp_state(),
            vlan: flow.vlan,
            tunnels: flow.tunnels,
        }
    }
}
