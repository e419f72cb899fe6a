//! The jump cache: what is at a virtual address that was jumped to.

use std::mem::offset_of;

use lithify_isa::translation::{
    JUMP_ENTRIES, JUMP_ENTRY_SIZE, JUMP_KEY, JUMP_SPACE, JUMP_TARGET, jump_mask, jump_slot,
};

use crate::code::{BlockId, Step, UNRESOLVED};
use crate::core::address;
use crate::spaces::NO_SPACE;

/// A jump, and what of translated code is where it leads, which reads this.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(16))]
struct Jump {
    /// The program counter.
    key: u64,
    /// The space for which this holds.
    space: u32,
    /// [`jump_target`](lithify_isa::translation::jump_target), or 0.
    target: u32,
}

/// The block that a jump leads to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Landing {
    pub(crate) block: BlockId,
    /// Its first step.
    pub(crate) steps: *const Step,
}

const _: () = assert!(
    size_of::<Jump>() == JUMP_ENTRY_SIZE
        && offset_of!(Jump, key) == JUMP_KEY
        && offset_of!(Jump, space) == JUMP_SPACE
        && offset_of!(Jump, target) == JUMP_TARGET,
    "translated code looks here"
);
const _: () = assert!(
    (JUMP_ENTRIES / FEW_ENTRIES).ilog2().is_multiple_of(GROWTH.ilog2()),
    "growth ends at all entries"
);

/// Entries that a start uses at first: what it writes there are pages of host memory that a short
/// program does without.
const FEW_ENTRIES: usize = 4096;
/// How many times as many are used once so many jumps for each entry were remembered among fewer: what is known
/// is moved then, and all pages of the new entries are written.
const GROWTH: usize = 4;
const JUMPS_PER_ENTRY: u32 = 2;

const NO_JUMP: Jump = Jump { key: 0, space: NO_SPACE, target: 0 };
const NOWHERE: Landing = Landing { block: UNRESOLVED, steps: std::ptr::null() };

/// Jumps in the address spaces that [`Spaces`](crate::spaces::Spaces) numbers, direct-mapped.
#[derive(Debug)]
pub(crate) struct Jumps {
    entries: Box<[Jump]>,
    /// Those of the entries, at the same places.
    landings: Box<[Landing]>,
    /// Which entries are used. Translated code reads it.
    mask: u32,
    /// Jumps that are to be remembered before more entries are used.
    left: u32,
}

impl Jumps {
    pub(crate) fn new() -> Self {
        let entries = vec![NO_JUMP; JUMP_ENTRIES].into();
        let landings = vec![NOWHERE; JUMP_ENTRIES].into();
        let mut jumps = Self { entries, landings, mask: 0, left: 0 };
        jumps.set_used(FEW_ENTRIES);
        jumps
    }

    #[inline(always)]
    fn index(&self, pc: u64, space: u32) -> usize {
        jump_slot(pc, space, self.mask) / JUMP_ENTRY_SIZE
    }

    /// What is at `pc`, if it is known.
    #[inline(always)]
    pub(crate) fn get(&self, pc: u64, space: u32) -> Option<Landing> {
        let at = self.index(pc, space);
        let jump = &self.entries[at];
        (jump.key == pc && jump.space == space).then_some(self.landings[at])
    }

    /// Remembers what is at `pc`: a block, and of translated code `target`, or 0.
    pub(crate) fn put(&mut self, pc: u64, space: u32, target: u32, landing: Landing) {
        self.count();
        let at = self.index(pc, space);
        self.entries[at] = Jump { key: pc, space, target };
        self.landings[at] = landing;
    }

    /// Uses more entries if this start turns out to be a longer one.
    fn count(&mut self) {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 && self.used() < JUMP_ENTRIES {
            self.grow();
        }
    }

