//! The one page that `framewalk inspect FILE` prints.

use std::fmt::Write as _;
use std::io::{self, Write};

use capture::Reader;

use super::select::Selector;
use super::summary::{Summary, run_on};
use super::{Args, file};
use crate::exit::{Exit, chain_text};
use crate::term::{
    Paint, Progress, bytes, commands, counted, grouped, percent, safe, shell_word, width,
};

/// Reads the file, prints the page; a damage is named on it and is the run's error.
pub(super) fn run(
    reader: &mut Reader,
    selector: &mut Selector,
    args: &Args,
    paint: Paint,
    mut progress: Progress,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let (summary, error) = run_on(reader, selector, |at| progress.at(at));
    progress.clear();
    let mut text = Vec::new();
    file::write_facts(&mut text, reader, args.interface.is_some(), paint)?;
    overview(&mut text, reader, &summary, args, paint)?;
    if let Some(error) = &error {
        file::fact(&mut text, paint, "damage", &chain_text(error))?;
    }
    if let Some(first) = &summary.first {
        writeln!(text)?;
        first.write(&mut text, args.hex, paint)?;
    }
    next_steps(&mut text, &summary, args, paint)?;
    out.write_all(&text)?;
    out.flush()?;
    error.map_or(Ok(Exit::Done), Err)
}

fn overview(
    out: &mut Vec<u8>,
    reader: &Reader,
    summary: &Summary,
    args: &Args,
    paint: Paint,
) -> io::Result<()> {
    let all = summary.all;
    let mut frames = format!("{}, {}", grouped(all.frames), bytes(all.bytes));
    if args.filter.is_some() && args.interface.is_some() {
        frames.push_str("; those that match the filter");
    } else if args.filter.is_some() {
        let of = grouped(reader.statistics().frames);
        frames = format!("{frames}; those of {of} that match the filter");
    }
    if summary.cut > 0 {
        _ = write!(frames, "; of {} only the beginning was captured", grouped(summary.cut));
    }
    file::fact(out, paint, "frames", &frames)?;
    if let Some((first, last)) = summary.wire.span {
        file::fact(out, paint, "time", &file::span(first, last))?;
    }
    let mostly = mostly(summary);
    if !mostly.is_empty() {
        file::fact(out, paint, "mostly", &mostly)?;
    }
    if summary.malformed > 0 {
        let text =
            format!("{} contradicting their own lengths", counted(summary.malformed, "frame"));
        file::fact(out, paint, "malformed", &text)?;
    }
    if all.frames == 0 {
        file::fact(out, paint, "", "no frames: there is nothing to show")?;
    }
    Ok(())
}

/// The protocols that frames most often end with: `tcp 81.0 %, arp 3.2 %`.
fn mostly(summary: &Summary) -> String {
    let rows = summary.tree.rows();
    let mut ends: Vec<(&str, u64)> = Vec::new();
    for (i, row) in rows.iter().enumerate().filter(|(_, row)| !row.by_port) {
        let below = rows[i + 1..].iter().take_while(|other| other.depth > row.depth);
        let children = below.filter(|other| other.depth == row.depth + 1 && !other.by_port);
        let deeper: u64 = children.map(|child| child.counts.frames).sum();
        let frames = row.counts.frames - deeper;
        match ends.iter_mut().find(|(kind, _)| *kind == row.kind) {
            Some((_, sum)) => *sum += frames,
            None => ends.push((row.kind, frames)),
        }
    }
    ends.retain(|(_, frames)| *frames > 0);
    ends.sort_by_key(|&(kind, frames)| (std::cmp::Reverse(frames), kind));
    let share =
        |(kind, frames): &(&str, u64)| format!("{kind} {}", percent(*frames, summary.all.frames));
    ends.iter().take(4).map(share).collect::<Vec<_>>().join(", ")
}

fn next_steps(out: &mut Vec<u8>, summary: &Summary, args: &Args, paint: Paint) -> io::Result<()> {
    if summary.all.frames == 0 {
        return Ok(());
    }
    if let Some(interface) = &args.interface {
        return next_live(out, interface, paint);
    }
    let Some(file) = args.file.as_ref().filter(|file| file.as_os_str() != "-") else {
        return Ok(());
    };
    let file = shell_word(&safe(&file.to_string_lossy()));
    let (another, why) =
        if summary.all.frames > 1 { (2, "every byte of another") } else { (1, "every byte of it") };
    let steps = [
        (format!("framewalk inspect {file} --all"), "a line per frame"),
        (format!("framewalk inspect {file} --frame {another} --hex"), why),
        (format!("framewalk inspect {file} --summary"), "who talks with whom"),
        (format!("framewalk walk {file}"), "through the switch"),
    ];
    writeln!(out, "\n{}", paint.head("Next"))?;
    out.write_all(commands(&steps, paint, width()).as_bytes())
}

fn next_live(out: &mut Vec<u8>, interface: &str, paint: Paint) -> io::Result<()> {
    let name = shell_word(&safe(interface));
    let steps = [
        (format!("framewalk inspect -i {name} --all"), "a line per frame, as they come"),
        (format!("framewalk inspect -i {name} --summary"), "who talks with whom"),
        (format!("framewalk walk -i {name}"), "through the switch"),
        (format!("framewalk capture -i {name} -w FILE"), "keep them"),
    ];
    writeln!(out, "\n{}", paint.head("Next"))?;
    out.write_all(commands(&steps, paint, width()).as_bytes())
}
