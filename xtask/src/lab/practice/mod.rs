//! `cargo xtask lab practice`: a whole practice of real software, its capture at the mirror port on
//! both sides of the router, and what `framewalk surface` makes of it against what was planted.
//!
//! # Theory of operation
//!
//! Each [`Part`] brings hosts' software, a piece of the day, the exposures it plants and the
//! protocols it speaks. A part whose programs are not here is skipped by name, and nothing of it is
//! expected then. `/etc` and `/var` are overlays that end with the run, so that servers may write
//! where they are used to. When the day is over the capture goes through the release build of
//! framewalk, and [`check`] compares. With `--save` the same is done once more with the capture cut
//! small ([`small`]), which then is `pcaps/practice-day.pcapng`.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::file::{self, Frame, Interface, Labels};
use super::job::{self, Job};
use super::ns::Ns;
use super::scenes::{Origin, Shot};
use super::site::Site;
use super::{Desk, packages, sh};

mod check;
mod clinic;
mod copies;
mod desktop;
mod house;
pub(crate) mod mllp;
mod office;
mod persons;
mod remote;
mod small;

/// Name on the command line.
pub(super) const NAME: &str = "practice";
/// Longest that the whole run may take, in seconds.
pub(super) const RUN_SECONDS: &str = "420";
/// The router's outer network, RFC 5737.
const OUTER_NETWORK: &str = "198.51.100.0/24";
/// The router from outside.
const OUTER: &str = "198.51.100.2";

/// What `--save` makes.
pub(super) const SHOT: Shot = Shot {
    file: "practice-day.pcapng",
    origin: Origin::Captured,
    proves: "what a mirror port tells of a whole practice: outer port 2299 opens remote desktop \
             inside, passwords are guessed there until one is right, a screen is open to all, and \
             the evening's copy leaves the database out",
};

/// How it is set, for the README.
pub(super) const SET: &str = "a practice's day in two minutes; its parts, their software and what \
    is planted are in docs/testing.md. Each host is a namespace with its own kernel stack. The \
    switch is a kernel bridge whose ports learn nothing; interface 0 is a port of it where nobody \
    else is, interface 1 is the router's outer cable. Times are as they were. Of what an end of a \
    connection says the first bytes are kept, of the rest the headers: 48 kB of each end inside, \
    6 kB outside; bulk copies are left out";

/// Largest that the saved capture may be, in bytes.
const SAVED_BYTES_MAX: u64 = 1_500_000;

/// Programs that every part needs beyond the lab's base.
const BASE: &[(&str, &str)] = &[("nft", "nftables"), ("ss", "iproute2")];

/// Something that the analysis must find.
#[derive(Debug, Clone, Copy)]
struct Plant {
    rule: &'static str,
    severity: &'static str,
    host: &'static str,
}

/// A protocol that a port speaks.
#[derive(Debug, Clone, Copy)]
struct Spoken {
    app: &'static str,
    /// Address of the server; empty where the client's question goes to nobody in particular.
    host: &'static str,
    port: u16,
}

const fn plant(rule: &'static str, severity: &'static str, host: &'static str) -> Plant {
    Plant { rule, severity, host }
}

const fn spoken(app: &'static str, host: &'static str, port: u16) -> Spoken {
    Spoken { app, host, port }
}

/// A piece of the practice.
struct Part {
    name: &'static str,
    /// What it is, for people.
    what: &'static str,
    /// Programs, and the Debian package of each.
    tools: &'static [&'static [(&'static str, &'static str)]],
    /// Before the practice opens.
    start: fn(&Lab) -> Result<()>,
    /// Its share of the day.
    play: fn(&Lab) -> Result<()>,
    plants: &'static [Plant],
    speaks: &'static [Spoken],
}

/// In the order of the day.
const PARTS: &[&Part] = &[
    &house::NAMES,
    &house::DOMAIN,
    &office::FILES,
    &clinic::DATABASE,
    &clinic::RESULTS,
    &clinic::IMAGING,
    &office::MAIL,
    &office::DEVICES,
    &desktop::DESKTOP,
    &desktop::TERMINAL,
    &remote::VPN,
    &remote::SHELL,
    &remote::SCREEN,
    &clinic::BACKUP,
    &copies::SCANNER,
    &copies::RESTIC,
    &copies::DISKS,
    &copies::BORG,
];

impl Part {
    fn missing(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        for (tool, package) in self.tools.iter().copied().flatten() {
            if !sh::has(tool) && !missing.contains(package) {
                missing.push(*package);
            }
        }
        missing
    }
}

/// Debian packages without which a part is skipped.
pub(super) fn missing_packages() -> Vec<&'static str> {
    let mut all: Vec<&str> = PARTS.iter().flat_map(|part| part.missing()).collect();
    all.extend(BASE.iter().filter(|(tool, _)| !sh::has(tool)).map(|(_, package)| *package));
    all.sort_unstable();
    all.dedup();
    all
}

/// What it takes to run at all.
pub(super) fn missing_base() -> Vec<&'static str> {
    BASE.iter().filter(|(tool, _)| !sh::has(tool)).map(|(_, package)| *package).collect()
}

