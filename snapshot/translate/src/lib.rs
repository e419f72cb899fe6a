//! Hot guest code, ahead of time: guest pages and what a profile says of them in, wasm functions out.
//!
//! The contract with the machine that calls the functions is [`lithify_isa::translation`]. The way of a
//! page: basic blocks are found from the offsets that the profile names (`blocks`), the hottest of all
//! pages are chosen up to a budget (`select`), those that reach each other without a call become a
//! region (`region`), and each region one wasm function, whose control flow is structured by the
//! dominator tree (`graph`, `emit`). Where the profile has seen which pages are next to each other
//! (`neighbours`), functions of one call those of another directly.
//!
//! Invariants:
//! - Same pages and same profile, same bytes.
//! - Whatever a page holds, the functions are valid wasm, and decoding it takes bounded time.
//! - A function leaves the interpreter every instruction whose outcome it does not know exactly.

mod blocks;
mod doors;
mod effects;
mod emit;
mod flags;
mod graph;
mod loops;
mod neighbours;
mod region;
mod select;
mod system;
mod tight;
mod transfer;

use std::collections::BTreeMap;

use lithify_isa::translation::table::{EntryRecord, PageRecord, encode};
use lithify_isa::translation::{Layout, PAGE_SIZE, page_hash};

pub use select::Budget;

/// One guest page with what the profile says of it.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its content.
    pub bytes: Box<[u8; PAGE_SIZE]>,
    /// What was executed in it.
    pub blocks: Vec<Block>,
    /// Virtual addresses at which it was, some of them.
    pub places: Vec<u64>,
}

impl Page {
    fn first_half(&self) -> blocks::Half {
        let [first, second, ..] = *self.bytes;
        [first, second]
    }
}

/// A run of instructions that a profile counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Byte offset of its first instruction in the page.
    pub offset: u16,
    /// How often it was executed.
    pub count: u64,
}

/// Where things stand in the module that the functions are appended to.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// Addresses in the linear memory.
    pub layout: Layout,
    /// Index of the first appended function.
    pub first_function: u32,
    /// Index in the module's table of functions of the first appended one; the others follow in order.
    pub first_element: u32,
}

/// A place where translated code may be entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Which page, by its place in the input.
    pub page: usize,
    /// Byte offset of the guest instruction in the page.
    pub offset: u16,
    /// Which function, by its place in [`Translation::functions`].
    pub function: u32,
    /// Number of the entry in its function.
    pub entry: u16,
}

/// A piece of guest code that is translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// Which page, by its place in the input.
    pub page: usize,
    /// Byte offset of its first instruction in the page.
    pub start: u16,
    /// Byte offset behind its last one.
    pub end: u16,
}

/// A function of the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its locals and code, without the size in front.
    pub body: Vec<u8>,
    /// Byte offsets in the body of branches that are seldom taken, in order.
    pub unlikely: Vec<u32>,
}

/// What was translated.
#[derive(Debug, Clone, Default)]
pub struct Translation {
    /// All of the one type.
    pub functions: Vec<Function>,
    /// Sorted by page and offset. The number of a page's first one stands for its content.
    pub entries: Vec<Entry>,
    /// The guest code that they are of.
    pub code: Vec<Code>,
    /// Bytes of guest code.
    pub guest_bytes: usize,
    /// Guest instructions.
    pub instructions: usize,
    /// Executed instructions that the profile counted.
    pub counted: u64,
    /// Those of them that are translated.
    pub covered: u64,
}

impl Translation {
    /// The table by which the machine finds the entries, for the `pages` and the `link` of the translation.
    #[must_use]
    pub fn table(&self, pages: &[Page], link: &Link) -> Vec<u8> {
        let mut records: Vec<PageRecord> = Vec::new();
        let mut first = 0;
        for entries in self.entries.chunk_by(|a, b| a.page == b.page) {
            let len = entries.len() as u32;
            records.push(PageRecord { hash: page_hash(&pages[entries[0].page].bytes), first, len });
            first += len;
        }
        records.sort_by_key(|record| record.hash);
        let entry = |entry: &Entry| EntryRecord {
            offset: entry.offset,
            entry: entry.entry,
            function: link.first_element + entry.function,
        };
        encode(&records, &self.entries.iter().map(entry).collect::<Vec<_>>())
    }
}

/// Executed instructions.
fn executed(pages: &[Vec<blocks::BasicBlock>]) -> u64 {
    let of = |block: &blocks::BasicBlock| block.count.saturating_mul(block.len.into());
    pages.iter().flatten().map(of).fold(0, u64::saturating_add)
}

/// Translates the hottest blocks, as the `budget` says.
#[must_use]
pub fn translate(pages: &[Page], link: &Link, budget: Budget) -> Translation {
    let neighbours = neighbours::Neighbours::new(pages);
    let behind = |page| neighbours.find(page, 1, |_| true).map(|next| pages[next].first_half());
    let found: Vec<_> =
        pages.iter().enumerate().map(|(at, page)| blocks::find(page, behind(at))).collect();
    let counted = executed(&found);
    let chosen = select::hottest(found, budget);
    let mut translation =
        Translation { counted, covered: executed(&chosen), ..Translation::default() };
    let program = region::Program::new(pages, &chosen, transfer::NUMBER + 1);
    let mut functions = BTreeMap::new();
    for (number, (blocks, code)) in chosen.iter().zip(&program.pages).enumerate() {
        translation.guest_bytes += blocks.iter().map(blocks::BasicBlock::bytes).sum::<usize>();
        translation.instructions += blocks.iter().map(|block| block.len as usize).sum::<usize>();
        let piece =
            |block: &blocks::BasicBlock| Code { page: number, start: block.start, end: block.end };
        translation.code.extend(blocks.iter().map(piece));
        translation.entries.extend(code.entries(number));
        functions.extend(
            code.regions.iter().map(|region| {
                (code.function(region), emit::function(&program, code, region, link))
            }),
        );
    }
    let transfer = transfer::function(link, functions.len() + 1);
    translation.functions = std::iter::once(transfer).chain(functions.into_values()).collect();
    translation
}
