//! What filters are compiled to.

/// One instruction of the classic BPF machine (`bpf(4)`), laid out as `struct sock_filter` of
/// Linux's `linux/filter.h`.
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

impl Instruction {
    /// `BPF_RET | BPF_K`.
    pub const RET: u16 = 0x06;

    /// Ends the program; `bytes` of the frame pass, 0 refuses it.
    pub const fn ret(bytes: u32) -> Self {
        Self { code: Self::RET, jt: 0, jf: 0, k: bytes }
    }

    /// From the four numbers in decimal, as `tcpdump -ddd` prints them: `code jt jf k`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(' ');
        let code = numbers.next()?.parse().ok()?;
        let jt = numbers.next()?.parse().ok()?;
        let jf = numbers.next()?.parse().ok()?;
        let k = numbers.next()?.parse().ok()?;
        Some(Self { code, jt, jf, k })
    }
}
