//! Remote-support tools: left standing, in use, or seen (`remote.*`).
//!
//! By what they say on the wire, and by the names of their own servers that a host asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;

use super::lan::{Seen, counted};
use super::names::names;
use super::{Message, Place, place, rules_tools as rules};
use crate::App;
use crate::finding::{Finding, Severity, Sure};
use crate::record::FlowRecord;
use crate::tools::by_relay;

/// Hosts and tools remembered.
const TOOLS_MAX: usize = 1024;
/// Name servers remembered.
const SERVERS_MAX: usize = 1024;
/// A tool seen for longer was left standing.
const STANDING_NS: i64 = 24 * HOUR_NS;
const HOUR_NS: i64 = 3_600_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;
/// In so many different hours.
const HOURS_MIN: usize = 3;
/// A conversation of so many bytes in a second, over so many seconds, carries a screen or files.
const USED_BYTES_PER_S: f64 = 50_000.0;
const USED_S: f64 = 60.0;
/// Times that a name is looked for, at least; once may be a link that was clicked.
const LOOKUPS_MIN: u64 = 3;

#[derive(Debug, Default)]
struct Tool {
    /// Conversations with its servers.
    spoken: Seen,
    /// Times that its servers were looked for, a second apart.
    asked: Seen,
    asked_ns: i64,
    /// Conversations that carried a session.
    used: Seen,
    used_bytes: u64,
    /// Hours in which it was seen, since 1970.
    hours: BTreeSet<i64>,
    first_ns: Option<i64>,
    last_ns: i64,
}

#[derive(Debug, Default)]
pub(super) struct Tools {
    all: BTreeMap<(IpAddr, App), Tool>,
    /// Hosts that answer for names: they ask for others.
    servers: BTreeSet<IpAddr>,
}

/// Whether it is a tool by which others control a computer, or come past the router.
fn is_tool(app: App) -> bool {
    (App::TeamViewer..=App::Cloudflared).contains(&app)
}

impl Tools {
    fn tool(&mut self, host: IpAddr, app: App, first_ns: i64, last_ns: i64) -> Option<&mut Tool> {
        let room = self.all.len() < TOOLS_MAX || self.all.contains_key(&(host, app));
        let tool = room.then(|| self.all.entry((host, app)).or_default())?;
        tool.first_ns = Some(tool.first_ns.map_or(first_ns, |first| first.min(first_ns)));
        tool.last_ns = tool.last_ns.max(last_ns);
        for hour in [first_ns / HOUR_NS, last_ns / HOUR_NS] {
            if tool.hours.len() < HOURS_MIN {
                tool.hours.insert(hour);
            }
        }
        Some(tool)
    }

    /// A question for a name, or an answer.
    pub(super) fn message(&mut self, message: &Message<'_>) {
        if message.app != App::Dns {
            return;
        }
        if message.payload.get(2).is_some_and(|flags| flags & 0x80 != 0) {
            if self.servers.len() < SERVERS_MAX && place(message.from.0) == Place::Inside {
                self.servers.insert(message.from.0);
            }
            return;
        }
        if place(message.from.0) != Place::Inside {
            return;
        }
        let asked = names(message.payload).and_then(|read| read.question);
        let Some(app) = asked.and_then(|(name, _)| by_relay(&name)).filter(|&app| is_tool(app))
        else {
            return;
        };
        let now = message.time_ns;
        if let Some(tool) = self.tool(message.from.0, app, now, now)
            && (tool.asked.count == 0 || now.saturating_sub(tool.asked_ns) >= SECOND_NS)
        {
            tool.asked.at(message.frame, now);
            tool.asked_ns = now;
        }
    }

    /// A conversation is over.
    pub(super) fn flow(&mut self, flow: &FlowRecord) {
        let both = flow.opener_sent.bytes > 0 && flow.answerer_sent.bytes > 0;
        let Some(&app) = flow.path.iter().find(|&&app| is_tool(app)) else { return };
        let (host, other) = match (place(flow.src), place(flow.dst)) {
            (Place::Inside, _) => (flow.src, flow.dst),
            (_, Place::Inside) => (flow.dst, flow.src),
            _ => return,
        };
        if !both {
            return;
        }
        let Some(tool) = self.tool(host, app, flow.first_ns, flow.last_ns) else { return };
        tool.spoken.at(flow.first_frame, flow.first_ns);
        tool.spoken.by(other);
        let bytes = flow.opener_sent.bytes + flow.answerer_sent.bytes;
        let seconds = flow.last_ns.saturating_sub(flow.first_ns) as f64 / SECOND_NS as f64;
        if seconds > USED_S && bytes as f64 / seconds > USED_BYTES_PER_S {
            tool.used.at(flow.first_frame, flow.first_ns);
            tool.used.by(other);
            tool.used_bytes += bytes;
        }
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let told = |(&(host, app), tool): (&(IpAddr, App), &Tool)| {
            let asks_for_others = self.servers.contains(&host);
            let asked = tool.asked.count >= LOOKUPS_MIN && !asks_for_others;
            (tool.spoken.count > 0 || asked).then(|| tool.finding(host, app))
        };
        self.all.iter().filter_map(told).collect()
    }
}

