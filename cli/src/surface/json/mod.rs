//! What an analysis tells as JSON Lines.

mod flow;
mod site;

use std::io::Write;

use serde::Serialize;
use surface::{Analyzer, FlowRecord};

use self::flow::Flow;
use self::site::{FindingLine, HostLine, KeyLine, ServiceLine, Total};

use super::origin::Origin;
use crate::term::time::rfc3339;

/// Writes lines to standard output.
#[derive(Debug, Default)]
pub(super) struct Writer {
    buf: Vec<u8>,
    count: u64,
    /// All lines stay in memory.
    kept: bool,
}

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 16;

/// A time as text, where there is one.
fn time(ns: i64) -> Option<String> {
    (ns != 0).then(|| rfc3339(ns))
}

impl Writer {
    /// Keeps all lines.
    pub(super) fn keeping() -> Self {
        Self { kept: true, ..Self::default() }
    }

    /// The lines kept.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.buf
    }

    pub(super) fn flow(&mut self, flow: &FlowRecord) -> anyhow::Result<()> {
        self.count += 1;
        self.line(&Flow::of(flow))
    }

    fn line(&mut self, line: &impl Serialize) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.buf, line)?;
        self.buf.push(b'\n');
        if self.buf.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.kept {
            return Ok(());
        }
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&self.buf)?;
        self.buf.clear();
        stdout.flush()
    }

    /// What is known when all conversations are over.
    pub(super) fn finish(
        &mut self,
        analyzer: &Analyzer,
        origin: Option<&Origin>,
    ) -> anyhow::Result<()> {
        let site = analyzer.site();
        for host in site.hosts() {
            self.line(&HostLine::of(&host))?;
        }
        for service in site.services() {
            self.line(&ServiceLine::of(&service))?;
        }
        for key in site.key_services() {
            self.line(&KeyLine::of(&key))?;
        }
        for finding in site.findings() {
            self.line(&FindingLine::of(&finding, origin))?;
        }
        self.line(&Total::of(analyzer, self.count, origin))?;
        Ok(self.flush()?)
    }
}
