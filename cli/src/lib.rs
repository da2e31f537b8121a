//! The command line of framewalk, as a library: so that man pages, completions, benches and tests
//! use the same code as the program.
//!
//! The only place with an argument parser, colours, progress bars and exit codes.
#![deny(missing_docs)]

#[cfg(target_os = "linux")]
pub mod backup;
pub mod bench;
#[cfg(target_os = "linux")]
pub mod capture;
pub mod cli;
pub mod exit;
pub mod extcap;
pub mod inspect;
pub mod json;
mod keyfile;
#[cfg(target_os = "linux")]
pub mod replay;
pub mod surface;
pub mod term;
pub mod walk;
