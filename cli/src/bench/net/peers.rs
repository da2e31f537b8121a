//! The programs that others use for the same work, where they are installed.

use super::super::process::version;
use crate::walk::talk;

/// A program of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bench) enum Peer {
    Tcpreplay,
    Trafgen,
    NetsniffNg,
    Tcpdump,
    Dumpcap,
}

impl Peer {
    /// Those that send and do as they are told.
    pub(in crate::bench) const SENDERS: [Self; 1] = [Self::Tcpreplay];
    /// Those that send by a ring, out of which the kernel may not let them for minutes, not even
    /// when they are killed.
    pub(in crate::bench) const RING_SENDERS: [Self; 2] = [Self::Trafgen, Self::NetsniffNg];
    /// Those that capture.
    pub(in crate::bench) const CAPTURERS: [Self; 3] =
        [Self::Tcpdump, Self::Dumpcap, Self::NetsniffNg];

    /// Its program.
    pub(in crate::bench) fn program(self) -> &'static str {
        match self {
            Self::Tcpreplay => "tcpreplay",
            Self::Trafgen => "trafgen",
            Self::NetsniffNg => "netsniff-ng",
            Self::Tcpdump => "tcpdump",
            Self::Dumpcap => "dumpcap",
        }
    }

    /// The Debian package that brings it.
    fn package(self) -> &'static str {
        match self {
            Self::Tcpreplay => "tcpreplay",
            Self::Trafgen | Self::NetsniffNg => "netsniff-ng",
            Self::Tcpdump => "tcpdump",
            Self::Dumpcap => "wireshark-common",
        }
    }

    /// Name and version, if it is installed.
    fn installed(self) -> Option<String> {
        let prefix = match self {
            Self::Tcpreplay => "tcpreplay version: ",
            Self::Trafgen => "trafgen ",
            Self::NetsniffNg => "netsniff-ng ",
            Self::Tcpdump => "tcpdump version ",
            Self::Dumpcap => "Dumpcap (Wireshark) ",
        };
        let version = version(self.program(), "--version", prefix)?;
        Some(format!("{} {version}", self.program()))
    }
}

/// Those of `peers` that are installed, with name and version; says which are not, and what brings
/// them.
pub(in crate::bench) fn installed(peers: &[Peer], quiet: bool) -> Vec<(Peer, String)> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for peer in peers {
        match peer.installed() {
            Some(name) => found.push((*peer, name)),
            None => missing.push(*peer),
        }
    }
    if !missing.is_empty() && !quiet {
        let names: Vec<&str> = missing.iter().map(|peer| peer.program()).collect();
        let mut packages: Vec<&str> = missing.iter().map(|peer| peer.package()).collect();
        packages.sort_unstable();
        packages.dedup();
        talk(&format!(
            "not installed, so not measured beside: {}; type: sudo apt install {}",
            names.join(", "),
            packages.join(" ")
        ));
    }
    found
}
