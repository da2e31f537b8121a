//! Project tasks, run as `cargo xtask TASK`: one place for what people and CI both run.
//!
//! The tasks themselves need nothing but Rust. What a task cannot do on this machine (a missing
//! package, no root) it names, with the command that brings it.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a task's output is its job

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

mod bench;
mod check;
mod demo;
mod fuzz;
mod lab;
mod machine;
mod manual;
mod memcheck;
mod nightly;
mod packages;
mod sh;
mod stamps;
mod suite;
mod tidy;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Project tasks")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Show the main job on pcaps/practice.pcapng, each step explained (release build, no root)
    Demo,
    /// Run the test suite; name what is skipped here and the command that brings it
    Test(suite::Args),
    /// Everything CI runs: lint, then test
    Ci,
    /// fmt --check, clippy, docs, licences, tidy; all of them, even after one has failed
    Lint,
    /// Check what the compiler cannot: crate graph, unsafe, file sizes, links, labels, words
    Tidy,
    /// Check each dependency's licence against deny.toml, offline
    Licences,
    /// Write framewalk's man pages into the target folder, under man/
    Man,
    /// Write completions for bash, zsh and fish into the target folder, under completions/
    Completions,
    /// Print framewalk's commands and flags as JSON (for tidy)
    #[command(hide = true)]
    Flags,
    /// Run the benchmarks and keep the results with their machine under benches/runs/
    Bench(bench::Args),
    /// The long things, kept under benches/runs/: cut and flip sweeps, memcheck, fuzzing, benches
    Nightly(nightly::Args),
    /// Run the fuzz targets and keep what they reached under benches/runs/ (needs cargo-fuzz)
    Fuzz(fuzz::Args),
    /// Make the captures in pcaps/ again from real kernels and servers (needs root)
    Lab {
        /// Captures to make, and flags; see `cargo xtask lab --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, num_args = 0..)]
        args: Vec<String>,
    },
    /// One end of a conversation in HL7, for the lab
    #[command(hide = true)]
    LabHl7 {
        /// listen ADDRESS, or send ADDRESS FILE...
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.task {
        Task::Demo => demo::run(),
        Task::Test(args) => suite::run(&args),
        Task::Ci => check::ci(),
        Task::Lint => check::lint(),
        Task::Tidy => tidy::run(&Args::command()),
        Task::Licences => tidy::licences::run(),
        Task::Man => manual::run(manual::Page::Man),
        Task::Completions => manual::run(manual::Page::Completions),
        Task::Flags => manual::run(manual::Page::Flags),
        Task::Bench(args) => bench::run(&args),
        Task::Nightly(args) => nightly::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Lab { args } => lab::run(args),
        Task::LabHl7 { args } => lab::practice::mllp::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Args::command().debug_assert();
    }
}
