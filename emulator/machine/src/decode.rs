//! From the bytes of a page to a block of steps.
//!
//! A block goes on behind branches that are not taken and through jumps ahead. Where it is cut,
//! and by what it is preceded, no guest can see: a cut is no stop (see [`Core::run`]).
//!
//! [`Core::run`]: crate::core::Core::run

use lithify_isa::{Op, OpCode, SINK};

use crate::arch::Arch;
use crate::arena::PAGE_SIZE;
use crate::code::{MAX_BLOCK_LEN, MAX_BRANCHES, Step, next};
use crate::fuse::fuse;
use crate::pages::{PageCode, contains};

/// Whether the instruction at byte `at` ends on the page.
pub(crate) fn is_whole<A: Arch>(bytes: &[u8; PAGE_SIZE], at: usize) -> bool {
    at + usize::from(A::length(u16::from_le_bytes([bytes[at], bytes[at + 1]]))) <= PAGE_SIZE
}

/// Decodes from byte `start` of a page, where a [whole](is_whole) instruction is, until execution
/// must leave the block.
pub(crate) fn decode_page<A: Arch>(
    bytes: &[u8; PAGE_SIZE],
    start: usize,
    page: &mut PageCode<'_>,
) -> Vec<Step> {
    let mut steps = Vec::with_capacity(MAX_BLOCK_LEN + 2);
    steps.extend(page.first_step(start));
    let first = steps.len();
    decode_steps::<A>(bytes, start, page, &mut steps);
    fuse(&mut steps[first..]);
    steps
}

fn decode_steps<A: Arch>(
    bytes: &[u8; PAGE_SIZE],
    start: usize,
    page: &mut PageCode<'_>,
    steps: &mut Vec<Step>,
) {
    let (mut at, mut len, mut branches) = (start, 0, 0);
    let max_branches = if page.is_counted() || page.is_cold() { 1 } else { MAX_BRANCHES };
    // What is translated is seldom executed here, and then it matters that it goes on.
    let max_len = if page.starts_block(start) { 1 } else { MAX_BLOCK_LEN };
    let piece = page.piece(start);
    while at + 2 <= PAGE_SIZE && len < max_len && branches < max_branches {
        if len > 0 && page.starts_block(at) || piece.is_some_and(|piece| !contains(piece, at)) {
            break;
        }
        let Some((op, length)) = decode::<A>(bytes, at) else { break };
        if piece.is_some() {
            steps.extend(page.step_before(op.code, at));
        }
        at += length;
        if let Some(target) = jump_ahead(&op) {
            at = target;
            branches += 1;
        } else {
            let mut step = Step::new(&op, len);
            if op.code.writes_memory() {
                step.rs3 = length as u8;
            }
            steps.push(step);
            branches += usize::from(op.code.is_branch());
            if op.code.ends_block() {
                return;
            }
        }
        len += 1;
    }
    steps.push(next(at as u16, len));
}

/// The instruction at byte `at` of a page and its length, if it ends on the page.
fn decode<A: Arch>(page: &[u8; PAGE_SIZE], at: usize) -> Option<(Op, usize)> {
    let first = u16::from_le_bytes([page[at], page[at + 1]]);
    let length = usize::from(A::length(first));
    let mut word = [0; 4];
    word[..length].copy_from_slice(page.get(at..at + length)?);
    Some((A::lift(u32::from_le_bytes(word), at as u16), length))
}

/// Where on the same page a jump leads that goes ahead and does nothing else. A block goes on
/// there; one that leads back is a stop, so that every loop has one.
fn jump_ahead(op: &Op) -> Option<usize> {
    let target = usize::try_from(i32::from(op.pc) + op.imm).ok()?;
    let ahead = target > usize::from(op.pc) && target < PAGE_SIZE;
    (op.code == OpCode::Jal && op.rd == SINK && ahead).then_some(target)
}
