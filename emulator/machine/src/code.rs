//! The block cache: decoded code by physical address, and what is known of virtual addresses in front of it.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::mem::offset_of;

use lithify_isa::translation::{
    CODE_PAGE_CONTENT, CODE_PAGE_ENTRIES, CODE_PAGE_ENTRY_SIZE, code_page_index, jump_target,
    known_content,
};
use lithify_isa::{Op, OpCode};

use crate::arena::PAGE_SIZE;
use crate::blocks::{AddressMap, Blocks, PageId};
use crate::core::address;
use crate::fetches::Fetches;
use crate::fuse::Code;
use crate::jumps::{Jumps, Landing};
use crate::pages::{Page, PageCode, Translations};
use crate::profile::Counters;
use crate::spaces::{NO_SPACE, Spaces};

/// Most instructions in a block.
pub(crate) const MAX_BLOCK_LEN: usize = 64;

/// Steps kept before everything is dropped and decoded again (32 MiB): a guest that runs ever new
/// code cannot grow the cache without bound.
const MAX_STEPS: usize = 2 << 20;

/// Steps allocated at once; a block lies in one chunk and chunks do not move.
const CHUNK_STEPS: usize = 8192;

/// Branches in a block: behind one that is not taken the block goes on, so that code behind the
/// next ones is decoded in vain, and again for blocks that start there.
pub(crate) const MAX_BRANCHES: usize = 3;

/// Number of a block; see the constants for those that are not blocks.
pub(crate) type BlockId = u32;

/// No successor is known yet.
pub(crate) const UNRESOLVED: BlockId = 0;

/// Page offset of an instruction that may lie on two pages. Which ones is up to the address space,
/// so that jumps from and to there are never linked.
pub(crate) const STRADDLE: u16 = PAGE_SIZE as u16 - 2;

/// One op of a block, as the interpreter executes it. The operands are those of [`Op`].
#[derive(Debug, Clone)]
#[repr(C)]
pub(crate) struct Step {
    pub(crate) code: Code,
    pub(crate) rd: u8,
    pub(crate) rs1: u8,
    pub(crate) rs2: u8,
    pub(crate) rs3: u8,
    pub(crate) pc: u16,
    pub(crate) imm: i32,
    /// Jumps and branches: the block they lead to, once it is known and if it is on the same page.
    /// Entries to translated code: which of the function's. Others: how many instructions of the
    /// block come before.
    extra: Cell<u32>,
}

const _: () = assert!(size_of::<Step>() == 16, "four to a cache line");

impl Step {
    /// `op` behind `index` instructions of its block.
    pub(crate) fn new(op: &Op, index: usize) -> Self {
        let Op { code, rd, rs1, rs2, rs3, pc, imm } = *op;
        let index = index as u32;
        let step =
            Self { code: Code::plain(code), rd, rs1, rs2, rs3, pc, imm, extra: Cell::new(index) };
        match code {
            // MAX_BLOCK_LEN fits in a byte.
            OpCode::Next => Self { rs3: index as u8, extra: Cell::new(UNRESOLVED), ..step },
            _ if code.is_branch() || matches!(code, OpCode::Jal | OpCode::Jalr) => {
                Self { rs3: index as u8 + 1, extra: Cell::new(UNRESOLVED), ..step }
            }
            _ => step,
        }
    }

    /// A step that is no instruction, at page offset `pc`.
    pub(crate) fn special(code: Code, pc: u16, what: u32, extra: u32) -> Self {
        let imm = what.cast_signed();
        Self { code, rd: 0, rs1: 0, rs2: 0, rs3: 0, pc, imm, extra: Cell::new(extra) }
    }

    /// [`Code::Translated`]: the function and its entry. [`Code::Note`]: its number.
    #[inline(always)]
    pub(crate) fn operands(&self) -> (u32, u32) {
        (self.imm.cast_unsigned(), self.extra.get())
    }

    /// Bytes of an instruction that writes to memory.
    pub(crate) fn length(&self) -> u8 {
        self.rs3
    }

