//! What was reached from the internet (`exposure.*`, `access.*`).
//!
//! A connection counts only when it was accepted: its SYN came from outside and was answered, or,
//! where the beginning was not seen, both ends said what a client and a server of a known
//! application say. Nothing is ever said to be *not* exposed.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::net::IpAddr;

use foldhash::fast::RandomState;

use super::address::{Place, place};
use super::desktop::{Desktops, Protection};
use super::pairs::{Forward, Pairs};
use super::{end, rules};
use crate::App;
use crate::facts::RdpLevel;
use crate::finding::{Finding, Rule, Severity, Sure};
use crate::flow::Opener;
use crate::peel::proto;
use crate::record::FlowRecord;

/// Services remembered that were reached from outside.
const REACHED_MAX: usize = 16_384;
/// Clients remembered of one.
const CLIENTS_MAX: usize = 256;
/// Frames remembered of one.
const FRAMES_MAX: usize = 8;

#[derive(Debug)]
struct Reached {
    app: App,
    /// What the application is, is sure; that it was reached always is.
    app_sure: bool,
    connections: u64,
    clients: BTreeSet<IpAddr>,
    frames: Vec<u64>,
    first_ns: i64,
    last_ns: i64,
}

/// Services that were reached from outside, by address, port and protocol.
#[derive(Debug, Default)]
pub(super) struct Exposure {
    reached: HashMap<(IpAddr, u16, u8), Reached, RandomState>,
    /// Not remembered for want of room.
    overflow: u64,
}

impl Exposure {
    /// Conversations that were not looked at for want of room.
    pub(super) const fn overflow(&self) -> u64 {
        self.overflow
    }

    pub(super) fn flow(&mut self, flow: &FlowRecord) {
        // a tunnel ends at the router as often as behind it; which address outside is the router's
        // is known at the end
        let within = match place(flow.dst) {
            Place::Inside => true,
            Place::Outside => is_tunnel(flow.app),
            _ => false,
        };
        if place(flow.src) != Place::Outside || !within || !accepted(flow) {
            return;
        }
        // what only the client said is no service
        let heard = flow.answerer_sent.bytes > 0;
        let app = if heard { flow.app } else { App::Unknown };
        let key = (flow.dst, flow.dst_port, flow.proto);
        if self.reached.len() >= REACHED_MAX && !self.reached.contains_key(&key) {
            self.overflow += 1;
            return;
        }
        let reached = self.reached.entry(key).or_insert_with(|| Reached {
            app: App::Unknown,
            app_sure: true,
            connections: 0,
            clients: BTreeSet::new(),
            frames: Vec::new(),
            first_ns: flow.first_ns,
            last_ns: flow.last_ns,
        });
        // what is only likely does not take the place of what is sure
        let sure = app == App::Unknown || flow.app_sure;
        let worse = severity(app) > severity(reached.app) && (sure || !reached.app_sure);
        let surer = sure && !reached.app_sure && app != App::Unknown;
        if reached.app == App::Unknown || worse || surer {
            // the worst that was seen there, with the frames that show it
            if app != App::Unknown {
                reached.frames.clear();
            }
            reached.app = app;
            reached.app_sure = sure;
        }
        reached.connections += 1;
        reached.first_ns = reached.first_ns.min(flow.first_ns);
        reached.last_ns = reached.last_ns.max(flow.last_ns);
        if reached.clients.len() < CLIENTS_MAX {
            reached.clients.insert(flow.src);
        }
        if reached.frames.len() < FRAMES_MAX && app == reached.app {
            reached.frames.push(flow.first_frame);
        }
    }

    pub(super) fn findings(&self, pairs: &Pairs, desktops: &Desktops) -> Vec<Finding> {
        let ours = |host: IpAddr| {
            place(host) == Place::Inside
                || pairs.forwards.keys().any(|forward| forward.outer == host)
        };
        self.reached
            .iter()
            .filter(|((host, ..), _)| ours(*host))
            .map(|(&(host, port, _), reached)| {
                let protection = desktops.protection(host, port);
                finding(host, port, reached, pairs, protection)
            })
            .collect()
    }
}

/// Whether a conversation that came from outside was let in.
fn accepted(flow: &FlowRecord) -> bool {
    let both = flow.opener_sent.bytes > 0 && flow.answerer_sent.bytes > 0;
    match (flow.proto, flow.opener) {
        (proto::TCP, Opener::Syn) => flow.accepted,
        (proto::TCP | proto::UDP, _) => both && flow.app != App::Unknown && directed(flow.app),
        _ => false,
    }
}

