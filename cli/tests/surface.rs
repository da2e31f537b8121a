//! `framewalk surface` on conversations built here: what is open, who says so, and what is not
//! kept.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use capture::write::PcapWriter;
use serde_json::Value;
use skb::LinkType;

/// A patient who must not appear anywhere.
const PATIENT: &str = "Mustermann^Erika";

struct Wire {
    frames: Vec<Vec<u8>>,
}

type End = ([u8; 4], u16);

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const FIN: u8 = 0x01;

impl Wire {
    fn segment(&mut self, from: End, to: End, at: (u32, u32), flags: u8, ttl: u8, data: &[u8]) {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
        frame.extend((data.len() as u16 + 40).to_be_bytes());
        frame.extend([0, 0, 0x40, 0, ttl, 6, 0, 0]);
        frame.extend(from.0);
        frame.extend(to.0);
        frame.extend(from.1.to_be_bytes());
        frame.extend(to.1.to_be_bytes());
        frame.extend(at.0.to_be_bytes());
        frame.extend(at.1.to_be_bytes());
        frame.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        frame.extend(data);
        self.frames.push(frame);
    }

    /// A whole connection.
    fn connection(&mut self, client: End, server: End, said: &[(bool, &[u8])]) {
        let (mut c, mut s) = (1000_u32, 9000_u32);
        self.segment(client, server, (c, 0), SYN, 60, &[]);
        self.segment(server, client, (s, c + 1), SYN | ACK, 64, &[]);
        (c, s) = (c + 1, s + 1);
        for &(from_client, data) in said {
            if from_client {
                self.segment(client, server, (c, s), ACK, 60, data);
                c += data.len() as u32;
            } else {
                self.segment(server, client, (s, c), ACK, 64, data);
                s += data.len() as u32;
            }
        }
        self.segment(client, server, (c, s), FIN | ACK, 60, &[]);
        self.segment(server, client, (s, c + 1), FIN | ACK, 64, &[]);
    }

    fn write(&self, name: &str) -> PathBuf {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let mut file = Vec::new();
        let mut writer = PcapWriter::new(&mut file, LinkType::ETHERNET, 0, None).unwrap();
        for (n, frame) in self.frames.iter().enumerate() {
            let time_ns = 1_700_000_000_000_000_000 + n as i64 * 1_000_000;
            writer.write_frame(time_ns, frame.len() as u32, frame).unwrap();
        }
        fs::write(&path, file).unwrap();
        path
    }
}

const CLIENT: End = ([203, 0, 113, 7], 50_000);
const ROUTER: End = ([198, 51, 100, 2], 2299);
const DESKTOP: End = ([192, 168, 1, 10], 3389);

/// MS-RDPBCGR 4.1.1: a request with a cookie that asks for NLA, and its answer.
fn rdp() -> (Vec<u8>, Vec<u8>) {
    let mut request = vec![3, 0, 0, 44, 39, 0xe0, 0, 0, 0, 0, 0];
    request.extend(b"Cookie: mstshash=eltons\r\n");
    request.extend([1, 0, 8, 0, 3, 0, 0, 0]);
    let answer = vec![3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, 2, 0x1f, 8, 0, 2, 0, 0, 0];
    (request, answer)
}

/// A connection from outside seen on both sides of the router, and an inner one with a patient in
/// it.
fn practice() -> Wire {
    let mut wire = Wire { frames: Vec::new() };
    let (request, answer) = rdp();
    // the same SYN on both sides, one hop apart
    wire.segment(CLIENT, ROUTER, (1000, 0), SYN, 61, &[]);
    wire.connection(CLIENT, DESKTOP, &[(true, &request), (false, &answer)]);
    let result =
        format!("\x0bMSH|^~\\&|LAB|A|PMS|B|20260101||ORU^R01|1|P|2.4\rPID|||1||{PATIENT}\r\x1c\r");
    let ack = "\x0bMSH|^~\\&|PMS|B|LAB|A|20260101||ACK|1|P|2.4\rMSA|AA|1\r\x1c\r";
    wire.connection(
        ([192, 168, 1, 30], 40_000),
        ([192, 168, 1, 20], 6661),
        &[(true, result.as_bytes()), (false, ack.as_bytes())],
    );
    let post = format!("POST /patients/{PATIENT} HTTP/1.1\r\nHost: pms\r\n\r\nname={PATIENT}");
    wire.connection(
        ([192, 168, 1, 30], 40_001),
        ([192, 168, 1, 20], 8080),
        &[(true, post.as_bytes()), (false, b"HTTP/1.1 200 OK\r\n\r\n")],
    );
    wire
}

