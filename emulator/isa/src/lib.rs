//! Guest instruction sets: bytes to architecture-neutral ops.
//!
//! A guest instruction is lifted once into [`Op`]s, fixed-size pre-decoded micro-operations on
//! numbered slots, and executed by consumers that know no guest encoding: the interpreter today,
//! the translator to wasm next to it. One folder per guest architecture holds its instruction
//! lists (one line per instruction, with the manual's mnemonic) and a lifter; nothing here holds
//! CPU state or does I/O.

mod op;
pub mod riscv64;
pub mod translation;

pub use op::{Op, OpCode, SINK};
