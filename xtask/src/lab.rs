//! `cargo xtask lab`: makes the captures in `pcaps/` again, from real kernels and servers.
//!
//! # Theory of operation
//!
//! Every capture is the work of one *scene*: namespaces with veth cables, real clients and
//! servers in them, tcpdump on one of the devices. All scenes run in a child of this command that
//! `unshare` gave its own network, mount and process namespaces and a private `/run`: nothing of
//! it is visible outside, and when that child ends, however it ends, the kernel takes back every
//! process, device and name that it made. What this kernel cannot do (802.1Q, GRE, PPPoE ...) a
//! second kernel does, Debian's own, booted under QEMU (see `qemu`). What neither can do is
//! made byte by byte and labelled *generated* (see `made`).
//!
//! A capture replaces the one in `pcaps/` only when the whole scene went well and the file is
//! small enough; `pcaps/README.md` is then written from the table in [`scenes`].

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;

use crate::{packages, sh};

mod file;
mod job;
mod label;
mod ns;
pub(crate) mod practice;
mod scenes;
mod site;
mod software;

use scenes::{SCENES, Scene};

/// Where tools are looked for; the caller's environment does not matter.
const TOOL_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Scratch folder of a run, in its private `/run`.
const SCRATCH: &str = "/run/lab";
/// Set for the child that already has namespaces of its own: the program that it examines.
const INSIDE: &str = "FRAMEWALK_LAB_INSIDE";
/// Largest capture that may enter `pcaps/`, in bytes.
const FILE_BYTES_MAX: u64 = 200 * 1024;
/// Longest that a whole run may take, in seconds.
const RUN_SECONDS: &str = "1500";

/// Make the captures in pcaps/ again from real kernels and servers, or play a whole practice.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask lab",
    bin_name = "cargo xtask lab",
    after_help = "Of a small practice there are two:\n  \
        morning    one quiet morning on a mirror port: makes pcaps/practice.pcapng\n  \
        practice   the whole practice of real software: checks what `framewalk surface`\n  \
        \x20          says against what was planted; exit status 1 where it does not agree.\n  \
        \x20          With --save makes pcaps/practice-day.pcapng. Never played unless named;\n  \
        \x20          some three minutes"
)]
struct Args {
    /// Scenes to play, all that make captures when none is named; see --list
    names: Vec<String>,
    /// List the scenes, their captures, and what is missing here to play them (needs no root)
    #[arg(long)]
    list: bool,
    /// First install the Debian packages that the chosen scenes need (apt-get)
    #[arg(long)]
    install: bool,
    /// Write pcaps/README.md again from the captures that are there, and stop (needs no root)
    #[arg(long)]
    table: bool,
    /// Of `practice`: keep its capture and what framewalk said of it in this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Of `practice`: make pcaps/practice-day.pcapng of it, cut small
    #[arg(long, conflicts_with = "only")]
    save: bool,
    /// Of `practice`: play only these parts (separated by commas); --list names them
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<String>,
    /// Of `practice`: the framewalk to examine, instead of a release build made for it
    #[arg(long, value_name = "FILE")]
    framewalk: Option<PathBuf>,
}

