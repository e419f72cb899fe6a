//! Which blocks are worth their size.

use lithify_isa::translation::MAX_FUNCTION;

use crate::blocks::BasicBlock;

/// Most blocks that are translated, whatever the budget: each is part of one function, and there are
/// numbers for [`MAX_FUNCTION`] functions, the module's own included.
const MAX_BLOCKS: usize = MAX_FUNCTION as usize / 2;

/// How much guest code is translated: the most executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Bytes at most; nothing is translated if it is zero.
    pub bytes: usize,
    /// Blocks that were executed less often are not worth their bytes.
    pub least: u64,
}

impl Budget {
    /// `bytes` at most, for an artifact that is to be small: what was executed a few times is interpreted. A
    /// start of a small program executes hardly anything more often than this.
    #[must_use]
    pub const fn small(bytes: usize) -> Self {
        Self { bytes, least: 10 }
    }

    /// `bytes`, if so much is executed again and again.
    #[must_use]
    pub const fn large(bytes: usize) -> Self {
        Self { bytes, least: 4 }
    }
}

/// Keeps the most often executed blocks of all pages, as the `budget` says.
pub(crate) fn hottest(mut pages: Vec<Vec<BasicBlock>>, budget: Budget) -> Vec<Vec<BasicBlock>> {
    let mut all: Vec<_> = pages
        .iter()
        .enumerate()
        .flat_map(|(page, blocks)| blocks.iter().map(move |b| (b.count, page, b.start, b.bytes())))
        .collect();
    all.retain(|block| block.0 >= budget.least);
    all.sort_by(|a, b| b.0.cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut left = budget.bytes;
    let mut kept = std::collections::BTreeSet::new();
    for (_, page, start, bytes) in all.into_iter().take(MAX_BLOCKS) {
        let Some(rest) = left.checked_sub(bytes) else { break };
        left = rest;
        kept.insert((page, start));
    }
    for (page, blocks) in pages.iter_mut().enumerate() {
        blocks.retain(|block| kept.contains(&(page, block.start)));
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks;
    use crate::{Block, Page};
    use lithify_isa::translation::PAGE_SIZE;

    /// A page of returns, two bytes each, whose first ones were executed so often.
    fn page(counts: &[u64]) -> Vec<BasicBlock> {
        const C_JR_RA: u16 = 0x8082;
        let mut bytes = Box::new([0; PAGE_SIZE]);
        bytes.as_chunks_mut().0.fill(C_JR_RA.to_le_bytes());
        let offsets = (0..).step_by(2);
        let found = offsets.zip(counts).map(|(offset, &count)| Block { offset, count }).collect();
        blocks::find(&Page { bytes, blocks: found, places: Vec::new() }, None)
    }

    fn kept(pages: &[Vec<BasicBlock>]) -> Vec<Vec<u64>> {
        pages.iter().map(|page| page.iter().map(|block| block.count).collect()).collect()
    }

    #[test]
    fn the_most_executed_blocks_are_kept_and_what_was_hardly_executed_is_not() {
        let pages = || vec![page(&[10, 500, 9, 4, 3]), page(&[400, 900])];
        let small = |bytes| kept(&hottest(pages(), Budget::small(bytes)));
        assert_eq!(small(usize::MAX), [vec![10, 500], vec![400, 900]]);
        assert_eq!(small(4), [vec![500], vec![900]]);
        assert_eq!(small(5), [vec![500], vec![900]]);
        assert_eq!(small(6), [vec![500], vec![400, 900]]);
        let all = kept(&hottest(pages(), Budget::large(usize::MAX)));
        assert_eq!(all, [vec![10, 500, 9, 4], vec![400, 900]]);
    }
}