/// The parts, for `--list`.
pub(super) fn list() {
    println!("{NAME}  (checks framewalk against what it plants; with --save makes {})", SHOT.file);
    for part in PARTS {
        println!("  {:<10} {}", part.name, part.what);
        let missing = part.missing();
        if !missing.is_empty() {
            println!("  missing here: {}", packages::install_line(&missing));
        }
    }
}

/// A log-on that the lab made at a remote desktop.
#[derive(Debug, Clone, Copy)]
struct Logon {
    /// Address and port of the server.
    to: (&'static str, u16),
    /// The client's address, as the server sees it.
    client: &'static str,
    truth: Truth,
}

/// How a log-on was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Truth {
    Right,
    Wrong,
    Abandoned,
}

impl Truth {
    const ALL: [Self; 3] = [Self::Right, Self::Wrong, Self::Abandoned];

    const fn word(self) -> &'static str {
        match self {
            Self::Right => "right password",
            Self::Wrong => "wrong password",
            Self::Abandoned => "abandoned",
        }
    }
}

/// The practice while it runs.
struct Lab {
    desk: Desk,
    site: Site,
    dc: Ns,
    server: Ns,
    imaging: Ns,
    mail: Ns,
    files: Ns,
    desktop: Ns,
    terminal: Ns,
    old: Ns,
    assistant: Ns,
    device: Ns,
    modality: Ns,
    store: Ns,
    reception: Ns,
    jobs: RefCell<Vec<Job>>,
    logons: RefCell<Vec<Logon>>,
}

impl Lab {
    fn lay(desk: Desk) -> Result<Self> {
        let site = Site::lay("", "198.51.100.2/24", "198.51.100.1/24")?;
        site.nat(
            "198.51.100.1",
            &[
                ("tcp", 2299, "192.168.1.20:3389"),
                ("tcp", 2222, "192.168.1.10:22"),
                ("tcp", 2300, "192.168.1.23:5900"),
            ],
        )?;
        Ok(Self {
            dc: site.host("dc", 2)?,
            server: site.host("server", 10)?,
            imaging: site.host("imaging", 11)?,
            mail: site.host("mail", 12)?,
            files: site.host("files", 13)?,
            desktop: site.host("desktop", 20)?,
            terminal: site.host("terminal", 21)?,
            old: site.host("old", 22)?,
            assistant: site.host("assistant", 23)?,
            device: site.host("device", 30)?,
            modality: site.host("modality", 31)?,
            store: site.host("store", 40)?,
            reception: site.guest("reception", 100)?,
            jobs: RefCell::default(),
            logons: RefCell::default(),
            desk,
            site,
        })
    }

    /// Keeps a server until the end of the day.
    fn keep(&self, job: Job) {
        self.jobs.borrow_mut().push(job);
    }

    /// What the server that was started last has said, for an error's message.
    fn last_said(&self) -> String {
        let jobs = self.jobs.borrow();
        jobs.last().map(|job| format!(" ({})", job.said())).unwrap_or_default()
    }

    /// From now on the internet speaks from this address.
    fn outside_is(&self, address: &str) -> Result<()> {
        self.site.outside_is(address, OUTER_NETWORK)
    }
}

/// Whether these are names of parts.
///
/// # Errors
/// Names the first that is none, and those that there are.
pub(super) fn known(names: &[String]) -> Result<()> {
    let all: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
    match names.iter().find(|name| !all.contains(&name.as_str())) {
        Some(name) => bail!("the practice has no part `{name}`; there are: {}", all.join(", ")),
        None => Ok(()),
    }
}

/// What a run is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    /// The program that is examined.
    pub(super) framewalk: &'a Path,
    /// Where capture and outputs are kept.
    pub(super) keep: Option<&'a Path>,
    /// The parts to play, all if there is none.
    pub(super) only: &'a [String],
    /// The capture is cut small and goes to `pcaps/`.
    pub(super) save: bool,
}

