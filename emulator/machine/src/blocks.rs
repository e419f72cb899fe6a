//! Which decoded block is at a guest-physical address.
//!
//! What a start of the frozen machine finds again lies in tables that it only reads, one for each page: what is
//! added to a hash table is written all over it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use lithify_isa::translation::PAGE_SIZE;

use crate::code::{BlockId, UNRESOLVED};
use crate::pages::Page;

/// Fibonacci hashing: keys are addresses of a guest that can only slow down itself.
#[derive(Debug, Default)]
pub(crate) struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let product = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ product >> 32;
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}

pub(crate) type AddressMap<K, V> = HashMap<K, V, BuildHasherDefault<AddressHasher>>;

/// Half of a block's address, which is even and below 8 GiB.
type Half = u32;

/// There is no RAM at address zero.
const NOWHERE: Half = 0;

const fn half(address: u64) -> Half {
    (address >> 1) as Half
}

fn whole(half: Half) -> u64 {
    u64::from(half) << 1
}

/// Where on a page the byte at `address` is.
const fn offset(address: u64) -> u64 {
    address % PAGE_SIZE as u64
}

/// Number of a page with decoded code, until that is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageId(u32);

impl PageId {
    /// Of no page.
    pub(crate) const NONE: Self = Self(u32::MAX);
}

/// A page with decoded code, and where its blocks are.
#[derive(Debug)]
struct Entry {
    page: Page,
    /// Its guest-physical address.
    address: Half,
    /// The first of its settled blocks' places, and the one behind the last.
    settled: [u32; 2],
    /// The block that was added last.
    newest: Half,
}

/// A block, and the one that was added before it on its page.
#[derive(Debug)]
struct Added {
    block: BlockId,
    before: Half,
}

impl Entry {
    fn places(&self) -> Range<usize> {
        let [start, end] = self.settled;
        start as usize..end as usize
    }
}

/// A settled block: half of its offset in its page above its number, which is [`UNRESOLVED`] where none is.
type Settled = u32;

const VACANT: Settled = UNRESOLVED;
/// Bits of a block's number. One with a higher number is forgotten instead.
const ID_BITS: u32 = 32 - (PAGE_SIZE / 2).ilog2();

/// Number of the settled block at `place`.
const fn block_of(place: Settled) -> BlockId {
    place & ((1 << ID_BITS) - 1)
}

/// Half the offset in its page.
const fn key_of(half: Half) -> u32 {
    half % (PAGE_SIZE as u32 / 2)
}

/// The places at which the block with this key may be, of `len`: it is at the first that is not another's.
fn probe(key: u32, len: usize) -> impl Iterator<Item = usize> {
    let hash = key.wrapping_mul(0x9e37_79b9);
    let home = ((u64::from(hash) * len as u64) >> 32) as usize;
    (home..len).chain(0..home)
}

/// A table of `blocks`, an eighth of which and at least one place is vacant.
fn table(blocks: &[(u32, BlockId)]) -> Vec<Settled> {
    let mut places = vec![VACANT; blocks.len() + blocks.len() / 8 + 1];
    for &(key, block) in blocks {
        let free = probe(key, places.len()).find(|at| places[*at] == VACANT);
        places[free.expect("more places than blocks")] = key << ID_BITS | block;
    }
    places
}

/// Pages with decoded code and their blocks.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    /// By RAM page.
    numbers: AddressMap<usize, PageId>,
    /// By number.
    entries: Vec<Entry>,
    /// Numbers of pages that were dropped.
    free: Vec<PageId>,
    added: AddressMap<Half, Added>,
    /// The tables of those that a [`settle`](Self::settle) found, page by page.
    settled: Vec<Settled>,
}

impl Blocks {
    /// The number of RAM page `page`, if it has decoded code.
    pub(crate) fn number(&self, page: usize) -> Option<PageId> {
        self.numbers.get(&page).copied()
    }

    fn entry(&self, page: PageId) -> Option<&Entry> {
        self.entries.get(page.0 as usize)
    }

    /// What is known of a page.
    pub(crate) fn page(&self, page: PageId) -> Option<&Page> {
        self.entry(page).map(|entry| &entry.page)
    }

