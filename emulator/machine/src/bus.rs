//! The border between the CPU and the devices.

/// An address in the guest's physical address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestPhysAddr(pub u64);

/// A device asked for memory that is not RAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("guest-physical range at {:#x} is not RAM", .at.0)]
pub struct NotRam {
    /// Start of the range.
    pub at: GuestPhysAddr,
}

/// RAM as devices use it for DMA. Ranges may cross pages.
pub trait GuestMemory {
    /// Fills `into` from RAM.
    ///
    /// # Errors
    /// If any byte of the range is outside RAM; `into` is then unspecified.
    fn read(&self, at: GuestPhysAddr, into: &mut [u8]) -> Result<(), NotRam>;

    /// Writes `from` to RAM and invalidates code decoded from those pages.
    ///
    /// # Errors
    /// If any byte of the range is outside RAM; nothing is then written.
    fn write(&mut self, at: GuestPhysAddr, from: &[u8]) -> Result<(), NotRam>;
}

/// A memory-mapped device. It knows neither its address nor its interrupt number.
pub trait MmioDevice {
    /// A load of `size` bytes (1, 2, 4 or 8) at `offset` into the device's window. Undefined
    /// registers and widths read as zero.
    fn read(&mut self, offset: u64, size: u8, memory: &mut dyn GuestMemory) -> u64;

    /// A store of `size` bytes (1, 2, 4 or 8). Undefined registers and widths ignore it.
    fn write(&mut self, offset: u64, size: u8, value: u64, memory: &mut dyn GuestMemory);

    /// Moves data between host and guest outside of a register access: pending input, output
    /// that the host refused before. Called between blocks of guest code.
    fn poll(&mut self, _memory: &mut dyn GuestMemory) {}

    /// Level of the device's interrupt line.
    fn irq(&self) -> bool {
        false
    }
}
