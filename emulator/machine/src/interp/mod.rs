//! The op interpreter: one loop, one match, blocks chained without leaving it.

mod alu;
mod float;
mod memory;

use lithify_isa::{Op, OpCode};

use crate::arch::{Arch, Trap};
use crate::arena::PAGE_SIZE;
use crate::code::{BlockId, UNRESOLVED};
use crate::core::Core;

const PAGE_MASK: u64 = !(PAGE_SIZE as u64 - 1);

/// How a block ended.
enum Edge {
    /// Branch taken to this address: the block's first link.
    Taken(u64),
    /// Execution went on behind the block: the second link.
    Next(u64),
    /// Computed jump.
    Jump(u64),
    /// The architecture's own instruction ran: anything may have changed.
    System(u64),
    /// The op raised an exception.
    Trap(Trap),
}

impl<A: Arch> Core<A> {
    /// Executes `block` at `self.pc` and its successors until the budget is used up, the
    /// successor is not decoded yet, or something happens that only the outer loop settles.
    pub(crate) fn execute(&mut self, block: BlockId) {
        let mut block = block;
        let mut page = self.pc & PAGE_MASK;
        loop {
            let (first, len) = {
                let block = self.code.block(block);
                (block.ops, block.len)
            };
            self.budget -= i64::from(len);
            let mut op = first;
            let edge = loop {
                // SAFETY: a block's last op leaves this loop, so `op` never runs past its ops,
                // which stay in place until the outer loop flushes the block cache.
                let current = unsafe { &*op };
                if let Some(edge) = self.step(current, page) {
                    break edge;
                }
                // SAFETY: as above: `current` was not the last op.
                op = unsafe { op.add(1) };
            };
            let (target, link) = match edge {
                Edge::Taken(target) => (target, Some(0)),
                Edge::Next(target) => (target, Some(1)),
                Edge::Jump(target) => (target, None),
                Edge::System(target) => {
                    self.pc = target;
                    return;
                }
                Edge::Trap(trap) => {
                    // SAFETY: both point into the ops of one block.
                    let (op, done) = unsafe { (&*op, op.offset_from_unsigned(first)) };
                    self.budget += i64::from(len) - done as i64;
                    A::enter_trap(self, trap, page + u64::from(op.pc));
                    return;
                }
            };
            self.pc = target;
            if self.budget <= 0 {
                return;
            }
            match self.successor(block, target, page, link) {
                Some(next) => block = next,
                None => return,
            }
            page = target & PAGE_MASK;
        }
    }

    /// The decoded block at `target`, reached from `block` on `page`.
    #[inline(always)]
    fn successor(
        &mut self,
        block: BlockId,
        target: u64,
        page: u64,
        link: Option<usize>,
    ) -> Option<BlockId> {
        let link = link.filter(|_| target & PAGE_MASK == page);
        if let Some(edge) = link {
            let known = self.code.block(block).links[edge];
            if known != UNRESOLVED {
                return Some(known);
            }
        }
        let next = self.code.jump(target)?;
        if let Some(edge) = link {
            self.code.link(block, edge, next);
        }
        Some(next)
    }

