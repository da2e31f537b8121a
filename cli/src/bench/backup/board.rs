//! Rows while they are measured: each is printed as soon as its last run is done, and what is
//! measured now stands on standard error meanwhile.

use benches::{Row, Spread};

use crate::bench::print::Out;
use crate::bench::stop::Stop;
use crate::term::Status;

/// What one run of one case came to.
#[derive(Debug, Default)]
pub(super) struct Sample {
    pub(super) case: String,
    /// Whose it is; none: ours.
    pub(super) peer: Option<String>,
    /// Unit of the figure.
    pub(super) metric: &'static str,
    pub(super) figure: f64,
    /// What no program can be better than.
    pub(super) floor: Option<f64>,
    /// Seconds of processor time.
    pub(super) cpu: Option<f64>,
    /// The most memory held.
    pub(super) rss_kib: u64,
    /// Bytes that went to the other side.
    pub(super) sent: Option<u64>,
    /// The stage that limited it.
    pub(super) limited_by: Option<String>,
    /// What else was counted: the last run's is shown.
    pub(super) extra: Vec<(&'static str, String)>,
}

/// A case, run by run.
#[derive(Default)]
struct Case {
    last: Sample,
    figures: Vec<f64>,
    cpu: Vec<f64>,
    sent: Vec<f64>,
    limited_by: Vec<String>,
    printed: bool,
}

/// Where samples go.
pub(super) struct Board<'a> {
    out: &'a mut Out,
    status: Status,
    stop: Stop,
    runs: usize,
    run: usize,
    cases: Vec<Case>,
}

impl<'a> Board<'a> {
    /// Rows go to `out`; `quiet` tells nothing beside them.
    pub(super) fn new(quiet: bool, out: &'a mut Out) -> anyhow::Result<Self> {
        let (status, stop) = (Status::new(quiet), Stop::new()?);
        Ok(Self { out, status, stop, run: 0, runs: 1, cases: Vec::new() })
    }

    /// Begins the `nth` run, from 0, of so many of each case that is measured in it.
    pub(super) fn run(&mut self, nth: u64, of: u64) {
        (self.run, self.runs) = (nth as usize, of as usize);
    }

    /// Tells what is measured from here on; an error once Ctrl-C has come.
    pub(super) fn now(&self, what: &str) -> anyhow::Result<()> {
        self.stop.check()?;
        match self.runs {
            1 => self.status.now(what),
            runs => self.status.now(&format!("run {} of {runs}: {what}", self.run + 1)),
        }
        Ok(())
    }

    /// Ends what has no end of its own, when Ctrl-C has come.
    pub(super) fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Takes a sample; prints its case if it was the last run of it.
    pub(super) fn add(&mut self, sample: Sample) -> anyhow::Result<()> {
        let same = |case: &Case| case.last.case == sample.case && case.last.peer == sample.peer;
        let at = self.cases.iter().position(same).unwrap_or(self.cases.len());
        if at == self.cases.len() {
            self.cases.push(Case::default());
        }
        let case = &mut self.cases[at];
        case.take(sample);
        if case.figures.len() == self.runs { self.print(at) } else { Ok(()) }
    }

    /// Prints what lacks runs, because the measuring ended early.
    pub(super) fn rest(&mut self) -> anyhow::Result<()> {
        (0..self.cases.len()).try_for_each(|at| self.print(at))
    }

    fn print(&mut self, at: usize) -> anyhow::Result<()> {
        let case = &mut self.cases[at];
        if std::mem::replace(&mut case.printed, true) {
            return Ok(());
        }
        let (row, out) = (case.row(), &mut *self.out);
        self.status.aside(|| out.row(&row))
    }
}

impl Case {
    fn take(&mut self, mut sample: Sample) {
        self.figures.push(sample.figure);
        self.cpu.extend(sample.cpu);
        self.sent.extend(sample.sent.map(|sent| sent as f64));
        self.limited_by.extend(sample.limited_by.take());
        sample.rss_kib = sample.rss_kib.max(self.last.rss_kib);
        self.last = sample;
    }

    fn row(&self) -> Row {
        let median = |of: &[f64]| Spread::new(of.to_vec()).median();
        let mut extra = Vec::new();
        if !self.cpu.is_empty() {
            extra.push(("cpu_seconds", format!("{:.2}", median(&self.cpu))));
        }
        if self.last.rss_kib > 0 {
            extra.push(("rss_max_mib", format!("{:.1}", self.last.rss_kib as f64 / 1024.0)));
        }
        if !self.sent.is_empty() {
            extra.push(("sent_bytes", format!("{:.0}", median(&self.sent))));
        }
        if !self.limited_by.is_empty() {
            extra.push(("limited_by", self.limited_by.join(" ")));
        }
        extra.extend(self.last.extra.iter().cloned());
        Row {
            bench: "backup",
            case: self.last.case.clone(),
            metric: self.last.metric,
            figures: Spread::new(self.figures.clone()),
            floor: self.last.floor,
            peer: self.last.peer.clone(),
            extra,
        }
    }
}