    /// Instructions that have retired when the block is left by this jump or branch.
    #[inline(always)]
    pub(crate) fn retired(&self) -> u8 {
        self.rs3
    }

    /// The block this jump or branch leads to, or [`UNRESOLVED`].
    #[inline(always)]
    pub(crate) fn link(&self) -> BlockId {
        self.extra.get()
    }

    /// Page offset to which this jump or branch, or the end of a cut block, leads inside the page.
    fn target(&self) -> Option<u64> {
        let target = u64::try_from(i64::from(self.pc) + i64::from(self.imm)).ok()?;
        (target < PAGE_SIZE as u64).then_some(target)
    }

    /// Instructions before this one in its block; jumps and branches do not know.
    pub(crate) fn index(&self) -> u32 {
        self.extra.get()
    }
}

const _: () = assert!(MAX_BLOCK_LEN < u8::MAX as usize, "a step counts them in a byte");

/// The place of the page of `va` among the pages that are jumped to, of all address spaces.
const fn jumped_to_index(va: u64) -> usize {
    code_page_index(va, NO_SPACE)
}

/// What content a virtual page has that holds translated code. Translated code reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
struct CodePage {
    /// The page's virtual address.
    va: u64,
    /// [`known_content`].
    content: u64,
}

const _: () = assert!(
    size_of::<CodePage>() == CODE_PAGE_ENTRY_SIZE
        && offset_of!(CodePage, va) == 0
        && offset_of!(CodePage, content) == CODE_PAGE_CONTENT,
    "translated code looks here"
);

const NO_CODE_PAGE: CodePage = CodePage { va: 0, content: NO_SPACE as u64 };

/// All decoded blocks.
#[derive(Debug)]
pub(crate) struct CodeCache {
    /// First step of each block; the last one leads out of it.
    blocks: Vec<*const Step>,
    by_address: Blocks,
    fetches: Fetches,
    translations: Translations,
    counters: Option<Box<Counters>>,
    chunks: Vec<Vec<Step>>,
    /// Blocks of one instruction that lies on two pages, by the instruction.
    straddles: AddressMap<u64, BlockId>,
    jumps: Jumps,
    code_pages: Box<[CodePage]>,
    spaces: Spaces,
    /// By [`jumped_to_index`]: virtual pages on which a jump may be remembered.
    jumped_to: Box<[u64; CODE_PAGE_ENTRIES / 64]>,
    step_count: usize,
}

impl CodeCache {
    pub(crate) fn new() -> Self {
        let mut cache = Self {
            blocks: Vec::new(),
            by_address: Blocks::default(),
            fetches: Fetches::new(),
            translations: Translations::default(),
            counters: None,
            chunks: Vec::new(),
            jumps: Jumps::new(),
            code_pages: vec![NO_CODE_PAGE; CODE_PAGE_ENTRIES].into(),
            jumped_to: Box::new([0; CODE_PAGE_ENTRIES / 64]),
            straddles: AddressMap::default(),
            spaces: Spaces::new(),
            step_count: 0,
        };
        cache.reset_blocks();
        cache
    }

    fn reset_blocks(&mut self) {
        self.blocks.clear();
        // `UNRESOLVED` has a place too, so that numbers are indices.
        self.blocks.push(std::ptr::null());
    }

    /// First step of block `id`; it stays where it is until [`flush`](Self::flush).
    #[inline(always)]
    pub(crate) fn steps(&self, id: BlockId) -> *const Step {
        // SAFETY: ids come from `insert`, the vector only shrinks in `flush`, and `flush` leaves
        // no id behind: the jump cache's spaces end and links die with their blocks.
        unsafe { *self.blocks.get_unchecked(id as usize) }
    }

    /// The block at virtual address `pc`, if it ran since the last change of the address space.
    #[inline(always)]
    pub(crate) fn jump(&self, pc: u64) -> Option<Landing> {
        self.jumps.get(pc, self.spaces.current())
    }

