//! Whether copies were seen to leave the hosts that hold the data (`backup.*`).
//!
//! A database file keeps its size and date while it is written to, and a backup that goes by these
//! leaves it out without a word. From the wire that shows: a busy database, and a nightly copy far
//! too
//! small for what was written.

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
