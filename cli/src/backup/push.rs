//! `backup push`.

use std::path::PathBuf;
use std::sync::Arc;

use replicate::catalog::{File, FileKind, Judged};
use replicate::pace::{Between, Pace};
use replicate::push::{Done, Options, Report, push};
use replicate::wire::Role;
use replicate::{Consistency, Leave, hex};
use serde_json::json;

use super::{Where, hooks, keys, remote};
use crate::cli::Globals;
use crate::exit::Exit;
use crate::term::{bytes, counted, safe};
use crate::walk::talk;

/// Lines of files are printed up to so many without being asked for.
const FEW: usize = 20;

/// Add a generation
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub place: Where,
    /// Files, directories, disks
    #[arg(value_name = "PATH", required_unless_present_any = ["firebird", "sqlite"])]
    pub paths: Vec<PathBuf>,
    /// Below this path, do not read a file whose size, times and inode are as before. Never
    /// used for files that are open, databases, network file systems (repeatable)
    #[arg(long, value_name = "PATH")]
    pub trust_stat: Vec<PathBuf>,
    /// Leave out what has such a name, end of a path, or path from / on: '*.tmp', Cache,
    /// '/srv/media/**' (repeatable)
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Do not go into file systems that are mounted below the paths. The kernel's own, such as
    /// /proc, are never gone into
    #[arg(long)]
    pub one_file_system: bool,
    /// Hash trusted files whole after so many days anyway
    #[arg(long, value_name = "DAYS", default_value_t = 7)]
    pub full_hash_days: u32,
    /// The paths lie on a snapshot, which nothing writes to: the generation is crash-consistent
    #[arg(long)]
    pub snapshot: bool,
    /// Put at most so much a second on average, in bursts of a segment: 20MiB/s, 500KiB/s
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub limit: Option<u64>,
    /// Run only in these hours, local time; pause outside them: 19:00-06:00
    #[arg(long, value_name = "HH:MM-HH:MM", value_parser = Between::parse)]
    pub between: Option<Between>,
    /// Let others go first: lowest priority, and pauses of up to a minute while they keep half
    /// of the cores busy or wait for disks
    #[arg(long)]
    pub yield_to_load: bool,
    /// Where digests are remembered [default: ~/.local/state/framewalk/backup]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Print a line for every file: how it was judged, when last hashed whole
    #[arg(long)]
    pub files: bool,
    #[command(flatten)]
    pub hooks: hooks::Args,
}

pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    let (repository, road) = remote::open_by(&args.place, &[Role::Source])?;
    let key = keys::read(&args.place, &repository, "source.key")?;
    let writer = repository.writer(&key)?;
    let canonical = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
    let state = args.state.clone().map_or_else(keys::state_dir, Ok)?;
    let on_wait: Option<fn(&str)> = if globals.quiet { None } else { Some(talk) };
    let pace = Arc::new(Pace::new(args.limit, args.between, args.yield_to_load, on_wait));
    let options = Options {
        state: state.clone(),
        trust_stat: args.trust_stat.iter().map(canonical).collect(),
        full_hash_every: i64::from(args.full_hash_days) * 86_400,
        leave: Leave::new(&args.exclude, args.one_file_system)?,
        snapshot: args.snapshot,
        pace: Arc::clone(&pace),
        ..Options::default()
    };
    if args.yield_to_load {
        step_back();
    }
    // before a hook locks a database for the time of the push
    pace.go_on();
    let (mut few, mut count) = (Vec::new(), 0_usize);
    let every = args.files;
    let as_json = globals.json;
    let mut bad = Vec::new();
    let mut told = |done: &Done<'_>| {
        count += 1;
        bad.extend(not_held(done.file));
        if as_json {
            if every {
                line!("{}", file_json(done.file, Some(done.changed)));
            }
        } else if every {
            line!("{}", file_line(done));
        } else if count <= FEW {
            few.push(file_line(done));
        }
    };
    let mut report = hooks::around(&args.hooks, &args.paths, &state, &args.place.repo, |ready| {
        let hooks::Ready { paths, hooked, stop } = ready;
        let options = Options { paths, hooked, stop, ..options };
        push(&repository, &writer, &options, &mut told).map_err(remote::explained)
    })?;
    if let Some(road) = &road {
        report.stages.through(&road.travel()?);
    }
    if !globals.json && !every && count <= FEW {
        for line in &few {
            line!("{line}");
        }
    }
    print(&report, globals);
    for unread in &report.unread {
        talk(&format!(
            "not backed up: {}: {}",
            safe(&unread.path.display().to_string()),
            unread.why
        ));
    }
    let number = report.manifest.number;
    for bad in &bad {
        talk(&format!("NOT CONSISTENT: {bad}; it is in generation {number} as it is"));
    }
    Ok(match (report.unread.is_empty(), bad.is_empty()) {
        (true, true) => Exit::Done,
        // a hook was to see that it is consistent, and it is not
        (true, false) => Exit::No,
        (false, _) => Exit::Failed,
    })
}

/// Why a database that has a hook is not consistent all the same.
fn not_held(file: &File) -> Option<String> {
    let checked = file.checked.as_ref().filter(|_| file.consistency() == Consistency::Not)?;
    let why = if file.moved { "it changed while its hook held it" } else { checked.as_str() };
    Some(format!("{}: {}", safe(&file.path.display().to_string()), safe(why)))
}

