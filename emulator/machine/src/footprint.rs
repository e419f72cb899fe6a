//! What a thawed copy of a machine uses, so that the machine can be frozen with it at hand.
//!
//! Two things make a start slow that have nothing to do with its work: code is decoded again that
//! every start executes, and pages are read that lie apart. A copy that goes the way of a start
//! before the freeze shows both: its pages in the order of first touch, and its decoded blocks.

use crate::Frozen;
use crate::machine::Machine;

/// What a copy has used since its thaw. Plain data about one frozen machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footprint {
    /// RAM pages in the order of first touch, those last that are touched as code alone.
    pub(crate) pages: Vec<u32>,
    /// Guest-physical addresses of decoded blocks, in the order of first execution, on pages that
    /// hold what the frozen machine has there.
    pub(crate) blocks: Vec<u64>,
}

impl Machine {
    /// Ends a copy of `frozen`: returns what it has used, and leaves its memory to `heir`.
    #[must_use]
    pub fn retire(mut self, frozen: &Frozen, heir: &mut Self) -> Footprint {
        let ram = &mut self.core.ram;
        let (mut pages, code): (Vec<_>, Vec<_>) =
            ram.owners().iter().partition(|&&page| !ram.has_code(page as usize));
        pages.extend(code);
        let mut blocks = self.core.code.addresses();
        blocks.retain(|address| {
            ram.page_index(*address).is_some_and(|index| frozen.holds(index, ram.bytes(index)))
        });
        heir.core.ram.inherit(self.core.ram);
        Footprint { pages, blocks }
    }
}
