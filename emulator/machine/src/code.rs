//! The block cache: decoded code by physical address, and the jump cache in front of it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use lithify_isa::{Op, OpCode};

/// Most instructions in a block: bounds how late an interrupt can be.
pub(crate) const MAX_BLOCK_LEN: usize = 64;

/// Ops kept before everything is dropped and decoded again (24 MiB): a guest that runs ever new
/// code cannot grow the cache without bound.
const MAX_OPS: usize = 2 << 20;

/// Ops allocated at once; a block lies in one chunk and chunks do not move.
const CHUNK_OPS: usize = 8192;

/// Entries of the jump cache, direct-mapped by the program counter.
const JUMPS: usize = 4096;

/// Number of a block; see the constants for those that are not blocks.
pub(crate) type BlockId = u32;

/// No successor is known yet.
pub(crate) const UNRESOLVED: BlockId = 0;

/// The one block that is never cached: an instruction that lies on two pages, whose second half
/// may be mapped elsewhere the next time.
pub(crate) const STRADDLE: BlockId = 1;

/// Instructions that execute one after another.
#[derive(Debug)]
pub(crate) struct Block {
    /// First op; the block's last one ends it ([`OpCode::ends_block`]).
    pub(crate) ops: *const Op,
    /// Instructions that count as retired when all of it has run.
    pub(crate) len: u32,
    /// Successors on the same page when the branch at the end is taken, and when it is not.
    pub(crate) links: [BlockId; 2],
}

#[derive(Debug, Clone, Copy)]
struct Jump {
    /// The program counter, whose lowest bit is always clear, with the view in that bit.
    key: u64,
    generation: u32,
    block: BlockId,
}

const NO_JUMP: Jump = Jump { key: 0, generation: 0, block: UNRESOLVED };

/// Fibonacci hashing: keys are addresses of a guest that can only slow down itself.
#[derive(Debug, Default)]
pub(crate) struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let product = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ product >> 32;
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}

type AddressMap<K, V> = HashMap<K, V, BuildHasherDefault<AddressHasher>>;

/// All decoded blocks.
#[derive(Debug)]
pub(crate) struct CodeCache {
    blocks: Vec<Block>,
    by_address: AddressMap<u64, BlockId>,
    by_page: AddressMap<usize, Vec<(u64, BlockId)>>,
    chunks: Vec<Vec<Op>>,
    straddle: Box<[Op; 2]>,
    jumps: Box<[Jump]>,
    generation: u32,
    view: u64,
    op_count: usize,
}

impl CodeCache {
    pub(crate) fn new() -> Self {
        let straddle = Box::new([NEXT; 2]);
        let mut cache = Self {
            blocks: Vec::new(),
            by_address: AddressMap::default(),
            by_page: AddressMap::default(),
            chunks: Vec::new(),
            jumps: vec![NO_JUMP; JUMPS].into(),
            straddle,
            generation: 1,
            view: 0,
            op_count: 0,
        };
        cache.reset_blocks();
        cache
    }

    fn reset_blocks(&mut self) {
        let ops = self.straddle.as_ptr();
        self.blocks.clear();
        // `UNRESOLVED` has a place too, so that numbers are indices.
        for _ in 0..=STRADDLE {
            self.blocks.push(Block { ops, len: 1, links: [UNRESOLVED; 2] });
        }
    }

    #[inline(always)]
    pub(crate) fn block(&self, id: BlockId) -> &Block {
        // SAFETY: ids come from `insert`, the vector only shrinks in `flush`, and `flush` leaves
        // no id behind: the jump cache's generation moves on and links die with their blocks.
        unsafe { self.blocks.get_unchecked(id as usize) }
    }

    /// The block at virtual address `pc`, if it ran since the last change of the address space.
    #[inline(always)]
    pub(crate) fn jump(&self, pc: u64) -> Option<BlockId> {
        let jump = &self.jumps[(pc >> 1) as usize % JUMPS];
        let hit = jump.key == pc | self.view && jump.generation == self.generation;
        hit.then_some(jump.block)
    }

