//! Comparison of the full decode with tshark's fields, frame by frame and cell by cell.
//!
//! A reference is a table as `tshark -T fields -E header=y -E separator=/t -E occurrence=a`
//! prints it, with the columns of [`FIELDS`]. A *cell* is one field of one frame with all its
//! occurrences, outermost first, so a tunnel's inner addresses count. Cells empty on both sides
//! are not counted.
//!
//! Where tshark marks a frame malformed, or an ICMP error quotes a header, only the first
//! occurrence is compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use capture::Reader;
use skb::FrameMeta;
use skb::decode::{Checksum, Decoded, Decoder, LayerInfo};

/// Compared columns, by tshark's names.
pub const FIELDS: [&str; 20] = [
    "frame.time_epoch",
    "frame.len",
    "frame.cap_len",
    "frame.protocols",
    "eth.src",
    "eth.dst",
    "eth.type",
    "vlan.id",
    "ip.src",
    "ip.dst",
    "ip.proto",
    "ipv6.src",
    "ipv6.dst",
    "tcp.srcport",
    "tcp.dstport",
    "udp.srcport",
    "udp.dstport",
    "ip.checksum.status",
    "tcp.checksum.status",
    "udp.checksum.status",
];

/// Index of `frame.protocols`.
const PROTOCOLS: usize = 3;

/// Names in `frame.protocols` that the decoder knows; others belong to applications, or to
/// tshark's bookkeeping.
const KNOWN: &str = "\
    eth vlan ieee8021ad ieee8021ah macsec llc arp ip ipv6 ipv6.hopopts ipv6.dstopts \
    ipv6.routing ipv6.fraghdr mipv6 hip shim6 ah esp tcp udp udplite sctp dccp icmp icmpv6 \
    igmp gre erspan vxlan vxlan_gpe geneve mpls pwethcw pppoed pppoe ppp gtp l2tp teredo nsh \
    etherip sll null raw chdlc fr fddi arcnet nflog netanalyzer fpp stp lldp cdp ospf pgm pim \
    eigrp vrrp rsvp lcp ipcp ipv6cp pap chap ccp eapol ipx netbios osi slarp realtek bofl \
    hpext loop mp pagp vtp dtp udld cgmp slow lisp lisp-data gtpv2 udpencap avsp";

/// Cells compared and cells equal of one column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Cells that are not empty on both sides.
    pub cells: u64,
    /// Of these, equal.
    pub equal: u64,
}

/// One cell that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Capture file.
    pub file: String,
    /// Frame number, from 1.
    pub frame: u64,
    /// Column.
    pub field: &'static str,
    /// tshark's cell.
    pub theirs: String,
    /// Ours.
    pub ours: String,
    /// tshark's `frame.protocols` of the frame.
    pub protocols: String,
}

/// Outcome of one or more comparisons.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// By column.
    pub fields: BTreeMap<&'static str, Tally>,
    /// Everything that differs.
    pub differences: Vec<Difference>,
    /// Frames of link types that are not read, by name: named, not counted.
    pub not_read: BTreeMap<String, u64>,
    /// Frames compared.
    pub frames: u64,
    /// Frames that one side has and the other has not.
    pub frames_unmatched: u64,
    /// The files they are in, with their number.
    pub files_unmatched: Vec<(String, u64)>,
    /// Frames tshark calls malformed.
    pub malformed_theirs: u64,
    /// Of these, malformed for us too or cut.
    pub malformed_both: u64,
    /// Malformed for us only.
    pub malformed_ours: u64,
}

impl Report {
    /// All columns together.
    pub fn total(&self) -> Tally {
        self.fields.values().fold(Tally::default(), |mut sum, tally| {
            sum.cells += tally.cells;
            sum.equal += tally.equal;
            sum
        })
    }

    /// Equal cells per cell, 1 when there are none.
    pub fn agreement(&self) -> f64 {
        let total = self.total();
        if total.cells == 0 { 1.0 } else { total.equal as f64 / total.cells as f64 }
    }