/// Runs the lab with the arguments that follow `cargo xtask lab`.
///
/// # Errors
/// Names a scene that does not exist, a missing tool with the package that brings it, the need
/// for root with the command to type, or the step of a scene that failed.
pub(crate) fn run(args: Vec<String>) -> Result<()> {
    let typed = args.join(" ");
    let line = std::iter::once("cargo xtask lab".to_owned()).chain(args);
    let parsed = match Args::try_parse_from(line) {
        Ok(parsed) => parsed,
        Err(error) => error.exit(),
    };
    let practice = parsed.names.iter().any(|name| name == practice::NAME);
    let scenes: Vec<String> =
        parsed.names.iter().filter(|name| *name != practice::NAME).cloned().collect();
    let chosen = if practice && scenes.is_empty() { Vec::new() } else { choose(&scenes)? };
    if parsed.list {
        list(&chosen);
        if practice || scenes.is_empty() {
            practice::list();
        }
        return Ok(());
    }
    if parsed.table {
        return label::write(&sh::root().join("pcaps"));
    }
    if let Some(framewalk) = std::env::var_os(INSIDE) {
        play_all(&chosen)?;
        if practice {
            practice::run(practice::Wish {
                framewalk: Path::new(&framewalk),
                keep: parsed.keep.as_deref(),
                only: &parsed.only,
                save: parsed.save,
            })?;
        }
        return Ok(());
    }
    if !sh::is_root() {
        bail!(
            "the lab makes network namespaces and needs root; type: sudo -E {} xtask lab {}",
            std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()),
            typed
        );
    }
    prepare(&chosen, practice, parsed.install)?;
    let mut rest = parsed.names.clone();
    let mut framewalk = PathBuf::from("none");
    if practice {
        framewalk = match &parsed.framewalk {
            Some(file) => std::path::absolute(file)?,
            None => sh::release_framewalk()?,
        };
        if let Some(keep) = &parsed.keep {
            fs::create_dir_all(keep).with_context(|| keep.display().to_string())?;
            let keep = std::path::absolute(keep)?;
            rest.extend(["--keep".to_owned(), keep.to_string_lossy().into_owned()]);
        }
    }
    if parsed.save {
        rest.push("--save".to_owned());
    }
    if !parsed.only.is_empty() {
        practice::known(&parsed.only)?;
        rest.extend(["--only".to_owned(), parsed.only.join(",")]);
    }
    let alone = practice && scenes.is_empty();
    inside(&rest, if alone { practice::RUN_SECONDS } else { RUN_SECONDS }, &framewalk)
}

/// Installs what is missing if that was asked for, and names what is missing still.
fn prepare(chosen: &[&Scene], practice: bool, install: bool) -> Result<()> {
    let missing = || {
        let mut missing = missing_packages(chosen);
        if practice {
            missing.extend(base_packages());
            missing.extend(practice::missing_packages());
        }
        missing
    };
    if install {
        install_all(&missing())?;
    }
    let mut needed = missing_packages(chosen);
    if practice {
        // its parts go without what is missing, and say so
        needed.extend(base_packages());
        needed.extend(practice::missing_base());
    }
    if !needed.is_empty() {
        bail!(
            "these scenes need packages that are not here; type: {}  (or add --install)",
            packages::install_line(&needed)
        );
    }
    if chosen.iter().any(|scene| scene.guest_kernel) {
        scenes::guest::fetch_kernel()?;
    }
    Ok(())
}

fn choose(names: &[String]) -> Result<Vec<&'static Scene>> {
    if names.is_empty() {
        return Ok(SCENES.iter().collect());
    }
    let find = |name: &String| {
        SCENES.iter().find(|scene| scene.name == name.as_str()).with_context(|| {
            let known: Vec<&str> = SCENES.iter().map(|scene| scene.name).collect();
            format!("no scene `{name}`; there are: {}", known.join(", "))
        })
    };
    names.iter().map(find).collect()
}

/// Debian packages without which nothing can be played.
fn base_packages() -> Vec<&'static str> {
    scenes::BASE.iter().filter(|(tool, _)| !sh::has(tool)).map(|(_, package)| *package).collect()
}

/// Debian packages without which one of `chosen` cannot be played.
fn missing_packages(chosen: &[&Scene]) -> Vec<&'static str> {
    let mut missing = Vec::new();
    for (tool, package) in chosen.iter().flat_map(|scene| scenes::BASE.iter().chain(scene.tools)) {
        if !sh::has(tool) && !missing.contains(package) {
            missing.push(*package);
        }
    }
    missing
}

fn list(chosen: &[&Scene]) {
    for scene in chosen {
        println!("{}", scene.name);
        for shot in scene.shots {
            println!("  {:<22} {:<9} {}", shot.file, shot.origin.word(), shot.proves);
        }
        let missing = missing_packages(&[scene]);
        if !missing.is_empty() {
            println!("  missing here: {}", packages::install_line(&missing));
        }
    }
}

