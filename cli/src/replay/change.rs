//! What is changed in frames before they go, as the command line has it.

use std::path::PathBuf;

use replay::rewrite::{Anonymizer, IpMap, MacMap, PortMapping, RewriteOptions, VlanSwap, VlanTag};

use crate::cli::Globals;
use crate::keyfile;

/// Options that change frames.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Changing frames")]
pub struct Change {
    /// A station becomes another, in Ethernet, ARP and neighbour discovery (repeatable)
    #[arg(long, value_name = "MAC=MAC")]
    pub map_mac: Vec<MacMap>,
    /// An address or network becomes another of its size, IPv4 or IPv6 (repeatable)
    #[arg(long, value_name = "NET=NET")]
    pub map_ip: Vec<IpMap>,
    /// A port of TCP, UDP or SCTP becomes another, on either side (repeatable)
    #[arg(long, value_name = "PORT=PORT")]
    pub map_port: Vec<PortMapping>,
    /// Take the outermost VLAN tag off
    #[arg(long)]
    pub vlan_pop: bool,
    /// The outermost tag's VLAN becomes another (repeatable)
    #[arg(long, value_name = "VID=VID")]
    pub vlan_swap: Vec<VlanSwap>,
    /// Put a tag in front, with a priority if need be
    #[arg(long, value_name = "VID[:PCP]")]
    pub vlan_push: Option<VlanTag>,
    /// Make all checksums anew; without it right ones stay right and wrong ones wrong
    #[arg(long)]
    pub fix_checksums: bool,
    /// Other IP addresses in each round of --loop, so that tables see new flows
    #[arg(long)]
    pub fresh: bool,
    /// Replace addresses and zero contents, the same way each time with the same key; the file is
    /// made if it is not there
    #[arg(long, value_name = "KEYFILE")]
    pub anonymize: Option<PathBuf>,
}

impl Change {
    /// Reads the key, if there is one.
    pub(super) fn options(&self, globals: &Globals) -> anyhow::Result<RewriteOptions> {
        Ok(RewriteOptions {
            macs: self.map_mac.clone(),
            ips: self.map_ip.clone(),
            ports: self.map_port.clone(),
            vlan_pop: self.vlan_pop,
            vlan_swap: self.vlan_swap.clone(),
            vlan_push: self.vlan_push,
            checksums: self.fix_checksums,
            fresh: self.fresh,
            anonymize: self
                .anonymize
                .as_deref()
                .map(|path| anonymizer(path, globals))
                .transpose()?,
        })
    }
}

/// With the key of that file.
pub(crate) fn anonymizer(path: &std::path::Path, globals: &Globals) -> anyhow::Result<Anonymizer> {
    let what_for = "the same addresses come out the same way with it; who has it can find them out";
    Ok(Anonymizer::new(keyfile::read_or_make(path, what_for, globals)?.bytes()))
}
