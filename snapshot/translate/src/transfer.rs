//! The one function that is not guest code: it goes on at a program counter until execution gets
//! back to a return address.
//!
//! Its parameters are the address of the TLB set, the program counter and the low half of the return
//! address; the caller compares all of it. While the jump cache knows a translated function for the
//! program counter it calls that.

use lithify_isa::translation::{
    JUMP_ENTRIES, JUMP_ENTRY, JUMP_ENTRY_SIZE, JUMP_FOLD, JUMP_FUNCTION, JUMP_GENERATION, JUMP_KEY,
    Layout, MAX_DEPTH, PAGE_SIZE,
};
use wasm_encoder::{BlockType, Function, InstructionSink, MemArg, ValType};

use crate::Link;

const TLB: u32 = 0;
const PC: u32 = 1;
const BACK: u32 = 2;
const SLOT: u32 = 3;
const CALLEE: u32 = 4;
const DEPTH: u32 = 5;
const RESULT: u32 = 6;

/// Number of this function among the appended ones.
pub(crate) const NUMBER: u32 = 0;

const fn at(address: u32, align: u32) -> MemArg {
    MemArg { offset: address as u64, align, memory_index: 0 }
}

const SLOT_SHIFT: i32 = JUMP_ENTRY_SIZE.trailing_zeros() as i32 - 1;
const SLOT_MASK: i32 = ((JUMP_ENTRIES - 1) * JUMP_ENTRY_SIZE) as i32;

/// From the program counter in local `pc` to the offset of its entry in the jump cache:
/// [`jump_index`](lithify_isa::translation::jump_index) times the entry's size.
pub(crate) fn slot(w: &mut InstructionSink<'_>, pc: u32) {
    w.local_get(pc).local_get(pc).i64_const(JUMP_FOLD).i64_shr_u().i64_xor().i32_wrap_i64();
    w.i32_const(SLOT_SHIFT).i32_shl().i32_const(SLOT_MASK).i32_and();
}

/// A field of the jump cache's entry whose offset is on the stack.
pub(crate) const fn jump(layout: &Layout, field: usize) -> MemArg {
    at(layout.jumps + field as u32, 2)
}

pub(crate) fn function(link: &Link) -> Vec<u8> {
    let layout = &link.layout;
    let mut function = Function::new([(3, ValType::I32), (1, ValType::I64)]);
    let mut w = function.instructions();
    w.i32_const(0).i32_load(at(layout.depth, 2)).local_tee(DEPTH);
    w.i32_const(MAX_DEPTH as i32).i32_ge_u();
    w.if_(BlockType::Empty).local_get(PC).return_().end();
    w.i32_const(0).local_get(DEPTH).i32_const(1).i32_add().i32_store(at(layout.depth, 2));
    w.block(BlockType::Empty).loop_(BlockType::Empty);
    slot(&mut w, PC);
    w.local_tee(SLOT);
    w.i64_load(jump(layout, JUMP_KEY));
    w.local_get(PC).i32_const(0).i64_load(at(layout.view, 3)).i64_or().i64_ne().br_if(1);
    w.local_get(SLOT).i32_load(jump(layout, JUMP_GENERATION));
    w.i32_const(0).i32_load(at(layout.jump_generation, 2)).i32_ne().br_if(1);
    w.local_get(SLOT).i32_load(jump(layout, JUMP_FUNCTION)).local_tee(CALLEE).i32_eqz().br_if(1);
    w.local_get(TLB).local_get(PC).i64_const(-(PAGE_SIZE as i64)).i64_and();
    w.local_get(SLOT).i32_load(jump(layout, JUMP_ENTRY));
    w.local_get(CALLEE).call_indirect(link.table, link.function_type).local_set(RESULT);
    // Without progress the interpreter must have a go.
    w.local_get(PC).local_get(RESULT).local_tee(PC).i64_eq().br_if(1);
    w.local_get(PC).i32_wrap_i64().local_get(BACK).i32_ne().br_if(0);
    w.end().end();
    w.i32_const(0).local_get(DEPTH).i32_store(at(layout.depth, 2));
    w.local_get(PC).end();
    function.into_raw_body()
}
