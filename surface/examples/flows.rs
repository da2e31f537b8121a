//! Conversations of a capture as tab-separated lines, for comparing with other tools.
//!
//! `cargo run --release -p framewalk-surface --example flows -- FILE...`

#![allow(clippy::print_stderr)]

use std::io::Write;

use surface::{Analyzer, Limits};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files: Vec<_> = std::env::args_os().skip(1).collect();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for file in &files {
        let mut reader = capture::Reader::open(file)?;
        let mut analyzer = Analyzer::new(Limits::default());
        let failed = loop {
            match reader.next_batch() {
                Ok(Some(batch)) => analyzer.batch(&batch),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        for flow in analyzer.finish() {
            let path: Vec<_> = flow.path.iter().map(|app| app.name()).collect();
            writeln!(
                out,
                "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
                flow.proto,
                flow.src,
                flow.src_port,
                flow.dst,
                flow.dst_port,
                flow.app,
                path.join("/"),
                flow.first_frame,
                flow.opener_sent.frames,
                flow.answerer_sent.frames,
            )?;
        }
        if let Some(error) = failed {
            eprintln!("{}: {error}", file.display());
        }
        if files.len() == 1 {
            eprintln!("{:?}", analyzer.counts());
        }
    }
    Ok(())
}
