//! `pcaps/README.md`: the label of every capture, written from the scenes' own table.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::file;
use super::practice;
use super::scenes::{SCENES, Shot};

const HEAD: &str = "\
# Captures of our own

Made by `cargo xtask lab` (as root, on Linux; `cargo xtask lab --list` says what each scene needs).
*captured*: taken by tcpdump or QEMU from real kernels, clients and servers talking to each other.
*generated*: written byte by byte, because nothing at hand speaks it.

All names are invented, all addresses private, documentation (RFC 5737, RFC 3849) or locally
administered ones. No person's data is in any of these files. Licence of all of them:
[CC0 1.0](https://creativecommons.org/publicdomain/zero/1.0/), no rights reserved.

This file is written by `cargo xtask lab --table`; edit `xtask/src/lab/scenes.rs` instead.

| file | origin | how | what it proves | frames | sha256 | licence |
| --- | --- | --- | --- | ---: | --- | --- |
";

/// Writes the table for the captures that are there, in the order of the scenes.
pub(super) fn write(pcaps: &Path) -> Result<()> {
    let mut text = HEAD.to_owned();
    for scene in SCENES {
        for shot in scene.shots {
            row(&mut text, pcaps, scene.name, shot)?;
        }
    }
    row(&mut text, pcaps, &format!("{} --save", practice::NAME), &practice::SHOT)?;
    text.push_str("\n## How the scenes are set\n\n");
    for scene in SCENES {
        let _ = writeln!(text, "* **{}**: {}", scene.name, scene.set);
    }
    let _ = writeln!(text, "* **{}**: {}", practice::NAME, practice::SET);
    fs::write(pcaps.join("README.md"), text).context("cannot write pcaps/README.md")
}

/// The label of one capture, if it is there.
fn row(text: &mut String, pcaps: &Path, scene: &str, shot: &Shot) -> Result<()> {
    let path = pcaps.join(shot.file);
    if !path.is_file() {
        return Ok(());
    }
    let data = fs::read(&path).with_context(|| format!("cannot read {}", shot.file))?;
    let digest = Sha256::digest(&data);
    let mut sha256 = String::new();
    for byte in &digest {
        let _ = write!(sha256, "{byte:02x}");
    }
    let _ = writeln!(
        text,
        "| [{file}]({file}) | {} | `cargo xtask lab {scene}` | {} | {} | `{sha256}` | CC0-1.0 |",
        shot.origin.word(),
        shot.proves,
        file::count(&path)?,
        file = shot.file,
    );
    Ok(())
}