    /// Remembers that `pc` is `block` in this address space.
    pub(crate) fn remember_jump(&mut self, pc: u64, block: BlockId) {
        self.jumps[(pc >> 1) as usize % JUMPS] =
            Jump { key: pc | self.view, generation: self.generation, block };
    }

    /// Keeps the jumps of privileged code and of user code apart.
    pub(crate) fn select(&mut self, privileged: bool) {
        self.view = u64::from(privileged);
    }

    /// Forgets what virtual addresses mean.
    pub(crate) fn forget_jumps(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        if self.generation == 0 {
            self.jumps.fill(NO_JUMP);
            self.generation = 1;
        }
    }

    /// The block at guest-physical `address`.
    pub(crate) fn find(&self, address: u64) -> Option<BlockId> {
        self.by_address.get(&address).copied()
    }

    /// Keeps the decoded `ops` of the code at `address` on RAM page `page`.
    pub(crate) fn insert(&mut self, address: u64, page: usize, ops: &[Op]) -> BlockId {
        let id = BlockId::try_from(self.blocks.len()).expect("bounded by MAX_OPS");
        let block = Block { ops: self.store(ops), len: retired(ops), links: [UNRESOLVED; 2] };
        self.blocks.push(block);
        self.by_address.insert(address, id);
        self.by_page.entry(page).or_default().push((address, id));
        id
    }

    fn store(&mut self, ops: &[Op]) -> *const Op {
        let fits = |chunk: &Vec<Op>| chunk.capacity() - chunk.len() >= ops.len();
        if !self.chunks.last().is_some_and(fits) {
            self.chunks.push(Vec::with_capacity(CHUNK_OPS));
        }
        let chunk = self.chunks.last_mut().expect("pushed above if there was none");
        let at = chunk.len();
        chunk.extend_from_slice(ops);
        self.op_count += ops.len();
        chunk[at..].as_ptr()
    }

    /// Makes `op` the straddling block.
    pub(crate) fn set_straddle(&mut self, op: Op) -> BlockId {
        // The instruction ends two bytes into the next page.
        *self.straddle = [op, Op { pc: 0x1002, ..NEXT }];
        STRADDLE
    }

    /// Remembers that `to` follows `from` on the same page.
    pub(crate) fn link(&mut self, from: BlockId, edge: usize, to: BlockId) {
        if from != STRADDLE && to != STRADDLE {
            self.blocks[from as usize].links[edge] = to;
        }
    }

    /// Drops the blocks of RAM page `page`. Their ops stay readable until [`flush`](Self::flush):
    /// the store that made them stale may be in one of them.
    pub(crate) fn drop_page(&mut self, page: usize) {
        for (address, id) in self.by_page.remove(&page).unwrap_or_default() {
            self.by_address.remove(&address);
            self.blocks[id as usize].links = [UNRESOLVED; 2];
        }
        self.forget_jumps();
    }

    /// Whether [`flush`](Self::flush) is due.
    pub(crate) fn is_full(&self) -> bool {
        self.op_count > MAX_OPS
    }

    /// Drops everything; no block may be executing.
    pub(crate) fn flush(&mut self) -> impl Iterator<Item = usize> {
        self.by_address.clear();
        self.chunks.clear();
        self.op_count = 0;
        self.reset_blocks();
        self.forget_jumps();
        std::mem::take(&mut self.by_page).into_keys()
    }
}

const NEXT: Op = Op { code: OpCode::Next, rd: 0, rs1: 0, rs2: 0, rs3: 0, pc: 0, imm: 0 };

/// The op that ends a cut block: execution goes on at page offset `pc`.
pub(crate) const fn next(pc: u16) -> Op {
    Op { pc, ..NEXT }
}

fn retired(ops: &[Op]) -> u32 {
    let cut = ops.last().is_some_and(|op| op.code == OpCode::Next);
    ops.len() as u32 - u32::from(cut)
}
