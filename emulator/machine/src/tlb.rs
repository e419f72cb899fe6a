//! The software TLB: virtual page to host address.
//!
//! A load or store that hits costs one compare and one add. Everything odd misses on purpose and
//! is settled by the slow path: pages without permission, devices, stores to pages that hold
//! decoded code, pages whose dirty bit is not set yet, and accesses that cross a page border.
//! Misaligned accesses inside a page hit: hosts do them at the price of aligned ones.

use std::mem::offset_of;
use std::ops::Range;
use std::ptr::NonNull;

use lithify_isa::translation::{
    TLB_ADDEND, TLB_ENTRIES as ENTRIES, TLB_ENTRY_SIZE, TLB_READ, TLB_WRITE,
};

use crate::arena::PAGE_SIZE;

/// Sets, one for each way the CPU can look at the address space (the architecture numbers them).
pub(crate) const SETS: usize = 3;

const OFFSET_MASK: u64 = PAGE_SIZE as u64 - 1;

/// Never equal to the address of a page.
const INVALID: u64 = 1;

/// One translation, which translated code reads too. The tags are virtual page addresses. A power of two in size, so that one shift
/// and one mask turn an address into the offset of its entry.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
struct Entry {
    read: u64,
    write: u64,
    /// Host address of the page minus its virtual address, wrapping.
    addend: usize,
}

const EMPTY: Entry = Entry { read: INVALID, write: INVALID, addend: 0 };

const _: () = assert!(
    size_of::<Entry>() == TLB_ENTRY_SIZE
        && offset_of!(Entry, read) == TLB_READ
        && offset_of!(Entry, write) == TLB_WRITE
        && offset_of!(Entry, addend) == TLB_ADDEND,
    "translated code looks here"
);

/// Page of the last byte of an access at `va`. If that is not the page of the first one, the entry
/// of the first cannot hold it: neighbouring pages have different entries.
#[inline(always)]
const fn last_page<const SIZE: usize>(va: u64) -> u64 {
    va.wrapping_add(SIZE as u64 - 1) & !OFFSET_MASK
}

/// The translations of all sets; one set is current.
#[derive(Debug)]
pub(crate) struct Tlb {
    entries: Box<[Entry; SETS * ENTRIES]>,
    /// First entry of the current set.
    current: NonNull<Entry>,
    /// Virtual addresses that superpages have mapped, in the lower and the upper half of the
    /// address space: the kernel's own mapping, made of them, must not cost the user's its fences.
    superpages: [Range<u64>; 2],
}

const NO_SUPERPAGES: [Range<u64>; 2] = [0..0, 0..0];

const fn half(va: u64) -> usize {
    (va >> 63) as usize
}

impl Tlb {
    pub(crate) fn new() -> Self {
        let mut entries = Box::new([EMPTY; SETS * ENTRIES]);
        let current = NonNull::from(&mut entries[0]);
        Self { entries, current, superpages: NO_SUPERPAGES }
    }

    /// Makes `set` the one that lookups and fills use.
    pub(crate) fn select(&mut self, set: usize) {
        self.current = NonNull::from(&mut self.entries[set * ENTRIES..][..ENTRIES]).cast();
    }

    /// First entry of the current set.
    pub(crate) fn current(&self) -> *const () {
        self.current.as_ptr().cast()
    }

    const fn slot(va: u64) -> usize {
        (va / PAGE_SIZE as u64) as usize % ENTRIES
    }

    #[inline(always)]
    fn entry(&self, va: u64) -> &Entry {
        // SAFETY: `current` is the first of ENTRIES entries that this struct owns and never moves;
        // `slot` is below ENTRIES. Every guest load and store comes through here: with an index
        // and its check the boot takes 4 % longer.
        unsafe { self.current.add(Self::slot(va)).as_ref() }
    }

    /// Where a load of `SIZE` bytes at `va` may read.
    #[inline(always)]
    pub(crate) fn read<const SIZE: usize>(&self, va: u64) -> Option<*const u8> {
        let entry = self.entry(va);
        let hit = entry.read == last_page::<SIZE>(va);
        hit.then(|| (va as usize).wrapping_add(entry.addend) as *const u8)
    }

    /// Where a store of `SIZE` bytes at `va` may write.
    #[inline(always)]
    pub(crate) fn write<const SIZE: usize>(&self, va: u64) -> Option<*mut u8> {
        let entry = self.entry(va);
        let hit = entry.write == last_page::<SIZE>(va);
        hit.then(|| (va as usize).wrapping_add(entry.addend) as *mut u8)
    }

