//! What is known of pages with code before a block of theirs is decoded: where translated code can
//! be entered, and what is counted.

use std::ops::Range;

use lithify_isa::OpCode;
use lithify_isa::translation::table::{EntryRecord, PageRecord};
use lithify_isa::translation::{PAGE_SIZE, page_hash};

use crate::blocks::AddressMap;
use crate::code::Step;
use crate::fuse::Code;
use crate::profile::Counters;
use crate::rehearsal::{Next, Rehearsal};

/// Calls the function `function` of the module's table with the CPU, the current TLB set, the
/// virtual address of the page and the number of the entry; returns where execution goes on.
///
/// The function reads and writes the CPU behind the first pointer, as [`lithify_isa::translation`]
/// says.
pub type Call =
    unsafe fn(function: u32, cpu: *mut (), tlb: *const (), page: u64, entry: u32) -> u64;

/// Looks without a hit after which a page's content is hashed only now and then: a page that is
/// written and executed in turns must not be hashed each time.
const PATIENCE: u8 = 8;
/// How often it is hashed then.
const RETRY: u8 = 32;

/// The table of translated code.
#[derive(Debug, Default)]
pub(crate) struct Translations {
    pages: Vec<PageRecord>,
    entries: Vec<EntryRecord>,
    /// In a rehearsal what is translated is interpreted.
    rehearsal: Option<Rehearsal>,
    /// What a start uses is being decoded.
    is_settling: bool,
    /// Looks without a hit since the last hit, by RAM page.
    misses: AddressMap<usize, u8>,
}

/// A piece of translated code: the offset in its page of its first byte and of the one behind it.
pub(crate) type Piece = (u16, u16);

/// Whether byte `at` of the page is in `piece`.
pub(crate) fn contains(piece: Piece, at: usize) -> bool {
    (usize::from(piece.0)..usize::from(piece.1)).contains(&at)
}

/// Where a page's entries are in the table.
pub(crate) type Entries = Range<usize>;

impl Translations {
    /// The table as the build writes it; `None` if it is damaged.
    pub(crate) fn parse(table: &[u8]) -> Option<Self> {
        let (pages, entries) = lithify_isa::translation::table::parse(table)?;
        Some(Self {
            pages,
            entries,
            rehearsal: None,
            is_settling: false,
            misses: AddressMap::default(),
        })
    }

    /// The same for a rehearsal.
    pub(crate) fn rehearsed(self, rehearsal: Rehearsal) -> Self {
        Self { rehearsal: Some(rehearsal), ..self }
    }

    /// A start's code is decoded from now on, or no longer.
    pub(crate) fn set_settling(&mut self, is_settling: bool) {
        self.is_settling = is_settling && !self.pages.is_empty();
    }

    pub(crate) fn rehearsal(&mut self) -> Option<&mut Rehearsal> {
        self.rehearsal.as_mut()
    }

    /// The entries into the content of RAM page `page`.
    fn find(&mut self, page: usize, bytes: &[u8; PAGE_SIZE]) -> Entries {
        if self.pages.is_empty() {
            return 0..0;
        }
        let misses = self.misses.entry(page).or_default();
        *misses = if *misses == u8::MAX { PATIENCE } else { *misses + 1 };
        if *misses > PATIENCE && !misses.is_multiple_of(RETRY) {
            return 0..0;
        }
        let hash = page_hash(bytes);
        let Ok(at) = self.pages.binary_search_by_key(&hash, |record| record.hash) else {
            return 0..0;
        };
        *misses = 0;
        let PageRecord { first, len, .. } = self.pages[at];
        first as usize..(first + len) as usize
    }
}

/// A RAM page with decoded code.
#[derive(Debug)]
pub(crate) struct Page {
    entries: Entries,
    /// In a rehearsal: its translated pieces.
    pieces: Box<[Piece]>,
    /// Number of its content among those that are counted.
    content: u32,
}

impl Page {
    /// Looks at the bytes of a page that has no decoded code yet.
    pub(crate) fn new(
        page: usize,
        bytes: &[u8; PAGE_SIZE],
        translations: &mut Translations,
        counters: Option<&mut Counters>,
    ) -> Self {
        let entries = translations.find(page, bytes);
        let rehearsal = translations.rehearsal.as_ref();
        let pieces = rehearsal.map_or(&[][..], |rehearsal| rehearsal.on_page(bytes)).into();
        let content = counters.map_or(0, |counters| counters.content(bytes));
        Self { entries, pieces, content }
    }

    /// Number of its first entry in the table, if it has translated code.
    pub(crate) fn first_entry(&self) -> Option<u32> {
        (!self.entries.is_empty()).then_some(self.entries.start as u32)
    }

    /// Number of its content among those that are counted.
    pub(crate) fn content(&self) -> u32 {
        self.content
    }
}