    /// The table people read.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "{:<22} {:>9} {:>9} {:>9}", "field", "cells", "differ", "agree %");
        let mut line = |name: &str, tally: Tally| {
            let percent = 100.0 * tally.equal as f64 / (tally.cells.max(1)) as f64;
            let _ = writeln!(
                out,
                "{name:<22} {:>9} {:>9} {percent:>9.3}",
                tally.cells,
                tally.cells - tally.equal
            );
        };
        for field in FIELDS {
            line(field, self.fields.get(field).copied().unwrap_or_default());
        }
        line("all", self.total());
        let not_read: u64 = self.not_read.values().sum();
        let share = 100.0 * not_read as f64 / ((self.frames + not_read).max(1)) as f64;
        let _ = writeln!(
            out,
            "frames {} compared, {} on one side only; malformed: tshark {}, both {}, ours only {}",
            self.frames,
            self.frames_unmatched,
            self.malformed_theirs,
            self.malformed_both,
            self.malformed_ours
        );
        for (file, frames) in &self.files_unmatched {
            let _ = writeln!(out, "  {file}: {frames} on one side only");
        }
        let _ = writeln!(out, "link types not read: {not_read} frames ({share:.2} %):");
        for (name, frames) in &self.not_read {
            let _ = writeln!(out, "  {name} {frames}");
        }
        out
    }

    /// Differences grouped by file and field, most frequent first, one example each.
    pub fn classes(&self) -> Vec<(u64, &Difference)> {
        let mut groups: BTreeMap<(&str, &str), (u64, &Difference)> = BTreeMap::new();
        for difference in &self.differences {
            groups
                .entry((&difference.file, difference.field))
                .and_modify(|group| group.0 += 1)
                .or_insert((1, difference));
        }
        let mut list: Vec<_> = groups.into_values().collect();
        list.sort_by_key(|(count, difference)| (u64::MAX - count, difference.file.clone()));
        list
    }
}

/// Where the shared captures are, if they are there: `../shared` beside the workspace.
pub fn shared() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let shared = workspace.parent()?.join("shared");
    (shared.join("pcaps").is_dir() && shared.join("truth").is_dir()).then_some(shared)
}

/// Compares every capture of `pcaps` with its table `<name>.tsv.gz` in `truth`.
///
/// # Errors
///
/// A directory or a table that cannot be read. Captures that our reader refuses are compared up
/// to the damage.
pub fn compare_directory(pcaps: &Path, truth: &Path) -> std::io::Result<Report> {
    let mut report = Report::default();
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(pcaps)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    names.sort();
    for path in names {
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
        if let Some(table) = stored_table(truth, name)? {
            compare_file(&path, &table, &mut report);
        }
    }
    Ok(report)
}

