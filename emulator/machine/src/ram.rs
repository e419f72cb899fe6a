//! Guest RAM: a map from guest-physical pages to slots that appear at first touch, filled with
//! zeros or with what a freeze left for the page: a [pattern](crate::pattern), or, in a thawed
//! native machine, the frozen one's page.

use std::ptr::NonNull;
use std::sync::Arc;

use crate::arena::{Arena, PAGE_SIZE};
use crate::bus::{GuestMemory, GuestPhysAddr, NotRam};
use crate::pattern::{Pattern, Run};

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
    /// The page of each slot.
    owners: Vec<u32>,
    /// What pages without a slot hold that follow a rule.
    patterns: Patterns,
    /// What other pages without a slot hold, if not zeros.
    origin: Option<Arc<FrozenRam>>,
}

/// Patterns by page.
#[derive(Debug, Default)]
struct Patterns {
    /// In order, with the first page and its place in `dropped`.
    runs: Vec<(u32, u32, Run)>,
    /// Pages whose pattern no longer holds. To change the runs would be to write, and so to copy,
    /// memory that a start shares with the frozen machine.
    dropped: Vec<bool>,
}

impl Patterns {
    fn of(mut found: Vec<(u32, Pattern)>) -> Self {
        found.sort_unstable_by_key(|(page, _)| *page);
        let dropped = vec![false; found.len()];
        let mut runs: Vec<(u32, u32, Run)> = Vec::new();
        for (place, (page, mut pattern)) in (0..).zip(found) {
            if let Some((first, _, run)) = runs.last_mut()
                && *first + run.len() as u32 == page
            {
                match run.take(pattern) {
                    None => continue,
                    Some(other) => pattern = other,
                }
            }
            runs.push((page, place, Run::new(pattern)));
        }
        Self { runs, dropped }
    }

    /// The run that page `index` is in, its number there and its place in `dropped`.
    fn find(&self, index: usize) -> Option<(&Run, usize, usize)> {
        let at = self.runs.partition_point(|(first, ..)| *first as usize <= index);
        let (first, place, run) = self.runs.get(at.checked_sub(1)?)?;
        let number = index - *first as usize;
        let place = *place as usize + number;
        (number < run.len() && !self.dropped[place]).then_some((run, number, place))
    }

    fn get(&self, index: usize) -> Option<Pattern> {
        self.find(index).map(|(run, number, _)| run.page(number))
    }

    fn remove(&mut self, index: usize) {
        if let Some((_, _, place)) = self.find(index) {
            self.dropped[place] = true;
        }
    }

    /// Those that hold.
    fn take(&mut self) -> Vec<(u32, Pattern)> {
        let mut found = Vec::new();
        for (first, _, run) in &self.runs {
            for index in *first..*first + run.len() as u32 {
                found.extend(self.get(index as usize).map(|pattern| (index, pattern)));
            }
        }
        *self = Self::default();
        found
    }
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
            owners: Vec::new(),
            patterns: Patterns::default(),
            origin: None,
        }
    }

    /// Number of pages that have a slot.
    pub(crate) fn touched_pages(&self) -> usize {
        self.owners.len()
    }

    /// The pages that have a slot, in the order of the slots.
    pub(crate) fn owners(&self) -> &[u32] {
        &self.owners
    }

    /// The pages that have a slot, and where that is.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (u32, NonNull<u8>)> + '_ {
        self.owners.iter().enumerate().map(|(slot, &page)| (page, self.arena.slot(slot)))
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
        self.owners.push(index as u32);
        // SAFETY: the slot is one whole fresh page, to which nothing else refers yet.
        let bytes = unsafe { page.cast::<[u8; PAGE_SIZE]>().as_mut() };
        match self.left(index) {
            Some(Left::Page(original)) => *bytes = *original,
            Some(Left::Pattern(pattern)) => pattern.expand(bytes),
            None => {}
        }
        page
    }

    pub(crate) fn has_slot(&self, index: usize) -> bool {
        !self.pages[index].is_null()
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
        if !self.pages[index].is_null() {
            return self.bytes(index).fill(0);
        }
        match self.left(index) {
            Some(Left::Page(_)) => self.bytes(index).fill(0),
            Some(Left::Pattern(_)) => self.patterns.remove(index),
            None => {}
        }
    }

    /// What page `index` holds while it has no slot, if not zeros.
    fn left(&self, index: usize) -> Option<Left<'_>> {
        let pattern = self.patterns.get(index).map(Left::Pattern);
        pattern.or_else(|| self.origin.as_ref()?.page(index).map(Left::Page))
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

