//! Whole processes, from exec to exit: ours and the peers that are installed, in turn.

use anyhow::Context as _;
use benches::{Row, Spread};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A command line to time.
pub(super) struct Case {
    bench: &'static str,
    name: String,
    peer: Option<String>,
    command: Vec<String>,
    /// Frames it goes through, 0 for a case that is about time and not rate.
    frames: u64,
    millions: Vec<f64>,
    milliseconds: Vec<f64>,
    rss_max_kib: u64,
}

impl Case {
    /// As a case of another bench.
    pub(super) fn of(self, bench: &'static str) -> Self {
        Self { bench, ..self }
    }

    /// A command to time, which goes through `frames`.
    pub(super) fn new(name: &str, frames: u64, peer: Option<String>, command: &[&str]) -> Self {
        Self {
            bench: "inspect",
            name: name.to_owned(),
            peer,
            command: command.iter().map(|s| (*s).to_owned()).collect(),
            frames,
            millions: Vec::new(),
            milliseconds: Vec::new(),
            rss_max_kib: 0,
        }
    }
}

/// Ours and the peers', on a capture of `frames`.
pub(super) fn rows(file: &Path, frames: u64, runs: usize) -> anyhow::Result<Vec<Row>> {
    measure(cases(file, frames)?, runs)
}

/// Times every case `runs` times, one case after the other in each round, so that a slow moment
/// of the machine hits all alike.
pub(super) fn measure(mut cases: Vec<Case>, runs: usize) -> anyhow::Result<Vec<Row>> {
    for round in 0..=runs {
        for case in &mut cases {
            let (seconds, rss_kib) = time(&case.command)?;
            // the first round only warms the page cache
            if round > 0 {
                case.millions.push(case.frames as f64 / seconds / 1e6);
                case.milliseconds.push(seconds * 1e3);
            }
            case.rss_max_kib = case.rss_max_kib.max(rss_kib);
        }
    }
    Ok(cases.into_iter().map(row).collect())
}

fn row(case: Case) -> Row {
    let rate = case.frames > 0;
    Row {
        bench: case.bench,
        case: case.name,
        metric: if rate { "mpps" } else { "ms" },
        figures: Spread::new(if rate { case.millions } else { case.milliseconds }),
        floor: None,
        peer: case.peer,
        extra: vec![
            ("frames", case.frames.to_string()),
            ("rss_max_mib", format!("{:.1}", case.rss_max_kib as f64 / 1024.0)),
            ("command", shown(&case.command)),
        ],
    }
}

/// The command as a user would type it, without the folder of the program.
fn shown(command: &[String]) -> String {
    let program = command.first().map(Path::new).and_then(Path::file_name);
    let program = program.map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
    let rest = command.iter().skip(1).map(|arg| match Path::new(arg).file_name() {
        Some(name) if Path::new(arg).is_absolute() => name.to_string_lossy().into_owned(),
        _ => arg.clone(),
    });
    std::iter::once(program).chain(rest).collect::<Vec<_>>().join(" ")
}

/// This program's file.
pub(super) fn me() -> anyhow::Result<String> {
    let me = std::env::current_exe().context("cannot find my own program file")?;
    Ok(me.to_string_lossy().into_owned())
}

fn cases(file: &Path, frames: u64) -> anyhow::Result<Vec<Case>> {
    let me = me()?;
    let file = std::path::absolute(file)?.to_string_lossy().into_owned();
    let case = Case::new;
    let mut cases = vec![
        case("summary", frames, None, &[&me, "inspect", &file, "--summary", "-q"]),
        case("json", frames, None, &[&me, "inspect", &file, "--json", "-q"]),
        case("first frame", 0, None, &[&me, "inspect", &file, "--frame", "1", "-q"]),
    ];
    if let Some(v) = version("tcpdump", "--version", "tcpdump version ") {
        let peer = Some(format!("tcpdump {v}"));
        let command = ["tcpdump", "-n", "-r", &file, "-w", "/dev/null"];
        cases.push(case("read and write again", frames, peer, &command));
    }
    if let Some(v) = version("capinfos", "--version", "Capinfos (Wireshark) ") {
        let peer = Some(format!("capinfos {v}"));
        cases.push(case("count frames", frames, peer, &["capinfos", "-c", &file]));
    }
    if let Some(v) = version("tshark", "--version", "TShark (Wireshark) ") {
        // tshark takes seconds per hundred thousand frames: a part shows its rate as well
        let part = frames.min(100_000);
        let count = part.to_string();
        let phs = ["tshark", "-n", "-r", &file, "-c", &count, "-q", "-z", "io,phs"];
        cases.push(case("summary", part, Some(format!("tshark {v}")), &phs));
        let fields = [
            "tshark",
            "-n",
            "-r",
            &file,
            "-c",
            &count,
            "-T",
            "fields",
            "-e",
            "frame.number",
            "-e",
            "eth.src",
            "-e",
            "eth.dst",
            "-e",
            "ip.src",
            "-e",
            "ip.dst",
            "-e",
            "tcp.srcport",
        ];
        cases.push(case("json", part, Some(format!("tshark {v}, -T fields")), &fields));
        let first = ["tshark", "-n", "-r", &file, "-c", "1"];
        cases.push(case("first frame", 0, Some(format!("tshark {v}")), &first));
    }
    Ok(cases)
}

