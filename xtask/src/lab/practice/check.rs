//! What framewalk says of the practice against what was planted, as tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::persons::PERSONS;
use super::{Logon, Part, Plant, Spoken, Truth};
use crate::lab::{Desk, job};

/// All that was said of a capture.
#[derive(Debug)]
pub(super) struct Seen {
    /// Name of the output, its text.
    outputs: Vec<(&'static str, String)>,
    objects: Vec<Value>,
    /// The capture's own bytes.
    capture: Vec<u8>,
}

impl Seen {
    /// Runs framewalk in each way that it has of saying something.
    pub(super) fn of(framewalk: &Path, capture: &Path, desk: &Desk) -> Result<Self> {
        let framewalk = framewalk.to_string_lossy();
        let file = capture.to_string_lossy();
        let mut outputs = vec![
            ("report.txt", job::run(&[&framewalk, "--color", "never", "surface", &file])?),
            ("surface.jsonl", job::run(&[&framewalk, "surface", &file, "--json"])?),
        ];
        for letter in ["letter.md", "letter.html"] {
            let path = desk.out(letter);
            job::run(&[&framewalk, "surface", &file, "--letter", &path.to_string_lossy()])?;
            outputs.push((letter, fs::read_to_string(&path).context(letter)?));
        }
        let objects: Result<Vec<Value>, _> =
            outputs[1].1.lines().map(serde_json::from_str).collect();
        let objects =
            objects.context("`framewalk surface --json` printed a line that is no JSON")?;
        Ok(Self { outputs, objects, capture: fs::read(capture)? })
    }

    /// Copies everything to where it stays.
    pub(super) fn keep(&self, capture: &Path, folder: &Path) -> Result<()> {
        fs::copy(capture, folder.join(capture.file_name().unwrap_or_default()))?;
        for (name, text) in &self.outputs {
            fs::write(folder.join(name), text)?;
        }
        Ok(())
    }

