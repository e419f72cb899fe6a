//! Where the guest's memory is in the host's.

use crate::machine::Machine;

/// A page of RAM that takes host memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageInUse {
    /// Number of the page in RAM.
    pub page: u32,
    /// Address in linear memory; cut off on hosts with longer ones.
    pub address: u32,
}

impl Machine {
    /// The pages of RAM that take host memory.
    #[must_use]
    pub fn census(&self) -> Vec<PageInUse> {
        let place = |(page, host): (u32, std::ptr::NonNull<u8>)| PageInUse {
            page,
            address: host.addr().get() as u32,
        };
        self.core.ram.slots().map(place).collect()
    }
}
