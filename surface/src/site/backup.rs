//! Whether copies were seen to leave the hosts that hold the data (`backup.*`).
//!
//! A database file keeps its size and date while it is written to, and a backup that goes by these
//! leaves it out without a word. From the wire that shows: a busy database, and a nightly copy far
//! too small for what was written.

use std::collections::HashMap;
use std::net::IpAddr;

use foldhash::fast::RandomState;

use super::address::{Place, place};
use super::service::Service;
use super::{end, rules};
use crate::App;
use crate::finding::{Finding, Severity, Sure};
use crate::record::FlowRecord;

/// Copies remembered.
const COPIES_MAX: usize = 4096;
/// Bytes one way from which a conversation may be a copy of files.
const BULK_BYTES: u64 = 10_000_000;
/// How many times more must go one way than the other.
const BULK_RATIO: u64 = 10;
/// Bytes written to a database from which its backup must be seen.
const BUSY_BYTES: u64 = 300_000;
/// A copy this many times smaller than what was written misses something.
const TOO_SMALL: u64 = 100;
/// How long a capture must be for a nightly copy to be missed in it.
const DAY_NS: i64 = 20 * 3_600_000_000_000;

/// What went from one host to another as a copy.
#[derive(Debug, Clone, Copy)]
pub struct Copied {
    /// Where the data was.
    pub from: IpAddr,
    /// Where it went.
    pub to: IpAddr,
    /// By which protocol.
    pub app: App,
    /// Told by the protocol, or only by its shape.
    pub by_name: bool,
    /// Bytes carried.
    pub bytes: u64,
    /// Conversations.
    pub flows: u64,
    /// Nanoseconds since 1970 of the first frame.
    pub first_ns: i64,
    /// And of the last.
    pub last_ns: i64,
    /// Number of the first frame.
    pub frame: u64,
}

#[derive(Debug, Default)]
pub(super) struct Copies {
    all: HashMap<(IpAddr, IpAddr, App), Copied, RandomState>,
}

impl Copies {
    pub(super) fn flow(&mut self, flow: &FlowRecord) {
        let Some(by_name) = is_copy(flow) else { return };
        let (sent, received) = (flow.opener_sent.bytes, flow.answerer_sent.bytes);
        let (from, to) = if sent >= received { (flow.src, flow.dst) } else { (flow.dst, flow.src) };
        let key = (from, to, flow.app);
        if self.all.len() >= COPIES_MAX && !self.all.contains_key(&key) {
            return;
        }
        let copied = self.all.entry(key).or_insert(Copied {
            from,
            to,
            app: flow.app,
            by_name,
            bytes: 0,
            flows: 0,
            first_ns: flow.first_ns,
            last_ns: flow.last_ns,
            frame: flow.first_frame,
        });
        copied.bytes += sent.max(received);
        copied.flows += 1;
        copied.first_ns = copied.first_ns.min(flow.first_ns);
        copied.last_ns = copied.last_ns.max(flow.last_ns);
        copied.frame = copied.frame.min(flow.first_frame);
    }

    /// Copies from a host, the largest first.
    pub(super) fn from(&self, host: IpAddr) -> Vec<Copied> {
        let mut copies: Vec<_> =
            self.all.values().filter(|copied| copied.from == host).copied().collect();
        copies.sort_by_key(|copied| std::cmp::Reverse((copied.bytes, copied.to)));
        copies
    }

    /// Whether something was copied to a host by an application.
    pub(super) fn reach(&self, host: IpAddr, app: App) -> bool {
        self.all.values().any(|copied| copied.to == host && copied.app == app)
    }

    /// Busy databases whose copy was not seen, or is far too small.
    pub(super) fn findings(&self, services: &[Service], seen_ns: i64) -> Vec<Finding> {
        services
            .iter()
            .filter(|service| is_database(service.app) && service.written >= BUSY_BYTES)
            .filter_map(|service| self.judge(service, seen_ns))
            .collect()
    }

    fn judge(&self, service: &Service, seen_ns: i64) -> Option<Finding> {
        let copies = self.from(service.host);
        let carried: u64 = copies.iter().map(|copied| copied.bytes).sum();
        let what = format!(
            "{} on {}: clients sent {} to it",
            service.app,
            end(service.host, service.port),
            megabytes(service.written)
        );
        let mut finding = if copies.is_empty() {
            if seen_ns < DAY_NS {
                return None; // the night may not have come yet
            }
            let mut finding = Finding::new(
                &rules::BACKUP_NOT_SEEN,
                Severity::Medium,
                Sure::Hint,
                service.frame,
                service.first_ns,
            );
            finding.detail = format!("{what}, and no copy was seen to leave its host");
            finding
        } else if carried < service.written / TOO_SMALL {
            let mut finding = Finding::new(
                &rules::BACKUP_TOO_SMALL,
                Severity::Medium,
                Sure::Likely,
                service.frame,
                service.first_ns,
            );
            finding.detail =
                format!("{what}; all copies from its host carried {}", megabytes(carried));
            for copied in copies.iter().take(4) {
                finding.evidence.push(copied.frame);
                finding.host(copied.to);
            }
            finding
        } else {
            return None;
        };
        finding.last_ns = service.last_ns;
        finding.port = service.port;
        finding.hosts.insert(0, service.host);
        Some(finding)
    }
}

