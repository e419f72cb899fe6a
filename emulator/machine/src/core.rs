//! The CPU core: registers, caches and the outer loop around the interpreter.

use std::rc::Rc;

use lithify_isa::{Op, OpCode, SINK};

use crate::arch::{Access, Arch, Trap};
use crate::arena::PAGE_SIZE;
use crate::bus::{GuestMemory, GuestPhysAddr};
use crate::code::{BlockId, CodeCache, MAX_BLOCK_LEN, MAX_BRANCHES, Step, next};
use crate::float::Flags;
use crate::fuse::fuse;
use crate::ram::Ram;
use crate::time::Timekeeper;
use crate::tlb::Tlb;

/// Everything on the bus that is not RAM.
pub(crate) trait Bus {
    /// A load of `size` bytes, or `None` where nothing answers.
    fn read(&mut self, at: u64, size: u8, memory: &mut dyn GuestMemory) -> Option<u64>;

    /// A store of `size` bytes, or `None` where nothing answers.
    fn write(&mut self, at: u64, size: u8, value: u64, memory: &mut dyn GuestMemory) -> Option<()>;

    /// Lets devices move data between host and guest.
    fn poll(&mut self, memory: &mut dyn GuestMemory);

    /// Whether the interrupt controller asks for attention.
    fn external_interrupt(&self) -> bool;
}

/// Why [`Core::run`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// The granted instructions are used up, or a deadline moved.
    Granted,
    /// The guest waits for an interrupt.
    Idle,
    /// The guest asked the firmware to end the machine.
    Halted(Halt),
}

/// How a guest ends its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// Power off, for no particular reason.
    Shutdown,
    /// Reboot, which is what a kernel does after a panic.
    Reboot,
    /// Power off because the system failed.
    Failure,
}

/// Slots of a register file: any `u8` numbers one, so no access needs a check.
pub(crate) const SLOTS: usize = 256;

/// One hart.
#[derive(Debug)]
pub(crate) struct Core<A: Arch> {
    pub(crate) x: [u64; SLOTS],
    pub(crate) f: [u64; SLOTS],
    pub(crate) fflags: Flags,
    /// The dynamic rounding mode's number, possibly a reserved one.
    pub(crate) frm: u8,
    /// Whether float instructions may run without asking [`Arch::prepare_float`].
    pub(crate) float_ready: bool,
    pub(crate) pc: u64,
    /// Physical address of the last load-reserved.
    pub(crate) reservation: Option<u64>,
    pub(crate) tlb: Tlb,
    pub(crate) ram: Ram,
    pub(crate) code: CodeCache,
    pub(crate) bus: A::Board,
    pub(crate) time: Rc<Timekeeper>,
    pub(crate) arch: A,
    /// Instructions left until the interpreter looks up; negative when a block ran over.
    pub(crate) budget: i64,
    /// What [`park`](Self::park) took out of the budget.
    parked: i64,
    /// Retired instructions once all of the budget is used.
    limit: u64,
    pause: Option<Pause>,
}

impl<A: Arch> Core<A> {
    pub(crate) fn new(ram: Ram, bus: A::Board, time: Rc<Timekeeper>, arch: A) -> Self {
        Self {
            x: [0; SLOTS],
            f: [0; SLOTS],
            fflags: Flags::default(),
            frm: 0,
            float_ready: false,
            pc: 0,
            reservation: None,
            tlb: Tlb::new(),
            ram,
            code: CodeCache::new(),
            bus,
            time,
            arch,
            budget: 0,
            parked: 0,
            limit: 0,
            pause: None,
        }
    }

    /// Instructions retired since power-on.
    pub(crate) fn instret(&self) -> u64 {
        self.limit.wrapping_sub((self.budget + self.parked) as u64)
    }

    /// Sets the number of retired instructions; only between two runs.
    pub(crate) fn set_instret(&mut self, instret: u64) {
        self.limit = instret;
        self.budget = 0;
        self.parked = 0;
    }

    /// Guest time in nanoseconds since power-on.
    pub(crate) fn now_ns(&self) -> u64 {
        self.time.now_ns(self.instret())
    }

    /// Makes the interpreter look up at the end of the current block.
    pub(crate) fn park(&mut self) {
        if self.budget > 0 {
            self.parked += self.budget;
            self.budget = 0;
        }
    }

    /// Makes [`run`](Self::run) return at the end of the current block.
    pub(crate) fn pause(&mut self, why: Pause) {
        if !matches!(self.pause, Some(Pause::Halted(_))) {
            self.pause = Some(why);
        }
        self.park();
    }

    /// Executes about `granted` instructions.
    pub(crate) fn run(&mut self, granted: u64) -> Pause {
        self.limit = self.instret() + granted;
        self.budget = granted as i64;
        self.parked = 0;
        loop {
            if let Some(pause) = self.pause.take() {
                return pause;
            }
            self.budget += std::mem::take(&mut self.parked);
            if self.budget <= 0 {
                return Pause::Granted;
            }
            A::take_interrupt(self);
            match self.block_at(self.pc) {
                Ok(block) => self.execute(block),
                Err(trap) => {
                    self.budget -= 1;
                    A::enter_trap(self, trap, self.pc);
                }
            }
        }
    }

