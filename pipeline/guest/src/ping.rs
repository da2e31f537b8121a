//! ICMP echo from a host: requests out, replies and round-trip times back.

use crate::config::HostError;
use crate::host::SmolHost;
use smoltcp::iface::SocketHandle;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::icmp;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpAddress};
use std::net::IpAddr;

/// Echo requests that may wait to be sent, and replies to be read.
const PACKETS: usize = 16;
/// Bytes of all of them.
const BYTES: usize = 64 << 10;
/// Payload in front of the test bytes: when the request was written, on the caller's clock.
const STAMP: usize = 8;

/// What came of a host's pings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PingReport {
    /// Requests accepted by the stack.
    pub sent: u64,
    /// Replies with the right identifier and the payload that was sent.
    pub received: u64,
    /// Replies with another payload.
    pub damaged: u64,
    /// Round-trip time of the last reply, nanoseconds on the caller's clock.
    pub last_rtt_ns: Option<i64>,
    /// Sequence number of the last reply.
    pub last_seq: Option<u16>,
}

/// The host's one ICMP socket.
#[derive(Debug)]
pub(crate) struct Pinger {
    socket: SocketHandle,
    ident: u16,
    seq: u16,
    pub(crate) report: PingReport,
}

/// Byte `index` of the test payload.
fn test_byte(index: usize) -> u8 {
    (index % 251) as u8
}

fn is_ours(data: &[u8]) -> bool {
    data.len() >= STAMP && data[STAMP..].iter().enumerate().all(|(i, &b)| b == test_byte(i))
}

impl SmolHost {
    /// Sends an echo request with `payload_len` bytes of ICMP payload (at least 8, which carry the
    /// time) at the next poll. Returns its sequence number; `None` while 16 requests wait.
    ///
    /// Over IPv4 a request longer than the MTU goes out in fragments.
    pub fn ping(&mut self, to: IpAddr, payload_len: usize) -> Result<Option<u16>, HostError> {
        let source = self.interface.get_source_address(&to.into());
        let Some(source) = source.filter(|_| self.has_address_like(to)) else {
            return Err(HostError::Unaddressable((to, 0).into()));
        };
        let len = payload_len.clamp(STAMP, 65_000);
        let mut data = vec![0; len];
        data[..STAMP].copy_from_slice(&self.now_ns.to_be_bytes());
        for (i, byte) in data[STAMP..].iter_mut().enumerate() {
            *byte = test_byte(i);
        }
        let pinger = self.pinger();
        let (ident, seq, socket) = (pinger.ident, pinger.seq, pinger.socket);
        let socket = self.sockets.get_mut::<icmp::Socket<'static>>(socket);
        let caps = ChecksumCapabilities::default();
        let written = match (IpAddress::from(to), source) {
            (IpAddress::Ipv4(_), _) => {
                let repr = Icmpv4Repr::EchoRequest { ident, seq_no: seq, data: &data };
                socket.send(repr.buffer_len(), to.into()).map(|room| {
                    repr.emit(&mut Icmpv4Packet::new_unchecked(room), &caps);
                })
            }
            (IpAddress::Ipv6(v6), IpAddress::Ipv6(from)) => {
                let repr = Icmpv6Repr::EchoRequest { ident, seq_no: seq, data: &data };
                socket.send(repr.buffer_len(), to.into()).map(|room| {
                    repr.emit(&from, &v6, &mut Icmpv6Packet::new_unchecked(room), &caps);
                })
            }
            _ => return Err(HostError::Unaddressable((to, 0).into())),
        };
        match written {
            Ok(()) => {
                let pinger = self.pinger();
                pinger.seq = pinger.seq.wrapping_add(1);
                pinger.report.sent += 1;
                Ok(Some(seq))
            }
            Err(icmp::SendError::BufferFull) => Ok(None),
            Err(_) => Err(HostError::Unaddressable((to, 0).into())),
        }
    }

    /// What came of the pings so far.
    pub fn ping_report(&self) -> PingReport {
        self.pinger.as_ref().map_or_else(PingReport::default, |pinger| pinger.report)
    }

    /// Reads replies.
    pub(crate) fn run_ping(&mut self) {
        let Some(pinger) = &mut self.pinger else { return };
        let socket = self.sockets.get_mut::<icmp::Socket<'static>>(pinger.socket);
        let caps = ChecksumCapabilities::default();
        while let Ok((packet, from)) = socket.recv() {
            let reply = match from {
                IpAddress::Ipv4(_) => Icmpv4Packet::new_checked(packet)
                    .and_then(|packet| Icmpv4Repr::parse(&packet, &caps))
                    .ok()
                    .and_then(|repr| match repr {
                        Icmpv4Repr::EchoReply { seq_no, data, .. } => Some((seq_no, data)),
                        _ => None,
                    }),
                IpAddress::Ipv6(_) => Icmpv6Packet::new_checked(packet).ok().and_then(|packet| {
                    // The stack has verified the checksum; type 129 is the echo reply (RFC 4443).
                    let is_reply = u8::from(packet.msg_type()) == 129;
                    is_reply.then(|| (packet.echo_seq_no(), packet.payload()))
                }),
            };
            let Some((seq, data)) = reply else { continue };
            let report = &mut pinger.report;
            if !is_ours(data) {
                report.damaged += 1;
                continue;
            }
            let mut stamp = [0; STAMP];
            stamp.copy_from_slice(&data[..STAMP]);
            report.received += 1;
            report.last_seq = Some(seq);
            report.last_rtt_ns = Some(self.now_ns - i64::from_be_bytes(stamp));
        }
    }

    fn pinger(&mut self) -> &mut Pinger {
        let ident = (self.config.seed as u16) | 1;
        let sockets = &mut self.sockets;
        self.pinger.get_or_insert_with(|| {
            let buffer = || {
                icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; PACKETS], vec![0; BYTES])
            };
            let mut socket = icmp::Socket::new(buffer(), buffer());
            // Cannot fail: the socket is new and the identifier is one.
            let _ = socket.bind(icmp::Endpoint::Ident(ident));
            let socket = sockets.add(socket);
            Pinger { socket, ident, seq: 1, report: PingReport::default() }
        })
    }
}
