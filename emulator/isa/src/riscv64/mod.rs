//! RV64IMAFDC with Zicsr, Zifencei, Zba, Zbb, Zbs, Zicond and Zicboz
//! (The RISC-V Instruction Set Manual, volumes I and II, version 20240411).
//!
//! The lists `rv_*` hold one line per instruction in the form of riscv-opcodes: mnemonic, fixed
//! bits, operand format, op. [`lift`] finds the line and applies the format.

pub mod csr;
mod encoding;
mod format;
mod lift;
mod rv_a;
mod rv_c;
mod rv_fd;
mod rv_i;
mod rv_m;
mod rv_system;
mod rv_zb;

pub use encoding::Encoding;
pub use lift::{all_encodings, length, lift};