/// A page as the decoder sees it.
#[derive(Debug)]
pub(crate) struct PageCode<'a> {
    entries: &'a [EntryRecord],
    pieces: &'a [Piece],
    /// Guest-physical.
    address: u64,
    rehearsal: Option<&'a mut Rehearsal>,
    is_settling: bool,
    content: u32,
    counters: Option<&'a mut Counters>,
}

impl<'a> PageCode<'a> {
    /// `page`, which is at guest-physical `address`.
    pub(crate) fn new(
        page: &'a Page,
        address: u64,
        translations: &'a mut Translations,
        counters: Option<&'a mut Counters>,
    ) -> Self {
        let Page { entries, pieces, content } = page;
        let Translations { entries: all, rehearsal, is_settling, .. } = translations;
        Self {
            entries: &all[entries.clone()],
            pieces,
            address,
            rehearsal: rehearsal.as_mut(),
            is_settling: *is_settling,
            content: *content,
            counters,
        }
    }

    /// Whether executions of blocks are counted.
    pub(crate) fn is_counted(&self) -> bool {
        self.counters.is_some()
    }

    /// Whether what is decoded now is part of a start of a machine with translated code: not worth a second
    /// copy of what follows a branch.
    pub(crate) fn is_cold(&self) -> bool {
        self.rehearsal.is_some() || self.is_settling
    }

    /// Whether a block must start at byte `at`.
    pub(crate) fn starts_block(&self, at: usize) -> bool {
        self.find(at).is_some()
    }

    /// The translated piece with byte `at`, in a rehearsal.
    pub(crate) fn piece(&self, at: usize) -> Option<Piece> {
        self.pieces.iter().copied().find(|piece| contains(*piece, at))
    }

    fn find(&self, at: usize) -> Option<&EntryRecord> {
        let found = self.entries.binary_search_by_key(&at, |entry| usize::from(entry.offset));
        found.ok().map(|index| &self.entries[index])
    }

    /// What a block at byte `at` does before its instructions.
    pub(crate) fn first_step(&mut self, at: usize) -> Option<Step> {
        let pc = at as u16;
        match self.counters.as_mut() {
            Some(counters) => {
                let counter = counters.block(self.content, pc)?;
                Some(Step::special(Code::Note, pc, counter, 0))
            }
            None if self.rehearsal.is_some() => {
                let next = match (self.starts_block(at), self.piece(at)) {
                    (true, _) => Next::Entry,
                    (false, Some(_)) => Next::Translated,
                    (false, None) => Next::Interpreted,
                };
                self.note(next, at)
            }
            None => {
                let entry = self.find(at)?;
                let number = u32::from(entry.entry);
                Some(Step::special(Code::Translated, pc, entry.function, number))
            }
        }
    }

    /// What the op at byte `at`, which is translated in a rehearsal, does before it.
    pub(crate) fn step_before(&mut self, op: OpCode, at: usize) -> Option<Step> {
        op.accesses_memory().then(|| self.note(Next::Access, at)).flatten()
    }

    /// A step that says what is at byte `at`, in a rehearsal.
    fn note(&mut self, next: Next, at: usize) -> Option<Step> {
        let number = self.rehearsal.as_mut()?.note(next, self.address + at as u64)?;
        Some(Step::special(Code::Note, at as u16, number, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(pages: &[[u8; PAGE_SIZE]]) -> Translations {
        let mut records: Vec<_> = pages
            .iter()
            .enumerate()
            .map(|(number, page)| PageRecord {
                hash: page_hash(page),
                first: number as u32,
                len: 1,
            })
            .collect();
        records.sort();
        let entry = |offset| EntryRecord { offset, entry: 0, function: 1 };
        Translations {
            pages: records,
            entries: (0..pages.len()).map(|number| entry(number as u16)).collect(),
            rehearsal: None,
            is_settling: false,
            misses: AddressMap::default(),
        }
    }

    #[test]
    fn pages_are_known_by_their_content() {
        let (a, b) = ([1; PAGE_SIZE], [2; PAGE_SIZE]);
        let mut table = table(&[a, b]);
        for page in [3, 4] {
            assert_eq!(table.find(page, &a), 0..1);
            assert_eq!(table.find(page, &b), 1..2);
            assert_eq!(table.find(page, &[3; PAGE_SIZE]), 0..0);
        }
    }

    #[test]
    fn pages_that_never_match_are_seldom_looked_at() {
        let known = [1; PAGE_SIZE];
        let mut table = table(&[known]);
        for _ in 0..PATIENCE {
            table.find(5, &[2; PAGE_SIZE]);
        }
        let hits = |table: &mut Translations| {
            (0..1000).position(|_| !table.find(5, &known).is_empty()).expect("looked at again")
        };
        let first = hits(&mut table);
        assert!(first > 0 && first < usize::from(RETRY), "{first}");
        assert_eq!(hits(&mut table), 0);
        assert!(!table.find(6, &known).is_empty());
    }
}
