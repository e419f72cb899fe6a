//! Which page with decoded code is at a virtual page: what the jump cache does not know is found without a
//! walk through the guest's page tables.

use crate::arena::PAGE_SIZE;
use crate::blocks::PageId;
use crate::spaces::NO_SPACE;

/// As many as two host pages hold.
const ENTRIES: usize = 512;

/// A page that was executed, in one of the address spaces that [`Spaces`](crate::spaces::Spaces) numbers.
#[derive(Debug, Clone, Copy)]
struct Fetch {
    va: u64,
    space: u32,
    page: PageId,
}

const NO_FETCH: Fetch = Fetch { va: 0, space: NO_SPACE, page: PageId::NONE };

/// The last ones, direct-mapped.
#[derive(Debug)]
pub(crate) struct Fetches {
    entries: Box<[Fetch; ENTRIES]>,
}

/// Address spaces have places of their own: those of a shell and its children lie next to each other.
const fn index(va: u64, space: u32) -> usize {
    ((va / PAGE_SIZE as u64) as usize ^ (space << 5) as usize) % ENTRIES
}

const fn page_of(pc: u64) -> u64 {
    pc - pc % PAGE_SIZE as u64
}

impl Fetches {
    pub(crate) fn new() -> Self {
        Self { entries: Box::new([NO_FETCH; ENTRIES]) }
    }

    /// The page at `pc`, if it is known.
    pub(crate) fn get(&self, pc: u64, space: u32) -> Option<PageId> {
        let fetch = &self.entries[index(pc, space)];
        (fetch.va == page_of(pc) && fetch.space == space).then_some(fetch.page)
    }

    /// Remembers that `page` is at `va`.
    pub(crate) fn put(&mut self, va: u64, space: u32, page: PageId) {
        let place = &mut self.entries[index(va, space)];
        *place = Fetch { va: page_of(va), space, page };
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.entries.fill(NO_FETCH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::PageId;

    #[test]
    fn a_page_is_known_in_its_address_space_alone() {
        let mut fetches = Fetches::new();
        fetches.put(0x4000, 3, PageId::NONE);
        assert_eq!(fetches.get(0x4ffe, 3), Some(PageId::NONE));
        for (pc, space) in [(0x5000, 3), (0x4000, 4), (0x4000 + (ENTRIES * PAGE_SIZE) as u64, 3)] {
            assert_eq!(fetches.get(pc, space), None, "{pc:#x} in {space}");
        }
        fetches.clear();
        assert_eq!(fetches.get(0x4000, 3), None);
    }
}
