//! The one function that is not guest code: it goes on at a program counter until execution gets
//! back to a return address.
//!
//! Its parameters are the address of the TLB set, the program counter and the low half of the return
//! address; the caller compares all of it. While the jump cache knows a translated function for the
//! program counter it calls that.

use lithify_isa::translation::{
    JUMP_ENTRIES, JUMP_ENTRY, JUMP_ENTRY_SIZE, JUMP_FUNCTION, JUMP_GENERATION, JUMP_KEY, MAX_DEPTH,
    PAGE_SIZE,
};
use wasm_encoder::{BlockType, Function, MemArg, ValType};

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

pub(crate) fn function(link: &Link) -> Vec<u8> {
    let layout = &link.layout;
    let jump = |field: usize, align| at(layout.jumps + field as u32, align);
    // `pc >> 1`, cut to the number of entries, times the entry's size.
    const SHIFT: u32 = JUMP_ENTRY_SIZE.trailing_zeros() - 1;
    const MASK: i32 = ((JUMP_ENTRIES - 1) * JUMP_ENTRY_SIZE) as i32;
    let mut function = Function::new([(3, ValType::I32), (1, ValType::I64)]);
    let mut w = function.instructions();
    w.i32_const(0).i32_load(at(layout.depth, 2)).local_tee(DEPTH);
    w.i32_const(MAX_DEPTH as i32).i32_ge_u();
    w.if_(BlockType::Empty).local_get(PC).return_().end();
    w.i32_const(0).local_get(DEPTH).i32_const(1).i32_add().i32_store(at(layout.depth, 2));
    w.block(BlockType::Empty).loop_(BlockType::Empty);
    w.local_get(PC).i32_wrap_i64().i32_const(SHIFT as i32).i32_shl();
    w.i32_const(MASK).i32_and().local_tee(SLOT);
    w.i64_load(jump(JUMP_KEY, 3));
    w.local_get(PC).i32_const(0).i64_load(at(layout.view, 3)).i64_or().i64_ne().br_if(1);
    w.local_get(SLOT).i32_load(jump(JUMP_GENERATION, 2));
    w.i32_const(0).i32_load(at(layout.jump_generation, 2)).i32_ne().br_if(1);
    w.local_get(SLOT).i32_load(jump(JUMP_FUNCTION, 2)).local_tee(CALLEE).i32_eqz().br_if(1);
    w.local_get(TLB).local_get(PC).i64_const(-(PAGE_SIZE as i64)).i64_and();
    w.local_get(SLOT).i32_load(jump(JUMP_ENTRY, 2));
    w.local_get(CALLEE).call_indirect(link.table, link.function_type).local_set(RESULT);
    // Without progress the interpreter must have a go.
    w.local_get(PC).local_get(RESULT).local_tee(PC).i64_eq().br_if(1);
    w.local_get(PC).i32_wrap_i64().local_get(BACK).i32_ne().br_if(0);
    w.end().end();
    w.i32_const(0).local_get(DEPTH).i32_store(at(layout.depth, 2));
    w.local_get(PC).end();
    function.into_raw_body()
}
