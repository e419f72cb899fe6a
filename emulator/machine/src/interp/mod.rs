//! The op interpreter: one loop, one match, blocks chained without leaving it.
//!
//! What an op does is written once, in the table `exec!`; the match has an arm for each op and one
//! for each sequence of [`crate::fuse`], made of the same lines.

mod alu;
mod float;
mod memory;

use crate::arch::{Arch, Trap};
use crate::arena::PAGE_SIZE;
use crate::code::{BlockId, Step, UNRESOLVED};
use crate::core::Core;
use crate::fuse::{Code, for_each_code};
use memory::Odd;

const PAGE_MASK: u64 = !(PAGE_SIZE as u64 - 1);

/// The step behind `step`.
///
/// # Safety
/// `step` is not the last one of its block.
#[inline(always)]
unsafe fn behind(step: &Step) -> &Step {
    // SAFETY: the caller's promise: a block's steps lie next to each other.
    unsafe { &*std::ptr::from_ref(step).add(1) }
}

impl<A: Arch> Core<A> {
    /// Executes `block` at `self.pc` and its successors until the budget is used up, the
    /// successor is not decoded yet, or something happens that only the outer loop settles.
    #[expect(clippy::too_many_lines, reason = "a table: one line per op")]
    pub(crate) fn execute(&mut self, block: BlockId) {
        let mut page = self.pc & PAGE_MASK;
        // SAFETY: steps stay in place until the outer loop flushes the block cache.
        let mut op = unsafe { &*self.code.steps(block) };

        macro_rules! a {
            () => {
                self.x[usize::from(op.rs1)]
            };
        }
        macro_rules! b {
            () => {
                self.x[usize::from(op.rs2)]
            };
        }
        macro_rules! imm {
            () => {
                i64::from(op.imm) as u64
            };
        }
        macro_rules! pc {
            () => {
                page.wrapping_add(u64::from(op.pc))
            };
        }
        macro_rules! set {
            ($value:expr) => {{
                let value = $value;
                self.x[usize::from(op.rd)] = value;
            }};
        }
        macro_rules! attempt {
            ($result:expr) => {
                match $result {
                    Ok(value) => value,
                    Err(trap) => return self.leave_by_trap(op, page, trap),
                }
            };
        }
        macro_rules! load {
            ($size:literal, $extend:expr) => {{
                let value = attempt!(self.load::<$size>(a!().wrapping_add(imm!())));
                set!($extend(value))
            }};
        }
        macro_rules! written {
            ($result:expr) => {
                match $result {
                    Ok(value) => value,
                    Err(odd) => match self.leave_store(op, page, odd) {
                        Some(next) => {
                            // SAFETY: as above.
                            op = unsafe { &*next };
                            continue;
                        }
                        None => return,
                    },
                }
            };
        }
        macro_rules! store {
            ($size:literal) => {
                written!(self.store::<$size>(a!().wrapping_add(imm!()), b!()))
            };
        }
        macro_rules! go_to {
            ($target:expr) => {{
                self.budget -= i64::from(op.retired());
                let link = op.link();
                if self.budget > 0 && link != UNRESOLVED {
                    // SAFETY: as above. A link never leaves its page.
                    op = unsafe { &*self.code.steps(link) };
                    continue;
                }
                let target = $target;
                match self.follow(op, target, page) {
                    // SAFETY: as above.
                    Some(next) => op = unsafe { &*next },
                    None => return,
                }
                page = target & PAGE_MASK;
                continue;
            }};
        }
        macro_rules! branch {
            ($taken:expr) => {
                if $taken {
                    go_to!(pc!().wrapping_add(imm!()))
                }
            };
        }
        macro_rules! amo {
            ($size:literal, $update:expr) => {{
                let (a, b) = (a!(), b!());
                set!(written!(self.amo::<$size>(a, |old| $update(old, b))))
            }};
        }
        macro_rules! float_memory {
            () => {
                if !self.float_ready {
                    attempt!(A::prepare_float(self));
                }
            };
        }
        #[rustfmt::skip]
        macro_rules! exec {
            (Nop) => {{ }};
            (Add) => { set!(a!().wrapping_add(b!())) };
            (Sub) => { set!(a!().wrapping_sub(b!())) };
            (And) => { set!(a!() & b!()) };
            (Or) => { set!(a!() | b!()) };
            (Xor) => { set!(a!() ^ b!()) };
            (Sll) => { set!(a!().wrapping_shl(b!() as u32)) };
            (Srl) => { set!(a!().wrapping_shr(b!() as u32)) };
            (Sra) => { set!((a!() as i64).wrapping_shr(b!() as u32) as u64) };
            (Slt) => { set!(u64::from((a!() as i64) < b!() as i64)) };
            (Sltu) => { set!(u64::from(a!() < b!())) };
            (AddW) => { set!(alu::word(a!().wrapping_add(b!()))) };
            (SubW) => { set!(alu::word(a!().wrapping_sub(b!()))) };
            (SllW) => { set!(alu::word(u64::from((a!() as u32).wrapping_shl(b!() as u32)))) };
            (SrlW) => { set!(alu::word(u64::from((a!() as u32).wrapping_shr(b!() as u32)))) };
            (SraW) => { set!((a!() as i32).wrapping_shr(b!() as u32) as u64) };
            (AddI) => { set!(a!().wrapping_add(imm!())) };
            (AndI) => { set!(a!() & imm!()) };
            (OrI) => { set!(a!() | imm!()) };
            (XorI) => { set!(a!() ^ imm!()) };
            (SllI) => { set!(a!() << (imm!() & 63)) };
            (SrlI) => { set!(a!() >> (imm!() & 63)) };
            (SraI) => { set!((a!() as i64 >> (imm!() & 63)) as u64) };
            (SltI) => { set!(u64::from((a!() as i64) < imm!() as i64)) };
            (SltuI) => { set!(u64::from(a!() < imm!())) };
            (AddIW) => { set!(alu::word(a!().wrapping_add(imm!()))) };
            (SllIW) => { set!(alu::word(a!() << (imm!() & 31))) };
            (SrlIW) => { set!(alu::word(u64::from(a!() as u32 >> (imm!() & 31)))) };
            (SraIW) => { set!((a!() as i32 >> (imm!() & 31)) as u64) };
            (Mov) => { set!(a!()) };
            (Li) => { set!(imm!()) };
            (AddPc) => { set!(pc!().wrapping_add(imm!())) };

            (Mul) => { set!(a!().wrapping_mul(b!())) };
            (Mulh) => { set!(alu::mulh(a!(), b!())) };
            (Mulhsu) => { set!(alu::mulhsu(a!(), b!())) };
            (Mulhu) => { set!(alu::mulhu(a!(), b!())) };
            (MulW) => { set!(alu::word(a!().wrapping_mul(b!()))) };
            (Div) => { set!(alu::div(a!(), b!())) };
            (Divu) => { set!(alu::divu(a!(), b!())) };
            (Rem) => { set!(alu::rem(a!(), b!())) };
            (Remu) => { set!(alu::remu(a!(), b!())) };
            (DivW) => { set!(alu::divw(a!(), b!())) };
            (DivuW) => { set!(alu::divuw(a!(), b!())) };
            (RemW) => { set!(alu::remw(a!(), b!())) };
            (RemuW) => { set!(alu::remuw(a!(), b!())) };

            (Sh1Add) => { set!((a!() << 1).wrapping_add(b!())) };
            (Sh2Add) => { set!((a!() << 2).wrapping_add(b!())) };
            (Sh3Add) => { set!((a!() << 3).wrapping_add(b!())) };
            (AddUw) => { set!(alu::low(a!()).wrapping_add(b!())) };
            (Sh1AddUw) => { set!((alu::low(a!()) << 1).wrapping_add(b!())) };
            (Sh2AddUw) => { set!((alu::low(a!()) << 2).wrapping_add(b!())) };
            (Sh3AddUw) => { set!((alu::low(a!()) << 3).wrapping_add(b!())) };
            (SllIUw) => { set!(alu::low(a!()) << (imm!() & 63)) };
            (Andn) => { set!(a!() & !b!()) };
            (Orn) => { set!(a!() | !b!()) };
            (Xnor) => { set!(!(a!() ^ b!())) };
            (Clz) => { set!(u64::from(a!().leading_zeros())) };
            (Ctz) => { set!(u64::from(a!().trailing_zeros())) };
            (Cpop) => { set!(u64::from(a!().count_ones())) };
            (ClzW) => { set!(u64::from((a!() as u32).leading_zeros())) };
            (CtzW) => { set!(u64::from((a!() as u32).trailing_zeros())) };
            (CpopW) => { set!(u64::from((a!() as u32).count_ones())) };
            (Max) => { set!((a!() as i64).max(b!() as i64) as u64) };
            (Maxu) => { set!(a!().max(b!())) };
            (Min) => { set!((a!() as i64).min(b!() as i64) as u64) };
            (Minu) => { set!(a!().min(b!())) };
            (SextB) => { set!(a!() as i8 as u64) };
            (SextH) => { set!(a!() as i16 as u64) };
            (ZextH) => { set!(u64::from(a!() as u16)) };
            (Rol) => { set!(a!().rotate_left(b!() as u32 & 63)) };
            (Ror) => { set!(a!().rotate_right(b!() as u32 & 63)) };
            (RorI) => { set!(a!().rotate_right(imm!() as u32 & 63)) };
            (RolW) => { set!((a!() as u32).rotate_left(b!() as u32 & 31) as i32 as u64) };
            (RorW) => { set!((a!() as u32).rotate_right(b!() as u32 & 31) as i32 as u64) };
            (RorIW) => { set!((a!() as u32).rotate_right(imm!() as u32 & 31) as i32 as u64) };
            (Rev8) => { set!(a!().swap_bytes()) };
            (OrcB) => { set!(alu::orc_b(a!())) };
            (Bclr) => { set!(a!() & !(1 << (b!() & 63))) };
            (Bext) => { set!(a!() >> (b!() & 63) & 1) };
            (Binv) => { set!(a!() ^ 1 << (b!() & 63)) };
            (Bset) => { set!(a!() | 1 << (b!() & 63)) };
            (BclrI) => { set!(a!() & !(1 << (imm!() & 63))) };
            (BextI) => { set!(a!() >> (imm!() & 63) & 1) };
            (BinvI) => { set!(a!() ^ 1 << (imm!() & 63)) };
            (BsetI) => { set!(a!() | 1 << (imm!() & 63)) };
            (CzeroEqz) => { set!(if b!() == 0 { 0 } else { a!() }) };
            (CzeroNez) => { set!(if b!() != 0 { 0 } else { a!() }) };

            (LoadI8) => { load!(1, |v| v as i8 as u64) };
            (LoadI16) => { load!(2, |v| v as i16 as u64) };
            (LoadI32) => { load!(4, alu::word) };
            (Load64) => { load!(8, |v| v) };
            (LoadU8) => { load!(1, |v| v) };
            (LoadU16) => { load!(2, |v| v) };
            (LoadU32) => { load!(4, |v| v) };
            (Store8) => { store!(1) };
            (Store16) => { store!(2) };
            (Store32) => { store!(4) };
            (Store64) => { store!(8) };
            (LoadF32) => {{
                float_memory!();
                let value = attempt!(self.load::<4>(a!().wrapping_add(imm!())));
                self.f[usize::from(op.rd)] = value | 0xffff_ffff << 32;
            }};
            (LoadF64) => {{
                float_memory!();
                self.f[usize::from(op.rd)] = attempt!(self.load::<8>(a!().wrapping_add(imm!())));
            }};
            (StoreF32) => {{
                float_memory!();
                let value = self.f[usize::from(op.rs2)];
                written!(self.store::<4>(a!().wrapping_add(imm!()), value));
            }};
            (StoreF64) => {{
                float_memory!();
                let value = self.f[usize::from(op.rs2)];
                written!(self.store::<8>(a!().wrapping_add(imm!()), value));
            }};

            (Beq) => { branch!(a!() == b!()) };
            (Bne) => { branch!(a!() != b!()) };
            (Blt) => { branch!((a!() as i64) < b!() as i64) };
            (Bge) => { branch!(a!() as i64 >= b!() as i64) };
            (Bltu) => { branch!(a!() < b!()) };
            (Bgeu) => { branch!(a!() >= b!()) };

            (LrW) => { set!(attempt!(self.load_reserved::<4>(a!()))) };
            (LrD) => { set!(attempt!(self.load_reserved::<8>(a!()))) };
            (ScW) => { set!(written!(self.store_conditional::<4>(a!(), b!()))) };
            (ScD) => { set!(written!(self.store_conditional::<8>(a!(), b!()))) };
            (AmoSwapW) => { amo!(4, |_, b| b) };
            (AmoAddW) => { amo!(4, u64::wrapping_add) };
            (AmoXorW) => { amo!(4, |a, b| a ^ b) };
            (AmoAndW) => { amo!(4, |a, b| a & b) };
            (AmoOrW) => { amo!(4, |a, b| a | b) };
            (AmoMinW) => { amo!(4, |a: u64, b: u64| (a as i32).min(b as i32) as u64) };
            (AmoMaxW) => { amo!(4, |a: u64, b: u64| (a as i32).max(b as i32) as u64) };
            (AmoMinuW) => { amo!(4, |a: u64, b: u64| u64::from((a as u32).min(b as u32))) };
            (AmoMaxuW) => { amo!(4, |a: u64, b: u64| u64::from((a as u32).max(b as u32))) };
            (AmoSwapD) => { amo!(8, |_, b| b) };
            (AmoAddD) => { amo!(8, u64::wrapping_add) };
            (AmoXorD) => { amo!(8, |a, b| a ^ b) };
            (AmoAndD) => { amo!(8, |a, b| a & b) };
            (AmoOrD) => { amo!(8, |a, b| a | b) };
            (AmoMinD) => { amo!(8, |a: u64, b: u64| (a as i64).min(b as i64) as u64) };
            (AmoMaxD) => { amo!(8, |a: u64, b: u64| (a as i64).max(b as i64) as u64) };
            (AmoMinuD) => { amo!(8, u64::min) };
            (AmoMaxuD) => { amo!(8, u64::max) };


            (Jal) => {{
                let pc = pc!();
                set!(pc.wrapping_add(u64::from(op.rs2)));
                go_to!(pc.wrapping_add(imm!()))
            }};
            (Jalr) => {{
                let target = a!().wrapping_add(imm!()) & !1;
                set!(pc!().wrapping_add(u64::from(op.rs2)));
                self.budget -= i64::from(op.retired());
                if self.budget > 0 && let Some(next) = self.code.jump(target) {
                    // SAFETY: as above.
                    op = unsafe { &*next.steps };
                    page = target & PAGE_MASK;
                    continue;
                }
                self.pc = target;
                return;
            }};
            (Next) => {{
                self.budget -= i64::from(op.retired());
                let link = op.link();
                if link != UNRESOLVED {
                    // SAFETY: as above. A link never leaves its page: this is no stop.
                    op = unsafe { &*self.code.steps(link) };
                    continue;
                }
                match self.follow_cut(op, page) {
                    Some(next) => {
                        page = pc!() & PAGE_MASK;
                        // SAFETY: as above.
                        op = unsafe { &*next };
                        continue;
                    }
                    None => return,
                }
            }};
            (System) => { return self.leave_to_system(op, page) };
            (Illegal) => { return self.leave_by_trap(op, page, A::illegal(op.imm as u32)) };
            ($float:ident) => { attempt!(self.float_op(op)) };
        }
        macro_rules! sequence {
            ($last:ident) => {
                exec!($last)
            };
            ($first:ident $($rest:ident)+) => {{
                exec!($first);
                // SAFETY: a sequence is fused from steps of one block.
                op = unsafe { behind(op) };
                sequence!($($rest)+)
            }};
        }
        macro_rules! dispatch {
            ({ $($fused:ident = $($part:ident)+;)* } $($(#[$doc:meta])* $plain:ident,)*) => {
                match op.code {
                    $(Code::$plain => exec!($plain),)*
                    $(Code::$fused => sequence!($($part)+),)*
                    Code::Translated => {
                        if self.budget > 0 {
                            match self.enter(op, page) {
                                Some(next) => {
                                    page = self.pc & PAGE_MASK;
                                    // SAFETY: as above.
                                    op = unsafe { &*next };
                                    continue;
                                }
                                None => return,
                            }
                        }
                    }
                    Code::Note => self.code.heed(op.operands().0),
                }
            };
        }

        loop {
            for_each_code!(dispatch);
            // SAFETY: a block's last step leaves the loop or goes on at another block.
            op = unsafe { behind(op) };
        }
    }

    /// Goes on behind a block that ends without a jump. Inside the page that is no stop.
    #[inline(never)]
    fn follow_cut(&mut self, from: &Step, page: u64) -> Option<*const Step> {
        let target = page.wrapping_add(u64::from(from.pc));
        if usize::from(from.pc) >= PAGE_SIZE {
            return self.follow(from, target, page);
        }
        let block = self.fetch(target)?;
        self.code.link(from, target, block);
        Some(self.code.steps(block))
    }

    /// The block at `pc`; `None` if fetching it raised an exception.
    fn fetch(&mut self, pc: u64) -> Option<BlockId> {
        match self.block_at(pc) {
            Ok(block) => Some(block),
            Err(trap) => {
                self.fail_fetch(pc, trap);
                None
            }
        }
    }

    /// Calls translated code. Goes on at `self.pc`, which is where it got to: at the instructions
    /// behind `op` if that is nowhere.
    #[inline(never)]
    fn enter(&mut self, op: &Step, page: u64) -> Option<*const Step> {
        let pc = page.wrapping_add(u64::from(op.pc));
        let before = self.budget;
        let (function, entry) = op.operands();
        self.pc = self.call_translated(function, page, entry);
        self.translated.instructions += (before - self.budget) as u64;
        self.translated.calls += 1;
        if self.pc == pc && self.budget == before {
            // SAFETY: it is the first step of its block, not the last.
            return Some(unsafe { behind(op) });
        }
        Some(self.code.jump(self.pc)?.steps)
    }

    /// Follows a direct jump or branch that has no link yet, or ends the run.
    #[inline(never)]
    fn follow(&mut self, from: &Step, target: u64, page: u64) -> Option<*const Step> {
        self.pc = target;
        if self.budget <= 0 {
            return None;
        }
        let next = self.code.jump(target)?;
        let steps = next.steps;
        if target & PAGE_MASK == page {
            self.code.link(from, target, next.block);
        }
        Some(steps)
    }

    /// `op` raised an exception, which counts as an instruction: a handler that itself raises one
    /// must not keep the hart from looking up.
    #[cold]
    #[inline(never)]
    fn leave_by_trap(&mut self, op: &Step, page: u64, trap: Trap) {
        self.budget -= i64::from(op.index()) + 1;
        A::enter_trap(self, trap, page.wrapping_add(u64::from(op.pc)));
    }

    /// A store that is not done as all others are.
    #[cold]
    #[inline(never)]
    fn leave_store(&mut self, op: &Step, page: u64, odd: Odd) -> Option<*const Step> {
        match odd {
            Odd::Trap(trap) => {
                self.leave_by_trap(op, page, trap);
                None
            }
            // The instruction is done, but the steps behind it may be stale.
            Odd::Stale(result) => {
                // A plain store has the result zero and the slot that holds zero.
                self.x[usize::from(op.rd)] = result;
                self.budget -= i64::from(op.index()) + 1;
                self.pc = page.wrapping_add(u64::from(op.pc) + u64::from(op.length()));
                if (self.pc ^ page) & PAGE_MASK != 0 {
                    return None;
                }
                let block = self.fetch(self.pc)?;
                Some(self.code.steps(block))
            }
        }
    }

    /// The architecture's own instruction: anything may change by it.
    #[inline(never)]
    fn leave_to_system(&mut self, op: &Step, page: u64) {
        let pc = page.wrapping_add(u64::from(op.pc));
        // Retired while it executes: it may read the count.
        self.budget -= i64::from(op.index()) + 1;
        match A::system(self, op.imm as u32, pc) {
            Ok(target) => self.pc = target,
            Err(trap) => A::enter_trap(self, trap, pc),
        }
    }
}
