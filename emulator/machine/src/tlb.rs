//! The software TLB: virtual page to host address.
//!
//! A load or store that hits costs one compare and one add. Everything odd misses on purpose and
//! is settled by the slow path: pages without permission, devices, stores to pages that hold
//! decoded code, pages whose dirty bit is not set yet, and accesses that cross a page border.
//! Misaligned accesses inside a page hit: hosts do them at the price of aligned ones.
//!
//! There is a set of entries for each view of the memory. What is mapped in one address space only is in sets
//! of its own: who comes back to an address space finds what was left there, and goes over to another
//! one by a pointer.

use std::mem::offset_of;
use std::ops::Range;
use std::ptr::NonNull;

use lithify_isa::translation::{
    TLB_ADDEND, TLB_PLACE_SIZE, TLB_PLACES as PLACES, TLB_SET_SIZE, TLB_STORES, TLB_TAG,
};

use crate::arena::PAGE_SIZE;

/// Address spaces that keep their entries. More programs than that which take turns start anew.
const SPACES: usize = 8;
/// Sets: that of the kernel's own view, and two of each address space.
const SETS: usize = 1 + 2 * SPACES;
/// The set of the kernel's own view, which all address spaces share.
const KERNEL: usize = 0;

/// A way to look at the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// What user code may access.
    User,
    /// What the kernel may access while it leaves user memory alone.
    Kernel,
    /// What the kernel may access, user memory too.
    KernelAndUser,
}

/// Places that are emptied together. A guest that switches between two small programs flushes
/// what they use, not all.
const CHUNK: usize = 128;
const CHUNKS: usize = PLACES / CHUNK;
/// A bit for each chunk of a set.
type Chunks = u64;

const OFFSET_MASK: u64 = PAGE_SIZE as u64 - 1;

/// One translation, which translated code reads too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(16))]
struct Entry {
    /// Virtual address of the page's last byte.
    tag: u64,
    /// Host address of the page minus its virtual address, wrapping.
    addend: usize,
}

/// The entries of one page: both are likely to be used, and lie on one cache line. A power of two in size, so
/// that one shift and one mask turn an address into its offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(32))]
struct Place {
    load: Entry,
    store: Entry,
}

/// Zeros: memory that is never touched costs nothing.
const EMPTY: Entry = Entry { tag: 0, addend: 0 };
const EMPTY_PLACE: Place = Place { load: EMPTY, store: EMPTY };

const _: () = assert!(
    size_of::<Place>() == TLB_PLACE_SIZE
        && offset_of!(Entry, tag) == TLB_TAG
        && offset_of!(Entry, addend) == TLB_ADDEND
        && offset_of!(Place, load) == 0
        && offset_of!(Place, store) == TLB_STORES
        && PLACES * size_of::<Place>() == TLB_SET_SIZE,
    "translated code looks here"
);
const _: () = assert!(PLACES.is_multiple_of(CHUNK) && CHUNKS <= Chunks::BITS as usize);

/// No address space has this name.
const NOBODY: u64 = u64::MAX;

/// The tag of the page of the last byte of an access at `va`. If that is not the page of the first one, the
/// entry of the first cannot hold it: neighbouring pages have different entries.
#[inline(always)]
const fn tag_of_last<const SIZE: usize>(va: u64) -> u64 {
    va.wrapping_add(SIZE as u64 - 1) | OFFSET_MASK
}

/// The translations of all sets; one set is current.
#[derive(Debug)]
pub(crate) struct Tlb {
    places: Box<[Place; SETS * PLACES]>,
    /// First place of the current set.
    current: NonNull<Place>,
    /// First places of the current address space's sets for [`View::Kernel`] and [`View::KernelAndUser`].
    privileged: [NonNull<Place>; 2],
    /// Number of the current set.
    set: usize,
    view: View,
    /// Chunks of each set that hold more than empty entries.
    used: [Chunks; SETS],
    /// What the architecture calls the address spaces that have sets.
    names: [u64; SPACES],
    /// The current one's place among them.
    space: usize,
    /// Whose place the next one takes.
    oldest: usize,
    /// Whether the kernel's set may hold what is mapped in one address space only.
    kernel_is_local: bool,
    /// Virtual addresses that superpages have mapped, in the lower and the upper half of the
    /// address space: the kernel's own mapping, made of them, must not cost the user's its fences.
    superpages: [Range<u64>; 2],
    /// Entries that are filled before all are emptied; 0 for no such number.
    limit: u32,
    /// Entries filled since.
    filled: u32,
}

/// What a flush has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    All,
    /// One page.
    Page,
}

const NO_SUPERPAGES: [Range<u64>; 2] = [0..0, 0..0];

/// Made where they are: the stack has no room for them.
fn empty_places() -> Box<[Place; SETS * PLACES]> {
    let places = vec![EMPTY_PLACE; SETS * PLACES].into_boxed_slice();
    places.try_into().expect("as many")
}

