//! What the guest uses its memory for, as far as the machine can tell: what the CPU's page tables say.

use crate::arch::riscv64;
use crate::machine::Machine;

/// What a page of RAM is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Not said by page tables.
    Unknown = 0,
    /// A page table of the address space that is current.
    PageTable = 1,
    /// A program's, in that address space.
    Program = 2,
}

/// A page of RAM that takes host memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageInUse {
    /// Number of the page in RAM.
    pub page: u32,
    /// Address in linear memory; cut off on hosts with longer ones.
    pub address: u32,
    /// What it is for.
    pub is_for: Use,
}

impl Machine {
    /// The pages of RAM that take host memory.
    #[must_use]
    pub fn census(&self) -> Vec<PageInUse> {
        let ram = &self.core.ram;
        let mut found: Vec<_> = ram
            .slots()
            .map(|(page, host)| PageInUse {
                page,
                address: host.addr().get() as u32,
                is_for: Use::Unknown,
            })
            .collect();
        found.sort_unstable_by_key(|page| page.page);
        riscv64::survey(&self.core, &mut |at, is_for| {
            let page = ram.page_index(at).map(|page| page as u32);
            let place = page.and_then(|page| found.binary_search_by_key(&page, |it| it.page).ok());
            if let Some(place) = place {
                found[place].is_for = is_for;
            }
        });
        found
    }
}
