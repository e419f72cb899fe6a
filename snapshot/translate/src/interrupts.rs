//! The one field of the supervisor's status register that compiled code changes: whether interrupts are
//! enabled (volume II, section 12.1.1.2). Kernels do it around every lock.

use lithify_isa::{Op, OpCode, SINK};

/// `sstatus.SIE`.
pub(crate) const ENABLE: i64 = 1 << 1;

/// `csrrs rd, sstatus, rs1` without its operands.
const SET: u32 = 0x1000_2073;
/// `csrrc rd, sstatus, rs1`.
const CLEAR: u32 = 0x1000_3073;
/// `csrrsi rd, sstatus, 2` without its destination.
const ENABLE_ALL: u32 = 0x1001_6073;
/// `csrrci rd, sstatus, 2`.
const DISABLE_ALL: u32 = 0x1001_7073;
const RD: u32 = 0x1f << 7;
const RS1: u32 = 0x1f << 15;

/// Which bits an access sets or clears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// None.
    Read,
    /// The one that enables interrupts is set.
    Enable,
    /// It is cleared.
    Disable,
    /// Those in the source are set.
    Set,
    /// Those in the source are cleared.
    Clear,
}

/// What `op` does to the register, if it is one of these instructions.
pub(crate) fn change(op: &Op) -> Option<Change> {
    let word = op.imm.cast_unsigned();
    let reads = word & RS1 == 0;
    match word & !RD {
        _ if op.code != OpCode::System => None,
        ENABLE_ALL => Some(Change::Enable),
        DISABLE_ALL => Some(Change::Disable),
        other => match other & !RS1 {
            SET | CLEAR if reads => Some(Change::Read),
            SET => Some(Change::Set),
            CLEAR => Some(Change::Clear),
            _ => None,
        },
    }
}

/// `op` with its operands, if it is one of these instructions.
pub(crate) fn access(op: &Op) -> Option<Op> {
    let word = op.imm.cast_unsigned();
    let register = |field: u32| ((word & field) >> field.trailing_zeros()) as u8;
    let change = change(op)?;
    let rd = if register(RD) == 0 { SINK } else { register(RD) };
    let has_source = matches!(change, Change::Set | Change::Clear);
    Some(Op { rd, rs1: if has_source { register(RS1) } else { 0 }, ..*op })
}

#[cfg(test)]
mod tests {
    use lithify_isa::riscv64::lift;

    use super::*;

    #[test]
    fn what_enables_and_disables_interrupts_is_told_from_other_accesses() {
        // (instruction, destination, source, change)
        let cases = [
            (0x1001_77f3, Some((15, 0, Change::Disable))), // csrrci a5, sstatus, 2
            (0x1001_7073, Some((SINK, 0, Change::Disable))), // csrci sstatus, 2
            (0x1001_6073, Some((SINK, 0, Change::Enable))), // csrsi sstatus, 2
            (0x1007_a073, Some((SINK, 15, Change::Set))),  // csrs sstatus, a5
            (0x1002_b4f3, Some((9, 5, Change::Clear))),    // csrrc s1, sstatus, t0
            (0x1000_2773, Some((14, 0, Change::Read))),    // csrr a4, sstatus
            (0x1000_e073, None),                           // csrsi sstatus, 1
            (0x1007_9073, None),                           // csrw sstatus, a5
            (0x1047_a073, None),                           // csrs sie, a5
            (0x0010_2773, None),                           // frflags a4
            (0x1020_0073, None),                           // sret
        ];
        for (word, expected) in cases {
            let op = lift(word, 0);
            let found = access(&op).map(|access| (access.rd, access.rs1, change(&op)));
            let expected = expected.map(|(rd, rs1, change)| (rd, rs1, Some(change)));
            assert_eq!(found, expected, "{word:#x}");
        }
    }
}
