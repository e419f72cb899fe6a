//! The jump cache: what is at a virtual address that was jumped to.

use std::mem::offset_of;

use lithify_isa::translation::{
    JUMP_ENTRIES, JUMP_ENTRY, JUMP_ENTRY_SIZE, JUMP_FUNCTION, JUMP_KEY, JUMP_SPACE, jump_mask,
    jump_slot,
};

use crate::code::{BlockId, Step, UNRESOLVED};
use crate::core::address;
use crate::spaces::NO_SPACE;

/// Where a jump leads. Translated code reads it. None lies on two cache lines.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
pub(crate) struct Jump {
    /// The program counter.
    pub(crate) key: u64,
    /// The space for which this holds.
    pub(crate) space: u32,
    /// The translated function that can be entered there, 0 if there is none.
    pub(crate) function: u32,
    /// Which of its entries.
    pub(crate) entry: u32,
    pub(crate) block: BlockId,
    /// The block's first step.
    pub(crate) steps: *const Step,
}

const _: () = assert!(
    size_of::<Jump>() == JUMP_ENTRY_SIZE
        && offset_of!(Jump, key) == JUMP_KEY
        && offset_of!(Jump, space) == JUMP_SPACE
        && offset_of!(Jump, function) == JUMP_FUNCTION
        && offset_of!(Jump, entry) == JUMP_ENTRY,
    "translated code looks here"
);

/// Entries that a start uses at first: what it writes there are pages of host memory that a short
/// program does without.
const FEW_ENTRIES: usize = 4096;
/// Jumps that are remembered before all entries are used.
const FEW_JUMPS: u32 = 16384;

const NO_JUMP: Jump = Jump {
    key: 0,
    space: NO_SPACE,
    function: 0,
    entry: 0,
    block: UNRESOLVED,
    steps: std::ptr::null(),
};

/// Jumps in the address spaces that [`Spaces`](crate::spaces::Spaces) numbers, direct-mapped.
#[derive(Debug)]
pub(crate) struct Jumps {
    entries: Box<[Jump]>,
    /// Which entries are used. Translated code reads it.
    mask: u32,
    /// Jumps that are to be remembered before all entries are used.
    left: u32,
}

impl Jumps {
    pub(crate) fn new() -> Self {
        let entries = vec![NO_JUMP; JUMP_ENTRIES].into();
        Self { entries, mask: jump_mask(FEW_ENTRIES), left: FEW_JUMPS }
    }

    #[inline(always)]
    fn index(&self, pc: u64, space: u32) -> usize {
        jump_slot(pc, space, self.mask) / JUMP_ENTRY_SIZE
    }

    /// What is at `pc`, if it is known.
    #[inline(always)]
    pub(crate) fn get(&self, pc: u64, space: u32) -> Option<&Jump> {
        let jump = &self.entries[self.index(pc, space)];
        (jump.key == pc && jump.space == space).then_some(jump)
    }

    /// Remembers `jump`.
    pub(crate) fn put(&mut self, jump: Jump) {
        self.count();
        self.entries[self.index(jump.key, jump.space)] = jump;
    }

    /// Uses all entries once this start is a longer one.
    fn count(&mut self) {
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            if left == 0 {
                self.entries[..FEW_ENTRIES].fill(NO_JUMP);
                self.mask = jump_mask(JUMP_ENTRIES);
            }
        }
    }

    /// Forgets all; few entries are used again.
    pub(crate) fn clear(&mut self) {
        self.entries.fill(NO_JUMP);
        (self.mask, self.left) = (jump_mask(FEW_ENTRIES), FEW_JUMPS);
    }

    /// Addresses of the entries and of the mask.
    pub(crate) fn layout(&self) -> [u32; 2] {
        [address(&*self.entries), address(&self.mask)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jump(key: u64, space: u32) -> Jump {
        Jump { key, space, ..NO_JUMP }
    }

    #[test]
    fn a_jump_is_found_in_its_address_space_alone() {
        let mut jumps = Jumps::new();
        jumps.put(jump(0x1000, 1));
        assert!(jumps.get(0x1000, 1).is_some());
        assert!(jumps.get(0x1000, 2).is_none() && jumps.get(0x1008, 1).is_none());
        jumps.clear();
        assert!(jumps.get(0x1000, 1).is_none());
    }

    #[test]
    fn a_long_start_uses_more_entries_and_a_cleared_cache_few() {
        let mut jumps = Jumps::new();
        // Each of these takes the other's place among few entries alone.
        let place = |key| jump_slot(key, 1, jump_mask(FEW_ENTRIES));
        let other = (0x1008..).step_by(8).find(|key| place(*key) == place(0x1000));
        let far = [0x1000, other.expect("some other")];
        let known = |jumps: &mut Jumps| {
            far.iter().for_each(|key| jumps.put(jump(*key, 1)));
            far.iter().filter(|key| jumps.get(**key, 1).is_some()).count()
        };
        let few = known(&mut jumps);
        (0..FEW_JUMPS).for_each(|_| jumps.put(jump(0x5000, 1)));
        assert_eq!((few, known(&mut jumps)), (1, 2));
        jumps.clear();
        assert_eq!(known(&mut jumps), 1);
    }
}
