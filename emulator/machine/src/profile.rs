//! Counts how often each block of code is executed, by the content of its page.

use std::collections::BTreeMap;

use crate::arena::PAGE_SIZE;

/// Most contents of pages that are counted (64 MiB): a guest that executes ever new code cannot
/// make the profile grow without bound.
const MAX_CONTENTS: usize = 16384;

/// Virtual pages that are noted for a content: enough for some of each two neighbours to be of one address
/// space.
const MAX_PLACES: usize = 16;

/// A page's content, and how often its blocks were executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageCounts {
    /// The page.
    pub bytes: Box<[u8; PAGE_SIZE]>,
    /// Byte offset of each block in the page and how often it was entered, by offset. A block
    /// ends at its first branch or jump, or where the next one starts.
    pub blocks: Vec<(u16, u64)>,
    /// Virtual addresses at which it was executed, the first ones.
    pub places: Vec<u64>,
}

/// All counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    contents: BTreeMap<Box<[u8; PAGE_SIZE]>, u32>,
    /// The counter of each block: content and offset.
    blocks: BTreeMap<(u32, u16), u32>,
    counts: Vec<u64>,
    /// Virtual addresses of each content.
    places: BTreeMap<u32, Vec<u64>>,
}

/// A page that is not counted, since there are too many.
const UNCOUNTED: u32 = u32::MAX;

impl Counters {
    /// The number of a page's content.
    pub(crate) fn content(&mut self, bytes: &[u8; PAGE_SIZE]) -> u32 {
        if let Some(content) = self.contents.get(bytes) {
            return *content;
        }
        if self.contents.len() == MAX_CONTENTS {
            return UNCOUNTED;
        }
        let content = self.contents.len() as u32;
        self.contents.insert(Box::new(*bytes), content);
        content
    }

    /// The counter of the block at byte `offset` of a content.
    pub(crate) fn block(&mut self, content: u32, offset: u16) -> Option<u32> {
        if content == UNCOUNTED {
            return None;
        }
        let counter = *self.blocks.entry((content, offset)).or_insert_with(|| {
            self.counts.push(0);
            self.counts.len() as u32 - 1
        });
        Some(counter)
    }

    /// `content` is at the virtual address `va`.
    pub(crate) fn place(&mut self, content: u32, va: u64) {
        let places = self.places.entry(content).or_default();
        if places.len() < MAX_PLACES && !places.contains(&va) {
            places.push(va);
        }
    }

    /// The block of `counter` is executed.
    #[inline]
    pub(crate) fn count(&mut self, counter: u32) {
        self.counts[counter as usize] += 1;
    }

    /// The pages in the order of their bytes.
    pub(crate) fn pages(&self) -> Vec<PageCounts> {
        let blocks = |content: u32| {
            let blocks = self.blocks.range((content, 0)..=(content, u16::MAX));
            blocks.map(|((_, offset), counter)| (*offset, self.counts[*counter as usize])).collect()
        };
        let contents = self.contents.iter();
        contents
            .map(|(bytes, content)| PageCounts {
                bytes: bytes.clone(),
                blocks: blocks(*content),
                places: self.places.get(content).cloned().unwrap_or_default(),
            })
            .collect()
    }
}
