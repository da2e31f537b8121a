//! An image pushed whole, unchanged, after changes, verified and restored, a file that shifts and a
//! database that is written to; beside the tools that people use.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};

use super::board::{Board, Sample};
use super::firebird::{self, Writer};
use super::tools::{Step, Took, Tool};
use super::{Args, Place, data};

/// The file is an eighth of the image, but not more: larger ones are cut in pages.
const FILE_MAX: u64 = 512 << 20;
/// Between two pushes of the database: an insert and ten updates each.
const TRANSACTIONS: u32 = 200;

/// Measures the image.
pub(super) fn image(args: &Args, place: &Place, board: &mut Board<'_>) -> anyhow::Result<()> {
    let image = place.image(args, board)?;
    for nth in 0..args.timing.runs {
        board.run(nth, args.timing.runs);
        round(&image, &mut Tool::all(&place.path(""), args.peers), nth, board)?;
    }
    Ok(())
}

/// Measures a file that is no image: cut by content, so that what moves is found again.
pub(super) fn file(args: &Args, place: &Place, board: &mut Board<'_>) -> anyhow::Result<()> {
    let file = place.path("files.tar");
    let bytes = match &args.image {
        Some(image) => image.metadata().with_context(|| image.display().to_string())?.len(),
        None => args.mib << 20,
    };
    board.now("making the file")?;
    data::image(&file, (bytes / 8).min(FILE_MAX))?;
    changed_once(args, place, &file, ["file", "137 bytes put in"], board, || data::shift(&file))
}

/// Measures a database whose transactions change pages here and there.
pub(super) fn database(args: &Args, place: &Place, board: &mut Board<'_>) -> anyhow::Result<()> {
    let base = place.path("practice.fdb");
    board.now("making the database")?;
    let engine = firebird::engine(&place.path(""))?;
    firebird::fill(&base, &engine)?;
    let what = format!("{TRANSACTIONS} transactions");
    let mut writer = Writer::new(&base, &engine)?;
    // each is answered when it is committed, and Firebird's pages are then in the file
    let write = || (0..TRANSACTIONS).try_for_each(|_| writer.commit());
    changed_once(args, place, &base, ["Firebird database", &what], board, write)
}

/// What every tool makes of a file that is pushed, changed, and pushed again.
fn changed_once(
    args: &Args,
    place: &Place,
    file: &Path,
    [kind, changed]: [&str; 2],
    board: &mut Board<'_>,
    mut change: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let name = format!("{} MiB {kind}", file.metadata()?.len() >> 20);
    for nth in 0..args.timing.runs {
        board.run(nth, args.timing.runs);
        let mut tools = Tool::all(&place.path(""), args.peers);
        tools.iter().try_for_each(Tool::init)?;
        steps(&format!("{name}, full"), Step::Push, file, &mut tools, board, None)?;
        change()?;
        steps(&format!("{name}, {changed}"), Step::Push, file, &mut tools, board, None)?;
        tools.iter().try_for_each(|tool| tool.clear(true))?;
    }
    Ok(())
}

/// Every tool through every step, one tool after the other in each: a slow moment of the machine
/// hits all alike.
fn round(
    image: &Path,
    tools: &mut [Tool],
    round: u64,
    board: &mut Board<'_>,
) -> anyhow::Result<()> {
    let pages = image.metadata()?.len() >> 14;
    tools.iter().try_for_each(Tool::init)?;
    data::settle(image)?;
    let name = "floor: read and BLAKE3 over all cores";
    board.now(name)?;
    let floor = hashed(image)?;
    note(board, name, floor)?;
    steps("full", Step::Push, image, tools, board, None)?;
    steps("nothing changed", Step::Push, image, tools, board, Some(floor))?;
    for (name, parts, seed) in [("0.01 % changed", 10_000, 1), ("1 % changed", 100, 2)] {
        data::change(image, (pages / parts).max(1), round * 10 + seed)?;
        steps(name, Step::Push, image, tools, board, Some(floor))?;
    }
    steps("verify", Step::Verify, image, tools, board, None)?;
    let name = "floor: the image's bytes written and synced";
    board.now(name)?;
    let floor = data::written(&image.with_extension("floor"), data::allocated(image)?)?;
    note(board, name, floor)?;
    steps("restore", Step::Restore, image, tools, board, Some(floor))?;
    tools.iter().try_for_each(|tool| tool.clear(true))
}

fn steps(
    name: &str,
    step: Step,
    image: &Path,
    tools: &mut [Tool],
    board: &mut Board<'_>,
    floor: Option<f64>,
) -> anyhow::Result<()> {
    for tool in tools {
        let case = format!("{name}{}", tool.suffix);
        let who = tool.peer.clone().unwrap_or_else(|| "framewalk".to_owned());
        board.now(&format!("{case} [{who}]"))?;
        data::settle(image)?;
        let Some(took) = tool.step(step, image)? else { continue };
        if step == Step::Restore {
            let restored = tool.restored(image);
            ensure!(data::same(image, &restored)?, "{who} restored other bytes");
            tool.clear(false)?;
        }
        board.add(sample(case, tool, took, floor))?;
    }
    Ok(())
}

/// A floor's row.
fn note(board: &mut Board<'_>, case: &str, seconds: f64) -> anyhow::Result<()> {
    let case = case.to_owned();
    board.add(Sample { case, metric: "s", figure: seconds, ..Sample::default() })
}

fn sample(case: String, tool: &Tool, took: Took, floor: Option<f64>) -> Sample {
    Sample {
        case,
        peer: tool.peer.clone(),
        metric: "s",
        figure: took.ran.seconds,
        floor,
        cpu: Some(took.ran.cpu),
        rss_kib: took.ran.rss_kib,
        sent: took.sent,
        limited_by: took.limited_by,
        ..Sample::default()
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
