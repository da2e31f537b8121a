//! What we write, read by tshark, where it is installed.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test file as a whole")]

use std::process::Command;

use capture::format::InterfaceCounters;
use capture::write::{
    EpbVerdict, FrameOptions, InterfaceSpec, PcapWriter, PcapngWriter, SectionSpec, StatisticsSpec,
    create,
};
use skb::LinkType;

/// An ARP request: 42 bytes as a sender captures it.
const ARP: [u8; 42] = [
    255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1,
    192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 2,
];
const TIME_NS: i64 = 1_700_000_000_123_456_789;

/// A path in the test's own folder.
fn path(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// tshark's fields, one line per frame; `None` if it is not installed.
fn tshark(path: &std::path::Path, fields: &[&str]) -> Option<String> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-T", "fields", "-E", "separator=|", "-r"]).arg(path);
    for field in fields {
        command.args(["-e", field]);
    }
    let Ok(output) = command.output() else {
        println!("SKIPPED: no tshark on this machine");
        return None;
    };
    let talk = String::from_utf8_lossy(&output.stderr);
    let talk: Vec<_> = talk.lines().filter(|line| !line.contains("Running as user")).collect();
    assert!(output.status.success() && talk.concat().trim().is_empty(), "tshark says {talk:?}");
    Some(String::from_utf8(output.stdout).expect("tshark prints UTF-8"))
}

#[test]
fn tshark_reads_our_pcapng_without_a_word() {
    let path = path("written.pcapng");
    let section = SectionSpec {
        userappl: Some("framewalk"),
        comments: &["holds patient data"],
        ..SectionSpec::default()
    };
    let mut writer = PcapngWriter::new(create(&path).unwrap(), &section).unwrap();
    for (name, description) in [("nic", "rx ring"), ("vswitch", "after lookup")] {
        let spec = InterfaceSpec {
            linktype: LinkType::ETHERNET,
            snaplen: 262_144,
            name: Some(name),
            description: Some(description),
            filter: Some("arp"),
            speed_bps: Some(1_000_000_000),
            ..InterfaceSpec::default()
        };
        writer.add_interface(&spec).unwrap();
    }
    for interface in 0..2 {
        let options = FrameOptions {
            flags: Some(1),
            packet_id: Some(77),
            drop_count: Some(3),
            queue: Some(2),
            verdict: Some(EpbVerdict::LinuxXdp(2)),
            comments: &["first stage", "second line"],
        };
        writer.write_frame(interface, TIME_NS, 42, &ARP, &options).unwrap();
    }
    let counters =
        InterfaceCounters { received: Some(2), dropped: Some(0), ..InterfaceCounters::default() };
    let statistics = StatisticsSpec {
        comments: &["link went down"],
        time_ns: TIME_NS,
        start_ns: Some(TIME_NS - 5),
        end_ns: Some(TIME_NS),
        counters,
    };
    for interface in 0..2 {
        writer.write_statistics(interface, &statistics).unwrap();
    }
    writer.finish().unwrap();

    let fields = [
        "frame.time_epoch",
        "frame.len",
        "frame.interface_name",
        "frame.packet_id",
        "frame.comment",
        "arp.dst.proto_ipv4",
    ];
    let Some(text) = tshark(&path, &fields) else { return };
    let line =
        |name| format!("1700000000.123456789|42|{name}|77|first stage,second line|192.0.2.2");
    assert_eq!(text.lines().collect::<Vec<_>>(), [line("nic"), line("vswitch")]);
}

#[test]
fn tshark_reads_our_pcap_without_a_word() {
    let path = path("written.pcap");
    let file = create(&path).unwrap();
    let mut writer = PcapWriter::new(file, LinkType::ETHERNET, 0, None).unwrap();
    writer.write_frame(TIME_NS, 60, &ARP).unwrap();
    writer.finish().unwrap();
    let Some(text) = tshark(&path, &["frame.time_epoch", "frame.len", "frame.cap_len"]) else {
        return;
    };
    assert_eq!(text.trim(), "1700000000.123456789|60|42");
}

#[test]
#[cfg(unix)]
fn files_are_for_their_owner_only_even_if_they_were_there() {
    use std::os::unix::fs::PermissionsExt as _;
    let path = path("mode.pcap");
    std::fs::write(&path, "older and longer than nothing").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(create(&path).unwrap());
    let info = std::fs::metadata(&path).unwrap();
    assert_eq!((info.permissions().mode() & 0o777, info.len()), (0o600, 0));
}
