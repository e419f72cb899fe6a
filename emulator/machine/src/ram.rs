//! Guest RAM: a map from guest-physical pages to slots that appear at first touch, filled with
//! zeros or, after a thaw, with what the frozen machine has there.

use std::ptr::NonNull;
use std::sync::Arc;

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
    /// What pages without a slot hold, if not zeros.
    origin: Option<Arc<FrozenRam>>,
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
            origin: None,
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
        if let Some(bytes) = self.origin.as_ref().and_then(|origin| origin.page(index)) {
            // SAFETY: the slot is one whole fresh page, to which nothing else refers yet.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), page.as_ptr(), PAGE_SIZE) };
        }
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

    /// Zeroes page `index`; a page that holds zeros because it was never touched stays so.
    pub(crate) fn zero_page(&mut self, index: usize) {
        if !self.pages[index].is_null() || self.original(index).is_some() {
            self.bytes(index).fill(0);
        }
    }

    /// What page `index` holds while it has no slot, if not zeros.
    fn original(&self, index: usize) -> Option<&[u8; PAGE_SIZE]> {
        self.origin.as_ref()?.page(index)
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
    /// Where in `kept` each page is; [`ZEROS`] if it is not.
    places: Vec<u32>,
    kept: Vec<[u8; PAGE_SIZE]>,
}

/// The place of a page of zeros.
const ZEROS: u32 = u32::MAX;

impl FrozenRam {
    /// Bytes kept.
    pub(crate) fn len(&self) -> usize {
        self.kept.len() * PAGE_SIZE
    }

    fn page(&self, index: usize) -> Option<&[u8; PAGE_SIZE]> {
        self.kept.get(self.places[index] as usize)
    }
}

impl Ram {
    pub(crate) fn freeze(&self) -> FrozenRam {
        let mut kept = Vec::with_capacity(self.touched);
        let mut place = |index| {
            let page = self.current(index).filter(|page| **page != [0; PAGE_SIZE]);
            page.map_or(ZEROS, |page| {
                kept.push(*page);
                kept.len() as u32 - 1
            })
        };
        let places = (0..self.pages.len()).map(&mut place).collect();
        FrozenRam { base: self.base, places, kept }
    }

    /// What page `index` holds, if not zeros for want of a touch.
    fn current(&self, index: usize) -> Option<&[u8; PAGE_SIZE]> {
        match NonNull::new(self.pages[index]) {
            // SAFETY: the slot is one whole page of this map's, which `self` lends out read-only.
            Some(page) => Some(unsafe { page.cast::<[u8; PAGE_SIZE]>().as_ref() }),
            None => self.original(index),
        }
    }

    /// RAM that holds the same; a page is copied when it is touched.
    pub(crate) fn thaw(frozen: &Arc<FrozenRam>) -> Self {
        let len = frozen.places.len() * PAGE_SIZE;
        Self { origin: Some(Arc::clone(frozen)), ..Self::new(frozen.base, len as u64) }
    }
}

impl GuestMemory for Ram {
    fn read(&self, at: GuestPhysAddr, into: &mut [u8]) -> Result<(), NotRam> {
        let mut done = 0;
        for (index, offset, len) in self.pieces(at, into.len())? {
            let target = &mut into[done..done + len];
            match self.current(index) {
                Some(page) => target.copy_from_slice(&page[offset..offset + len]),
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

    #[test]
    fn thawed_pages_are_copied_when_they_are_touched() {
        let mut ram = Ram::new(BASE, 8 * 4096);
        ram.bytes(1).fill(7);
        ram.bytes(2).fill(8);
        ram.bytes(3);
        let frozen = Arc::new(ram.freeze());
        assert_eq!(frozen.len(), 2 * 4096);
        let mut copy = Ram::thaw(&frozen);
        assert_eq!(copy.read_u64(BASE + 4096), Some(0x0707_0707_0707_0707));
        assert_eq!(copy.touched_pages(), 1);
        copy.bytes(1)[0] = 1;
        copy.zero_page(2);
        let second = copy.freeze();
        assert_eq!(second.page(1).map(|page| page[0]), Some(1));
        assert!(second.page(2).is_none());
        let mut seen = [0; 4096];
        Ram::thaw(&frozen).read(GuestPhysAddr(BASE + 2 * 4096), &mut seen).expect("inside");
        assert_eq!(seen, [8; 4096]);
    }
}
