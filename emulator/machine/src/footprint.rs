//! What a thawed copy of a machine uses, so that the machine can be frozen with it at hand.
//!
//! Two things make a start slow that have nothing to do with its work: code is decoded again that
//! every start executes, and pages are read that lie apart. A copy that goes the way of a start
//! before the freeze shows both: its pages in the order of first touch, and its decoded blocks.

use std::collections::BTreeMap;

use lithify_isa::translation::page_hash;

use crate::Frozen;
use crate::arena::PAGE_SIZE;
use crate::machine::Machine;
use crate::pages::{Piece, Translations};
use crate::recall::Recalled;

/// What a copy has used since its thaw. Plain data about one frozen machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footprint {
    /// RAM pages in the order of first touch, those last that are touched as code alone.
    pub(crate) pages: Vec<u32>,
    /// Guest-physical addresses of decoded blocks, in the order of first execution, on pages that
    /// hold what the frozen machine has there.
    pub(crate) blocks: Vec<u64>,
    /// What its caches knew in the end.
    pub(crate) recalled: Recalled,
    /// Guest code that is translated.
    pub(crate) translated: Translated,
}

/// Where on which content of a page there is translated code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Translated(BTreeMap<[u64; 2], Vec<Piece>>);

impl Translated {
    /// From records that follow each other: for each piece the page's [hash](page_hash), the offset of its
    /// first byte there and of the one behind it. `None` if they are cut off.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (records, cut) = bytes.as_chunks();
        let mut translated = Self::default();
        records.iter().for_each(|record| translated.insert(record));
        cut.is_empty().then_some(translated)
    }

    fn insert(&mut self, record: &[u8; TRANSLATED_LEN]) {
        let (hash, piece) = record.split_first_chunk::<16>().expect("longer");
        let hash = [0, 1].map(|at| u64::from_le_bytes(hash.as_chunks().0[at]));
        let [start, end] = [0, 1].map(|at| u16::from_le_bytes(piece.as_chunks().0[at]));
        self.0.entry(hash).or_default().push((start, end));
    }

    /// Where there is translated code on a page that holds `bytes`.
    pub(crate) fn on_page(&self, bytes: &[u8; PAGE_SIZE]) -> &[Piece] {
        self.0.get(&page_hash(bytes)).map_or(&[], Vec::as_slice)
    }
}

/// Bytes of one record of translated code: the page's hash, its first byte and the one behind it.
const TRANSLATED_LEN: usize = 20;

impl Machine {
    /// Interprets what `table` says is translated, but decodes code as if it were not, for a
    /// [footprint](Self::footprint). `pieces` are records of the translated code: for each piece the
    /// page's [hash](page_hash), the offset of its first byte there and of the one behind it. `None` if
    /// either is damaged.
    pub fn rehearse(&mut self, table: &[u8], pieces: &[u8]) -> Option<()> {
        let translations = Translations::parse(table)?.rehearsed(Translated::decode(pieces)?);
        self.core.look_up(translations);
        Some(())
    }

    /// What this copy of `frozen` has used.
    #[must_use]
    pub fn footprint(&mut self, frozen: &Frozen) -> Footprint {
        let core = &mut *self.core;
        let ram = &mut core.ram;
        let (mut pages, code): (Vec<_>, Vec<_>) =
            ram.owners().iter().partition(|&&page| !ram.has_code(page as usize));
        pages.extend(code);
        let mut blocks = core.code.addresses();
        blocks.retain(|address| {
            ram.page_index(*address).is_some_and(|index| frozen.holds(index, ram.bytes(index)))
        });
        let recalled = core.recalled();
        Footprint { pages, blocks, recalled, translated: Translated::default() }
    }
}

impl Footprint {
    /// As bytes, for an equal machine in another instance of the program: the numbers of pages, of
    /// blocks and of what is recalled, and these, little-endian. The build appends what it has translated:
    /// the [records](Machine::rehearse) of the pieces.
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

    /// What [`encode`](Self::encode) wrote; `None` if it is cut off.
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
        Some(Self {
            pages: pages.as_chunks().0.iter().copied().map(u32::from_le_bytes).collect(),
            blocks,
            recalled: Recalled { loads, stores, jumps },
            translated: Translated::decode(rest)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn footprints_survive_their_encoding() {
        let mut footprint = Footprint {
            pages: vec![7, 1, 900],
            blocks: vec![0x8020_0000, 0x8765_4322],
            recalled: Recalled { loads: vec![0x1000], stores: vec![], jumps: vec![3, 2] },
            ..Footprint::default()
        };
        let mut bytes = footprint.encode();
        assert_eq!(Footprint::decode(&bytes).as_ref(), Some(&footprint));
        let page = [9; PAGE_SIZE];
        bytes.extend(page_hash(&page).iter().flat_map(|half| half.to_le_bytes()));
        bytes.extend([0x10, 0x02, 0x20, 0x03]);
        footprint.translated.0.insert(page_hash(&page), vec![(0x210, 0x320)]);
        let back = Footprint::decode(&bytes);
        assert_eq!(back.as_ref(), Some(&footprint));
        assert_eq!(footprint.translated.on_page(&page), [(0x210, 0x320)]);
        assert!(footprint.translated.on_page(&[8; PAGE_SIZE]).is_empty());
        for cut in [0, 3, 10, bytes.len() - 1] {
            assert_eq!(Footprint::decode(&bytes[..cut]), None, "{cut} bytes");
        }
    }
}
