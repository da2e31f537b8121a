//! The classic BPF machine, for frames whose captured and original lengths differ.
//!
//! Source: `bpf(4)` and McCanne & Jacobson, "The BSD Packet Filter" (1993). libpcap's compiler
//! makes the programs; they only jump forwards, so each ends.

use super::Instruction;

const SCRATCH_WORDS: usize = 16;
const LD_LEN: u16 = 0x80;
const LDX_LEN: u16 = 0x81;

/// Does the program ask for the frame's length?
pub(super) fn reads_length(program: &[Instruction]) -> bool {
    program.iter().any(|instruction| matches!(instruction.code, LD_LEN | LDX_LEN))
}

fn load<const N: usize>(data: &[u8], at: u32) -> Option<[u8; N]> {
    data.get(at as usize..)?.first_chunk().copied()
}

/// Loads from the frame (absolute or at X) of 4, 2 and 1 bytes; `None` beyond its end.
fn load_frame(code: u16, data: &[u8], at: u32) -> Option<u32> {
    match code & 0x18 {
        0x00 => load(data, at).map(u32::from_be_bytes),
        0x08 => load(data, at).map(|half| u32::from(u16::from_be_bytes(half))),
        _ => load::<1>(data, at).map(|[byte]| u32::from(byte)),
    }
}

fn alu(code: u16, a: u32, operand: u32) -> Option<u32> {
    Some(match code & 0xf0 {
        0x00 => a.wrapping_add(operand),
        0x10 => a.wrapping_sub(operand),
        0x20 => a.wrapping_mul(operand),
        0x30 => a.checked_div(operand)?,
        0x40 => a | operand,
        0x50 => a & operand,
        0x60 => a.checked_shl(operand).unwrap_or(0),
        0x70 => a.checked_shr(operand).unwrap_or(0),
        0x80 => a.wrapping_neg(),
        0x90 => a.checked_rem(operand)?,
        0xa0 => a ^ operand,
        _ => return None,
    })
}

/// Runs a program: a load beyond the captured bytes, a division by zero or an instruction that
/// is not known means "no match", as in libpcap.
pub(super) fn run(program: &[Instruction], origlen: u32, data: &[u8]) -> bool {
    execute(program, origlen, data).unwrap_or(0) != 0
}

fn execute(program: &[Instruction], origlen: u32, data: &[u8]) -> Option<u32> {
    let (mut a, mut x, mut scratch) = (0u32, 0u32, [0u32; SCRATCH_WORDS]);
    let mut at = 0usize;
    loop {
        let Instruction { code, jt, jf, k } = *program.get(at)?;
        at += 1;
        match code {
            // LD: immediate, absolute, indirect, scratch, length
            0x00 => a = k,
            0x20 | 0x28 | 0x30 => a = load_frame(code, data, k)?,
            0x40 | 0x48 | 0x50 => a = load_frame(code, data, x.checked_add(k)?)?,
            0x60 => a = *scratch.get(k as usize)?,
            LD_LEN => a = origlen,
            // LDX: immediate, scratch, length, four times the low half of a byte
            0x01 => x = k,
            0x61 => x = *scratch.get(k as usize)?,
            LDX_LEN => x = origlen,
            0xb1 => x = (load_frame(0x10, data, k)? & 0xf) * 4,
            // ST, STX
            0x02 => *scratch.get_mut(k as usize)? = a,
            0x03 => *scratch.get_mut(k as usize)? = x,
            // RET: k, A
            0x06 => return Some(k),
            0x16 => return Some(a),
            // TAX, TXA
            0x07 => x = a,
            0x87 => a = x,
            // JA
            0x05 => at = at.checked_add(k as usize)?,
            // ALU, JMP: with k or X
            _ => {
                let operand = if code & 0x08 == 0 { k } else { x };
                match code & 0x07 {
                    0x04 => a = alu(code, a, operand)?,
                    0x05 => {
                        let holds = match code & 0xf0 {
                            0x10 => a == operand,
                            0x20 => a > operand,
                            0x30 => a >= operand,
                            0x40 => a & operand != 0,
                            _ => return None,
                        };
                        at += usize::from(if holds { jt } else { jf });
                    }
                    _ => return None,
                }
            }
        }
    }
}