impl Tool {
    fn finding(&self, host: IpAddr, app: App) -> Finding {
        let span_ns = self.last_ns.saturating_sub(self.first_ns.unwrap_or_default());
        let standing = span_ns > STANDING_NS && self.hours.len() >= HOURS_MIN;
        let (rule, severity) = if self.used.count > 0 {
            (&rules::TOOL_IN_USE, Severity::Low)
        } else if standing {
            (&rules::TOOL_STANDING, Severity::Medium)
        } else {
            (&rules::TOOL_SEEN, Severity::Info)
        };
        // the name alone is no proof that the program is there
        let (seen, sure) = match (self.used.count, self.spoken.count) {
            (1.., _) => (&self.used, Sure::Proven),
            (_, 1..) => (&self.spoken, Sure::Proven),
            _ => (&self.asked, Sure::Likely),
        };
        let mut finding = seen.finding(rule, severity, sure, &[host]);
        if self.first_ns != Some(0) {
            (finding.first_ns, finding.last_ns) = (self.first_ns.unwrap_or_default(), self.last_ns);
        }
        finding.detail = match (self.used.count, self.spoken.count) {
            (1.., _) => format!(
                "{app} on {host} carried {} MB in sessions ({})",
                self.used_bytes / 1_000_000,
                self.used.count
            ),
            (_, n @ 1..) => format!(
                "{app} on {host} spoke with others ({})",
                counted(n as usize, "conversation", "conversations")
            ),
            _ => format!("{host} looked for the servers of {app} {} times", self.asked.count),
        };
        if standing {
            let _ = write!(finding.detail, "; seen over {} hours", span_ns / HOUR_NS);
        }
        finding
    }
}

#[cfg(test)]
mod tests {
    use super::super::names::testing::message as bytes;
    use super::*;
    use crate::record::testing::opened;

    const S: i64 = SECOND_NS;
    const HOST: [u8; 4] = [192, 168, 1, 20];

    /// A conversation that begins and lasts so many seconds and carries so many bytes each way.
    fn flow(app: App, begin_s: i64, seconds: i64, bytes: u64) -> FlowRecord {
        let mut flow = opened((HOST, 50_000), ([203, 0, 113, 9], 443));
        (flow.app, flow.bytes) = (app, [bytes, bytes]);
        (flow.first_ns, flow.last_ns) = (begin_s * S, (begin_s + seconds) * S);
        FlowRecord::new(flow)
    }

    fn of_flows(flows: &[FlowRecord]) -> Vec<Finding> {
        let mut tools = Tools::default();
        for flow in flows {
            tools.flow(flow);
        }
        tools.findings()
    }

    #[test]
    fn standing_in_use_and_seen() {
        let beacons: Vec<_> = (0..30).map(|n| flow(App::AnyDesk, n * 3600, 5, 900)).collect();
        let found = of_flows(&beacons);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].rule.id, found[0].severity),
            ("remote.tool-standing", Severity::Medium)
        );
        // half a day is not enough
        assert_eq!(of_flows(&beacons[..12])[0].rule.id, "remote.tool-seen");
        let session = flow(App::AnyDesk, 0, 100, 4_000_000);
        let found = of_flows(&[session]);
        assert_eq!((found[0].rule.id, found[0].severity), ("remote.tool-in-use", Severity::Low));
        // quick but short, or long but slow
        assert_eq!(
            of_flows(&[flow(App::AnyDesk, 0, 20, 4_000_000)])[0].rule.id,
            "remote.tool-seen"
        );
        assert_eq!(
            of_flows(&[flow(App::AnyDesk, 0, 900, 4_000_000)])[0].rule.id,
            "remote.tool-seen"
        );
        // neither a VPN nor a refused connection
        assert!(of_flows(&[flow(App::Tailscale, 0, 100, 9000)]).is_empty());
        assert!(of_flows(&[flow(App::AnyDesk, 0, 100, 0)]).is_empty());
    }

    fn of_questions(name: &str, at_s: &[i64], server: bool) -> Vec<Finding> {
        let mut tools = Tools::default();
        let mut say = |flags: u16, s: i64| {
            tools.message(&Message {
                app: App::Dns,
                from: (HOST.into(), 50_000),
                to: ([192, 168, 1, 1].into(), 53),
                payload: &bytes(flags, name, 1, &[]),
                frame: s as u64,
                time_ns: s * S,
                mac: None,
            });
        };
        for &s in at_s {
            say(0x0100, s);
        }
        if server {
            say(0x8180, 0);
        }
        tools.findings()
    }

    #[test]
    fn by_the_names_asked_for() {
        let relay = "router9.teamviewer.com";
        let found = of_questions(relay, &[0, 60, 120], false);
        assert_eq!((found[0].rule.id, found[0].sure), ("remote.tool-seen", Sure::Likely));
        // twice, or again at once; a web site; a name server that asks for others
        assert!(of_questions(relay, &[0, 60], false).is_empty());
        assert!(of_questions(relay, &[0, 0, 0, 0], false).is_empty());
        assert!(of_questions("www.teamviewer.com", &[0, 60, 120], false).is_empty());
        assert!(of_questions(relay, &[0, 60, 120], true).is_empty());
    }
}
