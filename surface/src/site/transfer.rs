//! Where the two ends of an FTP log-on agree that a file goes (RFC 959 sections 4.1.2 and 4.2, RFC
//! 2428): the next connection there carries it, whatever its bytes look like.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::Message;
use crate::App;
use crate::record::FlowRecord;

/// Agreements remembered.
const AGREED_MAX: usize = 1024;
/// A connection that comes later is another.
const WAIT_NS: i64 = 60_000_000_000;

#[derive(Debug, Clone, Copy)]
struct Agreed {
    /// Who waits there, and for whom.
    host: IpAddr,
    port: u16,
    peer: IpAddr,
    ns: i64,
}

#[derive(Debug, Default)]
pub(super) struct Transfers {
    last: VecDeque<Agreed>,
}

impl Transfers {
    /// A segment of a log-on.
    pub(super) fn message(&mut self, message: &Message<'_>) {
        if message.app != App::Ftp {
            return;
        }
        for line in message.payload.split(|&byte| byte == b'\n') {
            let Some(port) = port(line) else { continue };
            if self.last.len() == AGREED_MAX {
                self.last.pop_front();
            }
            // an address that is told may be from behind a router; who tells it is not
            let (host, peer) = (message.from.0, message.to.0);
            self.last.push_back(Agreed { host, port, peer, ns: message.time_ns });
        }
    }

    /// Whether a conversation is where a file was to go.
    pub(super) fn carries(&self, flow: &FlowRecord) -> bool {
        self.last.iter().rev().any(|agreed| {
            (flow.dst, flow.dst_port, flow.src) == (agreed.host, agreed.port, agreed.peer)
                && (0..WAIT_NS).contains(&(flow.first_ns - agreed.ns))
        })
    }
}

/// The port that a line names.
fn port(line: &[u8]) -> Option<u16> {
    let line = str::from_utf8(line).ok()?.trim_end();
    let number = |text: &str| text.parse::<u8>().ok();
    let six = |list: &str| {
        let mut numbers = list.split(',').map(number);
        let all: Vec<u8> = numbers.by_ref().take(6).collect::<Option<_>>()?;
        let [_, _, _, _, high, low] = all.as_slice() else { return None };
        numbers.next().is_none().then(|| u16::from_be_bytes([*high, *low]))
    };
    let four = |list: &str| {
        let mark = list.chars().next()?;
        list.split(mark).nth(3)?.parse().ok()
    };
    let inside = || Some(line.split_once('(')?.1.split_once(')')?.0);
    let (command, rest) = line.split_at_checked(5)?;
    let port = match command.to_ascii_uppercase().as_str() {
        "227 E" => six(inside()?)?,
        "229 E" => four(inside()?)?,
        "PORT " => six(rest)?,
        "EPRT " => four(rest)?,
        _ => return None,
    };
    (port > 0).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::testing::opened;

    #[test]
    fn ports_that_lines_name() {
        assert_eq!(port(b"227 Entering Passive Mode (192,168,1,13,195,80).\r"), Some(50_000));
        assert_eq!(port(b"229 Entering Extended Passive Mode (|||50000|)\r"), Some(50_000));
        assert_eq!(port(b"PORT 192,168,1,30,4,1\r"), Some(1025));
        assert_eq!(port(b"eprt |2|fe80::1|5282|\r"), Some(5282));
        for other in [
            "227 Entering Passive Mode (192,168,1,13,195).",
            "227 Entering Passive Mode (192,168,1,13,195,80,1).",
            "227 Entering Passive Mode (192,168,1,13,195,256).",
            "229 Entering Extended Passive Mode (|||0|)",
            "229 Entering Extended Passive Mode (|||70000|)",
            "229 E",
            "EPRT ",
            "EPRT \u{e9}",
            "STOR 227 E(1,2,3,4,5,6)",
            "POR\u{20ac}T",
        ] {
            assert_eq!(port(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn the_connection_that_was_agreed_on() {
        let (client, server) = ([192, 168, 1, 30], [192, 168, 1, 13]);
        let mut transfers = Transfers::default();
        let mut say = |from: [u8; 4], to: [u8; 4], payload: &[u8]| {
            transfers.message(&Message {
                app: App::Ftp,
                from: (from.into(), 21),
                to: (to.into(), 40_000),
                payload,
                frame: 1,
                time_ns: 1000,
                mac: None,
            });
        };
        say(server, client, b"229 Entering Extended Passive Mode (|||50000|)\r\n");
        say(client, server, b"TYPE I\r\nPORT 10,0,0,1,195,81\r\n");
        let carries = |from, to, first_ns| {
            let mut flow = FlowRecord::new(opened((from, 41_000), to));
            flow.first_ns = first_ns;
            transfers.carries(&flow)
        };
        assert!(carries(client, (server, 50_000), 2000));
        assert!(carries(server, (client, 50_001), 2000), "active");
        // near misses: another port, another client, the other way, before, much later
        assert!(!carries(client, (server, 50_002), 2000));
        assert!(!carries([192, 168, 1, 31], (server, 50_000), 2000));
        assert!(!carries(server, (client, 50_000), 2000));
        assert!(!carries(client, (server, 50_000), 999));
        assert!(!carries(client, (server, 50_000), 1000 + WAIT_NS));
    }
}
