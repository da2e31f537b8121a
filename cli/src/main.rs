//! The `framewalk` program: arguments in, exit code out. Everything else is the library beside it.

use std::process::ExitCode;

use clap::Parser;
use framewalk::cli::{self, Cli};
use framewalk::exit;

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli::init_tracing(&cli.globals);
    match cli::run(&cli) {
        Ok(exit) => exit.into(),
        Err(error) if exit::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            exit::complain(&error);
            exit::Exit::Failed.into()
        }
    }
}
