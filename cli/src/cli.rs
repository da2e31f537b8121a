//! The arguments, and which command they start.

use clap::{CommandFactory, Parser, Subcommand};

#[cfg(target_os = "linux")]
use crate::backup;
#[cfg(target_os = "linux")]
use crate::capture;
use crate::exit::Exit;
#[cfg(target_os = "linux")]
use crate::replay;
use crate::term::ColorChoice;
use crate::{bench, extcap, inspect, surface, walk};

/// Walk a frame from the wire to the guest, see every step, lose nothing
#[derive(Debug, Parser)]
#[command(
    name = "framewalk",
    version,
    propagate_version = false,
    disable_help_subcommand = false,
    arg_required_else_help = true,
    long_about = "Walk a frame from the wire to the guest: network card, driver, skb, virtual \
                  switch, guest. See every step, lose nothing, and know what reached whom.\n\n\
                  Works on capture files (pcap, pcapng, plain or gzip or zstd) without root \
                  and without any special network card, and on live interfaces of Linux with \
                  the capabilities that it names.",
    after_long_help = "Start here:\n  \
        framewalk inspect pcaps/practice.pcapng          what is in a capture, on one page\n  \
        framewalk walk pcaps/practice.pcapng             send it through the virtual switch\n  \
        framewalk inspect FILE --json | jq .             one JSON object per frame\n  \
        framewalk capture -i mirror0 -w FILE --headers   a mirror port, without the contents\n  \
        framewalk replay FILE -i veth0                   out again, on time\n  \
        framewalk surface FILE                           who talks to whom, and by what\n  \
        framewalk backup init DIR                        generations of files and disk images\n\n\
        Exit codes: 0 done; 1 a question was asked and the answer is no; 2 the input or the\n\
        request failed (what could be done is printed); 3 a fault of framewalk itself.\n\
        Data goes to standard output, talk to standard error."
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub globals: Globals,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command understands.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Globals {
    /// Print JSON Lines on standard output, each with a "schema"
    #[arg(long, global = true)]
    pub json: bool,
    /// Colour: when standard output is a terminal, always, or never (NO_COLOR is obeyed)
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
    /// No progress bar, no talk; errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// More talk on standard error (-v steps, -vv details)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// What is in a capture file: one page, one frame, every frame, or a summary
    #[command(long_about = long_about_of::<inspect::Args>())]
    Inspect(inspect::Args),
    /// Run a capture through the path: ledger, latency, steps, stage export
    #[command(long_about = long_about_of::<walk::Args>())]
    Walk(walk::Args),
    /// Write a live interface's frames to a file, with drops accounted for
    #[cfg(target_os = "linux")]
    #[command(long_about = long_about_of::<capture::Args>())]
    Capture(capture::Args),
    /// Send a capture out again: in recorded time, at a rate, or as fast as possible
    #[cfg(target_os = "linux")]
    #[command(long_about = long_about_of::<replay::Args>())]
    Replay(replay::Args),
    /// Conversations of a capture or a mirror port, and their applications
    #[command(long_about = long_about_of::<surface::Args>())]
    Surface(surface::Args),
    /// Back up files, databases and disk images; prove it by restoring
    #[cfg(target_os = "linux")]
    #[command(long_about = long_about_of::<backup::Args>())]
    Backup(backup::Args),
    /// Check an isolation receipt that walk wrote
    Receipt(walk::receipt::Args),
    /// Live interfaces and the path's stages as sources of Wireshark
    #[command(long_about = long_about_of::<extcap::Args>())]
    Extcap(extcap::Args),
    /// Measure speed on this machine, with peers beside it
    #[command(long_about = long_about_of::<bench::Args>())]
    Bench(bench::Args),
}

/// The long text of a command's own arguments, which the line in [`Command`] would replace.
fn long_about_of<A: clap::Args>() -> clap::builder::StyledStr {
    A::augment_args(clap::Command::new("")).get_long_about().cloned().unwrap_or_default()
}

/// The whole tree of commands, for man pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs what was asked for.
pub fn run(cli: &Cli) -> anyhow::Result<Exit> {
    match &cli.command {
        Command::Inspect(args) => inspect::run(args, &cli.globals),
        Command::Walk(args) => walk::run(args, &cli.globals),
        #[cfg(target_os = "linux")]
        Command::Capture(args) => capture::run(args, &cli.globals),
        #[cfg(target_os = "linux")]
        Command::Replay(args) => replay::run(args, &cli.globals),
        Command::Surface(args) => surface::run(args, &cli.globals),
        #[cfg(target_os = "linux")]
        Command::Backup(args) => backup::run(args, &cli.globals),
        Command::Receipt(args) => walk::receipt::run(args, &cli.globals),
        Command::Extcap(args) => extcap::run(args, &cli.globals),
        Command::Bench(args) => bench::run(args, &cli.globals),
    }
}

/// Sends log lines to standard error: warnings by default, `RUST_LOG` overrides.
pub fn init_tracing(globals: &Globals) {
    use tracing_subscriber::EnvFilter;
    let level = match (globals.quiet, globals.verbose) {
        (true, _) => "error",
        (_, 0) => "warn",
        (_, 1) => "info",
        (_, 2) => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let ansi = crate::term::Paint::for_stderr().is_on();
    // Fails only if a subscriber is already set, as in tests.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        .without_time()
        .with_target(false)
        .try_init();
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_tree_is_consistent() {
        super::command().debug_assert();
    }

    #[test]
    fn help_is_something_to_learn_from() {
        let live: &[&str] =
            if cfg!(target_os = "linux") { &["capture", "replay", "backup"] } else { &[] };
        for name in ["inspect", "walk", "bench"].iter().chain(live) {
            let mut command = super::command();
            let help = command.find_subcommand_mut(name).unwrap().render_long_help().to_string();
            assert!(help.contains("Examples:"), "{name}");
            let about = help.split("Usage:").next().unwrap();
            assert!(about.len() > 150, "{name} explains too little: {about}");
        }
    }
}
