//! `walk --receipt` and `framewalk receipt verify`: files, keys and facts around
//! [`pipeline::receipt`].

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use pipeline::Engine;
use pipeline::receipt::{self as seal, Facts, Key};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use skb::trace::Tracer;

use super::report::ledger_json;
use crate::cli::Globals;
use crate::exit::Exit;
use crate::keyfile;
use crate::term::Paint;

/// Look at an isolation receipt
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// What to do with it.
    #[command(subcommand)]
    pub what: What,
}

/// What can be done with a receipt.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum What {
    /// Check the seal, the ledger and the graph; exits 1 unless everything holds
    #[command(
        long_about = "Check a receipt: that it was sealed with this key and not changed since, \
            that its ledger balances, that no edge of its graph ends at the host, and that it is \
            complete.\n\n\
            A receipt of this version is never complete: probes, an outside witness and a \
            negative control are not part of it yet. So verify says what holds and exits 1."
    )]
    Verify {
        /// The receipt
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The key it was sealed with: a file of 64 hexadecimal digits
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
}

/// Receipts are small; a file longer than this is something else.
const RECEIPT_BYTES_MAX: u64 = 16 << 20;

/// Runs `framewalk receipt`.
pub fn run(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    let What::Verify { file, key } = &args.what;
    let name = file.display();
    let key = keyfile::read(key)?;
    let mut text = String::new();
    let opened = File::open(file).with_context(|| format!("open {name}"))?;
    let read = opened.take(RECEIPT_BYTES_MAX + 1).read_to_string(&mut text);
    let read = read.with_context(|| format!("read {name}"))?;
    if read as u64 > RECEIPT_BYTES_MAX {
        bail!("{name} is longer than {RECEIPT_BYTES_MAX} bytes: not a receipt");
    }
    let value: Value = serde_json::from_str(&text).with_context(|| format!("{name} is no JSON"))?;
    let checks = seal::verify(&value, &key);
    let holds = checks.iter().all(|check| check.good);
    let mut out = String::new();
    if globals.json {
        let checks: Vec<_> = checks
            .iter()
            .map(|c| json!({"what": c.what, "good": c.good, "finding": c.finding}))
            .collect();
        let line = json!({
            "schema": "framewalk.receipt-check/1", "holds": holds, "checks": checks,
            "scope": seal::SCOPE,
        });
        out = format!("{line}\n");
    } else {
        let paint = Paint::for_stdout(globals.color);
        for check in &checks {
            let word = if check.good { "ok " } else { "NO " };
            let role = if check.good { crate::term::Role::Good } else { crate::term::Role::Bad };
            let finding = crate::term::safe(&check.finding);
            let rows = crate::term::wrap(&finding, crate::term::width().saturating_sub(20));
            for (i, row) in rows.iter().enumerate() {
                let head = if i == 0 { format!("{:<13}", check.what) } else { " ".repeat(13) };
                let word = if i == 0 { word } else { "   " };
                // writing into a string cannot fail
                let _ = writeln!(out, "{} {head} {row}", paint.role(role, word));
            }
        }
        out.push('\n');
        for row in crate::term::wrap(seal::SCOPE, crate::term::width()) {
            out.push_str(&row);
            out.push('\n');
        }
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(out.as_bytes())?;
    stdout.flush()?;
    Ok(if holds { Exit::Done } else { Exit::No })
}

/// What identifies the capture.
#[derive(Debug, Clone)]
pub struct CaptureFacts(Value);

/// Hashes the capture as it lies there, before it is walked. Standard input cannot be read twice.
pub fn capture_facts(path: &Path) -> anyhow::Result<CaptureFacts> {
    if path.as_os_str() == "-" {
        let note = "standard input is read once and was not hashed";
        return Ok(CaptureFacts(json!({"name": "-", "bytes": null, "sha256": null, "note": note})));
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let (sha256, bytes) = hash(path).with_context(|| format!("hash {}", path.display()))?;
    Ok(CaptureFacts(json!({"name": name, "bytes": bytes, "sha256": sha256})))
}

/// What is known of a live interface: its frames were not kept, so there is nothing to hash.
#[cfg(target_os = "linux")]
pub fn interface_facts(interface: &str) -> CaptureFacts {
    let note = "a live interface, a device of this machine's network namespace: its frames were \
        not kept and not hashed, and this machine's own stack may have received every one of them \
        beside the switch";
    CaptureFacts(json!({"name": interface, "bytes": null, "sha256": null, "note": note}))
}

/// SHA-256 in hexadecimal digits, and length, of a file.
pub(crate) fn hash(path: &Path) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((seal::hex(&hasher.finalize()), bytes)),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes the receipt of a finished run. An unbalanced ledger gets none: that is our fault, not a
/// finding.
pub fn write<T: Tracer>(
    path: &Path,
    key: Option<&Key>,
    capture: CaptureFacts,
    engine: &Engine<T>,
) -> anyhow::Result<()> {
    let ledger = engine.ledger();
    ledger.check()?;
    let facts = Facts {
        made: now(),
        capture: capture.0,
        program: json!({
            "name": "framewalk",
            "version": env!("CARGO_PKG_VERSION"),
            "sha256": own_hash(),
        }),
        process: process_facts(),
    };
    let receipt = seal::make(&engine.switch().graph(), &ledger_json(&ledger), &facts, key);
    let mut text = serde_json::to_string_pretty(&receipt)?;
    text.push('\n');
    let mut file = capture::write::create(path)?;
    file.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))
}

fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    crate::term::time::rfc3339(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

fn own_hash() -> Option<String> {
    Some(hash(&std::env::current_exe().ok()?).ok()?.0)
}

/// What the system says about this process; `null` where it says nothing.
fn process_facts() -> Value {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.map(|value| value.trim().to_owned())
    };
    let namespace = |name: &str| {
        let link = fs::read_link(Path::new("/proc/self/ns").join(name)).ok()?;
        Some(link.to_string_lossy().into_owned())
    };
    let sockets = fs::read_dir("/proc/self/fd").ok().map(|entries| {
        let links = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
    });
    json!({
        "capabilities_effective": line("CapEff"),
        "seccomp": line("Seccomp"),
        "no_new_privs": line("NoNewPrivs"),
        "net_namespace": namespace("net"),
        "mount_namespace": namespace("mnt"),
        "user_namespace": namespace("user"),
        "sockets_open": sockets,
    })
}