/// The sets of the address space at place `space`: its user's and that of a kernel with access to user memory.
const fn sets_of(space: usize) -> [usize; 2] {
    [KERNEL + 1 + 2 * space, KERNEL + 2 + 2 * space]
}

const fn half(va: u64) -> usize {
    (va >> 63) as usize
}

impl Tlb {
    pub(crate) fn new() -> Self {
        let mut places = empty_places();
        let current = NonNull::from(&mut places[0]);
        let mut tlb = Self {
            places,
            current,
            privileged: [current; 2],
            set: 0,
            view: View::User,
            used: [0; SETS],
            names: [NOBODY; SPACES],
            space: 0,
            oldest: 0,
            kernel_is_local: false,
            superpages: NO_SUPERPAGES,
            limit: 0,
            filled: 0,
        };
        tlb.enter_space(0);
        tlb
    }

    /// Makes lookups and fills use the set of `view`.
    pub(crate) fn select(&mut self, view: View) {
        self.view = view;
        let [user, both] = sets_of(self.space);
        let set = match view {
            View::User => user,
            View::Kernel => KERNEL,
            View::KernelAndUser => both,
        };
        self.set = set;
        self.current = self.first(set);
    }

    /// First place of a set.
    fn first(&mut self, set: usize) -> NonNull<Place> {
        NonNull::from(&mut self.places[set * PLACES..][..PLACES]).cast()
    }

    /// Where translated code finds the sets of privileged views.
    pub(crate) const fn privileged(&self) -> &impl Sized {
        &self.privileged
    }

    /// Goes over to the address space that the architecture calls `name`.
    pub(crate) fn enter_space(&mut self, name: u64) {
        if self.kernel_is_local {
            self.empty_set(KERNEL);
        }
        self.space = match self.names.iter().position(|known| *known == name) {
            Some(space) => space,
            None => self.learn(name),
        };
        let [_, both] = sets_of(self.space);
        self.privileged = [KERNEL, both].map(|set| self.first(set));
        self.select(self.view);
    }

    fn learn(&mut self, name: u64) -> usize {
        let space = self.oldest;
        self.oldest = (space + 1) % SPACES;
        sets_of(space).into_iter().for_each(|set| self.empty_set(set));
        self.names[space] = name;
        space
    }

    /// First place of the current set.
    pub(crate) fn current(&self) -> *const () {
        self.current.as_ptr().cast()
    }

    const fn slot(va: u64) -> usize {
        (va / PAGE_SIZE as u64) as usize % PLACES
    }

    #[inline(always)]
    fn place(&self, va: u64) -> &Place {
        // SAFETY: `current` is the first of PLACES places that this struct owns and never moves, and
        // `slot` below PLACES. Every guest load and store comes through here: with an index and its
        // check the boot takes 4 % longer.
        unsafe { self.current.add(Self::slot(va)).as_ref() }
    }

    fn place_mut(&mut self, set: usize, va: u64) -> &mut Place {
        &mut self.places[set * PLACES + Self::slot(va)]
    }

    /// Where a load of `SIZE` bytes at `va` may read.
    #[inline(always)]
    pub(crate) fn read<const SIZE: usize>(&self, va: u64) -> Option<*const u8> {
        let entry = self.place(va).load;
        let hit = entry.tag == tag_of_last::<SIZE>(va);
        hit.then(|| (va as usize).wrapping_add(entry.addend) as *const u8)
    }

    /// Where a store of `SIZE` bytes at `va` may write.
    #[inline(always)]
    pub(crate) fn write<const SIZE: usize>(&self, va: u64) -> Option<*mut u8> {
        let entry = self.place(va).store;
        let hit = entry.tag == tag_of_last::<SIZE>(va);
        hit.then(|| (va as usize).wrapping_add(entry.addend) as *mut u8)
    }

    /// Lets loads from the page of `va`, in the current set, hit.
    pub(crate) fn fill_read(&mut self, va: u64, host: NonNull<u8>) {
        self.make_place(va).load = Entry::new(va, host);
    }

    /// Lets stores to the page of `va`, in the current set, hit.
    pub(crate) fn fill_write(&mut self, va: u64, host: NonNull<u8>) {
        self.make_place(va).store = Entry::new(va, host);
    }

    /// The place in the current set where an entry for `va` is about to be put.
    fn make_place(&mut self, va: u64) -> &mut Place {
        if self.limit != 0 {
            self.make_room();
        }
        self.used[self.set] |= Self::chunk(va);
        self.place_mut(self.set, va)
    }

    /// The bit of the chunk with the place of `va`.
    const fn chunk(va: u64) -> Chunks {
        1 << (Self::slot(va) / CHUNK)
    }

    /// Holds at most so many entries from now on; 0 for as many as there are.
    pub(crate) fn limit(&mut self, entries: u32) {
        self.flush();
        (self.limit, self.filled) = (entries, 0);
    }

