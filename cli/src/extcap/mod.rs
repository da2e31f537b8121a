//! framewalk as a capture source of Wireshark: the extcap interface
//! (<https://www.wireshark.org/docs/man-pages/extcap.html>).
//!
//! Wireshark starts every program in its extcap folder, asks it for interfaces, link types and
//! options, and then has it write pcapng into a fifo. Ours are the live interfaces, captured with
//! our receive ring, and the stages of the path for a capture file.

#[cfg(unix)]
mod fifo;
#[cfg(unix)]
mod install;
#[cfg(target_os = "linux")]
mod live;
#[cfg(unix)]
mod stages;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Parser as _;

use crate::cli::Globals;
use crate::exit::Exit;

/// What our names begin with, so that ours are told from Wireshark's own.
const PREFIX: &str = "framewalk-";
/// The source of stages, after the prefix. A device of this name loses to it.
const STAGES: &str = "stages";
/// `LINKTYPE_ETHERNET` and `LINKTYPE_RAW` as libpcap's DLT (pcap-linktype(7)).
const DLT_ETHERNET: (u16, &str, &str) = (1, "EN10MB", "Ethernet");
const DLT_RAW: (u16, &str, &str) = (101, "RAW", "Raw IP");

/// Arguments of `framewalk extcap`.
#[derive(Debug, Clone, clap::Args)]
#[command(
    long_about = "Makes framewalk's sources appear among Wireshark's interfaces: live interfaces, \
        captured without loss and with their VLAN tags in place, and the stages that the frames \
        of a capture file go through on the path (network card, driver, skb, switch, guest).\n\n\
        Wireshark finds a program by a link in its extcap folder. `install` makes it, `remove` \
        takes it away; nothing else is changed. Capturing needs the rights that \
        `framewalk capture` needs.",
    after_long_help = "Examples:\n  \
        framewalk extcap install\n  \
        tshark -D | grep framewalk                         they are listed\n  \
        tshark -i framewalk-eth0 -c 10                     ten frames, captured by framewalk\n  \
        tshark -i framewalk-stages -o extcap.framewalk_stages.file:morning.pcapng\n  \
        framewalk extcap remove"
)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub what: What,
}

/// What can be done about the link in Wireshark's folder.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum What {
    /// Make the link
    Install(Folder),
    /// Take the link away
    Remove(Folder),
}

/// Where the link is.
#[derive(Debug, Clone, clap::Args)]
pub struct Folder {
    /// Wireshark's extcap folder [default: the personal one, as `tshark -G folders` tells]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Makes or removes the link.
pub fn run(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    #[cfg(unix)]
    match &args.what {
        What::Install(folder) => install::install(folder.dir.as_deref(), globals)?,
        What::Remove(folder) => install::remove(folder.dir.as_deref(), globals)?,
    }
    #[cfg(not(unix))]
    {
        let _ = (args, globals);
        bail!("links in Wireshark's extcap folder are made on Unix only");
    }
    #[cfg(unix)]
    Ok(Exit::Done)
}

/// Whether Wireshark is calling: every one of its calls has an option of this kind, and no call
/// of ours has.
pub fn is_call(args: &[OsString]) -> bool {
    args.iter().skip(1).any(|arg| arg.as_encoded_bytes().starts_with(b"--extcap-"))
}

/// The options that Wireshark calls with.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "framewalk-extcap", disable_version_flag = true)]
struct Call {
    /// List the interfaces
    #[arg(long)]
    extcap_interfaces: bool,
    /// Wireshark's version
    #[arg(long, num_args = 0..=1, default_missing_value = "")]
    extcap_version: Option<String>,
    /// The interface that is meant
    #[arg(long)]
    extcap_interface: Option<String>,
    /// List its link types
    #[arg(long)]
    extcap_dlts: bool,
    /// List its options
    #[arg(long)]
    extcap_config: bool,
    /// Capture
    #[arg(long)]
    capture: bool,
    /// Where to
    #[arg(long)]
    fifo: Option<PathBuf>,
    /// Only what matches; without --capture: check it
    #[arg(long)]
    extcap_capture_filter: Option<String>,
    /// Cut frames after their transport header
    #[arg(long)]
    headers: bool,
    /// Bytes kept of each frame
    #[arg(long, default_value_t = 262_144,
        value_parser = clap::value_parser!(u32).range(14..=262_144))]
    snaplen: u32,
    /// The capture file whose stages are shown
    #[arg(long)]
    file: Option<PathBuf>,
}

/// Answers a call of Wireshark's.
///
/// # Errors
/// What Wireshark shows its user: it reads standard error.
pub fn answer(args: &[OsString]) -> anyhow::Result<Exit> {
    let call = match Call::try_parse_from(args) {
        Ok(call) => call,
        Err(error) => bail!("{error}"),
    };
    if call.extcap_interfaces {
        return say(&interfaces());
    }
    let Some(interface) = &call.extcap_interface else {
        if call.extcap_version.is_some() {
            return say(&heading());
        }
        bail!("which interface? --extcap-interfaces lists them");
    };
    let Some(name) = interface.strip_prefix(PREFIX) else {
        bail!("{interface} is no source of framewalk's; --extcap-interfaces lists them");
    };
    if call.extcap_dlts {
        return say(&dlts(name)?);
    }
    if call.extcap_config {
        return say(config(name));
    }
    if call.capture {
        return capture(name, &call);
    }
    match &call.extcap_capture_filter {
        // nothing said: it is good
        Some(filter) => say(&check(name, filter)),
        None => bail!("nothing to do for {interface}"),
    }
}

