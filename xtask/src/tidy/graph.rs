//! The crate graph: every edge between our crates is written here, or it is a failure.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Finding;
use crate::sh;

/// Who may use whom at run time (docs/ARCHITECTURE.md, "Crate graph"). `*` is every crate.
/// Nothing depends on `cli`, `benches` is used by `cli` alone, `testkit` by tests alone.
const EDGES: &[(&str, &[&str])] = &[
    ("skb", &[]),
    ("capture", &["skb"]),
    ("nic", &["skb", "capture"]),
    ("driver", &["skb"]),
    ("vswitch", &["skb"]),
    ("guest", &["skb"]),
    ("pipeline", &["skb", "nic", "driver", "vswitch", "guest"]),
    ("replay", &["skb", "capture", "nic"]),
    ("replicate", &[]),
    ("surface", &["skb", "capture"]),
    ("testkit", &["skb", "capture", "vswitch"]),
    ("benches", &["*"]),
    ("cli", &["*"]),
    ("xtask", &["cli"]),
];

/// The name the design uses for a package.
fn short(package: &str) -> &str {
    match package {
        "framewalk" => "cli",
        other => other.strip_prefix("framewalk-").unwrap_or(other),
    }
}

pub(super) fn check() -> Result<Vec<Finding>> {
    let text = sh::output(&mut sh::cargo(&["metadata", "--format-version=1", "--no-deps"]))?;
    let json: Value = serde_json::from_str(&text).context("cargo metadata")?;
    Ok(edges(&json))
}

fn edges(json: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let packages = json["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let ours: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let manifest = manifest(package);
        let Some((_, allowed)) = EDGES.iter().find(|(from, _)| *from == short(name)) else {
            let instead = "add it to EDGES in xtask/src/tidy/graph.rs and to docs/ARCHITECTURE.md";
            findings.push(Finding::new(&manifest, 0, "a crate the graph does not know", instead));
            continue;
        };
        let dependencies = package["dependencies"].as_array().map_or(&[][..], Vec::as_slice);
        for dependency in dependencies {
            let to = dependency["name"].as_str().unwrap_or_default();
            if !ours.contains(&to) {
                continue;
            }
            let to = short(to);
            let dev = dependency["kind"].as_str() == Some("dev");
            if let Some(why) = refuse(short(name), to, allowed, dev) {
                let what = format!("the edge {} -> {to}", short(name));
                findings.push(Finding::new(&manifest, 0, what, why));
            }
        }
    }
    findings
}

/// Why an edge may not be, and what to do instead.
fn refuse(from: &str, to: &str, allowed: &[&str], dev: bool) -> Option<String> {
    if to == "cli" && from != "xtask" {
        return Some("nothing uses cli: move what you need to a crate below it".to_owned());
    }
    if to == "testkit" && !dev && from != "benches" {
        return Some("testkit is for tests: put it under [dev-dependencies]".to_owned());
    }
    let known = allowed.contains(&"*") || allowed.contains(&to);
    if known || (dev && (to == "testkit" || is_below(to, from))) {
        return None;
    }
    let list = if allowed.is_empty() { "nothing of ours".to_owned() } else { allowed.join(", ") };
    Some(format!("{from} may use {list}; move the noun down, or wire the two in pipeline"))
}

/// Whether `to` stands in an earlier row: tests may look down, never up or at themselves.
fn is_below(to: &str, from: &str) -> bool {
    let row = |name: &str| EDGES.iter().position(|(crate_name, _)| *crate_name == name);
    row(to).zip(row(from)).is_some_and(|(to, from)| to < from)
}

fn manifest(package: &Value) -> String {
    let path = package["manifest_path"].as_str().unwrap_or_default();
    let root = sh::root().display().to_string();
    path.strip_prefix(&root).unwrap_or(path).trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn graph(from: &str, to: &str, kind: &Value) -> Vec<Finding> {
        edges(&json!({"packages": [
            {"name": from, "manifest_path": "x", "dependencies": [{"name": to, "kind": kind}]},
            {"name": to, "manifest_path": "y", "dependencies": []},
        ]}))
    }

    #[test]
    fn edges_not_written_here_fail() {
        assert!(graph("framewalk-nic", "framewalk-capture", &Value::Null).is_empty());
        assert_eq!(graph("framewalk-skb", "framewalk-capture", &Value::Null).len(), 1);
        assert_eq!(graph("framewalk-capture", "framewalk-nic", &Value::Null).len(), 1);
        assert_eq!(graph("framewalk-vswitch", "framewalk-guest", &Value::Null).len(), 1);
        assert_eq!(graph("framewalk-pipeline", "framewalk", &Value::Null).len(), 1);
    }

    #[test]
    fn testkit_is_for_tests() {
        assert_eq!(graph("framewalk-vswitch", "framewalk-testkit", &Value::Null).len(), 1);
        assert!(graph("framewalk-vswitch", "framewalk-testkit", &json!("dev")).is_empty());
        assert_eq!(graph("framewalk-skb", "framewalk-pipeline", &json!("dev")).len(), 1);
    }

    #[test]
    fn a_new_crate_must_be_written_here() {
        assert!(graph("framewalk-new", "framewalk-skb", &Value::Null)[0].what.contains("know"));
    }
}