/// Applications that hold what must not be lost.
pub(super) const fn is_database(app: App) -> bool {
    matches!(
        app,
        App::Firebird
            | App::Tds
            | App::MySql
            | App::PostgreSql
            | App::Oracle
            | App::MongoDb
            | App::FourD
    )
}

/// Whether a conversation is a copy of data: by its protocol (`true`), or by its shape.
fn is_copy(flow: &FlowRecord) -> Option<bool> {
    let named = matches!(
        flow.app,
        App::Rsync
            | App::Restic
            | App::Borg
            | App::Veeam
            | App::Nbd
            | App::Iscsi
            | App::FramewalkBackup
    );
    if named {
        return Some(true);
    }
    let (sent, received) = (flow.opener_sent.bytes, flow.answerer_sent.bytes);
    let bulk =
        sent.max(received) >= BULK_BYTES && sent.max(received) / BULK_RATIO >= sent.min(received);
    // files go out; what comes in from the internet is a download
    let inside = place(flow.src) == Place::Inside;
    let out = sent > received || place(flow.dst) == Place::Inside;
    let may =
        matches!(flow.app, App::Ssh | App::Smb | App::Nfs | App::Afp | App::Tls | App::FtpData);
    (bulk && may && inside && out).then_some(false)
}

fn megabytes(bytes: u64) -> String {
    if bytes < 1000 {
        format!("{bytes} bytes")
    } else if bytes < 1_000_000 {
        format!("{} kB", bytes / 1000)
    } else {
        format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::testing::opened;
    use crate::site::Site;
    use crate::site::role::Role;

    /// A conversation of `app` in which each end sent so many bytes, the opener's first.
    fn flow(app: App, from: [u8; 4], to: ([u8; 4], u16), bytes: [u64; 2]) -> FlowRecord {
        let mut record = FlowRecord::new(opened((from, 40_000), to));
        (record.app, record.app_sure, record.accepted) = (app, true, true);
        for (sent, bytes) in
            [&mut record.opener_sent, &mut record.answerer_sent].into_iter().zip(bytes)
        {
            (sent.frames, sent.bytes) = (1 + bytes / 1448, bytes);
        }
        record
    }

    const SERVER: [u8; 4] = [192, 168, 1, 10];
    const STORE: [u8; 4] = [192, 168, 1, 40];

    fn copied(flows: &[FlowRecord]) -> Vec<(App, bool, u64)> {
        let mut copies = Copies::default();
        for flow in flows {
            copies.flow(flow);
        }
        copies.from(SERVER.into()).iter().map(|c| (c.app, c.by_name, c.bytes)).collect()
    }

    #[test]
    fn copies_are_told_by_name_or_by_shape() {
        let to_store = |app, port, bytes| copied(&[flow(app, SERVER, (STORE, port), bytes)]);
        for app in [App::Rsync, App::Restic, App::Nbd, App::Iscsi, App::Veeam] {
            assert_eq!(to_store(app, 8000, [5000, 90]), [(app, true, 5000)]);
        }
        // borg is inside SSH: only its shape shows
        assert_eq!(to_store(App::Ssh, 22, [11_000_000, 12_000]), [(App::Ssh, false, 11_000_000)]);
        // near misses: a day at the command line, as much both ways, too little, a web page
        assert_eq!(to_store(App::Ssh, 22, [12_000, 11_000_000]), []);
        assert_eq!(to_store(App::Ssh, 22, [11_000_000, 5_000_000]), []);
        assert_eq!(to_store(App::Ssh, 22, [9_000_000, 12_000]), []);
        assert_eq!(to_store(App::Http, 80, [11_000_000, 12_000]), []);
        // what is fetched from the internet is none, what is sent there is
        let outside = [203, 0, 113, 9];
        assert_eq!(copied(&[flow(App::Ssh, SERVER, (outside, 22), [9000, 11_000_000])]), []);
        assert_eq!(copied(&[flow(App::Ssh, SERVER, (outside, 22), [11_000_000, 9000])]).len(), 1);
    }

    #[test]
    fn who_is_copied_to_by_ssh_is_a_store() {
        let roles = |bytes| {
            let mut site = Site::default();
            site.flow(&flow(App::Ssh, SERVER, (STORE, 22), bytes));
            site.key_services().iter().map(|key| key.role).collect::<Vec<_>>()
        };
        assert_eq!(roles([11_000_000, 12_000]), [Role::Backup]);
        assert_eq!(roles([3000, 12_000]), [Role::RemoteAccess]);
    }

    #[test]
    fn a_busy_database_needs_a_copy_of_its_size() {
        let told = |copy: Option<u64>, hours: i64| {
            let mut site = Site::default();
            let mut day = flow(App::Firebird, [192, 168, 1, 101], (SERVER, 3050), [900_000, 9000]);
            day.last_ns = day.first_ns + hours * 3_600_000_000_000;
            site.flow(&day);
            if let Some(bytes) = copy {
                site.flow(&flow(App::Rsync, SERVER, (STORE, 873), [bytes, 90]));
            }
            let services = site.services();
            let findings = site.copies.findings(&services, day.last_ns - day.first_ns);
            findings.iter().map(|finding| finding.rule.id).collect::<Vec<_>>()
        };
        assert_eq!(told(Some(8_000), 1), ["backup.too-small"]);
        assert_eq!(told(Some(9_000), 1), [] as [&str; 0]);
        assert_eq!(told(None, 21), ["backup.not-seen"]);
        assert_eq!(told(None, 19), [] as [&str; 0], "the night may not have come yet");
    }
}
