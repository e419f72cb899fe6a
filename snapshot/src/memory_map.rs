//! What the guest's kernel says of itself: where its parts are, and how it keeps account of pages.
//!
//! A constant of its `Image` says it: `kernel/patches/memory-map.patch`.

/// What the constant begins with.
const MAGIC: &[u8; 16] = b"lithify:memory-1";
/// Bytes of a page.
const PAGE: usize = 4096;
/// The kernel starts here in the guest's RAM.
const KERNEL_AT: u64 = 2 << 20;
/// The kernel's addresses of RAM, one after the other, start at a multiple of this; no guest has more.
const LINEAR_ALIGNMENT: u64 = 1 << 32;
/// Descriptions are longer than any of ours; a damaged kernel cannot make us look far.
const MAX_DESCRIPTION: usize = 1024;
/// Set in the address of the first description of several pages that were allocated together.
const IS_TAIL: u64 = 1;
/// Set in what a page belongs to if that is no file (`PAGE_MAPPING_ANON`).
const ANONYMOUS: u64 = 1;

/// A page's number in the guest's RAM.
pub(crate) type PageNumber = usize;

/// The constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemoryMap {
    /// Virtual addresses of the parts' starts and ends.
    parts: [(u64, u64); 3],
    /// Where the pointer to the descriptions is.
    pages: u64,
    page_len: usize,
    compound_head_at: usize,
    mapping_at: usize,
    type_at: usize,
    type_slab: u32,
    type_table: u32,
}

/// A part of the kernel's image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Code,
    Constants,
    Variables,
}

/// What a page's description says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    Slab,
    PageTable,
    /// Of a file in the page cache.
    File,
    /// A program's own.
    Anonymous,
    /// Neither: stacks, buffers, what was there before accounts were.
    Other,
}

impl MemoryMap {
    /// Looks for the constant in the file; `None` if the kernel has none, or a wrong one.
    pub(crate) fn find(kernel: &[u8]) -> Option<Self> {
        let at = kernel.windows(MAGIC.len()).position(|bytes| bytes == MAGIC)?;
        let rest = &kernel[at + MAGIC.len()..];
        let long = |number: usize| word(rest, number * 8);
        let short = |number: usize| Some(word(rest, 56 + number * 4)? as u32);
        let offset = |number| short(number).map(|offset| offset as usize);
        let part = |number: usize| Some((long(2 * number)?, long(2 * number + 1)?));
        let map = Self {
            parts: [part(0)?, part(1)?, part(2)?],
            pages: long(6)?,
            page_len: offset(0)?,
            compound_head_at: offset(1)?,
            mapping_at: offset(2)?,
            type_at: offset(3)?,
            type_slab: short(4)?,
            type_table: short(5)?,
        };
        let last = map.compound_head_at.max(map.mapping_at).max(map.type_at).checked_add(8)?;
        (map.page_len <= MAX_DESCRIPTION && last <= map.page_len).then_some(map)
    }

    /// The part of the image that page `number` is of; what lies between the parts is freed after the boot.
    pub(crate) fn part(&self, number: PageNumber) -> Option<Part> {
        let start = (number * PAGE) as u64;
        let is_of = |(from, to): &(u64, u64)| {
            let [from, to] = [from, to].map(|address| self.in_ram(*address));
            from < start + PAGE as u64 && start < to
        };
        let parts = [Part::Code, Part::Constants, Part::Variables];
        parts.into_iter().zip(&self.parts).find(|(_, range)| is_of(range)).map(|(part, _)| part)
    }

    fn in_ram(&self, address: u64) -> u64 {
        address.wrapping_sub(self.parts[0].0).wrapping_add(KERNEL_AT)
    }