fn framewalk(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_framewalk"))
        .arg("surface")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn objects(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of<'a>(objects: &'a [Value], schema: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["schema"] == schema).collect()
}

#[test]
fn a_forwarded_port_is_proven_on_both_sides_of_the_router() {
    let file = practice().write("surface-practice.pcap");
    let output = framewalk(&[file.to_str().unwrap(), "--json"]);
    assert!(output.status.success());
    let objects = objects(&output);
    let flows = of(&objects, "framewalk.flow/1");
    let apps: Vec<_> = flows.iter().map(|flow| flow["app"].as_str().unwrap()).collect();
    assert_eq!(apps, ["unknown", "rdp", "hl7", "http"]);
    assert_eq!(flows[1]["src"], "203.0.113.7");
    assert_eq!(flows[1]["opener"], "syn");
    assert_eq!(flows[1]["tcp_state"], "finished");
    let urgent: Vec<_> = of(&objects, "framewalk.finding/1")
        .into_iter()
        .filter(|finding| finding["severity"] == "high" || finding["severity"] == "critical")
        .collect();
    assert_eq!(urgent.len(), 1, "{urgent:?}");
    assert_eq!(urgent[0]["rule"], "exposure.rdp");
    assert_eq!(urgent[0]["sure"], "proven");
    assert_eq!(urgent[0]["hosts"][0], "192.168.1.10");
    assert_eq!(urgent[0]["port"], 3389);
    let detail = urgent[0]["detail"].as_str().unwrap();
    assert!(detail.contains("198.51.100.2:2299 opens it"), "{detail}");
    let evidence = urgent[0]["evidence"].as_array().unwrap();
    assert!(evidence.iter().any(|e| e["frame"] == 1) && evidence.iter().any(|e| e["frame"] == 2));
    let total = of(&objects, "framewalk.surface/1")[0];
    assert_eq!(total["mirror"]["nat_side"], "both");
    assert_eq!(total["forwards"][0]["outer_port"], 2299);
    assert_eq!(total["forwards"][0]["inner_port"], 3389);
    let roles: Vec<_> = of(&objects, "framewalk.key-service/1")
        .iter()
        .map(|key| (key["role"].as_str().unwrap().to_owned(), key["host"].clone()))
        .collect();
    assert!(roles.contains(&("results".to_owned(), "192.168.1.20".into())), "{roles:?}");
}

