//! Bounds-checked access to the instance's linear memory. Addresses are hostile.

use super::errno::Errno;
use std::ops::Range;

pub(super) struct GuestMemory<'a>(&'a mut [u8]);

/// One `iovec` or `ciovec`: where the bytes are and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IoVec {
    pub(super) at: u32,
    pub(super) len: u32,
}

const IOVEC_SIZE: u32 = 8;

impl<'a> GuestMemory<'a> {
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self, at: u32, len: u32) -> Result<&[u8], Errno> {
        self.0.get(range(at, len)).ok_or(Errno::Fault)
    }

    pub(super) fn bytes_mut(&mut self, at: u32, len: u32) -> Result<&mut [u8], Errno> {
        self.0.get_mut(range(at, len)).ok_or(Errno::Fault)
    }

    fn array<const N: usize>(&self, at: u32) -> Result<[u8; N], Errno> {
        let start = at as usize;
        let bytes = self.0.get(start..start + N).ok_or(Errno::Fault)?;
        bytes.try_into().map_err(|_| Errno::Fault)
    }

    pub(super) fn u8(&self, at: u32) -> Result<u8, Errno> {
        self.array::<1>(at).map(|[byte]| byte)
    }

    pub(super) fn u16(&self, at: u32) -> Result<u16, Errno> {
        self.array(at).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&self, at: u32) -> Result<u32, Errno> {
        self.array(at).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&self, at: u32) -> Result<u64, Errno> {
        self.array(at).map(u64::from_le_bytes)
    }

    pub(super) fn put(&mut self, at: u32, bytes: &[u8]) -> Result<(), Errno> {
        let start = at as usize;
        let to = self.0.get_mut(start..start + bytes.len()).ok_or(Errno::Fault)?;
        to.copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn put_u32(&mut self, at: u32, value: u32) -> Result<(), Errno> {
        self.put(at, &value.to_le_bytes())
    }

    pub(super) fn put_u64(&mut self, at: u32, value: u64) -> Result<(), Errno> {
        self.put(at, &value.to_le_bytes())
    }

    /// The first vector that holds a byte. Serving only this one is a short read or write, which
    /// callers handle anyway, and no list length needs a limit.
    pub(super) fn first_iovec(&self, iovs: u32, count: u32) -> Result<IoVec, Errno> {
        for index in 0..count {
            let vector = self.iovec(iovs, index)?;
            if vector.len != 0 {
                return Ok(vector);
            }
        }
        Ok(IoVec { at: 0, len: 0 })
    }

    /// The vector at `index` of the list at `iovs`.
    pub(super) fn iovec(&self, iovs: u32, index: u32) -> Result<IoVec, Errno> {
        let entry = index
            .checked_mul(IOVEC_SIZE)
            .and_then(|offset| iovs.checked_add(offset))
            .and_then(|entry| Some((entry, entry.checked_add(4)?)));
        let (at, len) = entry.ok_or(Errno::Fault)?;
        Ok(IoVec { at: self.u32(at)?, len: self.u32(len)? })
    }
}

/// Addresses are 32 bits and `usize` is 64, so the sum cannot overflow.
fn range(at: u32, len: u32) -> Range<usize> {
    at as usize..at as usize + len as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_past_the_end_fault() {
        let mut bytes = [0; 16];
        let mut memory = GuestMemory::new(&mut bytes);
        assert!(memory.u64(8).is_ok());
        for at in [9, u32::MAX - 3, u32::MAX] {
            assert_eq!(memory.u64(at), Err(Errno::Fault), "{at}");
            assert_eq!(memory.put_u64(at, 0), Err(Errno::Fault), "{at}");
        }
        assert_eq!(memory.bytes(16, 0), Ok(&[][..]));
        assert_eq!(memory.bytes(0, u32::MAX), Err(Errno::Fault));
        assert_eq!(memory.bytes_mut(u32::MAX, u32::MAX), Err(Errno::Fault));
    }

    #[test]
    fn first_iovec_skips_empty_ones_and_checks_the_list() {
        let mut bytes = [0; 24];
        bytes[16] = 3;
        bytes[20] = 5;
        let memory = GuestMemory::new(&mut bytes);
        assert_eq!(memory.first_iovec(0, 3), Ok(IoVec { at: 3, len: 5 }));
        assert_eq!(memory.first_iovec(0, 2), Ok(IoVec { at: 0, len: 0 }));
        assert_eq!(memory.first_iovec(20, 2), Err(Errno::Fault));
        assert_eq!(memory.first_iovec(u32::MAX, 2), Err(Errno::Fault));
    }
}