    /// The same of RAM page `page`, made by `new` if it has no decoded code yet. `address` is in it.
    pub(crate) fn page_or_insert(
        &mut self,
        page: usize,
        address: u64,
        new: impl FnOnce() -> Page,
    ) -> &Page {
        let Self { numbers, entries, free, .. } = self;
        let id = *numbers.entry(page).or_insert_with(|| {
            let address = half(address - offset(address));
            let entry = Entry { page: new(), address, settled: [0; 2], newest: NOWHERE };
            match free.pop() {
                Some(id) => {
                    entries[id.0 as usize] = entry;
                    id
                }
                None => {
                    entries.push(entry);
                    PageId(entries.len() as u32 - 1)
                }
            }
        });
        &entries[id.0 as usize].page
    }

    /// The guest-physical address of what virtual address `pc` has on `page`.
    pub(crate) fn address(&self, page: PageId, pc: u64) -> Option<u64> {
        Some(whole(self.entry(page)?.address) + offset(pc))
    }

    /// The block at guest-physical `address`, which is on `page`.
    pub(crate) fn find(&self, address: u64, page: PageId) -> Option<BlockId> {
        let half = half(address);
        let places = self.settled.get(self.entry(page)?.places())?;
        for at in probe(key_of(half), places.len()) {
            match places[at] {
                VACANT => break,
                place if place >> ID_BITS == key_of(half) => return Some(block_of(place)),
                _ => {}
            }
        }
        self.added.get(&half).map(|added| added.block)
    }

    /// Adds a block at guest-physical `address`, which is on RAM page `page`.
    pub(crate) fn insert(&mut self, address: u64, page: usize, block: BlockId) {
        let half = half(address);
        let id = self.number(page);
        let entry = id.and_then(|id| self.entries.get_mut(id.0 as usize));
        let before = entry.map_or(NOWHERE, |entry| std::mem::replace(&mut entry.newest, half));
        self.added.insert(half, Added { block, before });
    }

    /// Forgets RAM page `page` and its blocks.
    pub(crate) fn remove(&mut self, page: usize) {
        let Some(id) = self.numbers.remove(&page) else { return };
        self.free.push(id);
        let entry = &mut self.entries[id.0 as usize];
        entry.settled = [0; 2];
        let mut next = std::mem::replace(&mut entry.newest, NOWHERE);
        while let Some(Added { before, .. }) = self.added.remove(&next) {
            next = before;
        }
    }

    /// Addresses of all blocks, in the order of their numbers.
    pub(crate) fn addresses(&self) -> Vec<u64> {
        let added = self.added.iter().map(|(half, added)| (added.block, *half));
        let mut blocks: Vec<_> = added.chain(self.settled_blocks()).collect();
        blocks.sort_unstable();
        blocks.into_iter().map(|(_, half)| whole(half)).collect()
    }

    fn settled_blocks(&self) -> impl Iterator<Item = (BlockId, Half)> {
        self.entries.iter().flat_map(|entry| {
            let places = self.settled[entry.places()].iter().filter(|place| **place != VACANT);
            places.map(|place| (block_of(*place), entry.address + (place >> ID_BITS)))
        })
    }

    /// Puts all blocks where what is added later leaves them alone; returns their addresses, pages and numbers.
    /// None may be settled yet.
    pub(crate) fn settle(&mut self) -> Vec<(u64, PageId, BlockId)> {
        debug_assert!(self.settled.is_empty());
        let added = std::mem::take(&mut self.added).into_iter();
        let numbered = added.filter(|(_, added)| added.block >> ID_BITS == 0);
        let mut found: Vec<_> = numbered.map(|(half, added)| (half, added.block)).collect();
        found.sort_unstable();
        let mut settled = Vec::new();
        for (number, entry) in (0..).zip(&mut self.entries) {
            let place = |limit| found.partition_point(|(half, _)| *half < limit);
            let first = entry.address;
            let blocks = &found[place(first)..place(first + half(PAGE_SIZE as u64))];
            let keys: Vec<_> = blocks.iter().map(|(half, id)| (key_of(*half), *id)).collect();
            let start = self.settled.len() as u32;
            self.settled.extend(table(&keys));
            entry.settled = [start, self.settled.len() as u32];
            entry.newest = NOWHERE;
            let id = PageId(number);
            settled.extend(blocks.iter().map(|(half, block)| (whole(*half), id, *block)));
        }
        self.settled.shrink_to_fit();
        settled
    }

