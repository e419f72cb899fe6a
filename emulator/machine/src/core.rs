//! The CPU core: registers, caches and the outer loop around the interpreter.

use std::rc::Rc;

use lithify_isa::translation::{Layout, OTHER_VIEW};

use crate::arch::{Access, Arch, Trap};
use crate::arena::PAGE_SIZE;
use crate::bus::GuestMemory;
use crate::code::{BlockId, CodeCache, STRADDLE};
use crate::decode::{decode_page, is_whole};
use crate::float::Flags;
use crate::footprint::Footprint;
use crate::pages::{Call, Translations};
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

/// What translated code has done since the machine exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Translated {
    /// Instructions that it has retired.
    pub instructions: u64,
    /// How often the interpreter has called it.
    pub calls: u64,
}

/// Slots of a register file: any `u8` numbers one, so no access needs a check.
pub(crate) const SLOTS: usize = 256;

/// [`Core::reservation`] when there is none.
pub(crate) const NO_RESERVATION: u64 = u64::MAX;

/// One hart. Translated code reaches into it (see [`Layout`]), and most of all for what is in front.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Core<A: Arch> {
    pub(crate) x: [u64; SLOTS],
    pub(crate) f: [u64; SLOTS],
    /// Instructions left until the interpreter looks up; negative when a block ran over.
    pub(crate) budget: i64,
    pub(crate) fflags: Flags,
    /// The dynamic rounding mode's number, possibly a reserved one.
    pub(crate) frm: u8,
    /// Whether float instructions may run without asking [`Arch::prepare_float`].
    pub(crate) float_ready: bool,
    /// Whether the current mode may access the supervisor's state.
    pub(crate) privileged: bool,
    /// Whether an interrupt is pending that would be taken if interrupts were enabled, as of the last
    /// [`Arch::take_interrupt`]. What could change it makes the hart look up.
    pub(crate) interrupt_waits: bool,
    pub(crate) pc: u64,
    /// Host address of the last load-reserved: that of a guest page changes in
    /// [`compact`](Self::compact) alone.
    pub(crate) reservation: u64,
    pub(crate) tlb: Tlb,
    pub(crate) ram: Ram,
    pub(crate) code: CodeCache,
    pub(crate) bus: A::Board,
    pub(crate) time: Rc<Timekeeper>,
    pub(crate) arch: A,
    /// What [`park`](Self::park) took out of the budget.
    parked: i64,
    /// Retired instructions once all of the budget is used.
    limit: u64,
    pause: Option<Pause>,
    /// How to call translated code, if there is any.
    call: Option<Call>,
    /// What translated code has done.
    pub(crate) translated: Translated,
}

/// Address in linear memory; cut off on hosts with longer ones, where nothing is translated.
pub(crate) fn address<T: ?Sized>(of: &T) -> u32 {
    std::ptr::from_ref(of).cast::<u8>() as usize as u32
}

impl<A: Arch> Core<A> {
    pub(crate) fn new(ram: Ram, bus: A::Board, time: Rc<Timekeeper>, arch: A) -> Self {
        Self {
            x: [0; SLOTS],
            f: [0; SLOTS],
            fflags: Flags::default(),
            frm: 0,
            float_ready: false,
            privileged: false,
            interrupt_waits: false,
            pc: 0,
            reservation: NO_RESERVATION,
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
            call: None,
            translated: Translated::default(),
        }
    }