    /// Executes one op of a block on `page`; `None` goes on with the next op.
    #[inline(always)]
    #[expect(clippy::too_many_lines, reason = "a table: one line per op")]
    fn step(&mut self, op: &Op, page: u64) -> Option<Edge> {
        use OpCode as C;
        use alu::{low, word};

        let imm = i64::from(op.imm) as u64;
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
                    Err(trap) => return Some(Edge::Trap(trap)),
                }
            };
        }
        macro_rules! load {
            ($size:literal, $extend:expr) => {{
                let value = attempt!(self.load::<$size>(a!().wrapping_add(imm)));
                set!($extend(value))
            }};
        }
        macro_rules! store {
            ($size:literal) => {
                attempt!(self.store::<$size>(a!().wrapping_add(imm), b!()))
            };
        }
        macro_rules! branch {
            ($taken:expr) => {{
                let pc = page.wrapping_add(u64::from(op.pc));
                return Some(if $taken {
                    Edge::Taken(pc.wrapping_add(imm))
                } else {
                    Edge::Next(pc.wrapping_add(u64::from(op.rd)))
                });
            }};
        }
        macro_rules! amo {
            ($size:literal, $update:expr) => {{
                let (a, b) = (a!(), b!());
                set!(attempt!(self.amo::<$size>(a, |old| $update(old, b))))
            }};
        }
        macro_rules! float_memory {
            () => {
                if !self.float_ready {
                    attempt!(A::prepare_float(self));
                }
            };
        }

        match op.code {
            C::Add => set!(a!().wrapping_add(b!())),
            C::Sub => set!(a!().wrapping_sub(b!())),
            C::And => set!(a!() & b!()),
            C::Or => set!(a!() | b!()),
            C::Xor => set!(a!() ^ b!()),
            C::Sll => set!(a!().wrapping_shl(b!() as u32)),
            C::Srl => set!(a!().wrapping_shr(b!() as u32)),
            C::Sra => set!((a!() as i64).wrapping_shr(b!() as u32) as u64),
            C::Slt => set!(u64::from((a!() as i64) < b!() as i64)),
            C::Sltu => set!(u64::from(a!() < b!())),
            C::AddW => set!(word(a!().wrapping_add(b!()))),
            C::SubW => set!(word(a!().wrapping_sub(b!()))),
            C::SllW => set!(word(u64::from((a!() as u32).wrapping_shl(b!() as u32)))),
            C::SrlW => set!(word(u64::from((a!() as u32).wrapping_shr(b!() as u32)))),
            C::SraW => set!((a!() as i32).wrapping_shr(b!() as u32) as u64),
            C::AddI => set!(a!().wrapping_add(imm)),
            C::AndI => set!(a!() & imm),
            C::OrI => set!(a!() | imm),
            C::XorI => set!(a!() ^ imm),
            C::SllI => set!(a!() << (imm & 63)),
            C::SrlI => set!(a!() >> (imm & 63)),
            C::SraI => set!((a!() as i64 >> (imm & 63)) as u64),
            C::SltI => set!(u64::from((a!() as i64) < imm as i64)),
            C::SltuI => set!(u64::from(a!() < imm)),
            C::AddIW => set!(word(a!().wrapping_add(imm))),
            C::SllIW => set!(word(a!() << (imm & 31))),
            C::SrlIW => set!(word(u64::from(a!() as u32 >> (imm & 31)))),
            C::SraIW => set!((a!() as i32 >> (imm & 31)) as u64),
            C::Mov => set!(a!()),
            C::Li => set!(imm),
            C::AddPc => set!(page.wrapping_add(u64::from(op.pc)).wrapping_add(imm)),

            C::Mul => set!(a!().wrapping_mul(b!())),
            C::Mulh => set!(alu::mulh(a!(), b!())),
            C::Mulhsu => set!(alu::mulhsu(a!(), b!())),
            C::Mulhu => set!(alu::mulhu(a!(), b!())),
            C::MulW => set!(word(a!().wrapping_mul(b!()))),
            C::Div => set!(alu::div(a!(), b!())),
            C::Divu => set!(alu::divu(a!(), b!())),
            C::Rem => set!(alu::rem(a!(), b!())),
            C::Remu => set!(alu::remu(a!(), b!())),
            C::DivW => set!(alu::divw(a!(), b!())),
            C::DivuW => set!(alu::divuw(a!(), b!())),
            C::RemW => set!(alu::remw(a!(), b!())),
            C::RemuW => set!(alu::remuw(a!(), b!())),

            C::Sh1Add => set!((a!() << 1).wrapping_add(b!())),
            C::Sh2Add => set!((a!() << 2).wrapping_add(b!())),
            C::Sh3Add => set!((a!() << 3).wrapping_add(b!())),
            C::AddUw => set!(low(a!()).wrapping_add(b!())),
            C::Sh1AddUw => set!((low(a!()) << 1).wrapping_add(b!())),
            C::Sh2AddUw => set!((low(a!()) << 2).wrapping_add(b!())),
            C::Sh3AddUw => set!((low(a!()) << 3).wrapping_add(b!())),
            C::SllIUw => set!(low(a!()) << (imm & 63)),
            C::Andn => set!(a!() & !b!()),
            C::Orn => set!(a!() | !b!()),
            C::Xnor => set!(!(a!() ^ b!())),
            C::Clz => set!(u64::from(a!().leading_zeros())),
            C::Ctz => set!(u64::from(a!().trailing_zeros())),
            C::Cpop => set!(u64::from(a!().count_ones())),
            C::ClzW => set!(u64::from((a!() as u32).leading_zeros())),
            C::CtzW => set!(u64::from((a!() as u32).trailing_zeros())),
            C::CpopW => set!(u64::from((a!() as u32).count_ones())),
            C::Max => set!((a!() as i64).max(b!() as i64) as u64),
            C::Maxu => set!(a!().max(b!())),
            C::Min => set!((a!() as i64).min(b!() as i64) as u64),
            C::Minu => set!(a!().min(b!())),
            C::SextB => set!(a!() as i8 as u64),
            C::SextH => set!(a!() as i16 as u64),
            C::ZextH => set!(u64::from(a!() as u16)),
            C::Rol => set!(a!().rotate_left(b!() as u32 & 63)),
            C::Ror => set!(a!().rotate_right(b!() as u32 & 63)),
            C::RorI => set!(a!().rotate_right(imm as u32 & 63)),
            C::RolW => set!((a!() as u32).rotate_left(b!() as u32 & 31) as i32 as u64),
            C::RorW => set!((a!() as u32).rotate_right(b!() as u32 & 31) as i32 as u64),
            C::RorIW => set!((a!() as u32).rotate_right(imm as u32 & 31) as i32 as u64),
            C::Rev8 => set!(a!().swap_bytes()),
            C::OrcB => set!(alu::orc_b(a!())),
            C::Bclr => set!(a!() & !(1 << (b!() & 63))),
            C::Bext => set!(a!() >> (b!() & 63) & 1),
            C::Binv => set!(a!() ^ 1 << (b!() & 63)),
            C::Bset => set!(a!() | 1 << (b!() & 63)),
            C::BclrI => set!(a!() & !(1 << (imm & 63))),
            C::BextI => set!(a!() >> (imm & 63) & 1),
            C::BinvI => set!(a!() ^ 1 << (imm & 63)),
            C::BsetI => set!(a!() | 1 << (imm & 63)),
            C::CzeroEqz => set!(if b!() == 0 { 0 } else { a!() }),
            C::CzeroNez => set!(if b!() != 0 { 0 } else { a!() }),

            C::LoadI8 => load!(1, |v| v as i8 as u64),
            C::LoadI16 => load!(2, |v| v as i16 as u64),
            C::LoadI32 => load!(4, word),
            C::Load64 => load!(8, |v| v),
            C::LoadU8 => load!(1, |v| v),
            C::LoadU16 => load!(2, |v| v),
            C::LoadU32 => load!(4, |v| v),
            C::Store8 => store!(1),
            C::Store16 => store!(2),
            C::Store32 => store!(4),
            C::Store64 => store!(8),
            C::LoadF32 => {
                float_memory!();
                let value = attempt!(self.load::<4>(a!().wrapping_add(imm)));
                self.f[usize::from(op.rd)] = value | 0xffff_ffff << 32;
            }
            C::LoadF64 => {
                float_memory!();
                self.f[usize::from(op.rd)] = attempt!(self.load::<8>(a!().wrapping_add(imm)));
            }
            C::StoreF32 => {
                float_memory!();
                let value = self.f[usize::from(op.rs2)];
                attempt!(self.store::<4>(a!().wrapping_add(imm), value));
            }
            C::StoreF64 => {
                float_memory!();
                let value = self.f[usize::from(op.rs2)];
                attempt!(self.store::<8>(a!().wrapping_add(imm), value));
            }

            C::Beq => branch!(a!() == b!()),
            C::Bne => branch!(a!() != b!()),
            C::Blt => branch!((a!() as i64) < b!() as i64),
            C::Bge => branch!(a!() as i64 >= b!() as i64),
            C::Bltu => branch!(a!() < b!()),
            C::Bgeu => branch!(a!() >= b!()),
            C::Jal => {
                let pc = page.wrapping_add(u64::from(op.pc));
                set!(pc.wrapping_add(u64::from(op.rs2)));
                return Some(Edge::Taken(pc.wrapping_add(imm)));
            }
            C::Jalr => {
                let target = a!().wrapping_add(imm) & !1;
                set!(page.wrapping_add(u64::from(op.pc)).wrapping_add(u64::from(op.rs2)));
                return Some(Edge::Jump(target));
            }
            C::Next => return Some(Edge::Next(page.wrapping_add(u64::from(op.pc)))),
            C::Nop => {}

            C::LrW => set!(attempt!(self.load_reserved::<4>(a!()))),
            C::LrD => set!(attempt!(self.load_reserved::<8>(a!()))),
            C::ScW => set!(attempt!(self.store_conditional::<4>(a!(), b!()))),
            C::ScD => set!(attempt!(self.store_conditional::<8>(a!(), b!()))),
            C::AmoSwapW => amo!(4, |_, b| b),
            C::AmoAddW => amo!(4, u64::wrapping_add),
            C::AmoXorW => amo!(4, |a, b| a ^ b),
            C::AmoAndW => amo!(4, |a, b| a & b),
            C::AmoOrW => amo!(4, |a, b| a | b),
            C::AmoMinW => amo!(4, |a: u64, b: u64| (a as i32).min(b as i32) as u64),
            C::AmoMaxW => amo!(4, |a: u64, b: u64| (a as i32).max(b as i32) as u64),
            C::AmoMinuW => amo!(4, |a: u64, b: u64| u64::from((a as u32).min(b as u32))),
            C::AmoMaxuW => amo!(4, |a: u64, b: u64| u64::from((a as u32).max(b as u32))),
            C::AmoSwapD => amo!(8, |_, b| b),
            C::AmoAddD => amo!(8, u64::wrapping_add),
            C::AmoXorD => amo!(8, |a, b| a ^ b),
            C::AmoAndD => amo!(8, |a, b| a & b),
            C::AmoOrD => amo!(8, |a, b| a | b),
            C::AmoMinD => amo!(8, |a: u64, b: u64| (a as i64).min(b as i64) as u64),
            C::AmoMaxD => amo!(8, |a: u64, b: u64| (a as i64).max(b as i64) as u64),
            C::AmoMinuD => amo!(8, u64::min),
            C::AmoMaxuD => amo!(8, u64::max),

            C::System => {
                let pc = page.wrapping_add(u64::from(op.pc));
                return Some(Edge::System(attempt!(A::system(self, op.imm as u32, pc))));
            }
            C::Illegal => return Some(Edge::Trap(A::illegal(op.imm as u32))),
            _ => attempt!(self.float_op(op)),
        }
        None
    }
}
