//! The one function that is not guest code: it goes on at a program counter.
//!
//! Its parameters are the address of the TLB set, the program counter and the depth, in its place above an
//! entry's number. If the jump cache knows a translated function for the program counter it goes on there;
//! else it returns the program counter.

use lithify_isa::translation::{
    JUMP_ENTRY_SIZE, JUMP_FOLD, JUMP_KEY, JUMP_SHIFT, JUMP_SPACE, JUMP_TARGET, JUMP_TARGET_SHIFT,
    Layout, PAGE_SIZE, SPACE_FOLD,
};
use wasm_encoder::{BlockType, Function, InstructionSink, MemArg, ValType};

use crate::Link;

const TLB: u32 = 0;
const PC: u32 = 1;
const DEPTH: u32 = 2;
/// Offset of the jump cache's entry, then its target.
const SLOT: u32 = 3;
const ENTRY: u32 = 4;

/// Number of this function among the appended ones.
pub(crate) const NUMBER: u32 = 0;

const fn at(address: u32, align: u32) -> MemArg {
    MemArg { offset: address as u64, align, memory_index: 0 }
}

/// The part of a target that is the entry's number.
const ENTRY_MASK: i32 = (1 << JUMP_TARGET_SHIFT) - 1;

const SLOT_SHIFT: i32 = JUMP_ENTRY_SIZE.trailing_zeros() as i32 - JUMP_SHIFT as i32;

/// From the program counter in local `pc` to the offset of its entry in the jump cache:
/// [`jump_slot`](lithify_isa::translation::jump_slot).
pub(crate) fn slot(w: &mut InstructionSink<'_>, pc: u32, layout: &Layout) {
    w.local_get(pc).local_get(pc).i64_const(JUMP_FOLD).i64_shr_u().i64_xor().i32_wrap_i64();
    w.i32_const(SLOT_SHIFT).i32_shl();
    fold_space(w, layout, JUMP_ENTRY_SIZE);
    w.i32_const(0).i32_load(at(layout.jump_mask, 2)).i32_and();
}

/// Folds the number of the address space into the offset, on the stack, of an entry of `size` bytes.
pub(crate) fn fold_space(w: &mut InstructionSink<'_>, layout: &Layout, size: usize) {
    let shift = SPACE_FOLD + size.trailing_zeros();
    w.i32_const(0).i32_load(at(layout.space, 2)).i32_const(shift as i32).i32_shl().i32_xor();
}

/// A field of the jump cache's entry whose offset is on the stack.
pub(crate) const fn jump(layout: &Layout, field: usize) -> MemArg {
    at(layout.jumps + field as u32, 2)
}

/// `functions` is how many there are, this one included. Each is called directly: a call through the table costs some
/// twenty instructions, and saves registers around what a table's first use takes.
pub(crate) fn function(link: &Link, functions: usize) -> crate::Function {
    let layout = &link.layout;
    let mut function = Function::new([(2, ValType::I32)]);
    let mut w = function.instructions();
    w.block(BlockType::Empty);
    slot(&mut w, PC, layout);
    w.local_tee(SLOT).i64_load(jump(layout, JUMP_KEY)).local_get(PC).i64_xor();
    w.local_get(SLOT).i64_load32_u(jump(layout, JUMP_SPACE));
    w.i32_const(0).i64_load32_u(at(layout.space, 2)).i64_xor().i64_or();
    w.i64_const(0).i64_ne();
    let unlikely = vec![function.byte_len() as u32];
    let mut w = function.instructions();
    w.br_if(0).local_get(SLOT).i32_load(jump(layout, JUMP_TARGET)).local_tee(SLOT);
    w.i32_const(ENTRY_MASK).i32_and().local_get(DEPTH).i32_or().local_set(ENTRY);
    // Of what is not translated the function is 0: that is none of them.
    let others = functions as u32 - 1;
    (0..=others).for_each(|_| {
        w.block(BlockType::Empty);
    });
    w.local_get(SLOT).i32_const(JUMP_TARGET_SHIFT as i32).i32_shr_u();
    w.i32_const((link.first_element + 1).cast_signed()).i32_sub();
    w.br_table(0..others, others);
    for number in 1..=others {
        w.end().local_get(TLB).local_get(PC).i64_const(-(PAGE_SIZE as i64)).i64_and();
        w.local_get(ENTRY).return_call(link.first_function + number);
    }
    w.end().local_get(PC).return_().end().local_get(PC).end();
    crate::Function { body: function.into_raw_body(), unlikely }
}
