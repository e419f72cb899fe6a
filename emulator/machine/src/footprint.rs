//! What a thawed copy of a machine uses, so that the machine can be frozen with it at hand.
//!
//! Two things make a start slow that have nothing to do with its work: code is decoded again that
//! every start executes, and pages are read that lie apart. A copy that goes the way of a start
//! before the freeze shows both: its pages in the order of first touch, and its decoded blocks.

use crate::Frozen;
use crate::machine::Machine;
use crate::ram::Ram;
use crate::recall::Recalled;

/// What a copy has used since its thaw. Plain data about one frozen machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footprint {
    /// RAM pages: those that were changed, then those that were only read, each in the order of first touch. Last
    /// those that were touched as code alone.
    pub(crate) pages: Vec<u32>,
    /// Guest-physical addresses of the decoded blocks that it needs, in the order of first execution, on pages
    /// that hold what the frozen machine has there.
    pub(crate) blocks: Vec<u64>,
    /// What its caches knew in the end.
    pub(crate) recalled: Recalled,
}

impl Machine {
    /// What this copy of `frozen` has used.
    #[must_use]
    pub fn footprint(&mut self, frozen: &Frozen) -> Footprint {
        let core = &mut *self.core;
        let ram = &mut core.ram;
        let is_kept = |ram: &mut Ram, page: usize| frozen.holds(page, ram.bytes(page));
        let mut pages = ram.owners().to_vec();
        pages.sort_by_cached_key(|&page| {
            let page = page as usize;
            (is_kept(ram, page), ram.has_code(page))
        });
        let mut blocks = core.code.used();
        blocks.retain(|address| ram.page_index(*address).is_some_and(|index| is_kept(ram, index)));
        let recalled = core.recalled();
        Footprint { pages, blocks, recalled }
    }
}

impl Footprint {
    /// As bytes, for an equal machine in another instance of the program: the numbers of pages, of
    /// blocks and of what is recalled, and these, little-endian.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let Recalled { loads, stores, jumps } = &self.recalled;
        let lists = [&self.blocks, loads, stores, jumps];
        let numbers = [&[self.pages.len()][..], &lists.map(Vec::len)].concat();
        numbers.iter().for_each(|len| bytes.extend((*len as u32).to_le_bytes()));
        self.pages.iter().for_each(|page| bytes.extend(page.to_le_bytes()));
        lists.into_iter().flatten().for_each(|address| bytes.extend(address.to_le_bytes()));
        bytes
    }

    /// What [`encode`](Self::encode) wrote; `None` if it is cut off, or longer.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.split_first_chunk::<{ 5 * 4 }>()?;
        let [pages, numbers @ ..] =
            [0, 1, 2, 3, 4].map(|at| u32::from_le_bytes(numbers.as_chunks().0[at]) as usize);
        let (pages, mut rest) = rest.split_at_checked(pages.checked_mul(size_of::<u32>())?)?;
        let mut lists = [const { Vec::new() }; 4];
        for (list, len) in lists.iter_mut().zip(numbers) {
            let bytes;
            (bytes, rest) = rest.split_at_checked(len.checked_mul(size_of::<u64>())?)?;
            *list = bytes.as_chunks().0.iter().copied().map(u64::from_le_bytes).collect();
        }
        let [blocks, loads, stores, jumps] = lists;
        rest.is_empty().then(|| Self {
            pages: pages.as_chunks().0.iter().copied().map(u32::from_le_bytes).collect(),
            blocks,
            recalled: Recalled { loads, stores, jumps },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn footprints_survive_their_encoding() {
        let footprint = Footprint {
            pages: vec![7, 1, 900],
            blocks: vec![0x8020_0000, 0x8765_4322],
            recalled: Recalled { loads: vec![0x1000], stores: vec![], jumps: vec![3, 2] },
        };
        let bytes = footprint.encode();
        assert_eq!(Footprint::decode(&bytes).as_ref(), Some(&footprint));
        for cut in [0, 3, 10, bytes.len() - 1] {
            assert_eq!(Footprint::decode(&bytes[..cut]), None, "{cut} bytes");
        }
        assert_eq!(Footprint::decode(&[&bytes[..], &[0]].concat()), None);
    }
}