    /// Whatever shared a place among fewer entries had bits in common that still tell where it is now: each
    /// either stays or goes where nothing was.
    #[cold]
    fn grow(&mut self) {
        let few = self.used();
        self.set_used(few * GROWTH);
        for at in 0..few {
            let Jump { key, space, .. } = self.entries[at];
            let place = self.index(key, space);
            if space != NO_SPACE && place != at {
                self.entries[place] = std::mem::replace(&mut self.entries[at], NO_JUMP);
                self.landings[place] = std::mem::replace(&mut self.landings[at], NOWHERE);
            }
        }
    }

    /// The number of entries that are used.
    const fn used(&self) -> usize {
        self.mask as usize / JUMP_ENTRY_SIZE + 1
    }

    const fn set_used(&mut self, entries: usize) {
        self.mask = jump_mask(entries);
        self.left = entries as u32 * JUMPS_PER_ENTRY;
    }

    /// Forgets all; few entries are used again.
    pub(crate) fn clear(&mut self) {
        self.entries.fill(NO_JUMP);
        self.landings.fill(NOWHERE);
        self.set_used(FEW_ENTRIES);
    }

    /// Addresses of the entries and of the mask.
    pub(crate) fn layout(&self) -> [u32; 2] {
        [address(&*self.entries), address(&self.mask)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(jumps: &mut Jumps, pc: u64) {
        jumps.put(pc, 1, 0, Landing { block: pc as BlockId, ..NOWHERE });
    }

    fn is_known(jumps: &Jumps, pc: u64) -> bool {
        jumps.get(pc, 1).is_some_and(|landing| landing.block == pc as BlockId)
    }

    #[test]
    fn a_jump_is_found_in_its_address_space_alone() {
        let mut jumps = Jumps::new();
        learn(&mut jumps, 0x1000);
        assert!(is_known(&jumps, 0x1000));
        assert!(jumps.get(0x1000, 2).is_none() && jumps.get(0x1008, 1).is_none());
        jumps.clear();
        assert!(jumps.get(0x1000, 1).is_none());
    }

    #[test]
    fn a_long_start_uses_more_entries_and_a_cleared_cache_few() {
        let mut jumps = Jumps::new();
        // Each of these takes the other's place among few entries alone.
        let place = |key, entries| jump_slot(key, 1, jump_mask(entries));
        let is_other = |key: &u64| {
            place(*key, FEW_ENTRIES) == place(0x1000, FEW_ENTRIES)
                && place(*key, FEW_ENTRIES * GROWTH) != place(0x1000, FEW_ENTRIES * GROWTH)
        };
        let far = [0x1000, (0x1008..).step_by(8).find(is_other).expect("some other")];
        let known = |jumps: &mut Jumps| {
            far.iter().for_each(|pc| learn(jumps, *pc));
            far.iter().filter(|pc| is_known(jumps, **pc)).count()
        };
        assert_eq!(known(&mut jumps), 1);
        (0..FEW_ENTRIES as u32 * JUMPS_PER_ENTRY).for_each(|_| learn(&mut jumps, 0x5000));
        assert_eq!(known(&mut jumps), 2);
        jumps.clear();
        assert_eq!(known(&mut jumps), 1);
    }

    #[test]
    fn what_is_known_is_known_among_more_entries_too() {
        let mut jumps = Jumps::new();
        let keys: Vec<u64> =
            (0..FEW_ENTRIES as u64).map(|number| 0x1_2340_0000 + number * 6).collect();
        keys.iter().for_each(|pc| learn(&mut jumps, *pc));
        let known = |jumps: &Jumps| -> Vec<u64> {
            keys.iter().copied().filter(|pc| is_known(jumps, *pc)).collect()
        };
        let before = known(&jumps);
        assert!(before.len() > FEW_ENTRIES / 4, "{}", before.len());
        while jumps.used() < JUMP_ENTRIES {
            jumps.grow();
            assert_eq!(known(&jumps), before);
        }
        assert_eq!(
            jumps.entries.iter().filter(|jump| jump.space != NO_SPACE).count(),
            before.len()
        );
    }
}