fn install_all(missing: &[&str]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    sh::run(&mut sh::command("apt-get", &["update"]))?;
    let mut apt = sh::command("apt-get", &["install", "-y", "--no-install-recommends"]);
    apt.args(missing).env("DEBIAN_FRONTEND", "noninteractive");
    sh::run(&mut apt)
}

/// Runs this same command again in namespaces of its own. They end with it, and it ends with this
/// process, however that ends: at Ctrl-C `timeout` sends a signal that the first process of the
/// namespace does not hear, and a second later one that nobody can ignore.
fn inside(args: &[String], seconds: &str, framewalk: &Path) -> Result<()> {
    let me = std::env::current_exe().context("cannot find this program's own path")?;
    let status = Command::new("setpriv")
        .args(["--pdeathsig", "TERM", "timeout", "--foreground", "-k", "1", seconds])
        .args(["unshare", "--mount", "--net", "--pid", "--uts", "--fork"])
        .args(["--kill-child", "--mount-proc", "--propagation", "private", "--"])
        .arg(me)
        .arg("lab")
        .args(args)
        .env(INSIDE, framewalk)
        .status()
        .context("cannot start `setpriv` (package util-linux)")?;
    ensure!(status.success(), "the lab ended with {status}");
    Ok(())
}

fn play_all(chosen: &[&Scene]) -> Result<()> {
    job::run(&["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run"])?;
    for folder in [SCRATCH, "/run/netns", "/run/sshd", "/run/samba", "/run/avahi-daemon"] {
        fs::create_dir_all(folder)?;
    }
    // no tool may ask the machine's own resolver; the practice's router is the only one
    let resolver = Path::new(SCRATCH).join("resolv.conf");
    fs::write(&resolver, "nameserver 192.168.1.1\noptions timeout:1 attempts:1\n")?;
    job::run(&["mount", "--bind", &resolver.to_string_lossy(), "/etc/resolv.conf"])?;
    if chosen.is_empty() {
        return Ok(());
    }
    let pcaps = sh::root().join("pcaps");
    let mut failed = Vec::new();
    for scene in chosen {
        eprintln!("lab: {}", scene.name);
        if let Err(error) = play(scene, &pcaps) {
            eprintln!("lab: {}: {error:#}", scene.name);
            failed.push(scene.name);
        }
    }
    label::write(&pcaps)?;
    ensure!(failed.is_empty(), "scenes that failed, their captures left as they were: {failed:?}");
    Ok(())
}

/// Plays one scene, checks what it left, and moves that into `pcaps`.
fn play(scene: &Scene, pcaps: &Path) -> Result<()> {
    let desk = Desk { dir: Path::new(SCRATCH).join(scene.name) };
    fs::create_dir_all(&desk.dir)?;
    (scene.play)(&desk)?;
    for shot in scene.shots {
        let bytes = fs::metadata(desk.out(shot.file))
            .with_context(|| format!("{} was not made", shot.file))?
            .len();
        let frames = file::count(&desk.out(shot.file))?;
        ensure!(frames > 0, "{} holds no frame", shot.file);
        ensure!(
            bytes <= FILE_BYTES_MAX,
            "{} has {bytes} bytes, more than {FILE_BYTES_MAX}",
            shot.file
        );
        eprintln!("lab:   {} {frames} frames, {bytes} bytes", shot.file);
    }
    for shot in scene.shots {
        fs::copy(desk.out(shot.file), pcaps.join(shot.file))
            .with_context(|| format!("cannot write pcaps/{}", shot.file))?;
    }
    Ok(())
}

/// The scratch folder of one scene.
#[derive(Debug)]
struct Desk {
    dir: PathBuf,
}

impl Desk {
    /// Path of a capture (or any other file) on this desk.
    fn out(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// Writes a small file and returns its path as text.
    fn put(&self, file: &str, content: &[u8]) -> Result<String> {
        let path = self.out(file);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path.to_string_lossy().into_owned())
    }
}