    /// Where translated code finds what it uses.
    pub(crate) fn layout(&self) -> Layout {
        let [jumps, jump_mask, pages, space] = self.code.layout();
        let [scratch, exception_pc, cause, trap_value] = self.arch.trap_registers().map(address);
        Layout {
            x: address(&self.x),
            f: address(&self.f),
            budget: address(&self.budget),
            fflags: address(&self.fflags),
            frm: address(&self.frm),
            float_ready: address(&self.float_ready),
            status: address(self.arch.status()),
            privileged: address(&self.privileged),
            interrupt_waits: address(&self.interrupt_waits),
            scratch,
            exception_pc,
            cause,
            trap_value,
            views: address(self.tlb.privileged()),
            reservation: address(&self.reservation),
            jumps,
            jump_mask,
            pages,
            space,
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

    /// Makes the interpreter look up at the next stop.
    pub(crate) fn park(&mut self) {
        if self.budget > 0 {
            self.parked += self.budget;
            self.budget = 0;
        }
    }

    /// Makes [`run`](Self::run) return at the next stop.
    pub(crate) fn pause(&mut self, why: Pause) {
        if !matches!(self.pause, Some(Pause::Halted(_))) {
            self.pause = Some(why);
        }
        self.park();
    }

    /// Executes about `granted` instructions: up to the first stop behind them. Stops are taken
    /// branches, jumps, page ends, the architecture's instructions and exceptions. They depend on
    /// nothing but the instructions, whatever is decoded or translated when.
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
                Err(trap) => self.fail_fetch(self.pc, trap),
            }
        }
    }

    /// The instruction at `pc` cannot be fetched, which counts as one.
    #[cold]
    pub(crate) fn fail_fetch(&mut self, pc: u64, trap: Trap) {
        self.budget -= 1;
        A::enter_trap(self, trap, pc);
    }

    /// Looks up translated code in `table` from now on, and calls it by `call`.
    pub(crate) fn translate(&mut self, table: Translations, call: Call) {
        self.call = Some(call);
        self.look_up(table);
    }

    /// Looks up translated code in `table` from now on.
    pub(crate) fn look_up(&mut self, table: Translations) {
        for page in self.code.translate(table) {
            self.ram.set_code(page, false);
        }
    }

    /// Counts executions of blocks from now on.
    pub(crate) fn count_blocks(&mut self) {
        for page in self.code.count_blocks() {
            self.ram.set_code(page, false);
        }
    }

    /// Calls a translated function; returns where it got to.
    #[inline(always)]
    pub(crate) fn call_translated(&mut self, function: u32, page: u64, entry: u32) -> u64 {
        let call = self.call.expect("set together with the table that names functions");
        let tlb = self.tlb.current();
        // SAFETY: the table names functions that obey the contract; they get all they work on.
        let result = unsafe { call(function, std::ptr::from_mut(self).cast(), tlb, page, entry) };
        if result & OTHER_VIEW != 0 {
            A::select_view(self);
        }
        result & !OTHER_VIEW
    }

    /// The decoded block at virtual address `pc`.
    pub(crate) fn block_at(&mut self, pc: u64) -> Result<BlockId, Trap> {
        if let Some(jump) = self.code.jump(pc) {
            return Ok(jump.block);
        }
        let (address, page) = match self.code.fetched(pc) {
            Some((address, page)) => (address, Some(page)),
            None => {
                let address = A::translate(self, pc, Access::Execute)?;
                let fault = A::access_fault(pc, Access::Execute);
                (address, self.code.page(self.ram.page_index(address).ok_or(fault)?))
            }
        };
        let block = match page.and_then(|page| self.code.find(address, page)) {
            Some(block) => block,
            None => self.decode(pc, address)?,
        };
        let page = page.or_else(|| self.code.page(self.ram.page_index(address)?));
        self.code.remember_jump(pc, page, block);
        Ok(block)
    }

    fn decode(&mut self, pc: u64, address: u64) -> Result<BlockId, Trap> {
        let fault = A::access_fault(pc, Access::Execute);
        let page = self.ram.page_index(address).ok_or(fault)?;
        let bytes = self.ram.bytes(page);
        let start = address as usize % PAGE_SIZE;
        if !is_whole::<A>(bytes, start) {
            let first = [bytes[PAGE_SIZE - 2], bytes[PAGE_SIZE - 1]];
            return self.decode_straddle(pc, page, first);
        }
        let steps = decode_page::<A>(bytes, start, &mut self.code.of_page(page, address, bytes));
        self.protect_code(page);
        Ok(self.code.insert(address, page, &steps))
    }

    /// Makes stores to RAM page `page` ask whether they change code.
    fn protect_code(&mut self, page: usize) {
        if !self.ram.has_code(page) {
            self.ram.set_code(page, true);
            let host = self.ram.page(page);
            self.tlb.protect(host);
        }
    }

    /// An instruction whose second half is on the next page.
    fn decode_straddle(&mut self, pc: u64, page: usize, first: [u8; 2]) -> Result<BlockId, Trap> {
        let fault = A::access_fault(pc.wrapping_add(2), Access::Execute);
        let second = A::translate(self, pc.wrapping_add(2), Access::Execute)?;
        let next_page = self.ram.page_index(second).ok_or(fault)?;
        let &mut [third, fourth, ..] = self.ram.bytes(next_page);
        self.protect_code(page);
        self.protect_code(next_page);
        let instruction = u32::from_le_bytes([first[0], first[1], third, fourth]);
        Ok(self.code.straddle(instruction, || A::lift(instruction, STRADDLE)))
    }

    /// Drops what was decoded from RAM page `page`, which is about to change or has changed.
    pub(crate) fn drop_code(&mut self, page: usize) {
        self.ram.set_code(page, false);
        self.code.drop_page(page);
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

    /// Leaves no code decoded.
    pub(crate) fn release_code(&mut self) {
        for page in self.code.release() {
            self.ram.set_code(page, false);
        }
    }

    /// Lays RAM out densely, and leaves no code decoded but that of `used`.
    pub(crate) fn compact(&mut self, used: &Footprint) {
        // It names a host address.
        self.reservation = NO_RESERVATION;
        self.tlb.flush();
        self.release_code();
        self.ram.compact(&used.pages);
        self.code.set_settling(true);
        for &address in &used.blocks {
            // The program counter matters only where an instruction goes on on another page; the copy did
            // not keep such a block, either. Where nothing can be decoded a start finds out, too.
            let _ = self.decode(address, address);
        }
        self.code.set_settling(false);
        self.code.settle();
        self.recall(&used.recalled);
        self.ram.settle();
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
