//! Instructions of [`lithify_isa::OpCode::System`]: privileged ones, CSRs and cache blocks.

use super::{Mode, Riscv64, csr, sbi, trap};
use crate::arch::{Access, Arch, Trap};
use crate::core::{Core, Pause};
use crate::tlb::Flushed;

const ECALL: u32 = 0x0000_0073;
const EBREAK: u32 = 0x0010_0073;
const SRET: u32 = 0x1020_0073;
const WFI: u32 = 0x1050_0073;
const SFENCE_VMA_MASK: u32 = 0xfe00_7fff;
const SFENCE_VMA: u32 = 0x1200_0073;
const MISC_MEM: u32 = 0x0f;
const OPCODE_MASK: u32 = 0x7f;
const FUNCT3_CBO: u32 = 2;

/// Executes `instruction` at `pc`; returns where to go on.
pub(super) fn execute(core: &mut Core<Riscv64>, instruction: u32, pc: u64) -> Result<u64, Trap> {
    let next = pc.wrapping_add(4);
    match instruction {
        ECALL => return ecall(core, next),
        EBREAK => return Err(trap::breakpoint(pc)),
        SRET => {
            require_supervisor(core, instruction)?;
            return Ok(trap::leave(core));
        }
        WFI => {
            require_supervisor(core, instruction)?;
            wait(core);
        }
        _ if instruction & SFENCE_VMA_MASK == SFENCE_VMA => {
            require_supervisor(core, instruction)?;
            fence_translation(core, instruction);
        }
        _ if instruction & OPCODE_MASK == MISC_MEM => {
            // fence.i has nothing to do: a store to a page with decoded code drops that code.
            if instruction >> 12 & 7 == FUNCT3_CBO {
                zero_block(core, instruction)?;
            }
        }
        _ => csr::execute(core, instruction)?,
    }
    Ok(next)
}

fn require_supervisor(core: &Core<Riscv64>, instruction: u32) -> Result<(), Trap> {
    match core.arch.mode {
        Mode::Supervisor => Ok(()),
        Mode::User => Err(trap::illegal(instruction)),
    }
}

fn ecall(core: &mut Core<Riscv64>, next: u64) -> Result<u64, Trap> {
    match core.arch.mode {
        Mode::User => Err(trap::ecall_from_user()),
        Mode::Supervisor => {
            sbi::call(core);
            Ok(next)
        }
    }
}

/// `wfi` ends at a pending interrupt that is enabled in `sie`, whatever `sstatus.SIE` says.
fn wait(core: &mut Core<Riscv64>) {
    if trap::pending(core) & core.arch.sie == 0 {
        core.pause(Pause::Idle);
    }
}

/// `sfence.vma`: one page where rs1 names it, else everything; what is not mapped globally of one address
/// space where rs2 names it, else of all.
fn fence_translation(core: &mut Core<Riscv64>, instruction: u32) {
    let register = |field: u32| match instruction >> field & 31 {
        0 => None,
        number => Some(core.x[number as usize]),
    };
    match (register(15), register(20)) {
        (None, None) => {
            core.tlb.flush();
            core.code.forget_jumps();
        }
        (None, Some(asid)) => {
            let is_meant = |satp| csr::asid(satp) == asid as u16;
            core.tlb.flush_spaces(is_meant);
            core.code.forget_jumps_in(is_meant);
        }
        (Some(va), asid) => {
            let is_meant = |satp| asid.is_none_or(|asid| csr::asid(satp) == asid as u16);
            match core.tlb.flush_page(va, is_meant) {
                Flushed::All => core.code.forget_jumps(),
                Flushed::Page if !core.code.is_jumped_to(va) => {}
                Flushed::Page if asid.is_some() => core.code.forget_jumps_in(is_meant),
                Flushed::Page => core.code.forget_jumps(),
            }
        }
    }
}

/// `cbo.zero` (volume I, section 7.6.3); a block is a whole page on this machine.
fn zero_block(core: &mut Core<Riscv64>, instruction: u32) -> Result<(), Trap> {
    if core.arch.mode == Mode::User && core.arch.senvcfg & csr::SENVCFG_CBZE == 0 {
        return Err(trap::illegal(instruction));
    }
    let va = core.x[(instruction >> 15 & 31) as usize];
    let address = Riscv64::translate(core, va, Access::Store)?;
    let page = core.ram.page_index(address).ok_or(trap::access_fault(va, Access::Store))?;
    if core.ram.has_code(page) {
        core.drop_code(page);
    }
    core.ram.zero_page(page);
    Ok(())
}
