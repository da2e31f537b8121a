//! `cargo xtask lint` and `cargo xtask ci`.

use std::process::Command;

use anyhow::{Result, bail};
use clap::CommandFactory;

use crate::{packages, sh, suite, tidy};

/// Everything CI runs.
pub(crate) fn ci() -> Result<()> {
    let linted = lint();
    let tested = suite::run(&suite::Args::default());
    linted.and(tested)
}

/// All lints. Each runs even after another has failed, so that one run shows everything.
pub(crate) fn lint() -> Result<()> {
    let mut failed = Vec::new();
    let mut check = |name: &str, done: Result<()>| {
        if let Err(error) = done {
            eprintln!("xtask: {name}: {error:#}");
            failed.push(name.to_owned());
        }
    };
    check("tidy", tidy::run(&crate::Args::command()));
    check("licences", tidy::licences::run());
    if component("rustfmt", "fmt") {
        check("fmt", sh::run(&mut sh::cargo(&["fmt", "--all", "--check"])));
    }
    if component("clippy", "clippy") {
        check("clippy", sh::run(&mut clippy(&[])));
        if packages::has_libpcap() {
            check("clippy with libpcap", sh::run(&mut clippy(&["--features=framewalk/libpcap"])));
        } else {
            eprintln!("skipped: clippy with libpcap: {}", packages::install_line(&["libpcap-dev"]));
        }
    }
    let mut doc = sh::cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
    check("doc", sh::run(doc.env("RUSTDOCFLAGS", "-D warnings")));
    if failed.is_empty() {
        eprintln!("lint: all clean");
        return Ok(());
    }
    bail!("lint failed: {}", failed.join(", "))
}

fn clippy(features: &[&str]) -> Command {
    let mut clippy = sh::cargo(&["clippy", "--workspace", "--all-targets"]);
    clippy.args(features).args(["--", "-D", "warnings"]);
    clippy
}

/// Whether cargo has the subcommand; a toolchain of the minimal profile lacks both.
fn component(component: &str, subcommand: &str) -> bool {
    let there = sh::output(&mut sh::cargo(&[subcommand, "--version"])).is_ok();
    if !there {
        eprintln!("skipped: {subcommand} is not installed: rustup component add {component}");
    }
    there
}
