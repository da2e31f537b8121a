//! By which way the users of remote desktops come: through a VPN, or directly.

use std::net::IpAddr;

use super::super::address::{Place, place};
use super::super::pairs::Pairs;
use super::super::{end, rules_desktop as rules};
use super::{is_ours, network};
use crate::App;
use crate::finding::{Finding, Severity, Sure};
use crate::record::FlowRecord;

/// Conversations remembered of each kind.
const REMEMBERED_MAX: usize = 4096;
/// So soon after a tunnel began, what comes from another network is taken for what it carries.
const SOON_NS: i64 = 60_000_000_000;

#[derive(Debug, Clone, Copy)]
struct Conversation {
    src: IpAddr,
    dst: IpAddr,
    port: u16,
    app: App,
    first_ns: i64,
    frame: u64,
}

/// Tunnels from outside, and remote desktops from inside and outside.
#[derive(Debug, Default)]
pub(super) struct Access {
    tunnels: Vec<Conversation>,
    inside: Vec<Conversation>,
    direct: Vec<Conversation>,
}

const fn is_tunnel(app: App) -> bool {
    matches!(
        app,
        App::WireGuard
            | App::OpenVpn
            | App::Ike
            | App::L2tp
            | App::Pptp
            | App::Sstp
            | App::SoftEther
            | App::Tailscale
    )
}

impl Access {
    pub(super) fn flow(&mut self, flow: &FlowRecord) {
        // both ends have said something
        if flow.opener_sent.bytes == 0 || flow.answerer_sent.bytes == 0 {
            return;
        }
        let list = match place(flow.src) {
            Place::Outside if is_tunnel(flow.app) => &mut self.tunnels,
            Place::Outside if flow.app == App::Rdp && is_ours(flow.dst) => &mut self.direct,
            Place::Inside if flow.app == App::Rdp && is_ours(flow.dst) => {
                // the network of the server is the building's
                if network(flow.src) == network(flow.dst) {
                    return;
                }
                &mut self.inside
            }
            _ => return,
        };
        if list.len() < REMEMBERED_MAX {
            list.push(Conversation {
                src: flow.src,
                dst: flow.dst,
                port: flow.dst_port,
                app: flow.app,
                first_ns: flow.first_ns,
                frame: flow.first_frame,
            });
        }
    }

    pub(super) fn findings(&self, pairs: &Pairs, out: &mut Vec<Finding>) {
        // towards the site: to a host inside, or to an address known to be the router's
        let inbound = |tunnel: &&Conversation| {
            place(tunnel.dst) == Place::Inside
                || pairs.forwards.keys().any(|forward| forward.outer == tunnel.dst)
        };
        let mut tunnels: Vec<_> = self.tunnels.iter().filter(inbound).collect();
        tunnels.sort_by_key(|tunnel| tunnel.first_ns);
        let carrier = |desktop: &Conversation| {
            let later = tunnels.partition_point(|tunnel| tunnel.first_ns <= desktop.first_ns);
            let last = tunnels.get(later.checked_sub(1)?)?;
            (desktop.first_ns - last.first_ns <= SOON_NS).then_some(*last)
        };
        let mut through: Option<Finding> = None;
        for desktop in &self.inside {
            let Some(tunnel) = carrier(desktop) else { continue };
            let finding = through.get_or_insert_with(|| {
                let mut finding = Finding::new(
                    &rules::THROUGH_VPN,
                    Severity::Good,
                    Sure::Likely,
                    tunnel.frame,
                    tunnel.first_ns,
                );
                finding.count = 0;
                finding.port = desktop.port;
                finding.detail = format!(
                    "{} reached {} right after {} came from {}",
                    desktop.src,
                    end(desktop.dst, desktop.port),
                    tunnel.app.name(),
                    tunnel.src
                );
                finding
            });
            finding.again(desktop.frame, desktop.first_ns);
            for host in [desktop.dst, desktop.src, tunnel.src] {
                finding.host(host);
            }
        }
        let Some(through) = through else { return };
        if let Some(first) = self.direct.first() {
            let mut finding = Finding::new(
                &rules::BOTH_WAYS,
                Severity::Medium,
                Sure::Likely,
                first.frame,
                first.first_ns,
            );
            finding.port = first.port;
            for direct in &self.direct[1..] {
                finding.again(direct.frame, direct.first_ns);
            }
            finding.evidence.truncate(8);
            finding.evidence.extend(through.evidence.iter().take(8));
            for direct in &self.direct {
                finding.host(direct.dst);
                finding.host(direct.src);
            }
            finding.detail = format!(
                "{} through a VPN, {} directly from outside, to {} first",
                times(through.count),
                times(self.direct.len() as u64),
                end(first.dst, first.port)
            );
            out.push(finding);
        }
        out.push(through);
    }
}

fn times(n: u64) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}