    /// Makes sure that one more entry keeps to the limit.
    #[cold]
    fn make_room(&mut self) {
        if self.filled == self.limit {
            self.empty();
            self.filled = 0;
        }
        self.filled += 1;
    }

    /// Virtual addresses of the pages that the kernel's loads and stores hit, alone with its own memory.
    pub(crate) fn kernel_pages(&self) -> [Vec<u64>; 2] {
        let places = &self.places[KERNEL * PLACES..][..PLACES];
        [|place: &Place| place.load, |place: &Place| place.store].map(|entry| {
            let filled = places.iter().map(entry).filter(|entry| *entry != EMPTY);
            filled.map(|entry| entry.tag & !OFFSET_MASK).collect()
        })
    }

    /// Forgets everything.
    pub(crate) fn flush(&mut self) {
        self.empty();
        self.superpages = NO_SUPERPAGES;
    }

    fn empty(&mut self) {
        (0..SETS).for_each(|set| self.empty_set(set));
    }

    fn empty_set(&mut self, set: usize) {
        let used = std::mem::take(&mut self.used[set]);
        let chunks = self.places[set * PLACES..][..PLACES].chunks_exact_mut(CHUNK).enumerate();
        for (_, chunk) in chunks.filter(|(number, _)| used >> number & 1 != 0) {
            chunk.fill(EMPTY_PLACE);
        }
        self.kernel_is_local &= set != KERNEL;
    }

    /// Notes that what the current set is about to hold is mapped in this address space only.
    pub(crate) const fn note_local(&mut self) {
        self.kernel_is_local |= self.set == KERNEL;
    }

    /// Forgets what the address spaces that `is_meant` accepts by name do not share with all others.
    pub(crate) fn flush_spaces(&mut self, is_meant: impl Fn(u64) -> bool) {
        if self.kernel_is_local {
            self.empty_set(KERNEL);
        }
        for space in 0..SPACES {
            if is_meant(self.names[space]) {
                sets_of(space).into_iter().for_each(|set| self.empty_set(set));
            }
        }
    }

    /// Notes that one leaf entry maps the `len` bytes from `va`, more than a page.
    pub(crate) fn note_superpage(&mut self, va: u64, len: u64) {
        let known = &mut self.superpages[half(va)];
        let end = va.saturating_add(len);
        *known = if known.is_empty() { va..end } else { known.start.min(va)..known.end.max(end) };
    }

    /// Forgets the page of `va` in the address spaces that `is_meant` accepts by name; everything, where
    /// the page may be part of a superpage.
    pub(crate) fn flush_page(&mut self, va: u64, is_meant: impl Fn(u64) -> bool) -> Flushed {
        if self.superpages[half(va)].contains(&va) {
            self.flush();
            return Flushed::All;
        }
        self.empty_page(KERNEL, va);
        for space in 0..SPACES {
            if is_meant(self.names[space]) {
                sets_of(space).into_iter().for_each(|set| self.empty_page(set, va));
            }
        }
        Flushed::Page
    }

    fn empty_page(&mut self, set: usize, va: u64) {
        if self.used[set] & Self::chunk(va) != 0 {
            *self.place_mut(set, va) = EMPTY_PLACE;
        }
    }

    /// Entries for stores that may hold something.
    fn stores(&mut self) -> impl Iterator<Item = &mut Entry> {
        let used = self.used;
        let chunks = self.places.chunks_exact_mut(CHUNK).enumerate();
        let wanted =
            chunks.filter(move |(number, _)| used[number / CHUNKS] >> (number % CHUNKS) & 1 != 0);
        wanted
            .flat_map(|(_, chunk)| chunk)
            .map(|place| &mut place.store)
            .filter(|entry| **entry != EMPTY)
    }

    /// Whether a store to the host page `host` could hit.
    #[cfg(test)]
    pub(crate) fn lets_write(&mut self, host: NonNull<u8>) -> bool {
        self.stores().any(|entry| entry.host() == host.as_ptr() as usize)
    }

    /// Makes stores to the host page `host` miss from now on.
    pub(crate) fn protect(&mut self, host: NonNull<u8>) {
        self.stores()
            .filter(|entry| entry.host() == host.as_ptr() as usize)
            .for_each(|entry| *entry = EMPTY);
    }
}

impl Entry {
    /// From the page of `va` to the host page `host`.
    fn new(va: u64, host: NonNull<u8>) -> Self {
        let addend = (host.as_ptr() as usize).wrapping_sub((va & !OFFSET_MASK) as usize);
        Self { tag: va | OFFSET_MASK, addend }
    }

    /// Host address of the page.
    const fn host(&self) -> usize {
        ((self.tag & !OFFSET_MASK) as usize).wrapping_add(self.addend)
    }
}

#[cfg(test)]
mod tests;
