//! Float ops, out of the dispatch loop's line: their work outweighs a call.

use crate::arch::{Arch, Trap};
use crate::code::Step;
use crate::core::Core;
use crate::float::{self, F32, F64, Format, Integer, RoundingMode};
use crate::fuse::Code;

/// `frm`'s place in an instruction: the dynamic rounding mode.
const DYNAMIC: u8 = 7;

impl<A: Arch> Core<A> {
    /// Executes one op that works on the float file, loads and stores excepted.
    #[inline(never)]
    pub(super) fn float_op(&mut self, op: &Step) -> Result<(), Trap> {
        use Code as C;
        if !self.float_ready {
            A::prepare_float(self)?;
        }
        match op.code {
            C::FAddS => self.binary::<F32>(op, float::add),
            C::FSubS => self.binary::<F32>(op, float::sub),
            C::FMulS => self.binary::<F32>(op, float::mul),
            C::FDivS => self.binary::<F32>(op, float::div),
            C::FSqrtS => self.sqrt::<F32>(op),
            C::FMAddS => self.fused::<F32>(op, false, false),
            C::FMSubS => self.fused::<F32>(op, false, true),
            C::FNMSubS => self.fused::<F32>(op, true, false),
            C::FNMAddS => self.fused::<F32>(op, true, true),
            C::FSgnjS => self.sign::<F32>(op, |_, b| b),
            C::FSgnjnS => self.sign::<F32>(op, |_, b| !b),
            C::FSgnjxS => self.sign::<F32>(op, |a, b| a ^ b),
            C::FMinS => self.pick::<F32>(op, float::min),
            C::FMaxS => self.pick::<F32>(op, float::max),
            C::FEqS => self.compare::<F32>(op, float::eq),
            C::FLtS => self.compare::<F32>(op, float::lt),
            C::FLeS => self.compare::<F32>(op, float::le),
            C::FClassS => self.classify::<F32>(op),
            C::FCvtWS => self.float_to_int::<F32, i32>(op, |v| v as u64),
            C::FCvtWuS => self.float_to_int::<F32, u32>(op, |v| v as i32 as u64),
            C::FCvtLS => self.float_to_int::<F32, i64>(op, |v| v as u64),
            C::FCvtLuS => self.float_to_int::<F32, u64>(op, |v| v),
            C::FCvtSW => self.int_to_float::<i32, F32>(op, |v| v as i32),
            C::FCvtSWu => self.int_to_float::<u32, F32>(op, |v| v as u32),
            C::FCvtSL => self.int_to_float::<i64, F32>(op, |v| v as i64),
            C::FCvtSLu => self.int_to_float::<u64, F32>(op, |v| v),
            C::FCvtSD => self.convert::<F64, F32>(op),
            C::FCvtDS => self.convert::<F32, F64>(op),
            C::FMvXW => self.set_x(op, self.f[usize::from(op.rs1)] as i32 as u64),
            C::FMvWX => self.set_f(op, F32(self.x[usize::from(op.rs1)] as u32)),
            C::FAddD => self.binary::<F64>(op, float::add),
            C::FSubD => self.binary::<F64>(op, float::sub),
            C::FMulD => self.binary::<F64>(op, float::mul),
            C::FDivD => self.binary::<F64>(op, float::div),
            C::FSqrtD => self.sqrt::<F64>(op),
            C::FMAddD => self.fused::<F64>(op, false, false),
            C::FMSubD => self.fused::<F64>(op, false, true),
            C::FNMSubD => self.fused::<F64>(op, true, false),
            C::FNMAddD => self.fused::<F64>(op, true, true),
            C::FSgnjD => self.sign::<F64>(op, |_, b| b),
            C::FSgnjnD => self.sign::<F64>(op, |_, b| !b),
            C::FSgnjxD => self.sign::<F64>(op, |a, b| a ^ b),
            C::FMinD => self.pick::<F64>(op, float::min),
            C::FMaxD => self.pick::<F64>(op, float::max),
            C::FEqD => self.compare::<F64>(op, float::eq),
            C::FLtD => self.compare::<F64>(op, float::lt),
            C::FLeD => self.compare::<F64>(op, float::le),
            C::FClassD => self.classify::<F64>(op),
            C::FCvtWD => self.float_to_int::<F64, i32>(op, |v| v as u64),
            C::FCvtWuD => self.float_to_int::<F64, u32>(op, |v| v as i32 as u64),
            C::FCvtLD => self.float_to_int::<F64, i64>(op, |v| v as u64),
            C::FCvtLuD => self.float_to_int::<F64, u64>(op, |v| v),
            C::FCvtDW => self.int_to_float::<i32, F64>(op, |v| v as i32),
            C::FCvtDWu => self.int_to_float::<u32, F64>(op, |v| v as u32),
            C::FCvtDL => self.int_to_float::<i64, F64>(op, |v| v as i64),
            C::FCvtDLu => self.int_to_float::<u64, F64>(op, |v| v),
            C::FMvXD => self.set_x(op, self.f[usize::from(op.rs1)]),
            C::FMvDX => self.set_f(op, F64(self.x[usize::from(op.rs1)])),
            _ => unreachable!("the dispatch loop sends float ops only"),
        }
    }

