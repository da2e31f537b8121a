//! Filters for the kernel to run on every frame: programs of the classic BPF machine (`bpf(4)`).

pub use capture::filter::Instruction;

#[cfg(feature = "libpcap")]
pub use self::live::compile;

/// True if this build can compile filters.
pub const AVAILABLE: bool = cfg!(feature = "libpcap");

/// The program of a live filter: `snaplen` bytes of frames that match, and one byte of the others.
///
/// A frame that the kernel refuses is counted nowhere. One byte of it in the ring costs a header
/// there, and makes `seen = written + filtered + dropped` exact.
pub(crate) fn counting(program: &[Instruction], snaplen: u32) -> Vec<Instruction> {
    if program.is_empty() {
        return vec![Instruction::ret(snaplen)];
    }
    let ret = |i: &Instruction| match (i.code, i.k) {
        (Instruction::RET, 0) => Instruction::ret(REFUSED_BYTES),
        (Instruction::RET, _) => Instruction::ret(snaplen),
        _ => *i,
    };
    program.iter().map(ret).collect()
}

/// What the kernel passes of a frame that the filter refused.
pub(crate) const REFUSED_BYTES: u32 = 1;

#[cfg(feature = "libpcap")]
mod live {
    use capture::Error;
    use pcap::Capture;
    use skb::LinkType;

    use super::Instruction;

    /// Compiles a tcpdump filter for frames of a live interface, where a VLAN tag is not in the
    /// frame but beside it: libpcap knows, when it compiles for an open interface.
    ///
    /// # Errors
    /// libpcap's own words on the expression, or on an interface that it cannot open.
    pub fn compile(interface: &str, expression: &str) -> Result<Vec<Instruction>, Error> {
        let failed = |error: pcap::Error| Error::Filter {
            expression: expression.to_owned(),
            linktype: LinkType::ETHERNET,
            message: match error {
                pcap::Error::PcapError(message) => message,
                other => other.to_string(),
            },
        };
        let open = Capture::from_device(interface)
            .and_then(|device| device.snaplen(64).buffer_size(1 << 16).immediate_mode(true).open())
            .map_err(failed)?;
        let program = open.compile(expression, true).map_err(failed)?;
        let parse = |text: String| Instruction::parse(&text);
        program
            .get_instructions()
            .iter()
            .map(|instruction| parse(instruction.to_string()))
            .collect::<Option<_>>()
            .ok_or_else(|| failed(pcap::Error::PcapError("an unreadable program".to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_frames_pass_with_one_byte_and_others_up_to_the_snap_length() {
        // ip: ldh [12]; jeq #0x800 jt 0 jf 1; ret #262144; ret #0
        let program = [
            Instruction { code: 0x28, jt: 0, jf: 0, k: 12 },
            Instruction { code: 0x15, jt: 0, jf: 1, k: 0x800 },
            Instruction::ret(262_144),
            Instruction::ret(0),
        ];
        let live = counting(&program, 96);
        assert_eq!(live[..2], program[..2]);
        assert_eq!(live[2..], [Instruction::ret(96), Instruction::ret(1)]);
        assert_eq!(counting(&[], 200), [Instruction::ret(200)]);
    }
}
