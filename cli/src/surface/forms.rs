//! All that is told of a capture, in every form, in memory: for whoever checks that nothing in a
//! frame becomes part of a form.

use capture::{Reader, Source};
use surface::{Analyzer, Limits};

use super::letter::{self, Format};
use super::origin::Origin;
use super::{Args, FailOn, Span, json, text};
use crate::term::{ColorChoice, Paint};

/// What is told, in every form.
#[derive(Debug, Clone)]
pub struct Forms {
    /// JSON Lines.
    pub json: Vec<u8>,
    /// The report for a terminal, without colours.
    pub terminal: Vec<u8>,
    /// The letter as Markdown.
    pub markdown: String,
    /// The letter as HTML.
    pub html: String,
}

/// Analyses a capture that is in memory; as far as it can be read.
pub fn forms(capture: &[u8]) -> anyhow::Result<Forms> {
    let mut reader = Source::from_bytes("capture", capture.to_vec()).and_then(Reader::new)?;
    let mut analyzer = Analyzer::new(Limits::default());
    let (mut lines, mut report) = (json::Writer::keeping(), text::Report::default());
    let mut span = Span::default();
    let mut flows = Vec::new();
    while let Ok(Some(batch)) = reader.next_batch() {
        analyzer.batch(&batch);
        flows.extend(analyzer.ended());
    }
    flows.extend(analyzer.finish());
    for flow in &flows {
        span.flow(flow);
        report.flow(flow);
        lines.flow(flow)?;
    }
    let origin = Origin::in_memory("capture", capture.len() as u64);
    lines.finish(&analyzer, Some(&origin))?;
    let looked = span.looked(reader.name(), &origin);
    let args = Args {
        file: Some("capture".into()),
        interface: None,
        count: None,
        seconds: None,
        filter: None,
        flows_max: 1000,
        letter: None,
        site_key: None,
        fail_on: None::<FailOn>,
    };
    let mut terminal = Vec::new();
    let paint = Paint::for_stdout(ColorChoice::Never);
    report.write(&mut terminal, &reader, &analyzer, &args, paint)?;
    Ok(Forms {
        json: lines.into_bytes(),
        terminal,
        markdown: letter::text(Format::Markdown, analyzer.site(), looked),
        html: letter::text(Format::Html, analyzer.site(), looked),
    })
}