#[test]
fn what_was_said_is_in_no_output() {
    let file = practice().write("surface-private.pcap");
    let file = file.to_str().unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut outputs = vec![framewalk(&[file, "--json"]).stdout, framewalk(&[file]).stdout];
    for name in ["private.md", "private.html"] {
        let letter = folder.join(name);
        // one that is there and that others may read
        let _ = fs::remove_file(&letter);
        fs::write(&letter, "an older one").unwrap();
        let output = framewalk(&[file, "--letter", letter.to_str().unwrap()]);
        assert!(output.status.success());
        outputs.push(output.stderr);
        outputs.push(fs::read(&letter).unwrap());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&letter).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
    for output in outputs {
        let text = String::from_utf8(output).unwrap();
        for secret in ["Mustermann", "Erika", "eltons"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn the_letter_says_what_to_do_and_what_was_not_seen() {
    let file = practice().write("surface-letter.pcap");
    let letter = Path::new(env!("CARGO_TARGET_TMPDIR")).join("letter.md");
    assert!(
        framewalk(&[file.to_str().unwrap(), "--letter", letter.to_str().unwrap()]).status.success()
    );
    let text = fs::read_to_string(&letter).unwrap();
    for part in [
        "## Do this today",
        "Remote desktop is open to the internet",
        "198.51.100.2:2299 opens it",
        "## What this look cannot show",
        "USB",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("not exposed"));
    let refused = framewalk(&[file.to_str().unwrap(), "--letter", "letter.pdf"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn a_limit_is_an_answer() {
    let file = practice().write("surface-limit.pcap");
    let file = file.to_str().unwrap();
    assert_eq!(framewalk(&[file, "--fail-on", "high"]).status.code(), Some(1));
    assert_eq!(framewalk(&[file, "--fail-on", "critical"]).status.code(), Some(0));
    let mut cut = fs::read(file).unwrap();
    cut.truncate(cut.len() - 3);
    let damaged = Path::new(env!("CARGO_TARGET_TMPDIR")).join("surface-cut.pcap");
    fs::write(&damaged, cut).unwrap();
    let output = framewalk(&[damaged.to_str().unwrap(), "--json", "--fail-on", "high"]);
    assert_eq!(output.status.code(), Some(2), "damage is not an answer");
    assert!(!of(&objects(&output), "framewalk.finding/1").is_empty(), "what came before it counts");
}

#[test]
fn few_conversations_at_a_time_lose_none() {
    let file = practice().write("surface-few.pcap");
    let output = framewalk(&[file.to_str().unwrap(), "--json", "--flows-max", "1"]);
    let objects = objects(&output);
    let frames: u64 = of(&objects, "framewalk.flow/1")
        .iter()
        .map(|flow| {
            flow["sent"]["frames"].as_u64().unwrap() + flow["received"]["frames"].as_u64().unwrap()
        })
        .sum();
    let total = of(&objects, "framewalk.surface/1")[0];
    assert_eq!(total["in_flows"], frames);
    assert!(total["evicted"].as_u64().unwrap() >= 3);
}

/// The first cells of the table under a heading, in back quotes.
fn documented(document: &str, heading: &str) -> BTreeSet<String> {
    let section = document.split(&format!("## `{heading}`\n")).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|line| {
            let cell = line.split('|').nth(1).unwrap();
            cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_member_is_documented() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/formats/json.md");
    let document = fs::read_to_string(document).unwrap();
    let built = practice().write("surface-members.pcap");
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps/practice.pcapng");
    let mut schemas = BTreeSet::new();
    for file in [built, own, practice_day()] {
        for object in objects(&framewalk(&[file.to_str().unwrap(), "--json"])) {
            let schema = object["schema"].as_str().unwrap().to_owned();
            let known = documented(&document, &schema);
            for member in object.as_object().unwrap().keys() {
                assert!(
                    known.contains(member),
                    "{schema}: {member} is not in docs/formats/json.md"
                );
            }
            schemas.insert(schema);
        }
    }
    assert!(schemas.len() >= 5, "{schemas:?}");
}

/// What `cargo xtask lab practice` plays, cut small.
fn practice_day() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps/practice-day.pcapng")
}

#[test]
fn the_practice_s_day_has_what_was_planted_and_nothing_else_at_high() {
    let objects = objects(&framewalk(&[practice_day().to_str().unwrap(), "--json"]));
    let findings = of(&objects, "framewalk.finding/1");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let urgent: BTreeSet<_> = findings
        .iter()
        .filter(|finding| finding["severity"] == "high" || finding["severity"] == "critical")
        .map(|finding| (text(&finding["rule"]), text(&finding["hosts"][0])))
        .collect();
    let planted = [
        ("desktop.guessed", "192.168.1.20"),
        ("desktop.guessing", "192.168.1.20"),
        ("desktop.standard-security", "192.168.1.21"),
        ("exposure.rdp", "192.168.1.20"),
        ("exposure.remote-access", "192.168.1.23"),
    ];
    assert_eq!(urgent, planted.map(|(rule, host)| (rule.to_owned(), host.to_owned())).into());
    let of_rule = |rule: &str| {
        findings.iter().find(|f| f["rule"] == rule).unwrap_or_else(|| panic!("no {rule}"))
    };
    for (rule, outer) in [("exposure.rdp", 2299), ("exposure.remote-access", 2300)] {
        let detail = of_rule(rule)["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("198.51.100.2:{outer} opens it")), "{detail}");
    }
    assert_eq!(of_rule("desktop.guessed")["sure"], "proven");
    // tries that are alike to the byte are a program's; what became of them is inferred
    assert_eq!(of_rule("desktop.guessing")["sure"], "proven");
    let detail = of_rule("desktop.guessing")["detail"].as_str().unwrap();
    assert!(detail.contains("inferred from the sizes"), "{detail}");
    for (rule, severity, host) in [
        ("backup.too-small", "medium", "192.168.1.10"),
        ("desktop.no-nla", "medium", "192.168.1.22"),
        ("exposure.ssh", "medium", "192.168.1.10"),
        ("lan.clear-logon", "medium", "192.168.1.12"),
        ("lan.snmp-default", "medium", "192.168.1.30"),
        ("lan.telnet", "medium", "192.168.1.30"),
        ("access.vpn", "good", "198.51.100.2"),
    ] {
        let finding = of_rule(rule);
        assert_eq!((&finding["severity"], &finding["hosts"][0]), (&severity.into(), &host.into()));
    }
    // who was let in, by what the lab did: client by client, in the order of time
    let outcomes = |client: &str| -> Vec<String> {
        of(&objects, "framewalk.flow/1")
            .iter()
            .filter(|flow| flow["app"] == "rdp" && flow["dst"] == "192.168.1.20")
            .filter(|flow| flow["src"] == client)
            .map(|flow| text(&flow["rdp"]["outcome"]))
            .collect()
    };
    let (failed, succeeded, session, probe) = ("failed", "succeeded", "session", "probe");
    let mut stranger = vec![failed; 12];
    stranger.extend([succeeded, session]);
    assert_eq!(outcomes("203.0.113.66"), stranger);
    assert_eq!(outcomes("203.0.113.7"), [failed, succeeded, session]);
    assert_eq!(outcomes("203.0.113.99"), [probe; 2]);
    let inside = [failed, succeeded, probe, failed, succeeded, session];
    assert_eq!(outcomes("192.168.1.101"), inside.repeat(2));
    assert_eq!(outcomes("10.8.0.2"), [succeeded], "through the tunnel");
}

#[test]
fn the_practice_s_day_has_all_that_was_spoken() {
    let objects = objects(&framewalk(&[practice_day().to_str().unwrap(), "--json"]));
    let flows = of(&objects, "framewalk.flow/1");
    for (app, host, port) in [
        ("cldap", "192.168.1.2", 389),
        ("dcerpc", "192.168.1.2", 135),
        ("dicom", "192.168.1.11", 10104),
        ("dns", "192.168.1.2", 53),
        ("firebird", "192.168.1.10", 3050),
        ("ftp", "192.168.1.13", 2121),
        ("hl7", "192.168.1.10", 2575),
        ("imap", "192.168.1.12", 143),
        ("iscsi", "192.168.1.40", 3260),
        ("kerberos", "192.168.1.2", 88),
        ("ldap", "192.168.1.2", 389),
        ("nbd", "192.168.1.40", 10809),
        ("rdp", "192.168.1.21", 3389),
        ("rdp", "192.168.1.22", 3390),
        ("rdp", "198.51.100.2", 2299),
        ("restic", "192.168.1.40", 8000),
        ("rsync", "192.168.1.40", 873),
        ("smb", "192.168.1.13", 445),
        ("smb", "192.168.1.2", 445),
        ("smtp", "192.168.1.12", 25),
        ("snmp", "192.168.1.30", 161),
        ("ssh", "198.51.100.2", 2222),
        ("telnet", "192.168.1.30", 23),
        ("tls", "203.0.113.80", 443),
        ("vnc", "198.51.100.2", 2300),
        ("wireguard", "198.51.100.2", 51820),
    ] {
        assert!(
            flows.iter().any(|f| f["app"] == app && f["dst"] == host && f["dst_port"] == port),
            "no {app} on {host}:{port}"
        );
    }
    assert!(flows.iter().all(|flow| flow["app"] != "unknown"));
    // what the scanner stores by FTP goes by ports agreed on the way, from either end
    let files: Vec<_> = flows.iter().filter(|flow| flow["app"] == "ftp-data").collect();
    let from = |host: &str| files.iter().filter(|flow| flow["src"] == host).count();
    assert_eq!((files.len(), from("192.168.1.30"), from("192.168.1.13")), (3, 2, 1), "{files:?}");
    for flow in files {
        let bytes = |end: &str| flow[end]["bytes"].as_u64().unwrap();
        assert_eq!(bytes("sent") + bytes("received"), 20_009, "{flow}");
    }
    // each copy by its name, with what it carried
    let copied: BTreeSet<_> = of(&objects, "framewalk.key-service/1")
        .iter()
        .flat_map(|key| key["copies"].as_array().unwrap())
        .map(|copy| (copy["app"].as_str().unwrap(), copy["bytes"].as_u64().unwrap() / 10_000))
        .collect();
    assert_eq!(copied, [("iscsi", 6), ("nbd", 6), ("restic", 10), ("rsync", 0)].into());
}

/// The names that the lab plants, from its own list.
fn planted_names() -> Vec<&'static str> {
    include_str!("../../xtask/src/lab/practice/persons.rs")
        .lines()
        .filter(|line| line.starts_with("pub(super) const") && line.contains(": &str = "))
        .map(|line| line.split('"').nth(1).unwrap())
        .collect()
}

#[test]
fn no_output_names_a_planted_person() {
    let bytes = fs::read(practice_day()).unwrap();
    let holds = |bytes: &[u8], name: &str| {
        let wide: Vec<u8> = name.bytes().flat_map(|byte| [byte, 0]).collect();
        [name.as_bytes(), &wide]
            .iter()
            .any(|name| bytes.windows(name.len()).any(|part| part.eq_ignore_ascii_case(name)))
    };
    let names = planted_names();
    assert!(names.len() >= 13, "{names:?}");
    let on_wire = names.iter().filter(|name| holds(&bytes, name)).count();
    assert!(on_wire >= 10, "the capture names {on_wire} of them: the search would prove nothing");
    let day = practice_day();
    let day = day.to_str().unwrap();
    let letter = |name: &str| Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (markdown, html) = (letter("names.md"), letter("names.html"));
    let text = framewalk(&[day, "--letter", markdown.to_str().unwrap()]);
    let json = framewalk(&[day, "--json", "--letter", html.to_str().unwrap()]);
    assert!(text.status.success() && json.status.success());
    let (markdown, html) = (fs::read(markdown).unwrap(), fs::read(html).unwrap());
    for output in [text.stdout, text.stderr, json.stdout, json.stderr, markdown, html] {
        for name in &names {
            assert!(!holds(&output, name), "{name}: {}", String::from_utf8_lossy(&output));
        }
    }
}

/// Keyed hashes of network cards and users in an output.
fn hashes(objects: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let cards = of(objects, "framewalk.host/1").into_iter().flat_map(|host| {
        let cards = host["cards"].as_array().unwrap();
        cards.iter().filter_map(|card| text(&card["id"])).collect::<Vec<_>>()
    });
    let cookies = of(objects, "framewalk.flow/1");
    cards.chain(cookies.into_iter().filter_map(|flow| text(&flow["rdp"]["cookie"]))).collect()
}

#[test]
#[cfg(unix)]
fn a_site_s_key_makes_runs_compare() {
    use std::os::unix::fs::PermissionsExt;
    let mut wire = practice();
    // who has an address, by ARP
    let mut arp = vec![0xff; 6];
    arp.extend([2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9]);
    arp.extend([192, 168, 1, 20, 0, 0, 0, 0, 0, 0, 192, 168, 1, 1]);
    wire.frames.push(arp);
    let file = wire.write("surface-key.pcap");
    let file = file.to_str().unwrap();
    let key = Path::new(env!("CARGO_TARGET_TMPDIR")).join("site.key");
    let _ = fs::remove_file(&key);
    let with = |key: &Path| framewalk(&[file, "--json", "--site-key", key.to_str().unwrap()]);
    let first = with(&key);
    assert!(String::from_utf8_lossy(&first.stderr).contains("a new key is in"));
    let first = hashes(&objects(&first));
    assert_eq!(first.len(), 2, "a card and a user: {first:?}");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&key).unwrap().trim().len(), 64);
    assert_eq!(hashes(&objects(&with(&key))), first);
    // a key of each run's own
    let own = || hashes(&objects(&framewalk(&[file, "--json"])));
    let (one, two) = (own(), own());
    assert!(one[0] != two[0] && one[1] != two[1] && one[0] != first[0], "{one:?} {two:?}");
    let refused = |say: &str| {
        let output = with(&key);
        assert!(!output.status.success() && output.stdout.is_empty());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(say) && error.contains("site.key"), "{error}");
    };
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    refused("others can read it");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, "00".repeat(31)).unwrap();
    refused("64");
}

#[test]
fn findings_name_the_capture_by_its_hash() {
    use sha2::{Digest, Sha256};
    let file = practice().write("surface-hash.pcap");
    let bytes = fs::read(&file).unwrap();
    let sha256 = format!("{:x}", Sha256::digest(&bytes));
    let letter = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hash.md");
    let (path, letter) = (file.to_str().unwrap(), letter.to_str().unwrap());
    let told = objects(&framewalk(&[path, "--json", "--letter", letter]));
    let findings = of(&told, "framewalk.finding/1");
    assert!(!findings.is_empty());
    assert!(findings.iter().all(|finding| finding["capture_sha256"] == sha256.as_str()));
    let capture = &of(&told, "framewalk.surface/1")[0]["capture"];
    assert_eq!((&capture["sha256"], &capture["bytes"]), (&sha256.into(), &bytes.len().into()));
    assert!(fs::read_to_string(letter).unwrap().contains(capture["sha256"].as_str().unwrap()));
    // read once
    let output = Command::new(env!("CARGO_BIN_EXE_framewalk"))
        .args(["surface", "-", "--json"])
        .stdin(fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    let told = objects(&output);
    assert!(of(&told, "framewalk.finding/1").iter().all(|f| f["capture_sha256"].is_null()));
    let capture = &of(&told, "framewalk.surface/1")[0]["capture"];
    assert!(capture["sha256"].is_null() && capture["note"].is_string(), "{capture}");
}
