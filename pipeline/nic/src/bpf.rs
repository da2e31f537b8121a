//! Programs of the classic BPF machine (`bpf(4)`), for the kernel to run on every frame.

/// One instruction, laid out as `struct sock_filter` of `linux/filter.h`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Class, size and mode.
    pub code: u16,
    /// Where to go on true, in instructions after the next.
    pub jt: u8,
    /// Where to go on false.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// `BPF_RET | BPF_K`.
const RET_K: u16 = 0x06;

impl Instruction {
    /// Ends the program; `bytes` of the frame pass, 0 refuses it.
    pub const fn ret(bytes: u32) -> Self {
        Self { code: RET_K, jt: 0, jf: 0, k: bytes }
    }
}

/// The program of a live filter: `snaplen` bytes of frames that match, and one byte of the others.
///
/// A frame that the kernel refuses is counted nowhere. One byte of it in the ring costs a header
/// there, and makes `seen = written + filtered + dropped` exact.
pub(crate) fn counting(program: &[Instruction], snaplen: u32) -> Vec<Instruction> {
    if program.is_empty() {
        return vec![Instruction::ret(snaplen)];
    }
    let ret = |i: &Instruction| match (i.code, i.k) {
        (RET_K, 0) => Instruction::ret(REFUSED_BYTES),
        (RET_K, _) => Instruction::ret(snaplen),
        _ => *i,
    };
    program.iter().map(ret).collect()
}

/// What the kernel passes of a frame that the filter refused.
pub(crate) const REFUSED_BYTES: u32 = 1;

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
