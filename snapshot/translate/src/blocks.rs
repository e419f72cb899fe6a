//! Basic blocks of a page, which start at the offsets that a profile names.

use std::collections::BTreeMap;

use lithify_isa::riscv64::{length, lift};
use lithify_isa::translation::PAGE_SIZE;
use lithify_isa::{Op, OpCode, SINK};

use crate::{Page, flags, system};

/// Offset of an instruction relative to its page; may lie on another.
pub(crate) type Offset = i32;

/// How a block ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// A conditional branch.
    Branch { op: Op, taken: Offset, next: Offset },
    /// Execution goes on there; a jump may leave a return address that nobody will return to.
    Jump { op: Option<Op>, target: Offset },
    /// A call.
    Call { op: Op, target: Offset, back: Offset },
    /// A call through a register.
    CallRegister { op: Op, back: Offset },
    /// A jump through a register, a return most of the time.
    JumpRegister { op: Op },
    /// The interpreter executes the instruction there.
    Exit { at: Offset },
}

impl End {
    /// Whether this is a jump that may lead anywhere in its own function, as those of a `switch` do. Returns
    /// go through a link register.
    pub(crate) fn is_computed_jump(&self) -> bool {
        matches!(self, Self::JumpRegister { op } if op.rd == SINK && !is_link(op.rs1))
    }

    /// Whether this is a return.
    pub(crate) fn is_return(&self) -> bool {
        matches!(self, Self::JumpRegister { op } if op.rd == SINK && is_link(op.rs1))
    }
}

/// Instructions that are executed one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BasicBlock {
    pub(crate) start: u16,
    /// Offset behind its last instruction.
    pub(crate) end: u16,
    /// All but the one that ends it.
    pub(crate) ops: Vec<Op>,
    /// Instructions that retire when it is executed to its end.
    pub(crate) len: u32,
    pub(crate) last: End,
    pub(crate) count: u64,
    /// If the last instruction begins on this page and ends on the next, what that page begins with.
    pub(crate) behind: Option<Half>,
}

/// Half of a long instruction.
pub(crate) type Half = [u8; 2];

impl BasicBlock {
    pub(crate) fn bytes(&self) -> usize {
        usize::from(self.end - self.start)
    }

    /// Where execution may go on inside the page without a call, or after one.
    pub(crate) fn successors(&self) -> impl Iterator<Item = Offset> {
        let (a, b) = match self.last {
            End::Branch { taken, next, .. } => (Some(taken), Some(next)),
            End::Jump { target, .. } => (Some(target), None),
            End::Call { back, .. } | End::CallRegister { back, .. } => (Some(back), None),
            End::JumpRegister { .. } | End::Exit { .. } => (None, None),
        };
        a.into_iter().chain(b)
    }

    /// Where execution may go on at a known place.
    pub(crate) fn targets(&self) -> impl Iterator<Item = Offset> {
        let called = match self.last {
            End::Call { target, .. } => Some(target),
            _ => None,
        };
        self.successors().chain(called)
    }
}

/// Whether a jump that leaves its return address in this register is a call
/// (The RISC-V Instruction Set Manual, volume I, table 3).
const fn is_link(register: u8) -> bool {
    register == 1 || register == 5
}

/// Whether only the interpreter executes this.
fn is_interpreted(code: OpCode) -> bool {
    use OpCode as C;
    matches!(code, C::System | C::Illegal | C::Next | C::FClassS | C::FClassD)
}

/// The instruction at byte `at` and its length, if it ends on the page, or behind it with `behind`.
fn decode(page: &[u8; PAGE_SIZE], behind: Option<Half>, at: u16) -> Option<(Op, u16)> {
    let at_byte = usize::from(at);
    let first = page.get(at_byte..at_byte + 2)?;
    let length = length(u16::from_le_bytes([first[0], first[1]]));
    let mut word = [0; 4];
    match page.get(at_byte..at_byte + usize::from(length)) {
        Some(bytes) => word[..bytes.len()].copy_from_slice(bytes),
        None => {
            word[..2].copy_from_slice(first);
            word[2..].copy_from_slice(&behind?);
        }
    }
    let op = lift(u32::from_le_bytes(word), at);
    Some((flags::access(&op).or_else(|| system::access(&op)).unwrap_or(op), length))
}

/// How `op`, which is `length` long, ends a block, if it does.
fn end_at(op: &Op, length: u16) -> Option<End> {
    let here = i32::from(op.pc);
    let (target, behind) = (here.wrapping_add(op.imm), here + i32::from(length));
    Some(match op.code {
        code if code.is_branch() => End::Branch { op: *op, taken: target, next: behind },
        OpCode::Jal if is_link(op.rd) => End::Call { op: *op, target, back: behind },
        OpCode::Jal => End::Jump { op: Some(*op), target },
        OpCode::Jalr if is_link(op.rd) => End::CallRegister { op: *op, back: behind },
        OpCode::Jalr => End::JumpRegister { op: *op },
        _ if flags::access(op).or_else(|| system::access(op)).is_some() => return None,
        code if is_interpreted(code) => End::Exit { at: here },
        _ => return None,
    })
}

/// Offsets where blocks start, with their counts.
type Starts = BTreeMap<u16, u64>;

/// The blocks of `page`, sorted by offset. The next page is likely to begin with `behind`.
pub(crate) fn find(page: &Page, behind: Option<Half>) -> Vec<BasicBlock> {
    let starts = starts(page);
    let mut blocks: Vec<_> = starts
        .iter()
        .map(|(&start, &count)| block(page, behind, start, count, &starts))
        .filter(|block| block.len > 0)
        .collect();
    count_ends(&mut blocks);
    blocks
}

/// The end of a block that a rare one begins in the middle of, as behind an exception, is executed as often
/// as its start: it was counted there.
fn count_ends(blocks: &mut [BasicBlock]) {
    for at in 0..blocks.len() {
        let BasicBlock { count, last: End::Jump { op: None, target }, .. } = blocks[at] else {
            continue;
        };
        let place = blocks.binary_search_by_key(&target, |block| block.start.into());
        if let Ok(end) = place {
            blocks[end].count = blocks[end].count.max(count);
        }
    }
}

fn starts(page: &Page) -> Starts {
    let mut starts = Starts::new();
    let counted = page.blocks.iter().filter(|block| block.offset % 2 == 0 && block.count > 0);
    for block in counted.filter(|block| usize::from(block.offset) < PAGE_SIZE) {
        let count = starts.entry(block.offset).or_default();
        *count = block.count.max(*count);
    }
    starts
}

fn block(page: &Page, behind: Option<Half>, start: u16, count: u64, starts: &Starts) -> BasicBlock {
    let mut ops = Vec::new();
    let mut at = start;
    let last = loop {
        let Some((op, length)) = decode(&page.bytes, behind, at) else {
            break End::Exit { at: at.into() };
        };
        if let Some(end) = end_at(&op, length) {
            if !matches!(end, End::Exit { .. }) {
                at += length;
            }
            break end;
        }
        ops.push(op);
        at += length;
        if starts.contains_key(&at) || usize::from(at) >= PAGE_SIZE {
            break End::Jump { op: None, target: at.into() };
        }
    };
    let ends_by_itself = matches!(last, End::Exit { .. } | End::Jump { op: None, .. });
    let len = ops.len() as u32 + u32::from(!ends_by_itself);
    let behind = behind.filter(|_| usize::from(at) > PAGE_SIZE);
    BasicBlock { start, end: at, ops, len, last, count, behind }
}
