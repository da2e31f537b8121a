//! With libpcap: it compiles, and runs what it compiled, except where a frame was cut.

use std::fmt;

use pcap::{BpfProgram, Capture, Linktype};
use skb::LinkType;

use super::{Instruction, bpf};
use crate::error::Error;

/// A compiled expression.
pub(super) struct Program {
    program: BpfProgram,
    /// The same, for frames that were cut, if the expression asks for the frame's length:
    /// the binding to libpcap takes the captured length for it.
    for_cut: Option<Vec<Instruction>>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").finish_non_exhaustive()
    }
}

impl Program {
    pub(super) fn compile(expression: &str, linktype: LinkType) -> Result<Self, Error> {
        let failed = |error: pcap::Error| Error::Filter {
            expression: expression.to_owned(),
            linktype,
            message: match error {
                pcap::Error::PcapError(message) => message,
                other => other.to_string(),
            },
        };
        let dead = Capture::dead(Linktype(dlt(linktype))).map_err(failed)?;
        let program = dead.compile(expression, true).map_err(failed)?;
        let instructions: Option<Vec<Instruction>> = program
            .get_instructions()
            .iter()
            .map(|instruction| Instruction::parse(&instruction.to_string()))
            .collect();
        let for_cut = instructions.filter(|program| bpf::reads_length(program));
        Ok(Self { program, for_cut })
    }

    #[inline]
    pub(super) fn matches(&self, origlen: u32, data: &[u8]) -> bool {
        match &self.for_cut {
            Some(program) if origlen as usize != data.len() => bpf::run(program, origlen, data),
            _ => self.program.filter(data),
        }
    }
}

/// libpcap's number for a link type on Linux (`DLT_`), where it differs from the one in files
/// (`LINKTYPE_`): `pcap-common.c`.
fn dlt(linktype: LinkType) -> i32 {
    match linktype {
        LinkType::ATM_RFC1483 => 11,
        LinkType::RAW | LinkType::RAW_12 | LinkType::RAW_14 => 12,
        LinkType::SLIP_BSDOS => 15,
        LinkType::PPP_BSDOS => 16,
        LinkType::ATM_CLIP => 19,
        other => i32::from(other.0),
    }
}