/// Plays the practice and checks framewalk against it.
///
/// # Errors
/// Names the part whose software failed, or says which checks were not passed.
pub(super) fn run(wish: Wish<'_>) -> Result<()> {
    let missing = missing_base();
    ensure!(missing.is_empty(), "type: {}", packages::install_line(&missing));
    let scratch = Path::new(super::SCRATCH);
    let kept = wish.keep.map(|folder| reach(folder, scratch)).transpose()?;
    overlays(scratch)?;
    let desk = Desk { dir: scratch.join(NAME) };
    fs::create_dir_all(&desk.dir)?;
    let mut parts = Vec::new();
    let known = || PARTS.iter().filter(|part| !wish.save || part.name != copies::BORG.name);
    for part in known() {
        if !wish.only.is_empty() && !wish.only.iter().any(|name| name == part.name) {
            continue;
        }
        let missing = part.missing();
        if missing.is_empty() {
            parts.push(*part);
        } else {
            let line = packages::install_line(&missing);
            ensure!(!wish.save, "{} cannot be played; type: {line}", part.name);
            eprintln!("skipped: {}: {}; type: {line}", part.name, part.what);
        }
    }
    let lab = Lab::lay(desk)?;
    for part in &parts {
        eprintln!("practice: starts {}", part.name);
        (part.start)(&lab).with_context(|| format!("{}{}", part.name, lab.last_said()))?;
    }
    let dumps = [
        lab.site.monitor.dump("mirror0", &lab.desk.out("lan.pcap"), NANO)?,
        lab.site.router.dump("wan0", &lab.desk.out("wan.pcap"), NANO)?,
    ];
    for part in &parts {
        eprintln!("practice: plays {}", part.name);
        (part.play)(&lab).with_context(|| part.name)?;
    }
    dumps.into_iter().for_each(super::ns::Dump::stop);
    Job::end(lab.jobs.take());
    let frames = merge(&lab.desk)?;
    let logons = lab.logons.borrow();
    let examine = |capture: &Path| -> Result<check::Seen> {
        let seen = check::Seen::of(wish.framewalk, capture, &lab.desk)?;
        if let Some(kept) = &kept {
            seen.keep(capture, kept)?;
        }
        check::all(&seen, &parts, &logons, known().count())?;
        Ok(seen)
    };
    let capture = lab.desk.out("practice.pcapng");
    write(&capture, &frames)?;
    examine(&capture)?;
    if wish.save {
        let saved = lab.desk.out(SHOT.file);
        write(&saved, &small::cut(frames))?;
        println!("\ncut small, as {}:", SHOT.file);
        examine(&saved)?;
        let bytes = fs::metadata(&saved)?.len();
        ensure!(bytes <= SAVED_BYTES_MAX, "{} has {bytes} bytes", SHOT.file);
        fs::copy(&saved, sh::root().join("pcaps").join(SHOT.file))?;
        super::label::write(&sh::root().join("pcaps"))?;
    }
    Ok(())
}

const NANO: &str = "--time-stamp-precision=nano";

/// A way to a folder outside that the overlays do not hide.
fn reach(folder: &Path, scratch: &Path) -> Result<PathBuf> {
    let kept = scratch.join("kept");
    fs::create_dir_all(&kept)?;
    let (from, to) = (folder.to_string_lossy(), kept.to_string_lossy());
    job::run(&["mount", "--bind", &from, &to])?;
    Ok(kept)
}

/// What is written below `/etc` and `/var` from now on ends with the run.
fn overlays(scratch: &Path) -> Result<()> {
    for folder in ["/etc", "/var"] {
        let side = |what: &str| scratch.join(format!("{what}{}", folder.replace('/', "-")));
        let (upper, work) = (side("upper"), side("work"));
        fs::create_dir_all(&upper)?;
        fs::create_dir_all(&work)?;
        let (upper, work) = (upper.display(), work.display());
        let options = format!("lowerdir={folder},upperdir={upper},workdir={work}");
        job::run(&["mount", "-t", "overlay", "-o", &options, "overlay", folder])
            .context("the practice needs a kernel with overlayfs")?;
    }
    // clients tell it: no name of the machine's own goes into a capture
    job::run(&["sysctl", "-q", "-w", "kernel.hostname=practice-pc"])?;
    fs::write("/etc/hosts", "127.0.0.1 localhost practice-pc\n")?;
    let resolver = Path::new("/etc/resolv.conf");
    fs::remove_file(resolver)?;
    let text = "nameserver 192.168.1.2\nsearch practice.example\noptions timeout:2 attempts:2\n";
    fs::write(resolver, text).context("cannot write resolv.conf into the overlay")
}

/// The frames of both sides of the router, in the order of time.
fn merge(desk: &Desk) -> Result<Vec<Frame>> {
    let mut frames = Vec::new();
    for (interface, file) in (0..).zip(["lan.pcap", "wan.pcap"]) {
        let (linktype, read) = file::read_pcap(&desk.out(file))?;
        ensure!(linktype == ETHERNET, "{file} is of link type {linktype}");
        frames.extend(read.into_iter().map(|frame| Frame { interface, ..frame }));
    }
    frames.sort_by_key(|frame| frame.time_ns);
    Ok(frames)
}

/// Link type of all its cables.
const ETHERNET: u32 = 1;

fn write(capture: &Path, frames: &[Frame]) -> Result<()> {
    let interface = |name, description| Interface { name, description, linktype: ETHERNET };
    let labels = Labels {
        section: "A practice of real software in network namespaces. All names and addresses are \
                  invented; nobody's data is in here",
        interfaces: &[
            interface("mirror0", "mirror port of the practice's switch"),
            interface("wan0", "the router's outer cable"),
        ],
        frames: &[],
    };
    file::write_pcapng(capture, frames, &labels)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn parts_have_names_of_their_own_and_persons_know_them() {
        let names: BTreeSet<&str> = PARTS.iter().map(|part| part.name).collect();
        assert_eq!(names.len(), PARTS.len());
        assert!(persons::PERSONS.iter().all(|person| names.contains(person.part)));
    }
}