/// What follows `prefix` on the first line that `program flag` prints; `None` if it is not there.
pub(super) fn version(program: &str, flag: &str, prefix: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).stdin(Stdio::null()).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|l| l.contains(prefix))?;
    let rest = line.split_once(prefix)?.1;
    let version: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    Some(version.trim_end_matches('.').to_owned())
}

/// What a process took from exec to exit.
pub(super) struct Ran {
    pub(super) seconds: f64,
    /// Processor time of it and its children, to a hundredth of a second.
    pub(super) cpu: f64,
    /// The most memory it held as the kernel counts it (`VmHWM`, read every five milliseconds; 0
    /// where there is no /proc).
    pub(super) rss_kib: u64,
    /// What it printed.
    pub(super) stdout: String,
}

/// Runs a command with its output thrown away: seconds, and the most memory it held.
fn time(command: &[String]) -> anyhow::Result<(f64, u64)> {
    let (program, args) = command.split_first().context("an empty command")?;
    let mut whole = Command::new(program);
    whole.args(args).stdout(Stdio::null());
    let ran = run(&mut whole).with_context(|| shown(command))?;
    Ok((ran.seconds, ran.rss_kib))
}

/// Runs a command that prints less than a pipe holds; its failure is an error.
pub(super) fn run(command: &mut Command) -> anyhow::Result<Ran> {
    let (before, start) = (children_cpu(), Instant::now());
    let mut child = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let (status, seconds, rss_kib) = watched(&mut child, start)?;
    anyhow::ensure!(status.success(), "{} failed: {status}", command.get_program().display());
    let mut stdout = String::new();
    if let Some(mut pipe) = child.stdout.take() {
        std::io::Read::read_to_string(&mut pipe, &mut stdout)?;
    }
    Ok(Ran { seconds, cpu: children_cpu() - before, rss_kib, stdout })
}

/// Seconds of processor time of all children that have ended.
fn children_cpu() -> f64 {
    cpu(13)
}

/// Seconds of processor time of this process.
pub(super) fn own_cpu() -> f64 {
    cpu(11)
}

/// Two fields of /proc/self/stat (proc(5): `utime` and `stime`, `cutime` and `cstime`), so many
/// behind the name; in the kernel's fixed unit of a hundredth of a second.
fn cpu(skip: usize) -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = rest.split_whitespace().skip(skip).take(2).filter_map(|n| n.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn watched(
    child: &mut Child,
    start: Instant,
) -> anyhow::Result<(std::process::ExitStatus, f64, u64)> {
    let path = format!("/proc/{}/status", child.id());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = high_water_kib(&path).unwrap_or(0).max(most);
                std::thread::sleep(Duration::from_millis(5));
            }
            most
        });
        let status = child.wait();
        let seconds = start.elapsed().as_secs_f64();
        over.store(true, Ordering::Relaxed);
        let most = watcher.join().unwrap_or(0);
        Ok((status?, seconds, most))
    })
}

fn high_water_kib(path: &str) -> Option<u64> {
    let status = std::fs::read_to_string(path).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_timed_and_its_failure_is_told() {
        let ok = time(&["true".to_owned()]).unwrap();
        assert!(ok.0 > 0.0);
        assert!(time(&["false".to_owned()]).is_err());
        assert!(time(&["no-such-program-here".to_owned()]).is_err());
    }

    #[test]
    fn commands_are_shown_without_their_folders() {
        let command = ["/a/b/framewalk", "inspect", "/c/d/e.pcap"].map(str::to_owned);
        assert_eq!(shown(&command), "framewalk inspect e.pcap");
    }
}
