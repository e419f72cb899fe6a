//! Where the bytes of a frozen machine are: each data segment's, by what the page is used for.
//!
//! The emulator tells which page of the guest's RAM is where. What it is for, the guest's kernel says.

use crate::memory_map::{Account, MemoryMap, Part};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use wasmparser::{DataKind, Operator, Parser, Payload};

const PAGE: u64 = 4096;
/// A record of the emulator's is two words: the number of a page of RAM and its place in linear memory.
const RECORD: usize = 8;

/// Bytes of a frozen machine in an artifact, by what they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineSizes {
    /// The kernel's code.
    pub kernel_code: u64,
    /// Its constants.
    pub kernel_constants: u64,
    /// Its variables.
    pub kernel_variables: u64,
    /// Page tables of all address spaces.
    pub page_tables: u64,
    /// What the kernel has allocated in small pieces.
    pub slab: u64,
    /// Files, also those that programs have mapped.
    pub page_cache: u64,
    /// Memory of programs that is no file's.
    pub programs: u64,
    /// What the kernel has allocated else: stacks, buffers, its account of pages. All of the guest's if the
    /// kernel does not say what it is for.
    pub kernel_other: u64,
    /// The emulator's own: decoded code, tables, devices.
    pub emulator: u64,
}

impl MachineSizes {
    fn of(&mut self, kind: Option<&Kind>) -> &mut u64 {
        match kind {
            Some(Kind::Image(Part::Code)) => &mut self.kernel_code,
            Some(Kind::Image(Part::Constants)) => &mut self.kernel_constants,
            Some(Kind::Image(Part::Variables)) => &mut self.kernel_variables,
            Some(Kind::Allocated(Account::PageTable)) => &mut self.page_tables,
            Some(Kind::Allocated(Account::Slab)) => &mut self.slab,
            Some(Kind::Allocated(Account::File)) => &mut self.page_cache,
            Some(Kind::Allocated(Account::Anonymous)) => &mut self.programs,
            Some(Kind::Allocated(Account::Other)) => &mut self.kernel_other,
            None => &mut self.emulator,
        }
    }
}

/// What a page is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The kernel's image.
    Image(Part),
    /// Something else of the guest.
    Allocated(Account),
}

/// The kinds of the pages of the guest's RAM, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Kinds(BTreeMap<usize, Kind>);

/// The kinds of a machine's pages, by their place in linear memory.
#[derive(Debug, Default)]
pub(crate) struct Census(BTreeMap<u64, Kind>);

/// The number of each page of RAM and its place in linear memory, as the emulator's records say.
fn places(records: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let records: &[[u8; RECORD]] = records.as_chunks().0;
    let word = |record: &[u8], at| u32::from_le_bytes(record.as_chunks().0[at]) as usize;
    records.iter().map(move |record| (word(record, 0), word(record, 1)))
}

/// The pages of RAM that have a place in linear memory.
struct Ram<'a> {
    places: BTreeMap<usize, usize>,
    memory: &'a [u8],
}

impl Ram<'_> {
    /// The eight bytes at an offset in RAM, which is a multiple of eight.
    fn read(&self, at: u64) -> Option<u64> {
        let place = self.places.get(&((at / PAGE) as usize))?;
        let bytes = self.memory.get(place + (at % PAGE) as usize..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    }
}

impl Kinds {
    /// `records` are the emulator's, `memory` is its memory, before it is made small: the kernel's account of pages
    /// is regular.
    pub(crate) fn new(records: &[u8], memory: &[u8], kernel: &[u8]) -> Self {
        let ram = Ram { places: places(records).collect(), memory };
        let map = MemoryMap::find(kernel);
        let kind = |page: usize| {
            if let Some(part) = map.and_then(|map| map.part(page)) {
                return Kind::Image(part);
            }
            let account = map.and_then(|map| map.account(page, |at| ram.read(at)));
            Kind::Allocated(account.unwrap_or(Account::Other))
        };
        Self(ram.places.keys().map(|page| (*page, kind(*page))).collect())
    }
}

impl Census {
    /// `records` are the emulator's, of the machine to be frozen.
    pub(crate) fn new(records: &[u8], kinds: &Kinds) -> Self {
        let other = Kind::Allocated(Account::Other);
        let kind = |page: usize| *kinds.0.get(&page).unwrap_or(&other);
        Self(places(records).map(|(page, place)| (place as u64, kind(page))).collect())
    }

    /// Adds the data segments of `frozen` up.
    ///
    /// # Errors
    /// If it is no module.
    pub(crate) fn measure(&self, frozen: &[u8]) -> wasmparser::Result<MachineSizes> {
        let mut sizes = MachineSizes::default();
        for payload in Parser::new(0).parse_all(frozen) {
            let Payload::DataSection(section) = payload? else { continue };
            for segment in section {
                let segment = segment?;
                if let DataKind::Active { offset_expr, .. } = segment.kind
                    && let Operator::I32Const { value } =
                        offset_expr.get_operators_reader().read()?
                {
                    self.add(value.cast_unsigned().into(), segment.data.len() as u64, &mut sizes);
                }
            }
        }
        Ok(sizes)
    }

    fn add(&self, mut at: u64, len: u64, sizes: &mut MachineSizes) {
        let end = at + len;
        while at < end {
            let page = at - at % PAGE;
            let piece = end.min(page + PAGE) - at;
            *sizes.of(self.0.get(&page)) += piece;
            at += piece;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_by_the_page_that_they_are_in() {
        let records = [[7_u32, 0], [3, 2 * PAGE as u32]];
        let records: Vec<u8> =
            records.as_flattened().iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut kinds = Kinds::new(&records, &[0; 3 * PAGE as usize], b"no map");
        assert!(kinds.0.values().all(|kind| *kind == Kind::Allocated(Account::Other)));
        kinds.0.insert(7, Kind::Image(Part::Code));
        let census = Census::new(&records, &kinds);
        let mut sizes = MachineSizes::default();
        census.add(PAGE - 10, 20, &mut sizes);
        census.add(2 * PAGE + 1, 5, &mut sizes);
        let expected =
            MachineSizes { kernel_code: 10, emulator: 10, kernel_other: 5, ..Default::default() };
        assert_eq!(sizes, expected);
    }

    #[test]
    fn ram_is_read_where_its_pages_are() {
        let mut memory = vec![0; 2 * PAGE as usize];
        memory[PAGE as usize + 8..][..8].copy_from_slice(&0x1122_3344_5566_7788_u64.to_le_bytes());
        let records: Vec<u8> =
            [5, PAGE as u32].iter().flat_map(|word: &u32| word.to_le_bytes()).collect();
        let ram = Ram { places: places(&records).collect(), memory: &memory };
        assert_eq!(ram.read(5 * PAGE + 8), Some(0x1122_3344_5566_7788));
        assert_eq!(ram.read(4 * PAGE + 8), None);
        assert_eq!(ram.read(6 * PAGE), None);
    }
}
