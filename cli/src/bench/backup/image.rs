//! An image pushed whole, unchanged, after changes, verified and restored, and a file that shifts;
//! beside the tools that people use.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use benches::{Row, Spread};

use super::tools::{Step, Took, Tool};
use super::{Args, Part, data};

/// The file is an eighth of the image, but not more: larger ones are cut in pages.
const FILE_MAX: u64 = 512 << 20;

/// A row being measured, run by run.
#[derive(Default)]
struct Figures {
    case: String,
    peer: Option<String>,
    seconds: Vec<f64>,
    cpu: Vec<f64>,
    rss_kib: u64,
    sent: Vec<f64>,
    limited_by: Vec<String>,
    floor: Option<f64>,
}

/// Rows of the image and of the file, as far as they are wanted.
pub(super) fn rows(args: &Args, quiet: bool) -> anyhow::Result<Vec<Row>> {
    let place = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::Builder::new().prefix("framewalk-bench-").tempdir_in(&place)?;
    let image = folder.path().join("disk.img");
    match &args.image {
        Some(given) => {
            std::fs::copy(given, &image).with_context(|| given.display().to_string())?;
        }
        None => data::image(&image, args.mib << 20)?,
    }
    let file = folder.path().join("files.tar");
    data::image(&file, (image.metadata()?.len() / 8).min(FILE_MAX))?;
    let mut rows = Vec::new();
    for nth in 0..args.timing.runs {
        if !quiet {
            crate::walk::talk(&format!("run {} of {}", nth + 1, args.timing.runs));
        }
        if args.wants(Part::Image) {
            let mut tools = Tool::all(folder.path(), args.peers);
            round(&image, &mut tools, nth, &mut rows)?;
        }
        if args.wants(Part::File) {
            let mut tools = Tool::all(folder.path(), args.peers);
            one_file(&file, &mut tools, &mut rows)?;
        }
    }
    Ok(rows.iter().map(Figures::row).collect())
}

/// Every tool through every step, one tool after the other in each: a slow moment of the machine
/// hits all alike.
fn round(
    image: &Path,
    tools: &mut [Tool],
    round: u64,
    rows: &mut Vec<Figures>,
) -> anyhow::Result<()> {
    let pages = image.metadata()?.len() >> 14;
    for tool in &*tools {
        tool.init()?;
    }
    data::warm(image)?;
    let floor = hashed(image)?;
    note(rows, "floor: read and BLAKE3 over all cores", None, floor);
    steps("full", Step::Push, image, tools, rows, None)?;
    steps("nothing changed", Step::Push, image, tools, rows, Some(floor))?;
    for (name, parts, seed) in [("0.01 % changed", 10_000, 1), ("1 % changed", 100, 2)] {
        data::change(image, (pages / parts).max(1), round * 10 + seed)?;
        data::warm(image)?;
        steps(name, Step::Push, image, tools, rows, Some(floor))?;
    }
    steps("verify", Step::Verify, image, tools, rows, None)?;
    let floor = data::written(&image.with_extension("floor"), data::allocated(image)?)?;
    note(rows, "floor: the image's bytes written and synced", None, floor);
    steps("restore", Step::Restore, image, tools, rows, Some(floor))?;
    tools.iter().try_for_each(|tool| tool.clear(true))
}

/// A file that is no image: cut by content, so that what moves is found again.
fn one_file(file: &Path, tools: &mut [Tool], rows: &mut Vec<Figures>) -> anyhow::Result<()> {
    for tool in &*tools {
        tool.init()?;
    }
    let name = format!("{} MiB file", file.metadata()?.len() >> 20);
    data::warm(file)?;
    steps(&format!("{name}, full"), Step::Push, file, tools, rows, None)?;
    data::shift(file)?;
    data::warm(file)?;
    steps(&format!("{name}, 137 bytes put in"), Step::Push, file, tools, rows, None)?;
    tools.iter().try_for_each(|tool| tool.clear(true))
}

fn steps(
    name: &str,
    step: Step,
    image: &Path,
    tools: &mut [Tool],
    rows: &mut Vec<Figures>,
    floor: Option<f64>,
) -> anyhow::Result<()> {
    for tool in tools {
        let Some(took) = tool.step(step, image)? else { continue };
        let case = format!("{name}{}", tool.suffix);
        add(rows, &case, tool.peer.as_ref(), took, floor);
        if step == Step::Restore {
            let restored = tool.restored(image);
            let who = tool.peer.as_deref().unwrap_or("framewalk");
            ensure!(data::same(image, &restored)?, "{who} restored other bytes");
            tool.clear(false)?;
        }
    }
    Ok(())
}

fn find<'a>(rows: &'a mut Vec<Figures>, case: &str, peer: Option<&String>) -> &'a mut Figures {
    let at = rows.iter().position(|row| row.case == case && row.peer.as_ref() == peer);
    let at = at.unwrap_or_else(|| {
        rows.push(Figures { case: case.to_owned(), peer: peer.cloned(), ..Figures::default() });
        rows.len() - 1
    });
    &mut rows[at]
}

fn note(rows: &mut Vec<Figures>, case: &str, peer: Option<&String>, seconds: f64) {
    find(rows, case, peer).seconds.push(seconds);
}

fn add(rows: &mut Vec<Figures>, case: &str, peer: Option<&String>, took: Took, floor: Option<f64>) {
    let row = find(rows, case, peer);
    row.seconds.push(took.ran.seconds);
    row.cpu.push(took.ran.cpu);
    row.rss_kib = row.rss_kib.max(took.ran.rss_kib);
    row.sent.extend(took.sent.map(|sent| sent as f64));
    row.limited_by.extend(took.limited_by);
    row.floor = floor;
}

impl Figures {
    fn row(&self) -> Row {
        let mut extra = Vec::new();
        if !self.cpu.is_empty() {
            extra.push(("cpu_seconds", format!("{:.2}", Spread::new(self.cpu.clone()).median())));
            extra.push(("rss_max_mib", format!("{:.1}", self.rss_kib as f64 / 1024.0)));
        }
        if !self.sent.is_empty() {
            let sent = Spread::new(self.sent.clone()).median();
            extra.push(("sent_bytes", format!("{sent:.0}")));
        }
        if !self.limited_by.is_empty() {
            extra.push(("limited_by", self.limited_by.join(" ")));
        }
        Row {
            bench: "backup",
            case: self.case.clone(),
            metric: "s",
            figures: Spread::new(self.seconds.clone()),
            floor: self.floor,
            peer: self.peer.clone(),
            extra,
        }
    }
}

/// Seconds to read the image and hash it in parts of 1 MiB on all cores: no scan is faster.
fn hashed(image: &Path) -> anyhow::Result<f64> {
    use std::os::unix::fs::FileExt as _;
    use std::sync::atomic::{AtomicU64, Ordering};
    const PART: u64 = 1 << 20;
    let file = std::fs::File::open(image)?;
    let (size, next) = (file.metadata()?.len(), AtomicU64::new(0));
    let begin = Instant::now();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let work = || -> std::io::Result<()> {
            let mut bytes = vec![0; PART as usize];
            loop {
                let at = next.fetch_add(PART, Ordering::Relaxed);
                if at >= size {
                    return Ok(());
                }
                let part = &mut bytes[..(size - at).min(PART) as usize];
                file.read_exact_at(part, at)?;
                std::hint::black_box(blake3::hash(part));
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().map_err(|_| anyhow::anyhow!("hashing panicked"))??;
        }
        Ok(())
    })?;
    Ok(begin.elapsed().as_secs_f64())
}