    /// Where `pc` is, if something on its page was fetched since the last change of the address space: the
    /// guest-physical address and the page.
    pub(crate) fn fetched(&self, pc: u64) -> Option<(u64, PageId)> {
        let page = self.fetches.get(pc, self.spaces.current())?;
        Some((self.by_address.address(page, pc)?, page))
    }

    /// The number of RAM page `page`, if it has decoded blocks.
    pub(crate) fn page(&self, page: usize) -> Option<PageId> {
        self.by_address.number(page)
    }

    /// Remembers that `pc` is `block`, on page `page`, in this address space.
    pub(crate) fn remember_jump(&mut self, pc: u64, page: Option<PageId>, block: BlockId) {
        let (space, steps) = (self.spaces.current(), self.steps(block));
        // SAFETY: a block has a first step.
        let first = unsafe { &*steps };
        let target = match (first.code, first.operands()) {
            (Code::Translated, (function, entry)) => jump_target(function, entry),
            _ => 0,
        };
        self.jumps.put(pc, space, target, Landing { block, steps });
        if space == self.spaces.privileged()
            && let Some(rehearsal) = self.translations.rehearsal()
        {
            rehearsal.note_jump(pc);
        }
        // A block may be one instruction that goes on on the next page.
        for va in [pc, pc.wrapping_add(2)] {
            let at = jumped_to_index(va);
            self.jumped_to[at / 64] |= 1 << (at % 64);
        }
        if let Some(page) = page {
            self.remember_page(pc, page);
        }
    }

    /// Where jumps of privileged code have led since a rehearsal began.
    pub(crate) fn rehearsed_jumps(&mut self) -> Vec<u64> {
        self.translations.rehearsal().map_or(Vec::new(), |rehearsal| rehearsal.jumps())
    }

    fn remember_page(&mut self, pc: u64, id: PageId) {
        let va = pc - pc % PAGE_SIZE as u64;
        let Some(page) = self.by_address.page(id) else { return };
        let space = self.spaces.current();
        self.fetches.put(va, space, id);
        if let Some(first) = page.first_entry() {
            let known = CodePage { va, content: known_content(first, space) };
            let place = &mut self.code_pages[code_page_index(va, space)];
            // Where that is known the host's memory stays the frozen machine's.
            if *place != known {
                *place = known;
            }
        }
        if let Some(counters) = &mut self.counters {
            counters.place(page.content(), va);
        }
    }

    /// Addresses of the jump cache and its mask, of the page cache and of the number of the address space.
    pub(crate) fn layout(&self) -> [u32; 4] {
        let [jumps, mask] = self.jumps.layout();
        [jumps, mask, address(&*self.code_pages), address(self.spaces.word())]
    }

    /// Looks up translated code in `table` from now on; what is decoded is dropped.
    pub(crate) fn translate(&mut self, table: Translations) -> impl Iterator<Item = usize> {
        self.translations = table;
        self.flush()
    }

    /// Counts executions of blocks from now on; what is decoded is dropped.
    pub(crate) fn count_blocks(&mut self) -> impl Iterator<Item = usize> {
        self.counters = Some(Box::default());
        self.flush()
    }

    /// A step is executed that has nothing to do but to say so.
    #[inline(never)]
    pub(crate) fn heed(&mut self, note: u32) {
        match (&mut self.counters, self.translations.rehearsal()) {
            (Some(counters), _) => counters.count(note),
            (None, Some(rehearsal)) => rehearsal.heed(note),
            (None, None) => {}
        }
    }

    /// An access to memory is about to be done that translated code leaves to the interpreter.
    pub(crate) fn note_miss(&mut self) {
        if let Some(rehearsal) = self.translations.rehearsal() {
            rehearsal.miss();
        }
    }

    /// The counts so far.
    pub(crate) fn counters(&mut self) -> Option<&mut Counters> {
        self.counters.as_deref_mut()
    }