    /// Forgets everything; returns the RAM pages.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = usize> + use<> {
        std::mem::take(self).numbers.into_keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::Translations;

    const RAM: u64 = 0x8000_0000;

    fn address(page: usize, offset: u64) -> u64 {
        RAM + (page * PAGE_SIZE) as u64 + offset
    }

    /// Adds blocks at every `step`th byte of `pages`, numbered from `first` on; returns what must be found.
    fn add(
        blocks: &mut Blocks,
        pages: &[usize],
        step: usize,
        first: BlockId,
    ) -> Vec<(u64, usize, BlockId)> {
        let places = pages.iter().flat_map(|&page| {
            (0..PAGE_SIZE as u64).step_by(step).map(move |offset| (address(page, offset), page))
        });
        let added: Vec<_> = (first..).zip(places).map(|(id, (at, page))| (at, page, id)).collect();
        for &(at, page, id) in &added {
            let bytes = [0; PAGE_SIZE];
            let new = || Page::new(page, &bytes, &mut Translations::default(), None);
            blocks.page_or_insert(page, at, new);
            blocks.insert(at, page, id);
        }
        added
    }

    fn found(blocks: &Blocks, at: u64, page: usize) -> Option<BlockId> {
        blocks.find(at, blocks.number(page)?)
    }

    #[test]
    fn blocks_are_found_before_and_after_they_settle() {
        let mut blocks = Blocks::default();
        let mut known = add(&mut blocks, &[7], 2, 1);
        known.extend(add(&mut blocks, &[3], 64, 5000));
        known.extend(add(&mut blocks, &[9], PAGE_SIZE, 6000));
        let all = |blocks: &Blocks, known: &[(u64, usize, BlockId)]| {
            known.iter().all(|&(at, page, id)| found(blocks, at, page) == Some(id))
        };
        assert!(all(&blocks, &known));
        assert_eq!(blocks.settle().len(), known.len());
        assert!(all(&blocks, &known));
        known.extend(add(&mut blocks, &[4], 512, 7000));
        assert!(all(&blocks, &known));
        assert_eq!(found(&blocks, address(3, 2), 3), None);
        let addresses: Vec<_> = known.iter().map(|(at, ..)| *at).collect();
        assert_eq!(blocks.addresses(), addresses);
    }

    #[test]
    fn a_page_is_forgotten_with_all_its_blocks() {
        let mut blocks = Blocks::default();
        add(&mut blocks, &[2, 5], 32, 1);
        blocks.settle();
        let mut gone = add(&mut blocks, &[6], 128, 1000);
        gone.extend([0, 32, 64].map(|offset| (address(5, offset), 5, 0)));
        // One that was added to the settled ones of its page.
        blocks.insert(address(5, 2), 5, 2000);
        [5, 6].into_iter().for_each(|page| blocks.remove(page));
        assert!([5, 6].iter().all(|page| blocks.number(*page).is_none()));
        add(&mut blocks, &[5], PAGE_SIZE, 3000);
        add(&mut blocks, &[6], PAGE_SIZE, 3001);
        assert_eq!(found(&blocks, address(5, 0), 5), Some(3000));
        assert_eq!(found(&blocks, address(6, 0), 6), Some(3001));
        assert_eq!(found(&blocks, address(2, 32), 2), Some(2));
        for (at, page, _) in gone.into_iter().filter(|(at, ..)| at % PAGE_SIZE as u64 != 0) {
            assert_eq!(found(&blocks, at, page), None, "{at:#x}");
        }
        assert_eq!(found(&blocks, address(5, 2), 5), None);
    }

    #[test]
    fn a_block_whose_number_is_too_high_to_settle_is_decoded_again() {
        let mut blocks = Blocks::default();
        add(&mut blocks, &[1], 2048, (1 << ID_BITS) - 1);
        blocks.settle();
        assert_eq!(found(&blocks, address(1, 0), 1), Some((1 << ID_BITS) - 1));
        assert_eq!(found(&blocks, address(1, 2048), 1), None);
        blocks.insert(address(1, 2048), 1, 7);
        assert_eq!(found(&blocks, address(1, 2048), 1), Some(7));
    }
}
