//! Prints the findings of captures, one per line: `cargo run --example findings -- FILE...`
#![allow(clippy::print_stdout)] // what it is for

use surface::{Analyzer, Limits};

fn main() {
    for path in std::env::args_os().skip(1) {
        let mut reader = match capture::Reader::open(&path) {
            Ok(reader) => reader,
            Err(error) => {
                println!("{}\t{error}", path.to_string_lossy());
                continue;
            }
        };
        let mut analyzer = Analyzer::new(Limits::default());
        while let Ok(Some(batch)) = reader.next_batch() {
            analyzer.batch(&batch);
            analyzer.ended();
        }
        analyzer.finish();
        for finding in analyzer.site().findings() {
            println!(
                "{}\t{}\t{}\t{}\t{}\t{}\t{:?}",
                path.to_string_lossy(),
                finding.severity.name(),
                finding.sure.name(),
                finding.rule.id,
                finding.count,
                finding.detail,
                finding.evidence,
            );
        }
    }
}
