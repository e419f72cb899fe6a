//! Guest RAM: a map from guest-physical pages to slots that appear at first touch.

use std::ptr::NonNull;

use crate::arena::{Arena, PAGE_SIZE};
use crate::bus::{GuestMemory, GuestPhysAddr, NotRam};

/// Contiguous RAM. An untouched page costs a null pointer.
#[derive(Debug)]
pub(crate) struct Ram {
    base: u64,
    pages: Vec<*mut u8>,
    /// Pages that code was decoded from.
    code: Vec<bool>,
    /// Code pages that a device has written since the CPU last asked.
    written_code: Vec<usize>,
    arena: Arena,
    touched: usize,
}

impl Ram {
    /// `len` bytes of zeros at guest-physical `base`; both are multiples of the page size.
    pub(crate) fn new(base: u64, len: u64) -> Self {
        let pages = usize::try_from(len / PAGE_SIZE as u64).expect("RAM fits the host");
        Self {
            base,
            pages: vec![std::ptr::null_mut(); pages],
            code: vec![false; pages],
            written_code: Vec::new(),
            arena: Arena::new(),
            touched: 0,
        }
    }

    /// Number of pages that were ever touched.
    pub(crate) fn touched_pages(&self) -> usize {
        self.touched
    }

    /// Index of the RAM page that holds `at`.
    pub(crate) fn page_index(&self, at: u64) -> Option<usize> {
        let index = usize::try_from(at.wrapping_sub(self.base) / PAGE_SIZE as u64).ok()?;
        (index < self.pages.len()).then_some(index)
    }

    /// Host address of page `index`, which gets its slot now if it has none.
    pub(crate) fn page(&mut self, index: usize) -> NonNull<u8> {
        if let Some(page) = NonNull::new(self.pages[index]) {
            return page;
        }
        let page = self.arena.page();
        self.pages[index] = page.as_ptr();
        self.touched += 1;
        page
    }

    /// The bytes of page `index`.
    pub(crate) fn bytes(&mut self, index: usize) -> &mut [u8; PAGE_SIZE] {
        let page = self.page(index);
        // SAFETY: the slot is one whole page that only this map hands out, and the borrow of
        // `self` keeps a second reference away; raw reads of the CPU happen on this same thread.
        unsafe { &mut *page.as_ptr().cast() }
    }

    pub(crate) fn has_code(&self, index: usize) -> bool {
        self.code[index]
    }

    pub(crate) fn set_code(&mut self, index: usize, has_code: bool) {
        self.code[index] = has_code;
    }

    /// The next code page that a device has written.
    pub(crate) fn take_written_code(&mut self) -> Option<usize> {
        self.written_code.pop()
    }

    /// A naturally aligned load, as page-table walks do it.
    pub(crate) fn read_u64(&mut self, at: u64) -> Option<u64> {
        let index = self.page_index(at)?;
        let offset = at as usize & (PAGE_SIZE - 8);
        self.bytes(index)[offset..].first_chunk().copied().map(u64::from_le_bytes)
    }