/// `20MiB/s` in bytes a second.
fn rate(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    let (number, unit) = number.split_at(digits);
    let unit: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err("a rate such as 20MiB/s, 500KiB/s, 10MB/s".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "a number in front of the unit".to_owned())?;
    match number.checked_mul(unit) {
        Some(rate) if rate >= 1024 => Ok(rate),
        _ => Err("a rate of at least 1KiB/s".to_owned()),
    }
}

/// Lowest priority for processor and disks, as far as it can be had.
fn step_back() {
    if let Err(e) = replicate::pace::step_back() {
        talk(&e.to_string());
    }
    let id = std::process::id().to_string();
    let mut ionice = std::process::Command::new("ionice");
    let done = ionice.args(["-c", "3", "-p", &id]).output();
    if !done.is_ok_and(|done| done.status.success()) {
        talk("the priority of reads cannot be lowered: no ionice");
    }
}

/// How a file was judged, for people.
pub(super) fn judged(file: &File) -> String {
    let when = file.hashed.map_or_else(|| "in this generation".to_owned(), super::time);
    match file.judged {
        Judged::Hashed => "hashed whole".to_owned(),
        Judged::TrustedStat => format!("trusted stat, last hashed whole {when}"),
        Judged::Metadata => "metadata only".to_owned(),
    }
}

fn file_line(done: &Done<'_>) -> String {
    let Done { file, changed } = done;
    let name = safe(&file.path.display().to_string());
    if file.cut.is_none() {
        return format!("{name}: {}", judged(file));
    }
    let moved = if file.moved { "; CHANGED WHILE IT WAS READ" } else { "" };
    let size = bytes(file.size);
    let hook = match (&file.hook, &file.checked) {
        (Some(_), Some(checked)) => format!("; {}: {checked}", consistency(file.consistency())),
        _ => String::new(),
    };
    format!("{name}: {size} ({}), {}, {changed} changed{hook}{moved}", file.because, judged(file))
}

/// `framewalk.backup-file/1`.
pub(super) fn file_json(file: &File, changed: Option<u64>) -> serde_json::Value {
    let mut line = json!({
        "schema": "framewalk.backup-file/1", "path": file.path.to_string_lossy(),
        "kind": file.kind, "size": file.size, "judged": file.judged, "because": file.because,
        "hashed": file.hashed, "moved": file.moved, "mode": format!("{:04o}", file.mode),
    });
    if file.cut.is_some() {
        line["consistency"] = json!(file.consistency());
    }
    if let Some(hook) = &file.hook {
        (line["hook"], line["checked"]) = (json!(hook), json!(file.checked));
    }
    if let Some(changed) = changed {
        line["changed"] = json!(changed);
    }
    if file.kind == FileKind::Symlink {
        line["target"] = json!(file.target.as_ref().map(|target| target.to_string_lossy()));
    }
    line
}

/// `application-consistent`, `crash-consistent` or `not consistent`.
pub(super) fn consistency(consistency: Consistency) -> &'static str {
    match consistency {
        Consistency::Application => "application-consistent",
        Consistency::Crash => "crash-consistent",
        Consistency::Not => "not consistent",
    }
}

fn print(report: &Report, globals: &Globals) {
    let manifest = &report.manifest;
    let seconds = report.took.as_secs_f64();
    if globals.json {
        let stages: serde_json::Map<_, _> =
            report.stages.seconds().map(|(stage, s)| (stage.to_owned(), json!(s))).collect();
        let waited: serde_json::Map<_, _> =
            report.waited.iter().map(|(why, s)| ((*why).to_owned(), json!(s))).collect();
        line!(
            "{}",
            json!({
                "schema": "framewalk.push/1", "generation": manifest.number,
                "id": manifest.id, "set": hex(&manifest.set), "files": manifest.files,
                "bytes": manifest.bytes, "read": manifest.read, "sent": report.sent,
                "seconds": seconds, "limited_by": report.stages.limiting(), "stages": stages,
                "consistency": manifest.consistency, "because": manifest.because,
                "base": manifest.is_base(), "base_cost": manifest.base_cost,
                "left_out": {
                    "named": report.left_out.named,
                    "mounts": report.left_out.mounts.iter()
                        .map(|(path, why)| json!({"path": path.to_string_lossy(), "why": why}))
                        .collect::<Vec<_>>(),
                },
                "waited": waited, "resumed": report.resumed, "anew": report.anew,
                "unread": report.unread.iter()
                    .map(|u| json!({"path": u.path.to_string_lossy(), "why": u.why}))
                    .collect::<Vec<_>>(),
            })
        );
        return;
    }
    if let Some(why) = &report.anew {
        line!("all was sent anew: {why}");
    }
    if report.resumed > 0 {
        line!("an interrupted push had stored {} already", bytes(report.resumed));
    }
    line!(
        "generation {}: {}, {} read, {} sent in {seconds:.2} s, limited by {}",
        manifest.number,
        counted(manifest.files, "file"),
        bytes(manifest.read),
        bytes(report.sent),
        report.stages.limiting()
    );
    if report.left_out.named > 0 {
        line!("left out, as --exclude says: {}", counted(report.left_out.named, "path"));
    }
    for (path, why) in &report.left_out.mounts {
        line!("left out: {}: {why}", safe(&path.display().to_string()));
    }
    for (why, s) in report.waited.iter().filter(|(_, s)| *s >= 0.01) {
        line!("waited {s:.2} s for its {why}");
    }
    line!("{}: {}", consistency(manifest.consistency), manifest.because);
}