    /// Reads the description of page `number`; `read` gets bytes at an offset in RAM.
    pub(crate) fn account(
        &self,
        number: PageNumber,
        read: impl Fn(u64) -> Option<u64>,
    ) -> Option<Account> {
        let first = read(self.in_ram(self.pages))?;
        let described =
            |at: u64, field: usize| read(at.wrapping_add(field as u64) % LINEAR_ALIGNMENT);
        let mut at = first.wrapping_add((number * self.page_len) as u64);
        let head = described(at, self.compound_head_at)?;
        if head & IS_TAIL != 0 {
            at = head - IS_TAIL;
        }
        let kind = described(at, self.type_at)? as u32 >> 24;
        Some(match described(at, self.mapping_at)? {
            _ if kind == self.type_slab => Account::Slab,
            _ if kind == self.type_table => Account::PageTable,
            0 => Account::Other,
            mapping if mapping & ANONYMOUS != 0 => Account::Anonymous,
            _ => Account::File,
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: u64 = 0xffff_ffff_8000_0000;
    const LINEAR: u64 = 0xffff_ffd6_0000_0000;
    /// Where the descriptions are in RAM.
    const PAGES_AT: u64 = 0x30_0000;
    const LEN: u32 = 64;

    fn kernel(page_len: u32) -> Vec<u8> {
        let part = |from: u64, to: u64| [IMAGE + from, IMAGE + to];
        let parts = [part(0, 0x1800), part(0x3000, 0x4000), part(0x4000, 0x6100)].concat();
        let long = parts.into_iter().chain([IMAGE + 0x5008]).flat_map(u64::to_le_bytes);
        let short = [page_len, 8, 24, 48, 0xf5, 0xf2].into_iter().flat_map(u32::to_le_bytes);
        [&b"..."[..], MAGIC].concat().into_iter().chain(long).chain(short).chain([0; 9]).collect()
    }

    #[test]
    fn the_parts_of_an_image_are_pages_of_ram() {
        let map = MemoryMap::find(&kernel(LEN)).expect("a map");
        let first = KERNEL_AT as usize / PAGE;
        let parts = (first - 1..first + 8).map(|page| map.part(page)).collect::<Vec<_>>();
        let (code, variables) = (Some(Part::Code), Some(Part::Variables));
        let constants = Some(Part::Constants);
        assert_eq!(
            parts,
            [None, code, code, None, constants, variables, variables, variables, None]
        );
    }

    #[test]
    fn kernels_without_a_map_or_with_a_wrong_one_have_none() {
        for bad in [&b""[..], MAGIC, b"lithify:memory-2", &kernel(55), &kernel(u32::MAX)] {
            assert_eq!(MemoryMap::find(bad), None);
        }
        let whole = kernel(LEN);
        assert_eq!(MemoryMap::find(&whole[..whole.len() - 20]), None);
    }

    #[test]
    fn descriptions_of_pages_tell_what_they_are_for() {
        let map = MemoryMap::find(&kernel(LEN)).expect("a map");
        let untyped = 0xffff_ffff_u64;
        // Each one's head, mapping and type.
        let pages = [
            (0, 0, 0xf500_0000, Account::Slab),
            (LINEAR + PAGES_AT + IS_TAIL, 7, 3, Account::Slab),
            (0, 5, 0xf200_0000, Account::PageTable),
            (0, LINEAR + 0x4000, 0, Account::File),
            (0, LINEAR + 0x4001, 2, Account::Anonymous),
            (0, 0, untyped, Account::Other),
        ];
        let read = |at: u64| {
            if at == KERNEL_AT + 0x5008 {
                return Some(LINEAR + PAGES_AT);
            }
            let page = pages.get((at.checked_sub(PAGES_AT)? / u64::from(LEN)) as usize)?;
            Some(match (at - PAGES_AT) % u64::from(LEN) {
                8 => page.0,
                24 => page.1,
                48 => page.2,
                _ => return None,
            })
        };
        for (number, (.., expected)) in pages.iter().enumerate() {
            assert_eq!(map.account(number, read), Some(*expected), "page {number}");
        }
        assert_eq!(map.account(pages.len(), read), None);
    }
}