    /// A naturally aligned store of a page-table walk.
    pub(crate) fn write_u64(&mut self, at: u64, value: u64) {
        if let Some(index) = self.page_index(at) {
            let offset = at as usize & (PAGE_SIZE - 8);
            self.bytes(index)[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        }
    }

    /// Zeroes page `index`; a page that was never touched stays so.
    pub(crate) fn zero_page(&mut self, index: usize) {
        if !self.pages[index].is_null() {
            self.bytes(index).fill(0);
        }
    }

    /// Cuts `len` bytes at `at` at page borders: (page index, offset in page, length).
    fn pieces(
        &self,
        at: GuestPhysAddr,
        len: usize,
    ) -> Result<impl Iterator<Item = (usize, usize, usize)> + use<>, NotRam> {
        let start = at.0.wrapping_sub(self.base);
        let size = self.pages.len() as u64 * PAGE_SIZE as u64;
        if start > size || size - start < len as u64 {
            return Err(NotRam { at });
        }
        let (mut at, end) = (start as usize, start as usize + len);
        Ok(std::iter::from_fn(move || {
            let piece = (end - at).min(PAGE_SIZE - at % PAGE_SIZE);
            let item = (at / PAGE_SIZE, at % PAGE_SIZE, piece);
            at += piece;
            (piece > 0).then_some(item)
        }))
    }
}

/// RAM that stands still: the pages that hold anything but zeros.
#[derive(Debug)]
pub(crate) struct FrozenRam {
    base: u64,
    pages: usize,
    /// Which pages.
    indices: Vec<u32>,
    /// Their bytes, one after the other.
    bytes: Vec<u8>,
}

impl FrozenRam {
    /// Bytes kept.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl Ram {
    pub(crate) fn freeze(&self) -> FrozenRam {
        let mut frozen = FrozenRam {
            base: self.base,
            pages: self.pages.len(),
            indices: Vec::new(),
            bytes: Vec::with_capacity(self.touched * PAGE_SIZE),
        };
        for (index, page) in (0..).zip(&self.pages) {
            let Some(page) = NonNull::new(*page) else { continue };
            // SAFETY: the slot is one whole page of this map's, which `self` lends out read-only.
            let bytes = unsafe { page.cast::<[u8; PAGE_SIZE]>().as_ref() };
            if *bytes != [0; PAGE_SIZE] {
                frozen.indices.push(index);
                frozen.bytes.extend_from_slice(bytes);
            }
        }
        frozen
    }

    /// A copy, ten thousand pages in some milliseconds.
    pub(crate) fn thaw(frozen: &FrozenRam) -> Self {
        let mut ram = Self::new(frozen.base, (frozen.pages * PAGE_SIZE) as u64);
        let pages = frozen.bytes.chunks_exact(PAGE_SIZE);
        for (index, bytes) in frozen.indices.iter().zip(pages) {
            ram.bytes(*index as usize).copy_from_slice(bytes);
        }
        ram
    }
}

impl GuestMemory for Ram {
    fn read(&self, at: GuestPhysAddr, into: &mut [u8]) -> Result<(), NotRam> {
        let mut done = 0;
        for (index, offset, len) in self.pieces(at, into.len())? {
            let target = &mut into[done..done + len];
            match NonNull::new(self.pages[index]) {
                // SAFETY: `offset + len` is inside the page, and `into` is the caller's memory.
                Some(page) => unsafe {
                    let source = page.as_ptr().add(offset);
                    std::ptr::copy_nonoverlapping(source, target.as_mut_ptr(), len);
                },
                None => target.fill(0),
            }
            done += len;
        }
        Ok(())
    }

    fn write(&mut self, at: GuestPhysAddr, from: &[u8]) -> Result<(), NotRam> {
        let mut done = 0;
        for (index, offset, len) in self.pieces(at, from.len())? {
            if self.code[index] {
                self.written_code.push(index);
            }
            self.bytes(index)[offset..offset + len].copy_from_slice(&from[done..done + len]);
            done += len;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x8000_0000;

    #[test]
    fn ranges_cross_pages_and_stop_at_the_end() {
        let mut ram = Ram::new(BASE, 3 * 4096);
        let data: Vec<u8> = (0..5000).map(|i| i as u8).collect();
        ram.write(GuestPhysAddr(BASE + 4000), &data).expect("inside");
        let mut back = vec![0; 5000];
        ram.read(GuestPhysAddr(BASE + 4000), &mut back).expect("inside");
        assert_eq!(back, data);
        for at in [BASE - 1, BASE + 3 * 4096 - 4, u64::MAX] {
            assert!(ram.write(GuestPhysAddr(at), &[0; 8]).is_err(), "{at:#x}");
            assert!(ram.read(GuestPhysAddr(at), &mut [0; 8]).is_err(), "{at:#x}");
        }
    }

    #[test]
    fn untouched_pages_read_as_zero_and_get_no_slot() {
        let ram = Ram::new(BASE, 1 << 30);
        let mut page = [1; 4096];
        ram.read(GuestPhysAddr(BASE + (1 << 29)), &mut page).expect("inside");
        assert_eq!(page, [0; 4096]);
        assert_eq!(ram.touched_pages(), 0);
    }
}
