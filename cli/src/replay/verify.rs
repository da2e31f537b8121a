//! `--verify IFACE`: the far end, listened to, and the words for what was found.

use std::fmt::{self, Write};
use std::time::Duration;

use anyhow::bail;
use replay::run::Watch;
use replay::verify::mark::Seed;
use replay::verify::{Config, FrameName, Log, Verdict, Verified, Verifier};
use serde::Serialize;

use super::Args;
use super::place::Place;
use super::port::Ports;
use crate::term::{Paint, Role, counted};

/// A verification, from the request to the result.
#[derive(Debug)]
pub(super) struct Check {
    interface: String,
    config: Config,
    open: Option<(Verifier, Log)>,
}

impl Check {
    /// The one asked for.
    pub(super) fn of(args: &Args, ports: &Ports) -> anyhow::Result<Option<Self>> {
        let Some(interface) = &args.verify else { return Ok(None) };
        if ports.links.len() > 1 {
            bail!("--verify listens to one far end: send by one interface with it");
        }
        if ports.links.iter().any(|link| link.name == *interface && link.name != "lo") {
            bail!("--verify {interface}: that is where frames are sent by, not where they arrive");
        }
        let wait = Duration::from_nanos(args.verify_wait.as_billionths());
        let config = Config { seed: Seed::random(), wait, sender_core: None };
        Ok(Some(Self { interface: interface.clone(), config, open: None }))
    }

    /// With which frames are to be marked.
    pub(super) fn seed(&self) -> Seed {
        self.config.seed
    }

    /// Listens from here on.
    pub(super) fn listen(&mut self, sender: &Place) -> anyhow::Result<()> {
        self.config.sender_core = sender.core();
        self.open = Some(Verifier::open(&self.interface, self.config)?);
        Ok(())
    }

    /// What the sender tells.
    pub(super) fn watch(&mut self) -> Option<&mut dyn Watch> {
        self.open.as_mut().map(|(_, log)| -> &mut dyn Watch { log })
    }

    /// Waits for what is under way.
    pub(super) fn finish(self) -> Option<Verified> {
        self.open.map(|(verifier, log)| verifier.finish(&log))
    }
}

/// The object `verify` of `framewalk.replay/1`.
#[derive(Debug, Serialize)]
pub(super) struct Json<'a> {
    interface: &'a str,
    verdict: &'static str,
    sent: u64,
    received: u64,
    lost: u64,
    duplicated: u64,
    reordered: u64,
    corrupted: u64,
    foreign: u64,
    verifier_dropped: u64,
    unknown: u64,
    merged: u64,
    broken: Option<&'a str>,
    first: First,
}

/// The first few frames of each kind.
#[derive(Debug, Serialize)]
struct First {
    lost: Vec<Frame>,
    duplicated: Vec<Frame>,
    reordered: Vec<Frame>,
    corrupted: Vec<Frame>,
}

#[derive(Debug, Serialize)]
struct Frame {
    sent: u64,
    frame: u64,
}

pub(super) fn json<'a>((verified, interface): (&'a Verified, &'a str)) -> Json<'a> {
    let found = &verified.findings;
    let frames = |list: &[FrameName]| {
        list.iter().map(|name| Frame { sent: name.sent, frame: name.frame }).collect()
    };
    Json {
        interface,
        verdict: verified.verdict().name(),
        sent: found.sent,
        received: found.received,
        lost: found.lost,
        duplicated: found.duplicated,
        reordered: found.reordered,
        corrupted: found.corrupted,
        foreign: found.foreign,
        verifier_dropped: verified.dropped,
        unknown: verified.unknown,
        merged: verified.merged,
        broken: verified.broken.as_deref(),
        first: First {
            lost: frames(&found.named.lost),
            duplicated: frames(&found.named.duplicated),
            reordered: frames(&found.named.reordered),
            corrupted: frames(&found.named.corrupted),
        },
    }
}

/// Lines of a label and a text.
pub(super) fn text(
    out: &mut String,
    paint: Paint,
    verified: &Verified,
    interface: &str,
) -> fmt::Result {
    let found = &verified.findings;
    let mut label = "far end";
    let mut fact = |role: Role, text: String| {
        let label = std::mem::take(&mut label);
        writeln!(out, "  {}{}", paint.dim(format!("{label:<11}")), paint.role(role, text))
    };
    let verdict = match verified.verdict() {
        Verdict::Intact => "every frame came once, in order, byte for byte".to_owned(),
        Verdict::Damaged => {
            format!("{} of {} came as they were sent", found.received, found.sent)
        }
        Verdict::Inconclusive => format!(
            "{} of {} came as they were sent; not everything was seen",
            found.received, found.sent
        ),
    };
    let role = if verified.verdict() == Verdict::Intact { Role::Plain } else { Role::Warn };
    fact(role, format!("{interface}: {verdict}"))?;
    let named = &found.named;
    let no_names: &[FrameName] = &[];
    for (count, what, names) in [
        (found.lost, "lost", &named.lost[..]),
        (found.duplicated, "came once more", &named.duplicated),
        (found.reordered, "came after one sent later", &named.reordered),
        (found.corrupted, "came damaged", &named.corrupted),
        (verified.unknown, "lost on the way or in the verifier", no_names),
        (verified.dropped, "dropped by the verifier, which was too slow", no_names),
        (
            verified.merged,
            "put together by the far end: ethtool -K IFACE gro off lro off",
            no_names,
        ),
    ] {
        if count > 0 {
            fact(Role::Warn, format!("{} {what}{}", counted(count, "frame"), first(names)))?;
        }
    }
    if let Some(broken) = &verified.broken {
        fact(Role::Warn, format!("ended early: {broken}"))?;
    }
    if found.foreign > 0 {
        fact(Role::Plain, format!("{} of others", counted(found.foreign, "frame")))?;
    }
    Ok(())
}

/// Which frames of the capture those were.
fn first(names: &[FrameName]) -> String {
    let mut text = String::new();
    for (at, name) in names.iter().take(3).enumerate() {
        let before = if at == 0 { ": first frame" } else { "," };
        // writing into a string cannot fail
        let _ = write!(text, "{before} {} (sent as {})", name.frame, name.sent);
    }
    text
}
