//! What a start's caches come to know of the kernel is known before the freeze.
//!
//! A thawed machine would find out again, page by page and jump by jump, where the kernel's memory is: each
//! time translated code is left for it. These are caches: that they know what holds anyway no guest can
//! see.

use crate::arch::{Access, Arch};
use crate::core::Core;

/// Virtual addresses that are mapped alike in all address spaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Recalled {
    /// Pages that were loaded from.
    pub(crate) loads: Vec<u64>,
    /// Pages that were stored to.
    pub(crate) stores: Vec<u64>,
    /// Where jumps led.
    pub(crate) jumps: Vec<u64>,
}

impl<A: Arch> Core<A> {
    /// What the caches know of privileged code's memory.
    pub(crate) fn recalled(&mut self) -> Recalled {
        let [loads, stores] = self.tlb.kernel_pages();
        Recalled { loads, stores, jumps: self.code.rehearsed_jumps() }
    }

    /// Lets the caches know what of this holds here and takes no memory to know.
    pub(crate) fn recall(&mut self, known: &Recalled) {
        for &va in &known.loads {
            if let Some(page) = self.recalled_page(va, Access::Load) {
                self.tlb.fill_read(va, self.ram.page(page));
            }
        }
        for &va in &known.stores {
            let page = self.recalled_page(va, Access::Store);
            if let Some(page) = page.filter(|page| !self.ram.has_code(*page)) {
                self.tlb.fill_write(va, self.ram.page(page));
            }
        }
        let linked = self.code.linked();
        for &pc in &known.jumps {
            let Some(address) = A::known_to_all(self, pc, Access::Execute) else { continue };
            let page = self.ram.page_index(address).and_then(|page| self.code.page(page));
            let Some(page) = page else { continue };
            let block = self.code.find(address, page).filter(|block| !linked.contains(block));
            if let Some(block) = block {
                self.code.remember_jump(pc, Some(page), block);
            }
        }
    }

    /// The RAM page at `va`, if it has a slot.
    fn recalled_page(&mut self, va: u64, access: Access) -> Option<usize> {
        let address = A::known_to_all(self, va, access)?;
        self.ram.page_index(address).filter(|page| self.ram.has_slot(*page))
    }
}
