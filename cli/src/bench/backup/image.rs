//! An image pushed whole, unchanged, after changes, verified and restored, and a file that shifts;
//! beside the tools that people use.

use std::path::Path;
use std::time::Instant;

use anyhow::ensure;

use super::board::{Board, Sample};
use super::tools::{Step, Took, Tool};
use super::{Args, Part, Place, data};

/// The file is an eighth of the image, but not more: larger ones are cut in pages.
const FILE_MAX: u64 = 512 << 20;

/// Measures the image and the file, as far as they are wanted.
pub(super) fn measure(args: &Args, place: &Place, board: &mut Board<'_>) -> anyhow::Result<()> {
    let image = place.image(args, board)?;
    let file = place.path("files.tar");
    data::image(&file, (image.metadata()?.len() / 8).min(FILE_MAX))?;
    for nth in 0..args.timing.runs {
        board.run(nth, args.timing.runs);
        if args.wants(Part::Image) {
            let mut tools = Tool::all(&place.path(""), args.peers);
            round(&image, &mut tools, nth, board)?;
        }
        if args.wants(Part::File) {
            let mut tools = Tool::all(&place.path(""), args.peers);
            one_file(&file, &mut tools, board)?;
        }
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
    for tool in &*tools {
        tool.init()?;
    }
    data::warm(image)?;
    let name = "floor: read and BLAKE3 over all cores";
    board.now(name)?;
    let floor = hashed(image)?;
    note(board, name, floor)?;
    steps("full", Step::Push, image, tools, board, None)?;
    steps("nothing changed", Step::Push, image, tools, board, Some(floor))?;
    for (name, parts, seed) in [("0.01 % changed", 10_000, 1), ("1 % changed", 100, 2)] {
        data::change(image, (pages / parts).max(1), round * 10 + seed)?;
        data::warm(image)?;
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

/// A file that is no image: cut by content, so that what moves is found again.
fn one_file(file: &Path, tools: &mut [Tool], board: &mut Board<'_>) -> anyhow::Result<()> {
    for tool in &*tools {
        tool.init()?;
    }
    let name = format!("{} MiB file", file.metadata()?.len() >> 20);
    data::warm(file)?;
    steps(&format!("{name}, full"), Step::Push, file, tools, board, None)?;
    data::shift(file)?;
    data::warm(file)?;
    steps(&format!("{name}, 137 bytes put in"), Step::Push, file, tools, board, None)?;
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