    /// The decoded block at virtual address `pc`.
    pub(crate) fn block_at(&mut self, pc: u64) -> Result<BlockId, Trap> {
        if let Some(jump) = self.code.jump(pc) {
            return Ok(jump.block);
        }
        let address = A::translate(self, pc, Access::Execute)?;
        let block = match self.code.find(address) {
            Some(block) => block,
            None => match self.decode(pc, address)? {
                Decoded::Block(block) => block,
                Decoded::Straddle(block) => return Ok(block),
            },
        };
        self.code.remember_jump(pc, block);
        Ok(block)
    }

    fn decode(&mut self, pc: u64, address: u64) -> Result<Decoded, Trap> {
        let fault = A::access_fault(pc, Access::Execute);
        let page = self.ram.page_index(address).ok_or(fault)?;
        let bytes = self.ram.bytes(page);
        let mut steps = decode_page::<A>(bytes, address as usize % PAGE_SIZE);
        if steps.is_empty() {
            let first = [bytes[PAGE_SIZE - 2], bytes[PAGE_SIZE - 1]];
            return self.decode_straddle(pc, first).map(Decoded::Straddle);
        }
        fuse(&mut steps);
        if !self.ram.has_code(page) {
            self.ram.set_code(page, true);
            let host = self.ram.page(page);
            self.tlb.protect(host);
        }
        Ok(Decoded::Block(self.code.insert(address, page, &steps)))
    }

    /// An instruction whose second half is on the next page.
    fn decode_straddle(&mut self, pc: u64, first: [u8; 2]) -> Result<BlockId, Trap> {
        let second = A::translate(self, pc.wrapping_add(2), Access::Execute)?;
        let mut half = [0; 2];
        self.ram
            .read(GuestPhysAddr(second), &mut half)
            .map_err(|_| A::access_fault(pc.wrapping_add(2), Access::Execute))?;
        let instruction = u32::from_le_bytes([first[0], first[1], half[0], half[1]]);
        Ok(self.code.set_straddle(&A::lift(instruction, (PAGE_SIZE - 2) as u16)))
    }

    /// Drops what was decoded from RAM page `page`, which is about to change or has changed.
    pub(crate) fn drop_code(&mut self, page: usize) {
        self.ram.set_code(page, false);
        self.code.drop_page(page);
        self.park();
    }

    /// Drops code that devices have overwritten.
    pub(crate) fn drop_written_code(&mut self) {
        while let Some(page) = self.ram.take_written_code() {
            if self.ram.has_code(page) {
                self.drop_code(page);
            }
        }
    }

    /// Lets the devices run, and follows up on what they did to memory and interrupts.
    pub(crate) fn poll_devices(&mut self) {
        self.time.publish(self.instret());
        self.bus.poll(&mut self.ram);
        self.drop_written_code();
    }

    /// Empties the block cache when it has grown over its limit. Called between slices, when no
    /// block is executing: a slice can overshoot the limit only by what it executes.
    pub(crate) fn trim_code(&mut self) {
        if self.code.is_full() {
            for page in self.code.flush() {
                self.ram.set_code(page, false);
            }
        }
    }
}

enum Decoded {
    Block(BlockId),
    Straddle(BlockId),
}

/// Decodes from byte `start` of a page until execution must leave the block. A branch that is not
/// taken stays in it, and so does a jump without a return address inside the page. Nothing is
/// decoded if the first instruction does not end on the page.
fn decode_page<A: Arch>(page: &[u8; PAGE_SIZE], start: usize) -> Vec<Step> {
    let mut steps = Vec::with_capacity(MAX_BLOCK_LEN + 1);
    let (mut at, mut len, mut branches) = (start, 0, 0);
    while at + 2 <= PAGE_SIZE && len < MAX_BLOCK_LEN && branches < MAX_BRANCHES {
        let Some((op, length)) = decode::<A>(page, at) else { break };
        at += length;
        if let Some(target) = jump_inside(&op) {
            at = target;
            branches += 1;
        } else {
            steps.push(Step::new(&op, len));
            branches += usize::from(op.code.is_branch());
        }
        len += 1;
        if op.code.ends_block() && jump_inside(&op).is_none() {
            return steps;
        }
    }
    if len > 0 {
        steps.push(next(at as u16, len));
    }
    steps
}

/// The instruction at byte `at` of a page and its length, if it ends on the page.
fn decode<A: Arch>(page: &[u8; PAGE_SIZE], at: usize) -> Option<(Op, usize)> {
    let first = u16::from_le_bytes([page[at], page[at + 1]]);
    let length = usize::from(A::length(first));
    let mut word = [0; 4];
    word[..length].copy_from_slice(page.get(at..at + length)?);
    Some((A::lift(u32::from_le_bytes(word), at as u16), length))
}

/// Where on the same page an unconditional jump leads that does nothing else.
fn jump_inside(op: &Op) -> Option<usize> {
    let target = usize::try_from(i32::from(op.pc) + op.imm).ok()?;
    (op.code == OpCode::Jal && op.rd == SINK && target < PAGE_SIZE).then_some(target)
}
