//! The isolation receipt, first half: graph proof and ledger, under a keyed seal.
//!
//! A receipt says what a run showed about who could reach whom and where every frame went. Its
//! other half (hostile probes, a witness outside the process, and a negative control that shows
//! that the witness would have seen them) is not made here, so every receipt made here carries
//! the verdict `incomplete` and [`verify`] never calls one complete. The format is drawn in
//! `docs/formats/receipt.md`.

use hmac::{Hmac, Mac};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use vswitch::Graph;

/// The schema's name and version.
pub const SCHEMA: &str = "framewalk.receipt/1";

/// Always in the receipt, always printed.
pub const SCOPE: &str = "This receipt covers one run over one capture: which ports could reach \
    which by configuration, and where every frame reference went. No hostile probes were sent, no \
    witness outside the process watched the host, and no negative control showed that one would \
    have seen anything. The switch's own parser remains attack surface.";

/// A seal's key: 256 random bits.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// A key that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key: expected 64 hexadecimal digits (32 bytes)")]
pub struct NotAKey;

impl Key {
    /// From its bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// From 64 hexadecimal digits; white space around them does not count.
    pub fn from_hex(text: &str) -> Result<Self, NotAKey> {
        let text = text.trim().as_bytes();
        if text.len() != 64 {
            return Err(NotAKey);
        }
        let digit = |byte: u8| (byte as char).to_digit(16).ok_or(NotAKey);
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Ok(Self(bytes))
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As 64 hexadecimal digits.
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }

    /// Names the key without telling it: the first 8 bytes of SHA-256 over a label and the key.
    pub fn id(&self) -> String {
        let hash = Sha256::new().chain_update(b"framewalk receipt key").chain_update(self.0);
        hex(&hash.finalize()[..8])
    }

    fn mac(&self, bytes: &[u8]) -> Option<Hmac<Sha256>> {
        // HMAC takes keys of any length (RFC 2104), so this is always there
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(bytes);
        Some(mac)
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // writing into a string cannot fail
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What a receipt is made of, beside the graph and the ledger.
#[derive(Debug, Clone)]
pub struct Facts {
    /// When it was made, RFC 3339.
    pub made: String,
    /// What was walked: name, size in bytes and SHA-256 of the file as it lay there.
    pub capture: Value,
    /// Program name, version and SHA-256 of the binary.
    pub program: Value,
    /// What the operating system says about the process.
    pub process: Value,
}

/// Makes a receipt; with a key it is sealed. `ledger_terms` is the ledger under the names of
/// `framewalk.ledger/1`.
pub fn make(
    graph: &Graph,
    ledger_terms: &Map<String, Value>,
    facts: &Facts,
    key: Option<&Key>,
) -> Value {
    let mut receipt = json!({
        "schema": SCHEMA,
        "verdict": "incomplete",
        "witness": "none",
        "control": "none",
        "probes": "none",
        "scope": SCOPE,
        "made": facts.made,
        "capture": facts.capture,
        "program": facts.program,
        "process": facts.process,
        "graph": serde_json::to_value(graph).unwrap_or(Value::Null),
        "host_edges": graph.host_edges(),
        "ledger": ledger_terms,
    });
    let seal = key.and_then(|key| {
        let mac = key.mac(&canonical(&receipt))?.finalize().into_bytes();
        Some(json!({"algorithm": "HMAC-SHA256", "key": key.id(), "mac": hex(&mac)}))
    });
    if let Value::Object(object) = &mut receipt {
        object.insert("seal".to_owned(), seal.unwrap_or(Value::Null));
    }
    receipt
}

/// The bytes that are sealed: no white space, keys sorted by their bytes, strings as serde_json
/// escapes them, the member `seal` of the outermost object left out. Receipts hold no fractions,
/// so this is RFC 8785 for them.
pub fn canonical(receipt: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match receipt {
        Value::Object(object) => write_object(object, Some("seal"), &mut out),
        other => write_canonical(other, &mut out),
    }
    out
}

fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(object) => write_object(object, None, out),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_canonical(item, out);
            }
            out.push(b']');
        }
        scalar => out.extend_from_slice(scalar.to_string().as_bytes()),
    }
}

fn write_object(object: &Map<String, Value>, without: Option<&str>, out: &mut Vec<u8>) {
    let mut keys: Vec<&String> =
        object.keys().filter(|key| Some(key.as_str()) != without).collect();
    keys.sort_unstable();
    out.push(b'{');
    for (i, key) in keys.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(Value::from(key.as_str()).to_string().as_bytes());
        out.push(b':');
        write_canonical(&object[key], out);
    }
    out.push(b'}');
}

/// One thing that was looked at, and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub what: &'static str,
    /// Whether it is as it should be.
    pub good: bool,
    /// The finding, in words.
    pub finding: String,
}

/// Looks at everything a receipt claims. It holds only if every check is good; today none can be,
/// because the second half is missing.
pub fn verify(receipt: &Value, key: &Key) -> Vec<Check> {
    let mut checks = vec![check_schema(receipt), check_seal(receipt, key)];
    checks.push(check_ledger(receipt));
    checks.push(check_graph(receipt));
    checks.push(check_host(receipt));
    checks.push(check_second_half(receipt));
    checks
}