/// What a freeze left for a page without a slot.
enum Left<'a> {
    Page(&'a [u8; PAGE_SIZE]),
    Pattern(Pattern),
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

    pub(crate) fn page(&self, index: usize) -> Option<&[u8; PAGE_SIZE]> {
        self.kept.get(self.places[index] as usize)
    }
}

impl Ram {
    pub(crate) fn freeze(&self) -> FrozenRam {
        let mut kept = Vec::with_capacity(self.owners.len());
        let mut place = |index| {
            self.with_page(index, |page| {
                let page = page.filter(|page| **page != [0; PAGE_SIZE]);
                page.map_or(ZEROS, |page| {
                    kept.push(*page);
                    kept.len() as u32 - 1
                })
            })
        };
        let places = (0..self.pages.len()).map(&mut place).collect();
        FrozenRam { base: self.base, places, kept }
    }

    /// Number of pages, touched or not.
    pub(crate) fn len_pages(&self) -> usize {
        self.pages.len()
    }

    /// Shows what page `index` holds; nothing if zeros for want of a touch.
    pub(crate) fn with_page<R>(
        &self,
        index: usize,
        look: impl FnOnce(Option<&[u8; PAGE_SIZE]>) -> R,
    ) -> R {
        if let Some(page) = NonNull::new(self.pages[index]) {
            // SAFETY: the slot is one whole page of this map's, which `self` lends out read-only.
            return look(Some(unsafe { page.cast().as_ref() }));
        }
        match self.left(index) {
            Some(Left::Page(page)) => look(Some(page)),
            Some(Left::Pattern(pattern)) => {
                let mut page = [0; PAGE_SIZE];
                pattern.expand(&mut page);
                look(Some(&page))
            }
            None => look(None),
        }
    }

    /// RAM that holds the same; a page is copied when it is touched.
    pub(crate) fn thaw(frozen: &Arc<FrozenRam>) -> Self {
        let len = frozen.places.len() * PAGE_SIZE;
        Self { origin: Some(Arc::clone(frozen)), ..Self::new(frozen.base, len as u64) }
    }
}

/// A page that keeps its slot.
struct Kept {
    page: u32,
    slot: u32,
}

/// No kept page is in this slot.
const VACANT: u32 = u32::MAX;

impl Ram {
    /// Takes the slots of pages that hold zeros or follow a rule, and lays the others out densely:
    /// those in `first` in their order, then the rest in the order of the guest's addresses.
    /// Nobody may hold a page's host address over this.
    pub(crate) fn compact(&mut self, first: &[u32]) {
        let mut kept = self.take_slots();
        let mut ranks = vec![u32::MAX; self.pages.len()];
        for (rank, page) in first.iter().enumerate() {
            if let Some(place) = ranks.get_mut(*page as usize) {
                *place = rank as u32;
            }
        }
        kept.sort_unstable_by_key(|kept| (ranks[kept.page as usize], kept.page));
        wipe(ranks, |rank| *rank = 0);
        self.move_to_front(&mut kept);
        self.arena.truncate(kept.len());
        self.owners.clear();
        for (slot, Kept { page, .. }) in kept.iter().enumerate() {
            self.pages[*page as usize] = self.arena.slot(slot).as_ptr();
            self.owners.push(*page);
        }
        wipe(kept, |kept| *kept = Kept { page: 0, slot: 0 });
    }

    /// Pages that are touched from now on lie behind the frozen memory.
    pub(crate) fn settle(&mut self) {
        self.arena.leave_room();
    }

    /// Leaves no page with a slot; returns those that shall have one.
    fn take_slots(&mut self) -> Vec<Kept> {
        let mut kept = Vec::with_capacity(self.owners.len());
        let owners = std::mem::take(&mut self.owners);
        owners.iter().for_each(|&page| self.patterns.remove(page as usize));
        let mut patterns = self.patterns.take();
        for (slot, &page) in owners.iter().enumerate() {
            let index = page as usize;
            let bytes = *self.bytes(index);
            self.pages[index] = std::ptr::null_mut();
            let pattern = Pattern::of(&bytes);
            if bytes == [0; PAGE_SIZE] && self.left(index).is_none() {
                continue;
            }
            match pattern {
                Some(pattern) => patterns.push((page, pattern)),
                None => kept.push(Kept { page, slot: slot as u32 }),
            }
        }
        (self.patterns, self.owners) = (Patterns::of(patterns), owners);
        kept
    }

