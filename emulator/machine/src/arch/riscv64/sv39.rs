//! Address translation (volume II, sections 12.3.2 and 12.4) with hardware updates of the
//! accessed and dirty bits (Svadu).

use super::{Mode, Riscv64, csr, trap};
use crate::arch::{Access, Trap};
use crate::core::Core;

const PAGE_SHIFT: u32 = 12;
const LEVELS: u32 = 3;
/// Bits of virtual page number that each level translates.
const LEVEL_BITS: u32 = 9;
const VA_BITS: u32 = 39;

/// Page-table entry.
#[derive(Clone, Copy)]
struct Pte(u64);

impl Pte {
    const V: u64 = 1 << 0;
    const R: u64 = 1 << 1;
    const W: u64 = 1 << 2;
    const X: u64 = 1 << 3;
    const U: u64 = 1 << 4;
    const G: u64 = 1 << 5;
    const A: u64 = 1 << 6;
    const D: u64 = 1 << 7;
    /// N, PBMT and the reserved bits: none of Svnapot and Svpbmt is there.
    const RESERVED: u64 = 0x3ff << 54;

    const fn has(self, bits: u64) -> bool {
        self.0 & bits == bits
    }

    const fn ppn(self) -> u64 {
        self.0 >> 10 & ((1 << 44) - 1)
    }

    /// Usable at all: valid, nothing reserved, not writable without being readable.
    const fn is_valid(self) -> bool {
        self.has(Self::V)
            && self.0 & Self::RESERVED == 0
            && (self.has(Self::R) || !self.has(Self::W))
    }

    const fn is_leaf(self) -> bool {
        self.0 & (Self::R | Self::X) != 0
    }

    /// A pointer to the next level must have these bits clear.
    const fn is_pointer(self) -> bool {
        self.0 & (Self::D | Self::A | Self::U) == 0
    }

    fn permits(self, access: Access, arch: &Riscv64) -> bool {
        let user_page = self.has(Self::U);
        let mode_fits = match arch.mode {
            Mode::User => user_page,
            Mode::Supervisor => {
                !user_page || (access != Access::Execute && arch.sstatus.user_memory())
            }
        };
        mode_fits
            && match access {
                Access::Execute => self.has(Self::X),
                Access::Store => self.has(Self::W),
                Access::Load => {
                    self.has(Self::R) || (self.has(Self::X) && arch.sstatus.executable_readable())
                }
            }
    }
}

/// Guest-physical address of `va`.
pub(super) fn translate(core: &mut Core<Riscv64>, va: u64, access: Access) -> Result<u64, Trap> {
    let Some(root) = csr::root_table(core.arch.satp) else {
        note_local(core, access);
        return Ok(va);
    };
    let unused = 64 - VA_BITS;
    if (va as i64) << unused >> unused != va as i64 {
        return Err(trap::page_fault(va, access));
    }
    walk(core, root, va, access)
}

/// What the current mode sees at an address, another address space need not have there.
fn note_local(core: &mut Core<Riscv64>, access: Access) {
    match access {
        Access::Execute => core.code.note_local(),
        Access::Load | Access::Store => core.tlb.note_local(),
    }
}

fn walk(core: &mut Core<Riscv64>, root: u64, va: u64, access: Access) -> Result<u64, Trap> {
    let fault = trap::page_fault(va, access);
    let mut table = root;
    for level in (0..LEVELS).rev() {
        let shift = PAGE_SHIFT + LEVEL_BITS * level;
        let index = va >> shift & ((1 << LEVEL_BITS) - 1);
        let at = table + index * 8;
        let pte = Pte(core.ram.read_u64(at).ok_or(trap::access_fault(va, access))?);
        if !pte.is_valid() {
            return Err(fault);
        }
        if pte.is_leaf() {
            let offset_mask = (1 << shift) - 1;
            let base = pte.ppn() << PAGE_SHIFT;
            if base & offset_mask & !((1 << PAGE_SHIFT) - 1) != 0
                || !pte.permits(access, &core.arch)
            {
                return Err(fault);
            }
            mark_used(core, at, pte, access);
            if !pte.has(Pte::G) {
                note_local(core, access);
            }
            if level > 0 {
                core.tlb.note_superpage(va & !offset_mask, offset_mask + 1);
            }
            return Ok(base & !offset_mask | va & offset_mask);
        }
        if !pte.is_pointer() {
            return Err(fault);
        }
        table = pte.ppn() << PAGE_SHIFT;
    }
    Err(fault)
}

/// Sets A, and D for a store, if they are not set yet.
fn mark_used(core: &mut Core<Riscv64>, at: u64, pte: Pte, access: Access) {
    let bits = if access == Access::Store { Pte::A | Pte::D } else { Pte::A };
    if !pte.has(bits) {
        core.ram.write_u64(at, pte.0 | bits);
    }
}