    fn all(&self, schema: &str) -> impl Iterator<Item = &Value> {
        let schema = format!("{schema}/1");
        self.objects.iter().filter(move |object| object["schema"] == schema.as_str())
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// All checks; each prints its table.
pub(super) fn all(seen: &Seen, parts: &[&Part], logons: &[Logon], known: usize) -> Result<()> {
    let mut failed = Vec::new();
    for (name, faults) in [
        ("findings", findings(seen, parts)),
        ("log-ons", outcomes(seen, logons)),
        ("applications", applications(seen, parts)),
        ("names", names(seen, parts)?),
    ] {
        if faults > 0 {
            failed.push(format!("{name} ({faults})"));
        }
    }
    println!(
        "\npractice: {} of {known} parts played, {} frames; {}",
        parts.len(),
        seen.all("framewalk.surface").map(|total| total["frames"].to_string()).collect::<String>(),
        if failed.is_empty() { "all as planted".to_owned() } else { failed.join(", ") }
    );
    ensure!(failed.is_empty(), "not as planted: {}", failed.join(", "));
    Ok(())
}

/// Whether a finding is the one that was planted.
fn is_of(finding: &Value, plant: &Plant) -> bool {
    let hosts = finding["hosts"].as_array();
    text(&finding["rule"]) == plant.rule
        && hosts.is_some_and(|hosts| hosts.iter().any(|host| text(host) == plant.host))
}

/// Planted against found. What was not planted must not be high or critical.
fn findings(seen: &Seen, parts: &[&Part]) -> usize {
    println!("\nfindings\n  {:<28} {:<16} {:<10} found", "rule", "host", "planted");
    let mut faults = 0;
    let plants: Vec<&Plant> = parts.iter().flat_map(|part| part.plants).collect();
    for plant in &plants {
        let found: BTreeSet<&str> = seen
            .all("framewalk.finding")
            .filter(|finding| is_of(finding, plant))
            .map(|finding| text(&finding["severity"]))
            .collect();
        let right = found.len() == 1 && found.contains(plant.severity);
        faults += usize::from(!right);
        let found = if found.is_empty() {
            "NOT FOUND".to_owned()
        } else {
            found.into_iter().collect::<Vec<_>>().join(", ")
        };
        let Plant { rule, host, severity } = plant;
        let mark = if right { "" } else { "  <- wrong" };
        println!("  {rule:<28} {host:<16} {severity:<10} {found}{mark}");
    }
    for finding in seen.all("framewalk.finding") {
        if plants.iter().any(|plant| is_of(finding, plant)) {
            continue;
        }
        let (rule, severity) = (text(&finding["rule"]), text(&finding["severity"]));
        let urgent = matches!(severity, "high" | "critical");
        faults += usize::from(urgent);
        let mark = if urgent { "  <- wrong" } else { "" };
        println!("  {rule:<28} {:<16} {:<10} {severity}{mark}", text(&finding["hosts"][0]), "-");
        println!("      {}", text(&finding["detail"]));
    }
    faults
}

/// What framewalk can say of a log-on, in the order of the columns.
const OUTCOMES: [&str; 6] = ["probe", "failed", "unknown", "succeeded", "session", "(none)"];

/// A server's address and port, and a client's address.
type Ends<'a> = (&'a str, u16, &'a str);

/// Confusion matrix of the log-ons at remote desktops: the lab's own list against what is said of
/// the conversations, client by client in the order of time.
fn outcomes(seen: &Seen, logons: &[Logon]) -> usize {
    if logons.is_empty() {
        return 0;
    }
    let ends = |logon: &Logon| (logon.to.0, logon.to.1, logon.client);
    let mut said: BTreeMap<Ends<'_>, Vec<(&str, &str)>> = BTreeMap::new();
    for flow in seen.all("framewalk.flow") {
        let port = flow["dst_port"].as_u64().and_then(|port| port.try_into().ok());
        let server = (text(&flow["dst"]), port.unwrap_or_default());
        if logons.iter().any(|logon| logon.to == server) {
            let outcome = flow["rdp"]["outcome"].as_str().unwrap_or("(none)");
            let list = said.entry((server.0, server.1, text(&flow["src"]))).or_default();
            list.push((text(&flow["first"]), outcome));
        }
    }
    for list in said.values_mut() {
        list.sort_unstable();
    }
    let extra: usize = said
        .iter()
        .map(|(client, list)| {
            list.len().saturating_sub(logons.iter().filter(|l| ends(l) == *client).count())
        })
        .sum();
    let mut matrix: BTreeMap<(Truth, &str), usize> = BTreeMap::new();
    let mut next: BTreeMap<Ends<'_>, usize> = BTreeMap::new();
    for logon in logons {
        let at = next.entry(ends(logon)).or_default();
        let outcome = said.get(&ends(logon)).and_then(|list| list.get(*at));
        *at += 1;
        let outcome = outcome.map_or("(none)", |(_, outcome)| outcome);
        *matrix.entry((logon.truth, outcome)).or_default() += 1;
    }
    println!("\nlog-ons at remote desktops, truth by the lab against what was said");
    print!("  {:<16}", "");
    for outcome in OUTCOMES {
        print!(" {outcome:>9}");
    }
    println!();
    let mut faults = extra;
    for truth in Truth::ALL {
        print!("  {:<16}", truth.word());
        for outcome in OUTCOMES {
            let count = matrix.get(&(truth, outcome)).copied().unwrap_or_default();
            faults += if agrees(truth, outcome) { 0 } else { count };
            print!(" {count:>9}");
        }
        println!();
    }
    println!("  {} log-ons, {faults} told wrongly", logons.len());
    if extra > 0 {
        println!("  {extra} conversations more than log-ons");
    }
    faults
}

fn agrees(truth: Truth, outcome: &str) -> bool {
    match truth {
        Truth::Right => matches!(outcome, "succeeded" | "session"),
        Truth::Wrong => outcome == "failed",
        Truth::Abandoned => matches!(outcome, "probe" | "unknown"),
    }
}

/// Each protocol that was spoken, and whether it was told on its port.
fn applications(seen: &Seen, parts: &[&Part]) -> usize {
    println!("\napplications\n  {:<10} {:<12} {:<22} conversations", "part", "protocol", "server");
    let mut faults = 0;
    for part in parts {
        for spoken in part.speaks {
            let Spoken { app, host, port } = *spoken;
            let there = |flow: &&Value| {
                (host.is_empty() || text(&flow["dst"]) == host) && flow["dst_port"] == port
            };
            let mut told: BTreeMap<&str, usize> = BTreeMap::new();
            for flow in seen.all("framewalk.flow").filter(there) {
                *told.entry(text(&flow["app"])).or_default() += 1;
            }
            let count = told.get(app).copied().unwrap_or_default();
            faults += usize::from(count == 0);
            let others: Vec<String> = told
                .iter()
                .filter(|(other, _)| **other != app)
                .map(|(other, count)| format!("{other} {count}"))
                .collect();
            let at = if host.is_empty() { "(all)" } else { host };
            let count = if count == 0 { "NOT FOUND".to_owned() } else { count.to_string() };
            let others =
                if others.is_empty() { String::new() } else { format!("; {}", others.join(", ")) };
            println!(
                "  {:<10} {app:<12} {:<22} {count}{others}",
                part.name,
                format!("{at}:{port}")
            );
        }
    }
    let unknown: Vec<_> =
        seen.all("framewalk.flow").filter(|flow| flow["app"] == "unknown").collect();
    println!("  unknown: {} conversations", unknown.len());
    for flow in unknown.iter().take(8) {
        println!(
            "    {}:{} -> {}:{}, {} and {} bytes",
            text(&flow["src"]),
            flow["src_port"],
            text(&flow["dst"]),
            flow["dst_port"],
            flow["sent"]["bytes"],
            flow["received"]["bytes"]
        );
    }
    faults
}

/// No output may hold a planted name; the capture must hold those that cross in clear, or the
/// search would prove nothing.
fn names(seen: &Seen, parts: &[&Part]) -> Result<usize> {
    println!("\nplanted names\n  {:<14} {:<42} {:<8} in outputs", "name", "said in", "on wire");
    let mut faults = 0;
    let played = |name: &str| parts.iter().any(|part| part.name == name);
    for person in PERSONS.iter().filter(|person| played(person.part)) {
        let on_wire = holds(&seen.capture, person.name);
        let told: Vec<&str> = seen
            .outputs
            .iter()
            .filter(|(_, text)| holds(text.as_bytes(), person.name))
            .map(|(output, _)| *output)
            .collect();
        faults += told.len() + usize::from(person.clear && !on_wire);
        println!(
            "  {:<14} {:<42} {:<8} {}",
            person.name,
            person.place,
            if on_wire { "clear" } else { "no" },
            if told.is_empty() { "none".to_owned() } else { told.join(", ") + "  <- wrong" }
        );
        if person.clear && !on_wire {
            println!("      not on the wire, though it should be: this row proves nothing");
        }
    }
    if seen.outputs.iter().any(|(_, text)| text.is_empty()) {
        bail!("an output is empty");
    }
    Ok(faults)
}

/// Whether bytes hold a name in any case, as ASCII or as UTF-16.
fn holds(bytes: &[u8], name: &str) -> bool {
    let name = name.as_bytes();
    let wide: Vec<u8> = name.iter().flat_map(|&byte| [byte, 0]).collect();
    [name, &wide]
        .iter()
        .any(|name| bytes.windows(name.len()).any(|window| window.eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_width() {
        assert!(holds(b"..wAchOlder..", "Wacholder"));
        assert!(holds(b"W\0a\0c\0h\0o\0l\0d\0e\0r\0", "wacholder"));
        assert!(!holds(b"Wachholder", "Wacholder"));
    }

    #[test]
    fn tables_name_addresses() {
        for part in super::super::PARTS {
            for host in part.plants.iter().map(|plant| plant.host) {
                assert!(host.parse::<IpAddr>().is_ok(), "{}: {host}", part.name);
            }
            for host in part.speaks.iter().map(|spoken| spoken.host) {
                assert!(host.is_empty() || host.parse::<IpAddr>().is_ok(), "{}: {host}", part.name);
            }
        }
    }

    #[test]
    fn a_plant_is_found_by_rule_and_host() {
        let finding = serde_json::json!({"rule": "exposure.rdp", "hosts": ["192.168.1.20"]});
        let plant = |rule, host| Plant { rule, severity: "high", host };
        assert!(is_of(&finding, &plant("exposure.rdp", "192.168.1.20")));
        assert!(!is_of(&finding, &plant("exposure.rdp", "192.168.1.2")));
        assert!(!is_of(&finding, &plant("exposure.ssh", "192.168.1.20")));
    }

    #[test]
    fn what_agrees_with_the_truth() {
        assert!(agrees(Truth::Right, "session") && !agrees(Truth::Right, "unknown"));
        assert!(agrees(Truth::Wrong, "failed") && !agrees(Truth::Wrong, "probe"));
        assert!(agrees(Truth::Abandoned, "probe") && !agrees(Truth::Abandoned, "failed"));
    }
}