/// Applications whose bytes say which end is the server, whoever was seen first.
const fn directed(app: App) -> bool {
    matches!(
        app,
        App::Rdp
            | App::RdpUdp
            | App::Vnc
            | App::Ssh
            | App::Http
            | App::Tls
            | App::Smtp
            | App::Ftp
            | App::WireGuard
            | App::OpenVpn
            | App::L2tp
            | App::Pptp
            | App::Tds
            | App::Firebird
            | App::Dicom
            | App::MySql
    )
}

/// The rule for an application that was reached from outside, and how bad that is.
const fn judge(app: App) -> (&'static Rule, Severity) {
    match app {
        App::Rdp | App::RdpUdp => (&rules::RDP_FROM_INTERNET, Severity::High),
        App::Vnc
        | App::Telnet
        | App::X11
        | App::Radmin
        | App::DameWare
        | App::PcAnywhere
        | App::NetSupport
        | App::Citrix
        | App::Usbip => (&rules::DESKTOP_FROM_INTERNET, Severity::Critical),
        App::Smb
        | App::Firebird
        | App::Tds
        | App::MySql
        | App::PostgreSql
        | App::Oracle
        | App::MongoDb
        | App::Redis
        | App::Cassandra
        | App::Memcached
        | App::FourD
        | App::Dicom
        | App::Hl7
        | App::Nfs
        | App::Afp
        | App::Iscsi
        | App::Nbd
        | App::Rsync
        | App::Ldap
        | App::DceRpc => (&rules::DATA_FROM_INTERNET, Severity::Critical),
        App::Ssh => (&rules::SHELL_FROM_INTERNET, Severity::Medium),
        App::Http | App::Tls | App::Quic | App::Websocket => {
            (&rules::WEB_FROM_INTERNET, Severity::Low)
        }
        App::Smtp | App::Imap | App::Pop => (&rules::MAIL_FROM_INTERNET, Severity::Info),
        App::WireGuard | App::OpenVpn | App::Ike | App::Tailscale | App::SoftEther | App::Sstp => {
            (&rules::VPN_FROM_INTERNET, Severity::Good)
        }
        App::L2tp | App::Pptp => (&rules::WEAK_VPN_FROM_INTERNET, Severity::Medium),
        _ => (&rules::OTHER_FROM_INTERNET, Severity::Medium),
    }
}

/// Whether what was reached is a tunnel (`access.*`).
fn is_tunnel(app: App) -> bool {
    let rule = judge(app).0;
    [&rules::VPN_FROM_INTERNET, &rules::WEAK_VPN_FROM_INTERNET]
        .iter()
        .any(|tunnel| tunnel.id == rule.id)
}

const fn severity(app: App) -> u8 {
    judge(app).1 as u8
}

/// How bad a remote desktop is that can be reached from outside, and why. Network level
/// authentication that was agreed on with one client says nothing of what the next one gets.
const fn desktop(protection: Protection) -> (Severity, &'static str) {
    match protection {
        Protection { weakest: Some(RdpLevel::Standard), .. } => {
            (Severity::Critical, ", with RDP's own encryption, which anyone on the way can break")
        }
        Protection { weakest: Some(RdpLevel::Tls), .. } => {
            (Severity::High, ", without a log-on before the screen is shown")
        }
        Protection { enforced: true, .. } => {
            (Severity::Medium, "; it insists on a log-on before the screen is shown")
        }
        _ => (Severity::High, ""),
    }
}

fn finding(
    host: IpAddr,
    port: u16,
    reached: &Reached,
    pairs: &Pairs,
    protection: Option<Protection>,
) -> Finding {
    let (rule, mut severity) = judge(reached.app);
    let mut why = "";
    if let (App::Rdp, Some(protection)) = (reached.app, protection) {
        (severity, why) = desktop(protection);
    }
    let frame = reached.frames.first().copied().unwrap_or_default();
    let sure = if reached.app_sure { Sure::Proven } else { Sure::Likely };
    let mut finding = Finding::new(rule, severity, sure, frame, reached.first_ns);
    finding.last_ns = reached.last_ns;
    finding.count = reached.connections;
    finding.port = port;
    finding.host(host);
    for &frame in reached.frames.iter().skip(1) {
        finding.evidence.push(frame);
    }
    for &client in &reached.clients {
        finding.host(client);
    }
    let what = if reached.app == App::Unknown { "a service" } else { reached.app.name() };
    finding.detail = format!(
        "{what} on {} was reached from {} outside{why}",
        end(host, port),
        counted(reached.clients.len())
    );
    let forwards = pairs
        .forwards
        .iter()
        .filter(|(forward, _)| forward.inner == host && forward.inner_port == port);
    for (forward, used) in forwards {
        let Forward { outer, outer_port, .. } = *forward;
        // writing into a string cannot fail
        _ = write!(
            finding.detail,
            "; {} opens it (seen on both sides of the router, {})",
            end(outer, outer_port),
            times(used.count)
        );
        finding.host(outer);
        finding.evidence.extend(used.frames);
    }
    finding.evidence.sort_unstable();
    finding.evidence.dedup();
    finding
}

