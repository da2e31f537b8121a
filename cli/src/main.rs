//! The `framewalk` program: arguments in, exit code out. Everything else is the library beside it.

use std::process::ExitCode;

use clap::Parser;
use framewalk::cli::{self, Cli};
use framewalk::{exit, extcap};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    let done = if extcap::is_call(&args) {
        extcap::answer(&args)
    } else {
        let cli = Cli::parse();
        cli::init_tracing(&cli.globals);
        cli::run(&cli)
    };
    match done {
        Ok(exit) => exit.into(),
        Err(error) if exit::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            exit::complain(&error);
            exit::Exit::Failed.into()
        }
    }
}