    /// Enters the page of `va` into the current set.
    pub(crate) fn fill(&mut self, va: u64, host: NonNull<u8>, readable: bool, writable: bool) {
        let page = va & !OFFSET_MASK;
        let tag = |allowed| if allowed { page } else { INVALID };
        let addend = (host.as_ptr() as usize).wrapping_sub(page as usize);
        let entry = Entry { read: tag(readable), write: tag(writable), addend };
        // SAFETY: as in `entry`; no reference to an entry outlives a call.
        unsafe { self.current.add(Self::slot(va)).write(entry) };
    }

    /// Forgets everything.
    pub(crate) fn flush(&mut self) {
        self.entries.fill(EMPTY);
        self.superpages = NO_SUPERPAGES;
    }

    /// Notes that one leaf entry maps the `len` bytes from `va`, more than a page.
    pub(crate) fn note_superpage(&mut self, va: u64, len: u64) {
        let known = &mut self.superpages[half(va)];
        let end = va.saturating_add(len);
        *known = if known.is_empty() { va..end } else { known.start.min(va)..known.end.max(end) };
    }

    /// Forgets the page of `va` in every set; everything, where the page may be part of a
    /// superpage.
    pub(crate) fn flush_page(&mut self, va: u64) {
        if self.superpages[half(va)].contains(&va) {
            return self.flush();
        }
        for set in 0..SETS {
            self.entries[set * ENTRIES + Self::slot(va)] = EMPTY;
        }
    }

    /// Whether a store to the host page `host` could hit.
    #[cfg(test)]
    pub(crate) fn lets_write(&self, host: NonNull<u8>) -> bool {
        self.entries.iter().any(|entry| {
            let target = (entry.write as usize).wrapping_add(entry.addend);
            entry.write != INVALID && target == host.as_ptr() as usize
        })
    }

    /// Makes stores to the host page `host` miss from now on.
    pub(crate) fn protect(&mut self, host: NonNull<u8>) {
        for entry in self.entries.iter_mut() {
            let target = (entry.write as usize).wrapping_add(entry.addend);
            if entry.write != INVALID && target == host.as_ptr() as usize {
                entry.write = INVALID;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(address: usize) -> NonNull<u8> {
        NonNull::new(address as *mut u8).expect("not zero")
    }

    #[test]
    fn only_accesses_inside_the_page_with_permission_hit() {
        let mut tlb = Tlb::new();
        tlb.fill(0xffff_ffc0_0000_1234, host(0x5000), true, false);
        assert_eq!(tlb.read::<8>(0xffff_ffc0_0000_1ff8), Some(0x5ff8 as *const u8));
        assert_eq!(tlb.read::<1>(0xffff_ffc0_0000_1fff), Some(0x5fff as *const u8));
        assert_eq!(tlb.read::<8>(0xffff_ffc0_0000_1ff9), None);
        assert_eq!(tlb.read::<2>(0xffff_ffc0_0000_1001), Some(0x5001 as *const u8));
        assert_eq!(tlb.read::<2>(0xffff_ffc0_0000_0fff), None);
        assert_eq!(tlb.read::<8>(0xffff_ffc0_0000_2000), None);
        assert_eq!(tlb.write::<8>(0xffff_ffc0_0000_1000), None);
        for va in [0x800, 0x801, 0x802, 0x804, 0] {
            assert_eq!(tlb.read::<8>(va), None, "an empty entry must not match {va:#x}");
        }
    }

    #[test]
    fn flushing_a_page_of_a_superpage_forgets_all_of_it() {
        let mut tlb = Tlb::new();
        tlb.note_superpage(0xffff_ffd0_0000_0000, 1 << 30);
        tlb.note_superpage(0x20_0000, 0x20_0000);
        tlb.fill(0x20_1000, host(0x5000), true, true);
        tlb.flush_page(0x40_0000);
        assert!(tlb.read::<1>(0x20_1000).is_some());
        tlb.flush_page(0x3f_f000);
        assert_eq!(tlb.read::<1>(0x20_1000), None);
    }

    #[test]
    fn sets_are_apart_and_protect_reaches_all() {
        let mut tlb = Tlb::new();
        tlb.select(1);
        tlb.fill(0x1000, host(0x5000), true, true);
        tlb.select(0);
        assert_eq!(tlb.read::<1>(0x1000), None);
        tlb.protect(host(0x5000));
        tlb.select(1);
        assert_eq!(tlb.write::<1>(0x1000), None);
        assert!(tlb.read::<1>(0x1000).is_some());
        tlb.flush_page(0x1fff);
        assert_eq!(tlb.read::<1>(0x1000), None);
    }
}