    /// Exchanges slots' contents until page `i` of `kept` is in slot `i`.
    fn move_to_front(&mut self, kept: &mut [Kept]) {
        let mut places = vec![VACANT; self.owners.len()];
        for (place, kept) in kept.iter().enumerate() {
            places[kept.slot as usize] = place as u32;
        }
        for target in 0..kept.len() {
            let source = kept[target].slot as usize;
            if source == target {
                continue;
            }
            let (to, from) = (self.arena.slot(target), self.arena.slot(source));
            // SAFETY: two different slots are two whole pages that do not overlap, and the caller
            // holds no reference into either.
            unsafe { std::ptr::swap_nonoverlapping(to.as_ptr(), from.as_ptr(), PAGE_SIZE) };
            places.swap(target, source);
            if let Some(moved) = kept.get_mut(places[source] as usize) {
                moved.slot = source as u32;
            }
        }
        wipe(places, |place| *place = 0);
    }
}

/// Freed memory stays in a frozen machine as it is.
fn wipe<T>(mut of: Vec<T>, clear: impl FnMut(&mut T)) {
    of.iter_mut().for_each(clear);
    std::hint::black_box(&of);
}

impl GuestMemory for Ram {
    fn read(&self, at: GuestPhysAddr, into: &mut [u8]) -> Result<(), NotRam> {
        let mut done = 0;
        for (index, offset, len) in self.pieces(at, into.len())? {
            let target = &mut into[done..done + len];
            self.with_page(index, |page| match page {
                Some(page) => target.copy_from_slice(&page[offset..offset + len]),
                None => target.fill(0),
            });
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

    fn patterned(index: usize) -> [u8; PAGE_SIZE] {
        let mut page = [0; PAGE_SIZE];
        for (at, to) in page.chunks_exact_mut(8).enumerate() {
            to.copy_from_slice(&((index << 12 | at << 3) as u64).to_le_bytes());
        }
        page
    }

    fn irregular(index: usize) -> [u8; PAGE_SIZE] {
        std::array::from_fn(|at| (at * at % 251 + index) as u8)
    }

    fn contents(ram: &Ram, index: usize) -> [u8; PAGE_SIZE] {
        let mut page = [0; PAGE_SIZE];
        ram.read(GuestPhysAddr(BASE + index as u64 * 4096), &mut page).expect("inside");
        page
    }

    #[test]
    fn compaction_keeps_every_byte_and_the_slots_of_irregular_pages_alone() {
        const PAGES: usize = 700;
        let mut ram = Ram::new(BASE, PAGES as u64 * 4096);
        let content = |index: usize| match index % 5 {
            0 => irregular(index),
            1 => patterned(index),
            2 => [0xcc; PAGE_SIZE],
            _ => [0; PAGE_SIZE],
        };
        // In an order of its own, so that the slots are not in that of the pages.
        for index in (0..PAGES).map(|index| index * 37 % PAGES).filter(|index| index % 5 != 4) {
            *ram.bytes(index) = content(index);
        }
        for round in 0..2 {
            ram.compact(&[695, 3, 20]);
            assert_eq!(ram.touched_pages(), PAGES / 5, "round {round}");
            assert!((0..PAGES).all(|index| contents(&ram, index) == content(index)));
        }
        assert_eq!(ram.owners()[..4], [695, 20, 0, 5]);
        assert!([695, 20, 0, 5, 10].map(|index| ram.page(index)).is_sorted());
        assert!((0..PAGES).all(|index| *ram.bytes(index) == content(index)), "by touch");
    }

    #[test]
    fn what_replaced_a_pattern_stays() {
        let mut ram = Ram::new(BASE, 8 * 4096);
        *ram.bytes(1) = patterned(1);
        *ram.bytes(2) = patterned(2);
        *ram.bytes(3) = patterned(3);
        ram.compact(&[]);
        assert_eq!(ram.touched_pages(), 0);
        ram.zero_page(1);
        ram.bytes(2).fill(0);
        *ram.bytes(3) = irregular(3);
        ram.compact(&[]);
        assert_eq!([1, 2].map(|index| contents(&ram, index)), [[0; PAGE_SIZE]; 2]);
        assert_eq!(contents(&ram, 3), irregular(3));
        let frozen = Arc::new(ram.freeze());
        assert_eq!(contents(&Ram::thaw(&frozen), 3), irregular(3));
    }
}
