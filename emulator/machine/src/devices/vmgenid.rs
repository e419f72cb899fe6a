//! Virtual machine generation ID (binding `microsoft,vmgenid`): tells a guest that it was thawed
//! again, so that it reseeds its random number generator.
//!
//! The identifier is the first 16 bytes of the window. The interrupt is a level that drops when the
//! guest reads the identifier, which the driver's handler always does, so a level-triggered
//! interrupt controller delivers exactly one interrupt for each renewal.

use crate::{GuestMemory, MmioDevice};

/// Length of a generation ID in bytes.
pub const GENERATION_ID_LEN: usize = 16;

/// The generation ID device.
#[derive(Debug, Clone)]
pub struct VmGenId {
    id: [u8; GENERATION_ID_LEN],
    unread: bool,
}

impl VmGenId {
    /// A device whose first generation is `id`.
    #[must_use]
    pub fn new(id: [u8; GENERATION_ID_LEN]) -> Self {
        Self { id, unread: false }
    }

    /// Starts a new generation and interrupts the guest. An `id` equal to the present one is not
    /// a new generation to the guest.
    pub fn renew(&mut self, id: [u8; GENERATION_ID_LEN]) {
        self.id = id;
        self.unread = true;
    }
}

impl MmioDevice for VmGenId {
    fn read(&mut self, offset: u64, size: u8, _memory: &mut dyn GuestMemory) -> u64 {
        if offset >= GENERATION_ID_LEN as u64 {
            return 0;
        }
        self.unread = false;
        let mut value = [0; 8];
        let bytes = self.id[offset as usize..].iter().take(usize::from(size));
        value.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        u64::from_le_bytes(value)
    }

    fn write(&mut self, _offset: u64, _size: u8, _value: u64, _memory: &mut dyn GuestMemory) {}

    fn irq(&self) -> bool {
        self.unread
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::test_support::Ram;

    const ID: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    #[test]
    fn the_identifier_reads_in_any_width() {
        let mut device = VmGenId::new(ID);
        for (offset, size, value) in [
            (0, 8, 0x0706_0504_0302_0100),
            (8, 8, 0x0f0e_0d0c_0b0a_0908),
            (4, 4, 0x0706_0504),
            (15, 1, 15),
            (14, 4, 0x0f0e),
            (16, 8, 0),
            (4088, 8, 0),
        ] {
            assert_eq!(device.read(offset, size, &mut Ram::new(0)), value, "offset {offset}");
        }
    }

    #[test]
    fn renewal_interrupts_until_the_identifier_is_read() {
        let mut device = VmGenId::new([0; 16]);
        assert!(!device.irq());
        device.renew(ID);
        assert!(device.irq());
        assert_eq!(device.read(16, 4, &mut Ram::new(0)), 0);
        assert!(device.irq(), "reading past the identifier is no acknowledgement");
        assert_eq!(device.read(0, 1, &mut Ram::new(0)), 0);
        assert!(!device.irq());
    }

    #[test]
    fn the_guest_cannot_change_the_identifier() {
        let mut device = VmGenId::new(ID);
        device.write(0, 8, 0, &mut Ram::new(0));
        assert_eq!(device.read(1, 1, &mut Ram::new(0)), 1);
    }
}