fn say(text: &str) -> anyhow::Result<Exit> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(Exit::Done)
}

fn heading() -> String {
    format!("extcap {{version={}}}{{display=framewalk}}\n", env!("CARGO_PKG_VERSION"))
}

fn interfaces() -> String {
    let mut text = heading();
    for name in live_names() {
        // writing into a string cannot fail
        let _ = writeln!(text, "interface {{value={PREFIX}{name}}}{{display=framewalk: {name}}}");
    }
    let _ = writeln!(
        text,
        "interface {{value={PREFIX}{STAGES}}}{{display=framewalk: stages of a capture file}}"
    );
    text
}

#[cfg(target_os = "linux")]
fn live_names() -> Vec<String> {
    let links = nic::link::all().unwrap_or_default();
    // braces would end Wireshark's field
    let plain = |name: &String| !name.contains(['{', '}']) && name != STAGES;
    links.into_iter().filter(live::is_readable).map(|link| link.name).filter(plain).collect()
}

#[cfg(not(target_os = "linux"))]
fn live_names() -> Vec<String> {
    Vec::new()
}

fn dlts(name: &str) -> anyhow::Result<String> {
    let (number, word, shown) = match name {
        STAGES => DLT_ETHERNET,
        #[cfg(target_os = "linux")]
        name if !live::is_ethernet(name)? => DLT_RAW,
        _ => DLT_ETHERNET,
    };
    Ok(format!("dlt {{number={number}}}{{name={word}}}{{display={shown}}}\n"))
}

fn config(name: &str) -> &'static str {
    if name == STAGES {
        return "arg {number=0}{call=--file}{display=Capture file}{tooltip=Its frames are sent \
                through network card, driver, skb, switch and guest; every stage is an \
                interface}{type=fileselect}{mustexist=true}{required=true}\n";
    }
    "arg {number=0}{call=--headers}{display=Headers only}{tooltip=Cut each frame after its \
     transport header: who talks to whom, and not what they say}{type=boolflag}{default=false}\n\
     arg {number=1}{call=--snaplen}{display=Bytes kept of each frame}{tooltip=The snap \
     length}{type=unsigned}{range=14,262144}{default=262144}\n"
}

/// What is wrong with a capture filter; nothing if it is good.
fn check(name: &str, filter: &str) -> String {
    if filter.is_empty() {
        return String::new();
    }
    if name == STAGES {
        return "the stages of a file have no capture filter; use a display filter\n".to_owned();
    }
    #[cfg(target_os = "linux")]
    let bad = crate::capture::compile(name, filter).err();
    #[cfg(not(target_os = "linux"))]
    let bad = Some(anyhow::anyhow!("live sources are for Linux"));
    bad.map_or_else(String::new, |error| format!("{}\n", crate::exit::chain_text(&error)))
}

#[cfg(unix)]
fn capture(name: &str, call: &Call) -> anyhow::Result<Exit> {
    let fifo = call.fifo.as_deref().context("--capture without --fifo: where to?")?;
    let filter = call.extcap_capture_filter.as_deref().filter(|filter| !filter.is_empty());
    if name == STAGES {
        if filter.is_some() {
            bail!("{}", check(name, "x").trim());
        }
        let file = call.file.as_deref().context(
            "which capture file? choose it in the interface's options, or: tshark -o \
             extcap.framewalk_stages.file:FILE",
        )?;
        return stages::run(file, fifo);
    }
    #[cfg(target_os = "linux")]
    return live::run(name, fifo, filter, call.headers, call.snaplen);
    #[cfg(not(target_os = "linux"))]
    bail!("{name}: live sources are for Linux");
}

#[cfg(not(unix))]
fn capture(name: &str, _: &Call) -> anyhow::Result<Exit> {
    bail!("{name}: Wireshark's fifo is a named pipe of Unix here");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(args: &[&str]) -> Vec<OsString> {
        args.iter().map(OsString::from).collect()
    }

    #[test]
    fn wiresharks_calls_are_told_from_ours() {
        assert!(is_call(&words(&["framewalk-extcap", "--extcap-interfaces"])));
        assert!(is_call(&words(&["x", "--capture", "--fifo", "/f", "--extcap-interface", "y"])));
        assert!(!is_call(&words(&["framewalk-extcap"])));
        assert!(!is_call(&words(&["framewalk", "extcap", "install"])));
        assert!(!is_call(&words(&["--extcap-is-the-name-of-the-program"])));
    }

    #[test]
    fn calls_that_make_no_sense_are_answered_with_what_would() {
        let said = |args: &[&str]| answer(&words(args)).unwrap_err().to_string();
        assert!(said(&["x", "--extcap-dlts"]).contains("--extcap-interfaces"));
        assert!(said(&["x", "--extcap-interface", "eth0", "--extcap-dlts"]).contains("eth0"));
        let stages = ["x", "--extcap-interface", "framewalk-stages", "--capture"];
        assert!(said(&stages).contains("--fifo"));
        let with_fifo = [&stages[..], &["--fifo", "/nowhere/fifo"]].concat();
        assert!(said(&with_fifo).contains("which capture file?"));
        assert!(check(STAGES, "tcp").contains("display filter"));
        assert_eq!(check("lo", ""), "");
    }
}
