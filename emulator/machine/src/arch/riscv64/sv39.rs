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
    if !is_canonical(va) {
        return Err(trap::page_fault(va, access));
    }
    walk(core, root, va, access)
}

/// Whether the bits above those that are translated repeat the highest of them.
fn is_canonical(va: u64) -> bool {
    let unused = 64 - VA_BITS;
    (va as i64) << unused >> unused == va as i64
}

/// What the current mode sees at an address, another address space need not have there.
fn note_local(core: &mut Core<Riscv64>, access: Access) {
    match access {
        Access::Execute => core.code.note_local(),
        Access::Load | Access::Store => core.tlb.note_local(),
    }
}

/// Where the kernel finds `va`, if that is alike in all address spaces and to look it up marks nothing.
pub(super) fn known_to_all(core: &mut Core<Riscv64>, va: u64, access: Access) -> Option<u64> {
    if core.arch.mode != Mode::Supervisor || core.arch.sstatus.user_memory() {
        return None;
    }
    let leaf = leaf(core, csr::root_table(core.arch.satp)?, va, access).ok()?;
    let is_marked = leaf.pte.has(Pte::G | marks(access));
    (is_marked && is_canonical(va)).then(|| leaf.address(core, va))
}

/// An entry that maps pages.
struct Leaf {
    pte: Pte,
    /// Guest-physical address of the entry.
    at: u64,
    /// Bytes that it maps, minus one.
    offset_mask: u64,
}

impl Leaf {
    /// Guest-physical address of `va`.
    fn address(&self, core: &mut Core<Riscv64>, va: u64) -> u64 {
        if self.offset_mask >> PAGE_SHIFT != 0 {
            core.tlb.note_superpage(va & !self.offset_mask, self.offset_mask + 1);
        }
        (self.pte.ppn() << PAGE_SHIFT) & !self.offset_mask | va & self.offset_mask
    }
}

fn walk(core: &mut Core<Riscv64>, root: u64, va: u64, access: Access) -> Result<u64, Trap> {
    let leaf = leaf(core, root, va, access)?;
    mark_used(core, leaf.at, leaf.pte, access);
    if !leaf.pte.has(Pte::G) {
        note_local(core, access);
    }
    Ok(leaf.address(core, va))
}

fn leaf(core: &mut Core<Riscv64>, root: u64, va: u64, access: Access) -> Result<Leaf, Trap> {
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
            let is_aligned = base & offset_mask & !((1 << PAGE_SHIFT) - 1) == 0;
            let fits = is_aligned && pte.permits(access, &core.arch);
            return if fits { Ok(Leaf { pte, at, offset_mask }) } else { Err(fault) };
        }
        if !pte.is_pointer() {
            return Err(fault);
        }
        table = pte.ppn() << PAGE_SHIFT;
    }
    Err(fault)
}

fn marks(access: Access) -> u64 {
    if access == Access::Store { Pte::A | Pte::D } else { Pte::A }
}

/// Sets A, and D for a store, if they are not set yet.
fn mark_used(core: &mut Core<Riscv64>, at: u64, pte: Pte, access: Access) {
    let bits = marks(access);
    if !pte.has(bits) {
        core.ram.write_u64(at, pte.0 | bits);
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::absent::Absent;
    use crate::arch::riscv64::board::Board;
    use crate::arch::riscv64::platform::RAM_BASE;
    use crate::ram::Ram;
    use crate::recall::Recalled;
    use crate::time::Timekeeper;

    const ROOT: u64 = RAM_BASE + 0x1000;
    /// Of the gigapage that the test maps at the end of the address space.
    const VA: u64 = 0xffff_ffff_c000_0000;

    fn core(pte: u64) -> Core<Riscv64> {
        let time = Rc::new(Timekeeper::new(0));
        let board = Board::new(Absent::hosts(), &["port"], &time);
        let mut core = Core::new(Ram::new(RAM_BASE, 0x4000), board, time, Riscv64::new());
        core.reset(RAM_BASE, 0);
        core.ram.write_u64(RAM_BASE, 7);
        core.ram.write_u64(ROOT + 8 * 511, RAM_BASE >> 12 << 10 | pte);
        core.arch.satp = csr::SATP_SV39 << 60 | ROOT >> 12;
        csr::enter_space(&mut core);
        core
    }

    #[test]
    fn what_a_start_knew_of_the_kernel_is_recalled_if_nobody_can_notice() {
        let all = Pte::V | Pte::R | Pte::W | Pte::X | Pte::G | Pte::A | Pte::D;
        // (the entry, whether loads and stores hit afterwards)
        let cases = [
            (all, [true, true]),
            (all & !Pte::D, [true, false]),
            (all & !Pte::A, [false, false]),
            (all & !Pte::G, [false, false]),
            (all & !Pte::W, [true, false]),
            (all | Pte::U, [false, false]),
            (all & !Pte::V, [false, false]),
        ];
        for (pte, expected) in cases {
            let mut core = core(pte);
            let untouched = VA + 0x3000;
            let pages = vec![VA, untouched];
            let known = Recalled { loads: pages.clone(), stores: pages, jumps: vec![VA] };
            core.recall(&known);
            let hits = |va| [core.tlb.read::<8>(va).is_some(), core.tlb.write::<8>(va).is_some()];
            assert_eq!(hits(VA), expected, "{pte:#x}");
            assert_eq!(hits(untouched), [false, false], "{pte:#x}");
            assert_eq!(core.ram.read_u64(ROOT + 8 * 511), Some(RAM_BASE >> 12 << 10 | pte));
        }
    }
}
