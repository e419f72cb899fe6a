//! A module around translated functions: memory, table, nothing else.

pub(crate) mod engine;

use lithify_isa::translation::{
    CODE_PAGE_ENTRIES, CODE_PAGE_ENTRY_SIZE, JUMP_ENTRY_SIZE, Layout, TLB_SET_SIZE, jump_mask,
};
use lithify_translate::{Function, Link, Translation};
use wasm_encoder::{
    CodeSection, ConstExpr, ElementSection, Elements, ExportKind, ExportSection, FunctionSection,
    MemorySection, MemoryType, Module, RefType, TableSection, TableType, TypeSection, ValType,
};

/// Where the test machine keeps what [`Layout`] names; guest RAM begins at [`RAM`].
pub(crate) const LAYOUT: Layout = Layout {
    x: 0x1000,
    f: 0x1800,
    budget: 0x2000,
    fflags: 0x2008,
    frm: 0x2009,
    float_ready: 0x200a,
    privileged: 0x200b,
    interrupt_waits: 0x200c,
    status: 0x2020,
    reservation: 0x2010,
    jumps: JUMPS,
    pages: PAGES,
    space: 0x2018,
    jump_mask: 0x2028,
    scratch: 0x2030,
    exception_pc: 0x2038,
    cause: 0x2040,
    trap_value: 0x2048,
    views: 0x2050,
};
const JUMPS: u32 = 0x1_0000;
const JUMPS_IN_USE: usize = 1 << 12;
pub(crate) const JUMP_MASK: u32 = jump_mask(JUMPS_IN_USE);
const PAGES: u32 = JUMPS + (JUMPS_IN_USE * JUMP_ENTRY_SIZE) as u32;
pub(crate) const TLB: u32 = PAGES + (CODE_PAGE_ENTRIES * CODE_PAGE_ENTRY_SIZE) as u32;
pub(crate) const RAM: u32 = 0x40_0000;
const _: () = assert!(TLB + 2 * (TLB_SET_SIZE as u32) <= RAM, "two sets");

/// Where the functions go in [`module`].
pub(crate) const LINK: Link = Link {
    layout: LAYOUT,
    first_function: 0,
    // No function has index 0: that is the jump cache's "none".
    first_element: 1,
};

/// A module of the translated functions with `pages` wasm pages of memory; exports `memory` and `table`.
pub(crate) fn module(translation: &Translation, pages: u64) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32, ValType::I64, ValType::I32], [ValType::I64]);
    let count = translation.functions.len() as u32;
    let mut functions = FunctionSection::new();
    let mut code = CodeSection::new();
    for Function { body, .. } in &translation.functions {
        functions.function(0);
        code.raw(body);
    }
    let mut tables = TableSection::new();
    let minimum = u64::from(count) + 1;
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        table64: false,
        minimum,
        maximum: Some(minimum),
        shared: false,
    });
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: pages,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0).export("table", ExportKind::Table, 0);
    let mut elements = ElementSection::new();
    let numbers: Vec<u32> = (0..count).collect();
    let offset = ConstExpr::i32_const(LINK.first_element as i32);
    elements.active(None, &offset, Elements::Functions(numbers.into()));
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&tables).section(&memories);
    module.section(&exports).section(&elements).section(&code);
    module.finish()
}