    /// RAM page `page`, which holds `bytes`, for the decoder. Guest-physical `address` is in it.
    pub(crate) fn of_page(
        &mut self,
        page: usize,
        address: u64,
        bytes: &[u8; PAGE_SIZE],
    ) -> PageCode<'_> {
        let Self { by_address, translations, counters, .. } = self;
        let page = by_address.page_or_insert(page, address, || {
            Page::new(page, bytes, translations, counters.as_deref_mut())
        });
        let address = address - address % PAGE_SIZE as u64;
        PageCode::new(page, address, translations, counters.as_deref_mut())
    }

    /// Keeps the jumps of privileged code and of user code apart.
    pub(crate) fn select(&mut self, privileged: bool) {
        self.spaces.select(privileged);
    }

    /// The next jump of privileged code holds in this address space only.
    pub(crate) fn note_local(&mut self) {
        self.spaces.note_local();
    }

    /// Forgets what virtual addresses mean.
    pub(crate) fn forget_jumps(&mut self) {
        self.jumped_to.fill(0);
        self.spaces.forget();
        self.reuse_spaces();
    }

    /// Forgets what virtual addresses mean in the address spaces that `is_meant` accepts by name.
    pub(crate) fn forget_jumps_in(&mut self, is_meant: impl Fn(u64) -> bool) {
        self.spaces.forget_some(is_meant);
        self.reuse_spaces();
    }

    /// Whether a jump to the page of `va` may be remembered.
    pub(crate) fn is_jumped_to(&self, va: u64) -> bool {
        let at = jumped_to_index(va);
        self.jumped_to[at / 64] & 1 << (at % 64) != 0
    }

    /// Goes over to the address space that the architecture calls `name`.
    pub(crate) fn enter_space(&mut self, name: u64) {
        self.spaces.enter(name);
        self.reuse_spaces();
    }

    /// Empties the caches before a number is used again.
    fn reuse_spaces(&mut self) {
        if self.spaces.is_used_up() {
            self.jumps.clear();
            self.fetches.clear();
            self.code_pages.fill(NO_CODE_PAGE);
            self.spaces.start_over();
        }
    }

    /// The block at guest-physical `address`, which is on page `page`.
    pub(crate) fn find(&self, address: u64, page: PageId) -> Option<BlockId> {
        self.by_address.find(address, page)
    }

    /// Keeps the decoded `steps` of the code at `address` on RAM page `page`, for which
    /// [`of_page`](Self::of_page) was asked.
    pub(crate) fn insert(&mut self, address: u64, page: usize, steps: &[Step]) -> BlockId {
        let id = self.push(steps);
        self.by_address.insert(address, page, id);
        id
    }

    fn push(&mut self, steps: &[Step]) -> BlockId {
        let id = BlockId::try_from(self.blocks.len()).expect("bounded by MAX_STEPS");
        let steps = self.store(steps);
        self.blocks.push(steps);
        id
    }

    fn store(&mut self, steps: &[Step]) -> *const Step {
        let fits = |chunk: &Vec<Step>| chunk.capacity() - chunk.len() >= steps.len();
        if !self.chunks.last().is_some_and(fits) {
            self.chunks.push(Vec::with_capacity(CHUNK_STEPS));
        }
        let chunk = self.chunks.last_mut().expect("pushed above if there was none");
        let at = chunk.len();
        chunk.extend_from_slice(steps);
        self.step_count += steps.len();
        chunk[at..].as_ptr()
    }

    /// The block of `instruction`, whose second half is on the next page; `lift` says what it does.
    pub(crate) fn straddle(&mut self, instruction: u32, lift: impl FnOnce() -> Op) -> BlockId {
        if let Some(id) = self.straddles.get(&u64::from(instruction)) {
            return *id;
        }
        let op = lift();
        let mut step = Step::new(&op, 0);
        if op.code.writes_memory() {
            step.rs3 = 4;
        }
        // The instruction ends two bytes into the next page.
        let id = self.push(&[step, next(0x1002, 1)]);
        self.straddles.insert(u64::from(instruction), id);
        id
    }

    /// Remembers that the jump or branch `from` leads to block `to` at `target` on the same page.
    pub(crate) fn link(&self, from: &Step, target: u64, to: BlockId) {
        if from.pc != STRADDLE && target as usize % PAGE_SIZE != usize::from(STRADDLE) {
            from.extra.set(to);
        }
    }

    /// Drops the blocks of RAM page `page`. Their steps stay readable until [`flush`](Self::flush): the store
    /// that made them stale may be in one of them. Links lead to them from this page only.
    pub(crate) fn drop_page(&mut self, page: usize) {
        self.by_address.remove(page);
        self.forget_jumps();
    }

    /// Whether [`flush`](Self::flush) is due.
    pub(crate) fn is_full(&self) -> bool {
        self.step_count > MAX_STEPS
    }

    /// Guest-physical addresses of the blocks that a start like the one so far needs, in the order of first
    /// execution.
    pub(crate) fn used(&mut self) -> Vec<u64> {
        match self.translations.rehearsal() {
            Some(rehearsal) => rehearsal.used().to_vec(),
            None => self.by_address.addresses(),
        }
    }

    /// As [`flush`](Self::flush), and gives back the memory.
    pub(crate) fn release(&mut self) -> impl Iterator<Item = usize> {
        self.jumps.clear();
        self.fetches.clear();
        let pages = self.flush();
        self.blocks.shrink_to_fit();
        pages
    }

    /// A start's code is decoded from now on, or no longer.
    pub(crate) fn set_settling(&mut self, is_settling: bool) {
        self.translations.set_settling(is_settling);
    }

    /// Links all blocks with each other as their execution would, and puts them where what is
    /// decoded later leaves them alone: a start of the frozen machine only reads them.
    pub(crate) fn settle(&mut self) {
        for (address, page, block) in self.by_address.settle() {
            for (step, target) in self.links(address, block) {
                if let Some(to) = self.find(target, page) {
                    self.link(step, target, to);
                }
            }
        }
    }

    /// Blocks to which a [settled](Self::settle) one leads: no jump needs to be remembered for that.
    pub(crate) fn linked(&self) -> BTreeSet<BlockId> {
        let steps = self.chunks.iter().flatten().filter(|step| step.code.has_link());
        steps.map(Step::link).collect()
    }

    /// The steps of block `id`, which is at guest-physical `address`, that lead to addresses on its page.
    pub(crate) fn links(&self, address: u64, id: BlockId) -> impl Iterator<Item = (&Step, u64)> {
        let page = address & !(PAGE_SIZE as u64 - 1);
        let steps = self.block(id).iter().filter(|step| step.code.has_link());
        steps.filter_map(move |step| Some((step, page + step.target()?)))
    }

    /// All steps of block `id`.
    fn block(&self, id: BlockId) -> &[Step] {
        let (id, start) = (id as usize, self.blocks[id as usize]);
        let chunk = self.chunks.iter().find(|chunk| chunk.as_ptr_range().contains(&start));
        let chunk = chunk.map_or(&[][..], Vec::as_slice);
        let after = |from: *const Step| (from.addr() - chunk.as_ptr().addr()) / size_of::<Step>();
        let is_inside = |next: &&*const Step| chunk.as_ptr_range().contains(next);
        let end =
            self.blocks.get(id + 1).filter(is_inside).map_or(chunk.len(), |next| after(*next));
        chunk.get(after(start)..end).unwrap_or_default()
    }

    /// Drops everything; no block may be executing.
    pub(crate) fn flush(&mut self) -> impl Iterator<Item = usize> + use<> {
        self.straddles.clear();
        self.chunks.clear();
        self.step_count = 0;
        self.reset_blocks();
        self.forget_jumps();
        self.by_address.clear()
    }
}

/// The step that ends a cut block after `retired` instructions: execution goes on at page offset
/// `pc`.
pub(crate) fn next(pc: u16, retired: usize) -> Step {
    let op = Op { code: OpCode::Next, rd: 0, rs1: 0, rs2: 0, rs3: 0, pc, imm: 0 };
    Step::new(&op, retired)
}
