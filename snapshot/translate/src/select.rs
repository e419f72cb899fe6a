//! Which blocks are worth their size.

use crate::blocks::BasicBlock;

/// Keeps the most often executed blocks of all pages, `budget` bytes at most.
pub(crate) fn hottest(mut pages: Vec<Vec<BasicBlock>>, budget: usize) -> Vec<Vec<BasicBlock>> {
    let mut all: Vec<_> = pages
        .iter()
        .enumerate()
        .flat_map(|(page, blocks)| blocks.iter().map(move |b| (b.count, page, b.start, b.bytes())))
        .collect();
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
