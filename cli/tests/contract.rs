//! `docs/formats/json.md` against what the commands print.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn document() -> String {
    fs::read_to_string(root().join("docs/formats/json.md")).unwrap()
}

fn practice() -> String {
    root().join("pcaps/practice.pcapng").to_string_lossy().into_owned()
}

fn objects(args: &[&str]) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_framewalk"))
        .args(args)
        .arg("--json")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The words in back quotes of a cell.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The tables under the heading that contains `heading`, as rows of cells.
fn rows(document: &str, heading: &str) -> Vec<Vec<String>> {
    let from = document.lines().skip_while(|l| !(l.starts_with('#') && l.contains(heading)));
    let section = from.skip(1).take_while(|line| !line.starts_with('#'));
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    section.filter(|line| line.starts_with("| `")).map(cells).collect()
}

/// The members that the first cells of a section's table name.
fn members(document: &str, heading: &str) -> BTreeSet<String> {
    let members: BTreeSet<_> =
        rows(document, heading).iter().flat_map(|row| quoted(&row[0])).collect();
    assert!(members.len() > 5, "{heading}: no table");
    members
}

/// What the tables say of each kind of layer, without the words in brackets.
fn layers(document: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut layers = BTreeMap::<String, BTreeSet<String>>::new();
    for row in rows(document, "Layers") {
        let known: BTreeSet<_> = quoted(row.last().unwrap()).into_iter().collect();
        for kind in quoted(&row[0]) {
            layers.entry(kind).or_default().extend(known.iter().cloned());
        }
    }
    layers
}

fn keys(object: &Value) -> BTreeSet<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_example_is_what_is_printed() {
    let document = document();
    let (_, rest) = document.split_once("```json frame 1\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let example: Value = serde_json::from_str(example).unwrap();
    assert_eq!(objects(&["inspect", &practice(), "--frame", "1"]), [example]);
}

#[test]
fn every_member_is_in_its_table() {
    let document = document();
    let file = practice();
    for (args, schema) in [
        (&["inspect", &file, "--summary"][..], "framewalk.summary/1"),
        (&["walk", &file], "framewalk.ledger/1"),
        (&["walk", "--stream", "100k"], "framewalk.ledger/1"),
        (&["walk", &file, "--frame", "9"], "framewalk.step/1"),
    ] {
        let known = members(&document, schema);
        let printed = objects(args);
        assert!(!printed.is_empty());
        for object in printed {
            assert_eq!(object["schema"], schema);
            let unknown: Vec<_> = keys(&object).difference(&known).cloned().collect();
            assert!(unknown.is_empty(), "{schema}: not documented: {unknown:?}");
        }
    }
    let walked: BTreeSet<_> = [&["walk", &file][..], &["walk", "--stream", "100k"]]
        .iter()
        .flat_map(|args| objects(args))
        .flat_map(|object| keys(&object))
        .collect();
    let known = members(&document, "framewalk.ledger/1");
    assert_eq!(known, walked, "documented and not printed, or the other way round");
}

#[test]
fn every_layer_has_the_members_and_the_length_documented() {
    let document = document();
    let (frame, layers) = (members(&document, "framewalk.frame/1"), layers(&document));
    let own = ["kind", "offset", "length", "header_length", "quoted"];
    let mut kinds = BTreeSet::new();
    let mut files: Vec<_> =
        fs::read_dir(root().join("pcaps")).unwrap().flatten().map(|e| e.path()).collect();
    files.extend(
        fs::read_dir(root().join("../shared/pcaps"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path()),
    );
    files.retain(|path| path.extension().is_some_and(|e| e != "md" && e != "tsv"));
    assert!(files.len() > 20);
    for file in files {
        for object in objects(&["inspect", &file.to_string_lossy()]) {
            let unknown: Vec<_> = keys(&object).difference(&frame).cloned().collect();
            assert!(unknown.is_empty(), "not documented: {unknown:?}");
            for layer in object["layers"].as_array().unwrap() {
                let kind = layer["kind"].as_str().unwrap();
                let printed: Vec<_> =
                    keys(layer).into_iter().filter(|key| !own.contains(&key.as_str())).collect();
                let none = BTreeSet::new();
                let known = layers.get(kind).unwrap_or(&none);
                for member in &printed {
                    assert!(known.contains(member), "{kind}: {member} is not documented");
                }
                let whole = kind == "ip" || kind == "ipv6";
                assert_eq!(layer.get("header_length").is_some(), whole, "{layer}");
                if kind == "ipv6" {
                    let field = layer["payload_length"].as_u64().unwrap();
                    assert_eq!(layer["length"], field + 40);
                }
                let fixed = match kind {
                    "eth" => 14,
                    "vlan" | "ieee8021ad" | "mpls" | "null" | "chdlc" | "pwethcw" => 4,
                    "ieee8021ah" => 18,
                    "udp" | "udplite" | "vxlan" | "icmp" | "icmpv6" | "esp" => 8,
                    "sctp" => 12,
                    "pppoe" | "pppoed" => 6,
                    "raw" => 0,
                    _ => continue,
                };
                let cut = object["caplen"] != object["origlen"];
                let length = layer["length"].as_u64().unwrap();
                assert!(length == fixed || cut && length < fixed, "{kind}: {length} {object}");
                kinds.insert(kind.to_owned());
            }
        }
    }
    for kind in ["eth", "vlan", "mpls", "null", "udp", "vxlan", "raw"] {
        assert!(kinds.contains(kind), "{kind} was not tried");
    }
}

#[test]
fn every_schema_in_the_sources_is_documented() {
    let document = document();
    let mut found = BTreeSet::new();
    let mut folders = vec![root().join("cli/src"), root().join("pipeline/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            for rest in text.split("framewalk.").skip(1) {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '/');
                let name = &rest[..end.unwrap_or(rest.len())];
                if name.contains("/1") {
                    found.insert(format!("framewalk.{name}"));
                }
            }
        }
    }
    assert!(found.len() >= 6, "{found:?}");
    for schema in found {
        let receipt = schema == "framewalk.receipt/1";
        assert!(receipt || document.contains(&schema), "{schema} is not in docs/formats/json.md");
    }
}
