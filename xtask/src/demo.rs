//! `cargo xtask demo`: the main job on a small capture, each step explained.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::sh;

/// The capture the demo walks: a small practice's morning on a mirror port.
const CAPTURE: &str = "pcaps/practice.pcapng";

/// One command with the sentence that goes before it.
struct Step {
    why: &'static str,
    args: Vec<String>,
}

fn step(why: &'static str, args: &[&str]) -> Step {
    Step { why, args: args.iter().map(|arg| (*arg).to_owned()).collect() }
}

pub(crate) fn run() -> Result<()> {
    if !sh::root().join(CAPTURE).is_file() {
        bail!("{CAPTURE} is missing; `cargo xtask lab morning` makes it (needs root)");
    }
    let framewalk = sh::release_framewalk()?;
    let folder = sh::target_dir()?.join("demo");
    fs::create_dir_all(&folder)?;
    let stages = folder.join("stages.pcapng");
    let _ = fs::remove_file(&stages); // of an earlier demo
    let letter = folder.join("letter.html");
    let backup = folder.join("backup");
    let _ = fs::remove_dir_all(&backup);
    for step in steps(&stages, &letter, &backup) {
        println!("\n--- {}", step.why);
        let args: Vec<&str> = step.args.iter().map(String::as_str).collect();
        println!("$ framewalk {}\n", args.join(" "));
        let status = sh::command(&framewalk.to_string_lossy(), &args).status()?;
        if !status.success() {
            bail!("`framewalk {}` failed: {status}", args.join(" "));
        }
    }
    println!(
        "\n--- That was the main job. Next, from the project's folder:\n\
         cargo run --release -- walk {CAPTURE} --frame 1 --step    step with the arrow keys\n\
         cargo run --release -- inspect YOUR.pcap                  a capture of your own\n\
         cargo run --release -- help                               every command\n\
         wireshark {}    the same frame at every stage\n\
         {}    the letter to the practice's owner, for a browser\n\
         docs/lessons/ has four lessons to do with these captures and one on backup; \
         `cargo xtask test` runs the tests.",
        stages.display(),
        letter.display()
    );
    Ok(())
}

fn steps(stages: &Path, letter: &Path, backup: &Path) -> Vec<Step> {
    let (stages, letter) = (stages.to_string_lossy(), letter.to_string_lossy());
    let place = |name| backup.join(name).to_string_lossy().into_owned();
    let (repository, keys, state) = (place("repository"), place("keys"), place("state"));
    let with = ["--repo", &repository, "--key-dir", &keys];
    vec![
        step(
            "What is in the capture: one page, with frame 1 as Ethernet packet, frame, IP packet.",
            &["inspect", CAPTURE],
        ),
        step(
            "Every frame through NIC, driver, skb, vswitch and guest: the ledger must balance.",
            &["walk", CAPTURE],
        ),
        step(
            "Frame 9, step by step: what each stage sees of it, who owns it, what it cost.",
            &["walk", CAPTURE, "--frame", "9"],
        ),
        step(
            "The same frames written out at every stage, for Wireshark: one interface a stage.",
            &["walk", CAPTURE, "--export", &stages],
        ),
        step(
            "What a mirror port tells of a whole practice's day: what is open, who got in, and \
                that the backup misses something; with a letter about it for the owner.",
            &["surface", "pcaps/practice-day.pcapng", "--letter", &letter],
        ),
        step(
            "Two guests with TCP/IP stacks of their own, one stream through a private switch.",
            &["walk", "--stream", "256M"],
        ),
        step(
            "A backup: a repository with its three keys; a push, which reads every file whole; and \
                a drill, which restores it and compares.",
            &["backup", "init", &repository, "--key-dir", &keys],
        ),
        step(
            "The push.",
            &[&["backup", "push"], &with[..], &["--state", &state, "pcaps"]].concat(),
        ),
        step("The drill.", &[&["backup", "drill"], &with[..]].concat()),
    ]
}
