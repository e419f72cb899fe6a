//! Which blocks are worth their size.

use crate::blocks::BasicBlock;

/// Blocks that were executed less often cost more as bytes of the artifact than their interpretation does.
const LEAST: u64 = 4;

/// Keeps the most often executed blocks of all pages, `budget` bytes at most.
pub(crate) fn hottest(mut pages: Vec<Vec<BasicBlock>>, budget: usize) -> Vec<Vec<BasicBlock>> {
    let mut all: Vec<_> = pages
        .iter()
        .enumerate()
        .flat_map(|(page, blocks)| blocks.iter().map(move |b| (b.count, page, b.start, b.bytes())))
        .collect();
    all.retain(|block| block.0 >= LEAST);
    all.sort_by(|a, b| b.0.cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut left = budget;
    let mut kept = std::collections::BTreeSet::new();
    for (_, page, start, bytes) in all {
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
        let pages = || vec![page(&[LEAST, 500, LEAST - 1]), page(&[400, 900])];
        assert_eq!(kept(&hottest(pages(), usize::MAX)), [vec![LEAST, 500], vec![400, 900]]);
        assert_eq!(kept(&hottest(pages(), 4)), [vec![500], vec![900]]);
        assert_eq!(kept(&hottest(pages(), 5)), [vec![500], vec![900]]);
        assert_eq!(kept(&hottest(pages(), 6)), [vec![500], vec![400, 900]]);
    }
}