/// The table `<name>.tsv.gz` of `directory`, `None` when there is no such file.
///
/// # Errors
///
/// A file that cannot be read or unpacked.
pub fn stored_table(directory: &Path, name: &str) -> std::io::Result<Option<String>> {
    let table = directory.join(format!("{name}.tsv.gz"));
    if !table.is_file() {
        return Ok(None);
    }
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(table)?).read_to_end(&mut text)?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// The table of a capture by the tshark of this machine, or `None` where there is none. A capture
/// that tshark refuses gives the table of the frames before the damage.
pub fn tshark_table(path: &Path) -> Option<String> {
    let mut command = Command::new("tshark");
    command.env("TZ", "UTC").env("LC_ALL", "C");
    command.args(["-n", "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"]);
    command.args(["-o", "udp.check_checksum:TRUE", "-T", "fields", "-E", "header=y"]);
    command.args(["-E", "separator=/t", "-E", "occurrence=a", "-e", "frame.number"]);
    for field in FIELDS {
        command.args(["-e", field]);
    }
    command.args(["-e", "_ws.malformed"]).arg("-r").arg(path);
    let output = command.output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Compares one capture with the table in `truth`, adding to `report`.
pub fn compare_file(path: &Path, truth: &str, report: &mut Report) {
    let file = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let mut lines = truth.lines();
    let header: Vec<&str> = lines.next().unwrap_or("").split('\t').collect();
    let columns: Vec<Option<usize>> =
        FIELDS.iter().map(|field| header.iter().position(|h| h == field)).collect();
    let malformed_column = header.iter().position(|h| *h == "_ws.malformed");
    let number_column = header.iter().position(|h| *h == "frame.number");
    let mut rows = lines.filter(|line| !line.is_empty());
    let Ok(mut reader) = Reader::open(path) else {
        unmatched(report, &file, rows.count() as u64);
        return;
    };
    let mut more_ours = 0;
    let (mut decoder, mut decoded) = (Decoder::new(), Decoded::default());
    while let Ok(Some(frame)) = reader.next() {
        let Some(row) = rows.next() else {
            more_ours += 1;
            continue;
        };
        let cells: Vec<&str> = row.split('\t').collect();
        let cell = |column: Option<usize>| column.and_then(|c| cells.get(c)).copied();
        debug_assert!(
            cell(number_column).is_none_or(|n| n.parse() == Ok(frame.meta.number)),
            "{file}: frame numbers line up"
        );
        decoder.decode(&frame.meta, frame.data, &mut decoded);
        if !is_read(&frame.meta) {
            *report.not_read.entry(frame.meta.linktype.to_string()).or_default() += 1;
            continue;
        }
        report.frames += 1;
        let theirs: Vec<&str> = columns.iter().map(|c| cell(*c).unwrap_or("")).collect();
        let malformed = cell(malformed_column).is_some_and(|c| !c.is_empty());
        note_malformed(report, malformed, &decoded);
        let ours = row_of(&frame.meta, &decoded);
        compare_row(&file, frame.meta.number, &theirs, &ours, malformed, report);
    }
    unmatched(report, &file, more_ours + rows.count() as u64);
}

fn unmatched(report: &mut Report, file: &str, frames: u64) {
    if frames > 0 {
        report.frames_unmatched += frames;
        report.files_unmatched.push((file.to_owned(), frames));
    }
}

fn note_malformed(report: &mut Report, theirs: bool, decoded: &Decoded) {
    let ours = decoded.malformed.is_some();
    if theirs {
        report.malformed_theirs += 1;
        report.malformed_both += u64::from(ours);
    } else if ours {
        report.malformed_ours += 1;
    }
}

/// The decoder reads this link type.
fn is_read(meta: &FrameMeta) -> bool {
    let probe = FrameMeta { caplen: 0, origlen: 0, flags: None, ..*meta };
    let mut out = Decoded::default();
    Decoder::new().decode(&probe, &[], &mut out);
    !out.has_note(skb::decode::NoteCode::LinkTypeNotRead)
}

fn compare_row(
    file: &str,
    frame: u64,
    theirs: &[&str],
    ours: &[String],
    malformed: bool,
    report: &mut Report,
) {
    let protocols = theirs[PROTOCOLS];
    let first_only = malformed || quotes(protocols);
    for (index, field) in FIELDS.into_iter().enumerate() {
        let mut their = theirs[index].to_owned();
        let mut our = ours[index].clone();
        if index == PROTOCOLS {
            their = known(protocols, ':');
            if first_only {
                let shorter = their.split(':').count().min(our.split(':').count());
                their = head(&their, ':', shorter);
                our = head(&our, ':', shorter);
            }
        } else if index > PROTOCOLS && first_only {
            their = head(&their, ',', 1);
            our = head(&our, ',', 1);
        }
        if field.ends_with("checksum.status") {
            // 3 is "not present": unverified
            their = their.replace('3', "2");
        }
        if their.is_empty() && our.is_empty() {
            continue;
        }
        let tally = report.fields.entry(field).or_default();
        tally.cells += 1;
        if their == our {
            tally.equal += 1;
        } else {
            report.differences.push(Difference {
                file: file.to_owned(),
                frame,
                field,
                theirs: their,
                ours: our,
                protocols: protocols.to_owned(),
            });
        }
    }
}

/// The first `count` parts of a list.
fn head(list: &str, separator: char, count: usize) -> String {
    list.split(separator).take(count).collect::<Vec<_>>().join(&separator.to_string())
}

/// tshark's protocols show a quotation: IP right after an ICMP.
fn quotes(protocols: &str) -> bool {
    ["icmp:ip", "icmpv6:ip"].iter().any(|pattern| protocols.contains(pattern))
}

/// The known names of a list, neighbours of the same name once (a label stack is one `mpls`).
fn known(list: &str, separator: char) -> String {
    let mut out: Vec<&str> = Vec::new();
    for name in list.split(separator) {
        // Wireshark registers the session header as `pppoes`; the contract calls it `pppoe`
        let name = if name == "pppoes" { "pppoe" } else { name };
        if KNOWN.split(' ').any(|known| known == name) && out.last() != Some(&name) {
            out.push(name);
        }
    }
    out.join(":")
}

/// Our cells for one frame, in the order of [`FIELDS`].
pub fn row_of(meta: &FrameMeta, decoded: &Decoded) -> Vec<String> {
    let mut cells: Vec<String> = vec![String::new(); FIELDS.len()];
    cells[0] = meta.time_ns.map_or_else(String::new, epoch);
    cells[1] = meta.origlen.to_string();
    cells[2] = meta.caplen.to_string();
    cells[PROTOCOLS] = known(&decoded.kinds().collect::<Vec<_>>().join(":"), ':');
    let mut add = |index: usize, value: String| {
        let cell: &mut String = &mut cells[index];
        if !cell.is_empty() {
            cell.push(',');
        }
        cell.push_str(&value);
    };
    for layer in &decoded.layers {
        match &layer.info {
            LayerInfo::Eth { dst, src, ty_or_len } => {
                add(4, src.to_string());
                add(5, dst.to_string());
                if *ty_or_len >= 1536 || *ty_or_len == 0 {
                    add(6, format!("0x{ty_or_len:04x}"));
                }
            }
            LayerInfo::Vlan { tpid, vid, .. } if *tpid != 0x88a8 => add(7, vid.to_string()),
            LayerInfo::Ip(ip) => {
                add(8, ip.src.to_string());
                add(9, ip.dst.to_string());
                add(10, ip.proto.to_string());
                add(17, status(ip.checksum));
            }
            LayerInfo::Ipv6(ip) => {
                add(11, ip.src.to_string());
                add(12, ip.dst.to_string());
            }
            LayerInfo::Tcp(tcp) => {
                add(13, tcp.src_port.to_string());
                add(14, tcp.dst_port.to_string());
                if !tcp.partial || layer.length >= 20 {
                    add(18, status(tcp.checksum));
                }
            }
            LayerInfo::Udp { src_port, dst_port, checksum, .. }
            | LayerInfo::UdpLite { src_port, dst_port, checksum, .. } => {
                add(15, src_port.to_string());
                add(16, dst_port.to_string());
                if layer.length >= 8 {
                    add(19, status(*checksum));
                }
            }
            _ => {}
        }
    }
    cells
}

/// tshark's number of a checksum status.
fn status(checksum: Checksum) -> String {
    match checksum {
        Checksum::Bad => "0",
        Checksum::Good => "1",
        Checksum::Unverified => "2",
    }
    .to_owned()
}

/// Seconds and nine digits, as tshark prints `frame.time_epoch`.
fn epoch(ns: i64) -> String {
    let (sign, ns) = if ns < 0 { ("-", ns.unsigned_abs()) } else { ("", ns.unsigned_abs()) };
    format!("{sign}{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_found_and_counted() {
        let theirs = [
            "1.000000000",
            "60",
            "60",
            "eth:ethertype:ip:tcp",
            "a",
            "b",
            "0x0800",
            "",
            "1.2.3.4",
            "",
            "6",
            "",
            "",
            "80",
            "1",
            "",
            "",
            "1",
            "1",
            "",
        ];
        let mut ours: Vec<String> = theirs.iter().map(|s| (*s).to_owned()).collect();
        ours[PROTOCOLS] = "eth:ip:tcp".to_owned();
        let mut report = Report::default();
        compare_row("x", 1, &theirs, &ours, false, &mut report);
        assert_eq!((report.total().cells, report.total().equal), (13, 13));
        ours[13] = "81".to_owned();
        ours[18] = "0".to_owned();
        compare_row("x", 2, &theirs, &ours, false, &mut report);
        assert_eq!((report.total().cells, report.total().equal), (26, 24));
        assert_eq!(report.classes().len(), 2);
        assert!(report.agreement() < 0.93);
    }

    #[test]
    fn quotations_count_once() {
        let mut theirs = [""; 20];
        theirs[PROTOCOLS] = "eth:ethertype:ip:icmp:ip:udp";
        theirs[8] = "1.1.1.1,2.2.2.2";
        let mut ours = vec![String::new(); 20];
        ours[PROTOCOLS] = "eth:ip:icmp:ip:udp".to_owned();
        ours[8] = "1.1.1.1".to_owned();
        let mut report = Report::default();
        compare_row("x", 1, &theirs, &ours, false, &mut report);
        assert_eq!(report.differences, []);
        ours[8] = "3.3.3.3,2.2.2.2".to_owned();
        compare_row("x", 1, &theirs, &ours, false, &mut report);
        assert_eq!(report.differences.len(), 1);
    }

    #[test]
    fn times_have_nine_digits() {
        assert_eq!(epoch(1_500_000_000), "1.500000000");
        assert_eq!(epoch(-1), "-0.000000001");
    }
}
