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
    /// What this copy of `frozen` has used.
    #[must_use]
    pub fn footprint(&mut self, frozen: &Frozen) -> Footprint {
        let ram = &mut self.core.ram;
        let (mut pages, code): (Vec<_>, Vec<_>) =
            ram.owners().iter().partition(|&&page| !ram.has_code(page as usize));
        pages.extend(code);
        let mut blocks = self.core.code.addresses();
        blocks.retain(|address| {
            ram.page_index(*address).is_some_and(|index| frozen.holds(index, ram.bytes(index)))
        });
        Footprint { pages, blocks }
    }
}

impl Footprint {
    /// As bytes, for an equal machine in another instance of the program: the number of pages, the
    /// pages, the blocks, little-endian.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = (self.pages.len() as u32).to_le_bytes().to_vec();
        self.pages.iter().for_each(|page| bytes.extend(page.to_le_bytes()));
        self.blocks.iter().for_each(|block| bytes.extend(block.to_le_bytes()));
        bytes
    }

    /// What [`encode`](Self::encode) wrote; `None` if it is cut off.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (len, rest) = bytes.split_first_chunk()?;
        let len = u32::from_le_bytes(*len) as usize;
        let (pages, blocks) = rest.split_at_checked(len.checked_mul(size_of::<u32>())?)?;
        let (pages, _) = pages.as_chunks();
        let (blocks, cut) = blocks.as_chunks();
        cut.is_empty().then(|| Self {
            pages: pages.iter().copied().map(u32::from_le_bytes).collect(),
            blocks: blocks.iter().copied().map(u64::from_le_bytes).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn footprints_survive_their_encoding() {
        let footprint =
            Footprint { pages: vec![7, 1, 900], blocks: vec![0x8020_0000, 0x8765_4322] };
        let bytes = footprint.encode();
        assert_eq!(Footprint::decode(&bytes).as_ref(), Some(&footprint));
        for cut in [0, 3, 10, bytes.len() - 1] {
            assert_eq!(Footprint::decode(&bytes[..cut]), None, "{cut} bytes");
        }
    }
}