fn counted(clients: usize) -> String {
    match clients {
        1 => "1 address".to_owned(),
        CLIENTS_MAX => format!("{CLIENTS_MAX} addresses or more"),
        n => format!("{n} addresses"),
    }
}

fn times(n: u64) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::testing::opened;
    use crate::site::pairs::Used;

    fn reached(app: App, app_sure: bool) -> FlowRecord {
        let mut flow = opened(([203, 0, 113, 7], 50_000), ([192, 168, 1, 10], 19_813));
        (flow.app, flow.app_sure, flow.bytes) = (app, app_sure, [100, 100]);
        FlowRecord { accepted: true, ..FlowRecord::new(flow) }
    }

    fn found(flows: &[FlowRecord]) -> (&'static str, Severity, Sure) {
        let mut exposure = Exposure::default();
        for flow in flows {
            exposure.flow(flow);
        }
        let findings = exposure.findings(&Pairs::default(), &Desktops::default());
        assert_eq!(findings.len(), 1);
        (findings[0].rule.id, findings[0].severity, findings[0].sure)
    }

    #[test]
    fn what_is_likely_only_is_no_proof() {
        let likely = reached(App::FourD, false);
        let told = ("exposure.data", Severity::Medium, Sure::Likely);
        assert_eq!(found(std::slice::from_ref(&likely)), told);
        let sure = reached(App::Vnc, true);
        let told = ("exposure.remote-access", Severity::Critical, Sure::Proven);
        assert_eq!(found(std::slice::from_ref(&sure)), told);
        assert_eq!(found(&[likely.clone(), sure.clone()]), told);
        assert_eq!(found(&[sure, likely.clone()]), told);
        // nobody knows what it is, but it was reached
        let told = ("exposure.other", Severity::Medium, Sure::Proven);
        assert_eq!(found(&[reached(App::Unknown, false)]), told);
        let web = reached(App::Http, true);
        assert_eq!(found(&[web, likely]), ("exposure.web", Severity::Low, Sure::Proven));
    }

    #[test]
    fn a_tunnel_may_end_at_the_router() {
        let ends_at = |app: App, outer: [u8; 4]| {
            let mut flow = opened(([203, 0, 113, 7], 50_000), (outer, 51_820));
            (flow.app, flow.app_sure, flow.bytes) = (app, true, [100, 100]);
            let mut exposure = Exposure::default();
            exposure.flow(&FlowRecord { accepted: true, ..FlowRecord::new(flow) });
            let mut pairs = Pairs::default();
            let forward = Forward {
                outer: [198, 51, 100, 2].into(),
                outer_port: 2299,
                inner: [192, 168, 1, 20].into(),
                inner_port: 3389,
            };
            pairs.forwards.insert(forward, Used { count: 1, frames: [1, 2] });
            let findings = exposure.findings(&pairs, &Desktops::default());
            findings.first().map(|finding| (finding.rule.id, finding.hosts[0]))
        };
        let router = IpAddr::from([198, 51, 100, 2]);
        assert_eq!(ends_at(App::WireGuard, [198, 51, 100, 2]), Some(("access.vpn", router)));
        assert_eq!(ends_at(App::Pptp, [198, 51, 100, 2]), Some(("access.weak-vpn", router)));
        // somebody else's router, and what is no tunnel
        assert_eq!(ends_at(App::WireGuard, [198, 51, 100, 3]), None);
        assert_eq!(ends_at(App::Rdp, [198, 51, 100, 2]), None);
    }

    #[test]
    fn what_only_the_client_said_is_no_service() {
        let mut silent = reached(App::Rdp, true);
        silent.answerer_sent.bytes = 0;
        assert_eq!(found(&[silent]), ("exposure.other", Severity::Medium, Sure::Proven));
    }
}
