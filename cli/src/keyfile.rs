//! Keys in files that nobody else can read: 64 hexadecimal digits, mode 0600.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use pipeline::receipt::Key;

use crate::cli::Globals;
use crate::walk::talk;

/// Reads a key, which nobody but its owner may be able to read.
pub(crate) fn read(path: &Path) -> anyhow::Result<Key> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("open the key {name}"))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let mode = file.metadata()?.mode() & 0o777;
        if mode & 0o077 != 0 {
            bail!("the key {name} has mode {mode:04o}: others can read it; chmod 600 {name}");
        }
    }
    let mut text = String::new();
    let mut limited = file.take(1024);
    limited.read_to_string(&mut text).with_context(|| format!("read {name}"))?;
    Key::from_hex(&text).with_context(|| format!("{name}"))
}

/// The file's key, or a new one written there with mode 0600.
///
/// `what_for` ends the sentence "keep it, ...".
pub(crate) fn read_or_make(path: &Path, what_for: &str, globals: &Globals) -> anyhow::Result<Key> {
    if path.exists() {
        return read(path);
    }
    let name = path.display();
    let mut bytes = [0; 32];
    let random = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    random.context("no random bytes for a new key: /dev/urandom")?;
    let key = Key::new(bytes);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path).with_context(|| format!("create the key {name}"))?;
    writeln!(file, "{}", key.to_hex()).with_context(|| format!("write {name}"))?;
    if !globals.quiet {
        talk(&format!("a new key is in {name} (mode 0600): keep it, {what_for}"));
    }
    Ok(key)
}
