//! System instructions that compiled code executes: kernels do them around every lock, for each exception and
//! wherever they make memory for others (volume II, section 12.1; volume I, sections 3.3, 6.1 and 7.6.3).

use lithify_isa::riscv64::csr::{SCAUSE, SEPC, SSCRATCH, SSTATUS, STVAL, sstatus};
use lithify_isa::{Op, OpCode, SINK};

/// Fields of `sstatus` as constants of 64-bit instructions.
pub(crate) const SIE: i64 = sstatus::SIE.cast_signed();
pub(crate) const FS: i64 = sstatus::FS.cast_signed();
pub(crate) const SUM: i64 = sstatus::SUM.cast_signed();
pub(crate) const MXR: i64 = sstatus::MXR.cast_signed();
pub(crate) const WRITABLE: i64 = sstatus::WRITABLE.cast_signed();

const SYSTEM: u32 = 0x73;
/// `fence.i` without the fields that nothing reads.
const FENCE_I: u32 = 0x0000_100f;
/// `cbo.zero rs1` without its operand.
const CBO_ZERO: u32 = 0x0040_200f;
const OPCODE_AND_FUNCT3: u32 = 0x707f;
const RS1: u32 = 0x1f << 15;

/// A system instruction that is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instruction {
    /// An access to `sstatus`.
    Status(Change),
    /// An access to a register that holds what is written to it.
    Trap(TrapRegister, Change),
    /// Makes a block zeros.
    ZeroBlock,
}

/// Registers of what handles exceptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TrapRegister {
    Scratch,
    /// Where to go back to.
    ProgramCounter,
    Cause,
    Value,
}

/// What becomes of a register, which is read first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    Read,
    /// It is written.
    Write(Source),
    /// Bits are set.
    Set(Source),
    /// Bits are cleared.
    Clear(Source),
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The first source slot.
    Register,
    Constant(i64),
}

/// The instruction that `op` is, if it is one of these.
pub(crate) fn instruction(op: &Op) -> Option<Instruction> {
    let word = op.imm.cast_unsigned();
    match word & OPCODE_AND_FUNCT3 {
        _ if op.code != OpCode::System => None,
        _ if word & !RS1 == CBO_ZERO => Some(Instruction::ZeroBlock),
        _ => csr_access(word),
    }
}

/// An access to one of the registers.
fn csr_access(word: u32) -> Option<Instruction> {
    let (funct3, rs1) = (word >> 12 & 7, word >> 15 & 31);
    if word & 0x7f != SYSTEM || funct3 & 3 == 0 {
        return None;
    }
    let source = if funct3 & 4 == 0 { Source::Register } else { Source::Constant(rs1.into()) };
    let change = match funct3 & 3 {
        1 => Change::Write(source),
        _ if rs1 == 0 => Change::Read,
        2 => Change::Set(source),
        _ => Change::Clear(source),
    };
    let trap = |register| Some(Instruction::Trap(register, change));
    match (word >> 20) as u16 {
        SSTATUS => Some(Instruction::Status(change)),
        SSCRATCH => trap(TrapRegister::Scratch),
        SEPC => trap(TrapRegister::ProgramCounter),
        SCAUSE => trap(TrapRegister::Cause),
        STVAL => trap(TrapRegister::Value),
        _ => None,
    }
}

/// Bits of `sstatus` that may change when the instruction behind `before`, which makes this `change`, is executed.
pub(crate) fn may_change(before: &[Op], op: &Op, change: Change) -> i64 {
    let bits = match change {
        Change::Read => 0,
        Change::Write(_) => -1,
        Change::Set(Source::Constant(bits)) | Change::Clear(Source::Constant(bits)) => bits,
        Change::Set(Source::Register) | Change::Clear(Source::Register) => {
            match before.iter().rfind(|other| other.rd == op.rs1) {
                Some(Op { code: OpCode::Li, imm, .. }) => (*imm).into(),
                Some(Op { code: OpCode::AndI, imm, .. }) if *imm >= 0 => (*imm).into(),
                _ => -1,
            }
        }
    };
    bits & WRITABLE
}

/// Whether number `at` of `ops` may change what of the memory can be accessed, or whether float instructions may run.
pub(crate) fn changes_view(ops: &[Op], at: usize) -> bool {
    match instruction(&ops[at]) {
        Some(Instruction::Status(change)) => {
            may_change(&ops[..at], &ops[at], change) & (SUM | FS) != 0
        }
        _ => false,
    }
}

/// Whether one of `ops` may.
pub(crate) fn change_view(ops: &[Op]) -> bool {
    (0..ops.len()).any(|at| changes_view(ops, at))
}