fn check(what: &'static str, result: Result<String, String>) -> Check {
    let good = result.is_ok();
    let (Ok(finding) | Err(finding)) = result;
    Check { what, good, finding }
}

fn check_schema(receipt: &Value) -> Check {
    check(
        "schema",
        match receipt.get("schema").and_then(Value::as_str) {
            Some(SCHEMA) => Ok(SCHEMA.to_owned()),
            Some(other) => Err(format!("`{other}`, expected `{SCHEMA}`")),
            None => Err(format!("none, expected `{SCHEMA}`")),
        },
    )
}

fn check_seal(receipt: &Value, key: &Key) -> Check {
    let result = || {
        let Some(Value::Object(seal)) = receipt.get("seal") else {
            return Err("there is none: the receipt was made without --key".to_owned());
        };
        let text = |name: &str| seal.get(name).and_then(Value::as_str).unwrap_or("");
        if text("algorithm") != "HMAC-SHA256" {
            return Err(format!("algorithm `{}`, expected `HMAC-SHA256`", text("algorithm")));
        }
        if text("key") != key.id() {
            return Err(format!("made with key {}, this one is {}", text("key"), key.id()));
        }
        let stated = text("mac").to_owned();
        let Some(mac) = key.mac(&canonical(receipt)) else {
            return Err("the key cannot be used".to_owned());
        };
        let bytes = Key::from_hex(&stated).map(|mac| mac.0);
        match bytes.map(|bytes| mac.clone().verify_slice(&bytes)) {
            Ok(Ok(())) => Ok(format!("HMAC-SHA256 by key {} fits", key.id())),
            _ => Err(format!(
                "the content was changed after sealing: its HMAC is {}, the seal says {stated}",
                hex(&mac.finalize().into_bytes())
            )),
        }
    };
    check("seal", result())
}

fn check_ledger(receipt: &Value) -> Check {
    let ledger = receipt.get("ledger").unwrap_or(&Value::Null);
    let term = |name: &str| {
        ledger.get(name).and_then(Value::as_u64).ok_or_else(|| format!("`{name}` is missing"))
    };
    let sum = |names: &[&str]| {
        names.iter().try_fold(0u64, |sum, name| {
            sum.checked_add(term(name)?).ok_or_else(|| "the terms are too large".to_owned())
        })
    };
    let result = || {
        let left = sum(&["in", "originated", "cloned", "split"])?;
        let dropped = ledger.get("dropped").and_then(Value::as_object);
        let dropped =
            dropped.ok_or("`dropped` is missing")?.values().try_fold(0u64, |sum, n| {
                n.as_u64().and_then(|n| sum.checked_add(n)).ok_or("`dropped` holds no counts")
            })?;
        let right = sum(&["delivered", "consumed", "merged", "held"])?.saturating_add(dropped);
        if left == right {
            Ok(format!("{left} references came in or were made, {right} are accounted for"))
        } else {
            Err(format!("{left} references came in or were made, {right} are accounted for"))
        }
    };
    check("ledger", result())
}

/// Counts the edges that end at a host port again, from the nodes and edges themselves.
fn check_graph(receipt: &Value) -> Check {
    let result = || {
        let part = |name: &str| {
            let graph = receipt.get("graph").and_then(|graph| graph.get(name));
            graph.and_then(Value::as_array).ok_or_else(|| format!("`graph.{name}` is missing"))
        };
        let (nodes, edges) = (part("nodes")?, part("edges")?);
        let is_host = |node: &&Value| {
            node.get("host_edge").and_then(Value::as_bool) != Some(false)
                || node.get("role").and_then(Value::as_str) == Some("host")
        };
        let hosts: Vec<_> = nodes.iter().filter(is_host).filter_map(|n| n.get("port")).collect();
        let reach = edges.iter().filter(|e| e.get("to").is_some_and(|to| hosts.contains(&to)));
        let counted = reach.count() as u64;
        let claimed = receipt.get("host_edges").and_then(Value::as_u64);
        if claimed != Some(counted) {
            return Err(format!("{counted} edges end at the host, the receipt claims {claimed:?}"));
        }
        if counted > 0 {
            return Err(format!("{counted} edges end at a port of the host's"));
        }
        Ok(format!("{} ports, {} edges, none ends at the host", nodes.len(), edges.len()))
    };
    check("graph", result())
}

fn check_host(receipt: &Value) -> Check {
    let host = receipt.get("ledger").and_then(|ledger| ledger.get("host")).and_then(Value::as_u64);
    check(
        "host count",
        match host {
            Some(0) => Ok("nothing was delivered to the host".to_owned()),
            Some(n) => Err(format!("{n} references were delivered to the host")),
            None => Err("`ledger.host` is missing".to_owned()),
        },
    )
}

/// The verdict, the witness and the control: this version knows no value that would satisfy it.
fn check_second_half(receipt: &Value) -> Check {
    let text = |name: &str| receipt.get(name).and_then(Value::as_str).unwrap_or("missing");
    check(
        "completeness",
        Err(format!(
            "verdict `{}`, witness `{}`, control `{}`: nobody outside the process watched, so \
             graph and ledger are all there is",
            text("verdict"),
            text("witness"),
            text("control")
        )),
    )
}

#[cfg(test)]
mod tests;