    fn set_x(&mut self, op: &Step, value: u64) -> Result<(), Trap> {
        self.x[usize::from(op.rd)] = value;
        Ok(())
    }

    fn set_f<F: Format>(&mut self, op: &Step, value: F) -> Result<(), Trap> {
        self.f[usize::from(op.rd)] = value.to_register();
        Ok(())
    }

    fn source<F: Format>(&self, slot: u8) -> F {
        F::from_register(self.f[usize::from(slot)])
    }

    fn rounding(&self, mode: u8) -> Result<RoundingMode, Trap> {
        let mode = if mode == DYNAMIC { self.frm } else { mode };
        RoundingMode::from_frm(mode).ok_or(A::illegal(0))
    }

    fn binary<F: Format>(
        &mut self,
        op: &Step,
        function: fn(F, F, RoundingMode, &mut float::Flags) -> F,
    ) -> Result<(), Trap> {
        let rm = self.rounding(op.rs3)?;
        let (a, b) = (self.source(op.rs1), self.source(op.rs2));
        let result = function(a, b, rm, &mut self.fflags);
        self.set_f(op, result)
    }

    fn sqrt<F: Format>(&mut self, op: &Step) -> Result<(), Trap> {
        let rm = self.rounding(op.rs3)?;
        let result = float::sqrt::<F>(self.source(op.rs1), rm, &mut self.fflags);
        self.set_f(op, result)
    }

    fn fused<F: Format>(&mut self, op: &Step, minus_ab: bool, minus_c: bool) -> Result<(), Trap> {
        let rm = self.rounding(op.imm as u8)?;
        let negate = |value: F, yes| if yes { value.negated() } else { value };
        let a = negate(self.source(op.rs1), minus_ab);
        let c = negate(self.source(op.rs3), minus_c);
        let result = float::mul_add(a, self.source(op.rs2), c, rm, &mut self.fflags);
        self.set_f(op, result)
    }

    fn sign<F: Format>(&mut self, op: &Step, sign: fn(bool, bool) -> bool) -> Result<(), Trap> {
        let (a, b): (F, F) = (self.source(op.rs1), self.source(op.rs2));
        self.set_f(op, a.with_sign(sign(a.is_negative(), b.is_negative())))
    }

    fn pick<F: Format>(
        &mut self,
        op: &Step,
        function: fn(F, F, &mut float::Flags) -> F,
    ) -> Result<(), Trap> {
        let (a, b) = (self.source(op.rs1), self.source(op.rs2));
        let result = function(a, b, &mut self.fflags);
        self.set_f(op, result)
    }

    fn compare<F: Format>(
        &mut self,
        op: &Step,
        function: fn(F, F, &mut float::Flags) -> bool,
    ) -> Result<(), Trap> {
        let (a, b) = (self.source(op.rs1), self.source(op.rs2));
        let result = function(a, b, &mut self.fflags);
        self.set_x(op, u64::from(result))
    }

    fn classify<F: Format>(&mut self, op: &Step) -> Result<(), Trap> {
        let class = float::classify::<F>(self.source(op.rs1));
        self.set_x(op, u64::from(class))
    }

    fn float_to_int<F: Format, I: Integer>(
        &mut self,
        op: &Step,
        extend: fn(I) -> u64,
    ) -> Result<(), Trap> {
        let rm = self.rounding(op.rs3)?;
        let result = float::to_int::<F, I>(self.source(op.rs1), rm, &mut self.fflags);
        self.set_x(op, extend(result))
    }

    fn int_to_float<I: Integer, F: Format>(
        &mut self,
        op: &Step,
        narrow: fn(u64) -> I,
    ) -> Result<(), Trap> {
        let rm = self.rounding(op.rs3)?;
        let value = narrow(self.x[usize::from(op.rs1)]);
        let result = float::from_int::<I, F>(value, rm, &mut self.fflags);
        self.set_f(op, result)
    }

    fn convert<F: Format, G: Format>(&mut self, op: &Step) -> Result<(), Trap> {
        let rm = self.rounding(op.rs3)?;
        let result = float::to_format::<F, G>(self.source(op.rs1), rm, &mut self.fflags);
        self.set_f(op, result)
    }
}