/// `op` with its operands, if it is one of these instructions.
pub(crate) fn access(op: &Op) -> Option<Op> {
    let word = op.imm.cast_unsigned();
    let register = |shift: u32| (word >> shift & 31) as u8;
    // Stores to code are seen at once: there is nothing to wait for.
    if op.code == OpCode::System && word & OPCODE_AND_FUNCT3 == FENCE_I {
        return Some(Op { code: OpCode::Nop, ..*op });
    }
    let rd = if register(7) == 0 { SINK } else { register(7) };
    let from_register = Op { rd, rs1: register(15), ..*op };
    Some(match instruction(op)? {
        Instruction::ZeroBlock => Op { rd: SINK, ..from_register },
        Instruction::Status(change) | Instruction::Trap(_, change) => match change {
            Change::Write(Source::Register)
            | Change::Set(Source::Register)
            | Change::Clear(Source::Register) => from_register,
            _ => Op { rs1: 0, ..from_register },
        },
    })
}

#[cfg(test)]
mod tests {
    use lithify_isa::riscv64::lift;

    use super::*;

    #[test]
    fn what_is_compiled_is_told_from_other_system_instructions() {
        use Change::{Clear, Read, Set, Write};
        use Instruction::{Status, Trap, ZeroBlock};
        use Source::{Constant, Register};
        use TrapRegister::{Cause, ProgramCounter, Scratch, Value};
        // (instruction, destination, source, what it is)
        let cases = [
            (0x1001_77f3, Some((15, 0, Status(Clear(Constant(2)))))), // csrrci a5, sstatus, 2
            (0x1001_7073, Some((SINK, 0, Status(Clear(Constant(2)))))), // csrci sstatus, 2
            (0x1001_6073, Some((SINK, 0, Status(Set(Constant(2)))))), // csrsi sstatus, 2
            (0x1007_a073, Some((SINK, 15, Status(Set(Register))))),   // csrs sstatus, a5
            (0x1002_b4f3, Some((9, 5, Status(Clear(Register))))),     // csrrc s1, sstatus, t0
            (0x1000_2773, Some((14, 0, Status(Read)))),               // csrr a4, sstatus
            (0x1402_1273, Some((4, 4, Trap(Scratch, Write(Register))))), // csrrw tp, sscratch, tp
            (0x1400_1073, Some((SINK, 0, Trap(Scratch, Write(Register))))), // csrw sscratch, zero
            (0x1400_2af3, Some((21, 0, Trap(Scratch, Read)))),        // csrr s5, sscratch
            (0x1416_1073, Some((SINK, 12, Trap(ProgramCounter, Write(Register))))), // csrw sepc, a2
            (0x1420_f073, Some((SINK, 0, Trap(Cause, Clear(Constant(1)))))), // csrci scause, 1
            (0x1430_29f3, Some((19, 0, Trap(Value, Read)))),          // csrr s3, stval
            (0x0045_200f, Some((SINK, 10, ZeroBlock))),               // cbo.zero (a0)
            (0x1007_9073, Some((SINK, 15, Status(Write(Register))))), // csrw sstatus, a5
            (0x1047_a073, None),                                      // csrs sie, a5
            (0x0010_2773, None),                                      // frflags a4
            (0x1020_0073, None),                                      // sret
            (0x12f6_0073, None),                                      // sfence.vma a2, a5
        ];
        for (word, expected) in cases {
            let op = lift(word, 0);
            let found = access(&op).map(|access| (access.rd, access.rs1, instruction(&op)));
            let expected = expected.map(|(rd, rs1, what)| (rd, rs1, Some(what)));
            assert_eq!(found, expected, "{word:#x}");
        }
        assert_eq!(access(&lift(FENCE_I, 0)).map(|op| op.code), Some(OpCode::Nop));
    }

    #[test]
    fn what_may_change_is_known_where_the_source_is() {
        let li = |imm| Op { code: OpCode::Li, rd: 15, imm, ..lift(0x13, 0) };
        let and = |imm| Op { code: OpCode::AndI, rs1: 9, ..li(imm) };
        let other = Op { rd: 14, ..li(-1) };
        // (instructions before, instruction, what may change)
        let cases = [
            (vec![], 0x1007_a073, WRITABLE), // csrs sstatus, a5
            (vec![li(SUM as i32), other], 0x1007_a073, SUM),
            (vec![li(-1)], 0x1007_a073, WRITABLE),
            (vec![li(1), and(2)], 0x1007_b073, SIE), // csrc sstatus, a5
            (vec![and(-2)], 0x1007_b073, WRITABLE),
            (vec![li(2)], 0x1007_9073, WRITABLE), // csrw sstatus, a5
            (vec![li(-1)], 0x1001_7073, SIE),     // csrci sstatus, 2
            (vec![li(-1)], 0x1000_2773, 0),       // csrr a4, sstatus
        ];
        for (mut ops, word, expected) in cases {
            let op = access(&lift(word, 0)).expect("one of these");
            let Some(Instruction::Status(change)) = instruction(&op) else { unreachable!() };
            assert_eq!(may_change(&ops, &op, change), expected, "{word:#x} behind {ops:?}");
            ops.push(op);
            assert_eq!(change_view(&ops), expected & (SUM | FS) != 0, "{ops:?}");
        }
    }
}
