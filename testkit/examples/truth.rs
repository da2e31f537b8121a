//! Compares the decoder with tshark over captures, field by field.
//!
//! `cargo run -p framewalk-testkit --example truth -- PCAPS... [--tables DIR]`: files or
//! directories; without tables (`NAME.tsv.gz`) the tshark of this machine is asked. Exit 1 when
//! fewer than 99.8 % of the fields agree.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a tool for the terminal

use std::path::PathBuf;
use std::process::ExitCode;

use framewalk_testkit::truth::{self, Report};

fn files(arguments: &[PathBuf]) -> Vec<PathBuf> {
    let mut list = Vec::new();
    for path in arguments {
        match std::fs::read_dir(path) {
            Ok(entries) => list.extend(entries.flatten().map(|e| e.path())),
            Err(_) => list.push(path.clone()),
        }
    }
    list.retain(|path| path.is_file());
    list.sort();
    list
}

fn main() -> ExitCode {
    let mut arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let tables = arguments.iter().position(|a| a.as_os_str() == "--tables").map(|at| {
        let rest = arguments.split_off(at);
        rest.get(1).cloned().unwrap_or_default()
    });
    let mut report = Report::default();
    for path in files(&arguments) {
        let table = match (&tables, path.file_name().and_then(|n| n.to_str())) {
            (Some(tables), Some(name)) => truth::stored_table(tables, name).ok().flatten(),
            _ => truth::tshark_table(&path),
        };
        match table {
            Some(table) => truth::compare_file(&path, &table, &mut report),
            None => eprintln!("no table for {}", path.display()),
        }
    }
    println!("{}", report.text());
    for (count, d) in report.classes() {
        println!(
            "{count:>6} {} {} (frame {}): tshark {:?}, ours {:?} in {}",
            d.file, d.field, d.frame, d.theirs, d.ours, d.protocols
        );
    }
    if report.agreement() < 0.998 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
