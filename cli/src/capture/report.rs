//! What a capture says at its beginning and at its end.

use std::io::Write;

use capture::write::Recorder;
use serde_json::json;

use super::Args;
use super::live::Outcome;
use super::stop::Ended;
use crate::cli::Globals;
use crate::exit::Exit;
use crate::term::{Paint, bits_per_second, bytes, duration, grouped, shell_word};
use crate::walk::talk;

/// The first lines, before the first frame.
pub(super) fn announce(
    args: &Args,
    recorder: &Recorder,
    dropped_to: Option<u32>,
    way: &str,
    workers: usize,
) {
    let what = match (args.headers, &args.anonymize) {
        (true, None) => "headers of frames",
        (false, None) => "whole frames",
        (_, Some(_)) => "frames with other addresses and without contents",
    };
    let data = match &args.anonymize {
        None => "that is patient data",
        Some(_) => "that may still tell who was there and when",
    };
    let kind =
        if args.file_size.is_some() || args.file_time.is_some() { "a ring" } else { "one file" };
    talk(&format!(
        "{} holds {what}: on a practice's network {data}. Mode 0600, {kind} of at most {}, kept \
         for {} at most.",
        recorder.path().display(),
        bytes(args.budget),
        duration(args.keep.as_nanos() as u64),
    ));
    let user = match dropped_to {
        Some(0) => "; root's powers given up".to_owned(),
        Some(uid) => format!("; root given up, now user {uid}"),
        None => String::new(),
    };
    let shared = match workers {
        0 | 1 => String::new(),
        n => format!(", {n} workers"),
    };
    talk(&format!("listening on {} by {way}{shared}{user}; Ctrl-C ends it", args.interface));
}

/// The result, as JSON or for people.
pub(super) fn print(outcome: &Outcome, args: &Args, globals: &Globals) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if globals.json {
        writeln!(out, "{}", json(outcome, args))?;
    } else if !globals.quiet {
        write!(out, "{}", text(outcome, args, Paint::for_stdout(globals.color)))?;
    }
    out.flush()?;
    Ok(())
}

fn json(o: &Outcome, args: &Args) -> serde_json::Value {
    json!({
        "schema": "framewalk.capture/1",
        "interface": args.interface,
        "file": args.write.display().to_string(),
        "seen": o.seen(),
        "written": o.recorded.written,
        "filtered": o.counts_refused.then(|| o.filtered()),
        "untriggered": o.untriggered,
        "dropped": {
            "kernel": o.rx.dropped,
            "interface": o.interface_dropped(),
            "ring": 0,
            "disk": o.recorded.lost,
        },
        "balanced": o.balances(),
        "ended": o.ended.words(),
        "seconds": o.seconds,
        "files": o.recorded.files,
        "files_deleted": o.recorded.deleted,
        "file_bytes": o.recorded.bytes,
        "caplen_bytes": o.caplen_bytes,
        "origlen_bytes": o.origlen_bytes,
        "ring_full": o.rx.ring_full,
        "vlan_tags_restored": o.rx.tags_restored,
        "vlan_tags_lost": o.rx.tags_lost,
        "method": args.method.name(),
        "workers": o.workers,
        "trigger": o.trigger.map(|(fired, short_ns)| json!({
            "fired": fired,
            "shortest_before_seconds": short_ns.map(|ns| ns as f64 / 1e9),
        })),
        "copies": o.copies,
        "interface_counters": {
            "rx_packets": o.interface.rx_packets,
            "tx_packets": o.interface.tx_packets,
            "rx_dropped": o.interface.rx_dropped,
            "rx_missed": o.interface.rx_missed,
            "rx_errors": o.interface.rx_errors,
        },
    })
}

fn text(o: &Outcome, args: &Args, paint: Paint) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    let rate = |what: u64| what as f64 / o.seconds.max(1e-9);
    // writing into a string cannot fail
    let _ = writeln!(
        out,
        "{} in {} on {} by {}: {}",
        paint.head("capture"),
        duration((o.seconds * 1e9) as u64),
        args.interface,
        o.way,
        o.ended.words()
    );
    let dropped = [
        ("interface", o.interface_dropped(), crate::term::INTERFACE_DROPS),
        ("kernel", o.rx.dropped, "no room in the receive ring; try a larger --ring"),
        ("disk", o.recorded.lost, "the disk was full or failed"),
    ];
    let _ = writeln!(out, "  seen      {:>14}   {:.0} a second", grouped(o.seen()), rate(o.seen()));
    let _ = writeln!(
        out,
        "  written   {:>14}   {} in {} file{}, {}",
        grouped(o.recorded.written),
        bytes(o.recorded.bytes),
        o.recorded.files,
        if o.recorded.files == 1 { "" } else { "s" },
        bits_per_second(8.0 * rate(o.origlen_bytes)),
    );
    if o.counts_refused {
        let _ = writeln!(out, "  filtered  {:>14}", grouped(o.filtered()));
    } else {
        let _ = writeln!(out, "  filtered  {:>14}   libpcap does not count them", "-");
    }
    if let Some((fired, short_ns)) = o.trigger {
        let _ = writeln!(
            out,
            "  trigger   {:>14}   {} frames passed by without it",
            if fired == 1 { "once".to_owned() } else { format!("{} times", grouped(fired)) },
            grouped(o.untriggered)
        );
        if let Some(ns) = short_ns {
            let held = duration(ns.unsigned_abs());
            let why = format!("the memory held {held} only; try a larger --before-memory");
            let _ = writeln!(out, "    {}", paint.bad(&why));
        }
    }
    let total: u64 = dropped.iter().map(|(_, count, _)| count).sum();
    let _ = writeln!(out, "  dropped   {:>14}", grouped(total));
    for (place, count, why) in dropped.into_iter().filter(|(_, count, _)| *count > 0) {
        let line = format!("{place:<9} {:>12}", grouped(count));
        let _ = writeln!(out, "    {}   {}", paint.bad(&line), paint.dim(why));
    }
    let _ = writeln!(
        out,
        "  the interface itself counted {} in and {} out in that time",
        grouped(o.interface.rx_packets),
        grouped(o.interface.tx_packets)
    );
    let file = shell_word(&args.write.display().to_string());
    if o.recorded.written > 0 && args.file_size.is_none() && args.file_time.is_none() {
        let _ = writeln!(out, "next: framewalk inspect {file}");
    }
    out
}

/// Our own fault first, then what failed, then the question asked.
pub(super) fn exit(outcome: &Outcome, args: &Args) -> Exit {
    if !outcome.balances() {
        talk(&format!(
            "framewalk: the counts do not add up: seen {} is not written {} + filtered {} + \
             dropped {} + {} + {}; this is a fault of framewalk, please report it",
            outcome.seen(),
            outcome.recorded.written,
            outcome.rx.filtered,
            outcome.interface_dropped(),
            outcome.rx.dropped,
            outcome.recorded.lost
        ));
        return Exit::OurFault;
    }
    if let Some(error) = &outcome.error {
        talk(&format!("framewalk: {}", crate::exit::chain_text(error)));
        return Exit::Failed;
    }
    if outcome.ended == Ended::InterfaceGone {
        return Exit::Failed;
    }
    let dropped = outcome.rx.dropped + outcome.interface_dropped() + outcome.recorded.lost;
    if args.fail_on_drop && dropped > 0 { Exit::No } else { Exit::Done }
}
