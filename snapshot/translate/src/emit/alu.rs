//! Integer computation.

use lithify_isa::{Op, OpCode, SINK};
use wasm_encoder::{BlockType, InstructionSink, ValType};

use super::{Emitter, local};

impl Emitter<'_> {
    pub(super) fn alu(&mut self, op: &Op) {
        // It does nothing but write a register.
        if op.rd != SINK {
            self.value(op);
            self.write(op.rd);
        }
    }

    fn operands(&mut self, op: &Op) -> InstructionSink<'_> {
        self.read(op.rs1);
        self.read(op.rs2);
        self.w()
    }

    fn operand_and_immediate(&mut self, op: &Op) -> InstructionSink<'_> {
        self.read(op.rs1);
        let mut w = self.w();
        w.i64_const(op.imm.into());
        w
    }

    fn operand(&mut self, op: &Op) -> InstructionSink<'_> {
        self.read(op.rs1);
        self.w()
    }

    /// Both operands cut to 32 bits.
    fn words(&mut self, op: &Op) -> InstructionSink<'_> {
        self.read(op.rs1);
        self.w().i32_wrap_i64();
        self.read(op.rs2);
        let mut w = self.w();
        w.i32_wrap_i64();
        w
    }

    fn word_and_immediate(&mut self, op: &Op) -> InstructionSink<'_> {
        self.read(op.rs1);
        let mut w = self.w();
        w.i32_wrap_i64().i32_const(op.imm);
        w
    }

    /// `b + (a << n)`.
    fn shift_add(&mut self, op: &Op, n: i64, cut: bool) {
        self.read(op.rs1);
        if cut {
            self.w().i64_const(0xffff_ffff).i64_and();
        }
        if n > 0 {
            self.w().i64_const(n).i64_shl();
        }
        self.read(op.rs2);
        self.w().i64_add();
    }

    /// Pushes `1 << b` or `1 << imm`.
    fn single_bit(&mut self, op: &Op, immediate: bool) -> InstructionSink<'_> {
        self.read(op.rs1);
        if immediate {
            self.w().i64_const(1i64.wrapping_shl(op.imm as u32));
        } else {
            self.w().i64_const(1);
            self.read(op.rs2);
            self.w().i64_shl();
        }
        self.w()
    }

    /// Pushes the result of `op`.
    #[rustfmt::skip]
    fn value(&mut self, op: &Op) {
        use OpCode as C;
        match op.code {
            C::Add => { self.operands(op).i64_add(); }
            C::Sub => { self.operands(op).i64_sub(); }
            C::And => { self.operands(op).i64_and(); }
            C::Or => { self.operands(op).i64_or(); }
            C::Xor => { self.operands(op).i64_xor(); }
            C::Sll => { self.operands(op).i64_shl(); }
            C::Srl => { self.operands(op).i64_shr_u(); }
            C::Sra => { self.operands(op).i64_shr_s(); }
            C::Slt => { self.operands(op).i64_lt_s().i64_extend_i32_u(); }
            C::Sltu => { self.operands(op).i64_lt_u().i64_extend_i32_u(); }
            C::AddW => { self.words(op).i32_add().i64_extend_i32_s(); }
            C::SubW => { self.words(op).i32_sub().i64_extend_i32_s(); }
            C::SllW => { self.words(op).i32_shl().i64_extend_i32_s(); }
            C::SrlW => { self.words(op).i32_shr_u().i64_extend_i32_s(); }
            C::SraW => { self.words(op).i32_shr_s().i64_extend_i32_s(); }
            C::AddI => { self.operand_and_immediate(op).i64_add(); }
            C::AndI => { self.operand_and_immediate(op).i64_and(); }
            C::OrI => { self.operand_and_immediate(op).i64_or(); }
            C::XorI => { self.operand_and_immediate(op).i64_xor(); }
            C::SllI => { self.operand_and_immediate(op).i64_shl(); }
            C::SrlI => { self.operand_and_immediate(op).i64_shr_u(); }
            C::SraI => { self.operand_and_immediate(op).i64_shr_s(); }
            C::SltI => { self.operand_and_immediate(op).i64_lt_s().i64_extend_i32_u(); }
            C::SltuI => { self.operand_and_immediate(op).i64_lt_u().i64_extend_i32_u(); }
            C::AddIW => { self.word_and_immediate(op).i32_add().i64_extend_i32_s(); }
            C::SllIW => { self.word_and_immediate(op).i32_shl().i64_extend_i32_s(); }
            C::SrlIW => { self.word_and_immediate(op).i32_shr_u().i64_extend_i32_s(); }
            C::SraIW => { self.word_and_immediate(op).i32_shr_s().i64_extend_i32_s(); }
            C::Mov => { self.operand(op); }
            C::Li => { self.w().i64_const(op.imm.into()); }
            C::AddPc => { self.push_pc(i64::from(op.pc) + i64::from(op.imm)); }

            C::Mul => { self.operands(op).i64_mul(); }
            C::Mulh => self.multiply_high(op, true, true),
            C::Mulhsu => self.multiply_high(op, true, false),
            C::Mulhu => self.multiply_high(op, false, false),
            C::MulW => { self.words(op).i32_mul().i64_extend_i32_s(); }
            C::Div => self.divide_signed(op, false),
            C::Rem => self.divide_signed(op, true),
            C::Divu | C::Remu => self.divide_unsigned(op),
            C::DivW | C::RemW => self.divide_words_signed(op),
            C::DivuW | C::RemuW => self.divide_words_unsigned(op),

            C::Sh1Add => self.shift_add(op, 1, false),
            C::Sh2Add => self.shift_add(op, 2, false),
            C::Sh3Add => self.shift_add(op, 3, false),
            C::AddUw => self.shift_add(op, 0, true),
            C::Sh1AddUw => self.shift_add(op, 1, true),
            C::Sh2AddUw => self.shift_add(op, 2, true),
            C::Sh3AddUw => self.shift_add(op, 3, true),
            C::SllIUw => { self.operand(op).i64_const(0xffff_ffff).i64_and().i64_const(op.imm.into()).i64_shl(); }
            C::Andn => { self.operands(op).i64_const(-1).i64_xor().i64_and(); }
            C::Orn => { self.operands(op).i64_const(-1).i64_xor().i64_or(); }
            C::Xnor => { self.operands(op).i64_xor().i64_const(-1).i64_xor(); }
            C::Clz => { self.operand(op).i64_clz(); }
            C::Ctz => { self.operand(op).i64_ctz(); }
            C::Cpop => { self.operand(op).i64_popcnt(); }
            C::ClzW => { self.operand(op).i32_wrap_i64().i32_clz().i64_extend_i32_u(); }
            C::CtzW => { self.operand(op).i32_wrap_i64().i32_ctz().i64_extend_i32_u(); }
            C::CpopW => { self.operand(op).i32_wrap_i64().i32_popcnt().i64_extend_i32_u(); }
            C::Max => { self.choose(op).i64_gt_s().select(); }
            C::Maxu => { self.choose(op).i64_gt_u().select(); }
            C::Min => { self.choose(op).i64_lt_s().select(); }
            C::Minu => { self.choose(op).i64_lt_u().select(); }
            C::SextB => { self.operand(op).i64_extend8_s(); }
            C::SextH => { self.operand(op).i64_extend16_s(); }
            C::ZextH => { self.operand(op).i64_const(0xffff).i64_and(); }
            C::Rol => { self.operands(op).i64_rotl(); }
            C::Ror => { self.operands(op).i64_rotr(); }
            C::RorI => { self.operand_and_immediate(op).i64_rotr(); }
            C::RolW => { self.words(op).i32_rotl().i64_extend_i32_s(); }
            C::RorW => { self.words(op).i32_rotr().i64_extend_i32_s(); }
            C::RorIW => { self.word_and_immediate(op).i32_rotr().i64_extend_i32_s(); }
            C::Rev8 => self.reverse_bytes(op),
            C::OrcB => self.fill_bytes(op),
            C::Bclr => { self.single_bit(op, false).i64_const(-1).i64_xor().i64_and(); }
            C::Binv => { self.single_bit(op, false).i64_xor(); }
            C::Bset => { self.single_bit(op, false).i64_or(); }
            C::BclrI => { self.single_bit(op, true).i64_const(-1).i64_xor().i64_and(); }
            C::BinvI => { self.single_bit(op, true).i64_xor(); }
            C::BsetI => { self.single_bit(op, true).i64_or(); }
            C::Bext => { self.operands(op).i64_shr_u().i64_const(1).i64_and(); }
            C::BextI => { self.operand_and_immediate(op).i64_shr_u().i64_const(1).i64_and(); }
            C::CzeroEqz => { self.zero_if(op).i64_eqz().select(); }
            C::CzeroNez => { self.zero_if(op).i64_const(0).i64_ne().select(); }
            code => unreachable!("{code:?} computes no integer"),
        }
    }

    /// Pushes an address on or relative to the page.
    pub(super) fn push_pc(&mut self, offset: i64) {
        self.w().local_get(local::PAGE).i64_const(offset).i64_add();
    }

    /// Pushes both operands, to select one of, and both again, to compare.
    fn choose(&mut self, op: &Op) -> InstructionSink<'_> {
        self.operands(op);
        self.operands(op)
    }

    /// Pushes zero and the first operand, to select one of, and the second, to test.
    fn zero_if(&mut self, op: &Op) -> InstructionSink<'_> {
        self.w().i64_const(0);
        self.operands(op)
    }

    fn set(&mut self, slot: u8, into: u32) {
        self.read(slot);
        self.w().local_set(into);
    }

    /// The high half of a product, from the products of halves; signed operands that are negative
    /// are too large by 2^64 when taken as unsigned.
    fn multiply_high(&mut self, op: &Op, a_signed: bool, b_signed: bool) {
        use local::{A, B, C, D};
        const LOW: i64 = 0xffff_ffff;
        self.set(op.rs1, A);
        self.set(op.rs2, B);
        let mut w = self.w();
        // C = high(a) * low(b) + high(low(a) * low(b))
        w.local_get(A).i64_const(32).i64_shr_u().local_get(B).i64_const(LOW).i64_and().i64_mul();
        w.local_get(A).i64_const(LOW).i64_and().local_get(B).i64_const(LOW).i64_and().i64_mul();
        w.i64_const(32).i64_shr_u().i64_add().local_set(C);
        // D = low(a) * high(b) + low(C)
        w.local_get(A).i64_const(LOW).i64_and().local_get(B).i64_const(32).i64_shr_u().i64_mul();
        w.local_get(C).i64_const(LOW).i64_and().i64_add().local_set(D);
        w.local_get(A).i64_const(32).i64_shr_u().local_get(B).i64_const(32).i64_shr_u().i64_mul();
        w.local_get(C).i64_const(32).i64_shr_u().i64_add();
        w.local_get(D).i64_const(32).i64_shr_u().i64_add();
        for (signed, this, other) in [(a_signed, A, B), (b_signed, B, A)] {
            if signed {
                w.local_get(this).i64_const(63).i64_shr_s().local_get(other).i64_and().i64_sub();
            }
        }
    }

    /// The divisors 0 and -1 apart: wasm traps on the one, and on the overflow with the other.
    fn divide_signed(&mut self, op: &Op, remainder: bool) {
        use local::{A, B};
        self.set(op.rs1, A);
        self.set(op.rs2, B);
        let mut w = self.w();
        w.local_get(B).i64_const(1).i64_add().i64_const(1).i64_le_u();
        w.if_(BlockType::Result(ValType::I64));
        if remainder {
            w.i64_const(0).local_get(A);
        } else {
            w.i64_const(0).local_get(A).i64_sub().i64_const(-1);
        }
        w.local_get(B).i32_wrap_i64().select();
        w.else_().local_get(A).local_get(B);
        if remainder {
            w.i64_rem_s()
        } else {
            w.i64_div_s()
        };
        w.end();
    }

    fn divide_unsigned(&mut self, op: &Op) {
        use local::{A, B};
        let remainder = op.code == OpCode::Remu;
        self.set(op.rs1, A);
        self.set(op.rs2, B);
        let mut w = self.w();
        w.local_get(B).i64_eqz().if_(BlockType::Result(ValType::I64));
        if remainder {
            w.local_get(A)
        } else {
            w.i64_const(-1)
        };
        w.else_().local_get(A).local_get(B);
        if remainder {
            w.i64_rem_u()
        } else {
            w.i64_div_u()
        };
        w.end();
    }

    /// In 64 bits, where nothing overflows.
    fn divide_words_signed(&mut self, op: &Op) {
        use local::{A, B};
        let remainder = op.code == OpCode::RemW;
        for (slot, into) in [(op.rs1, A), (op.rs2, B)] {
            self.read(slot);
            self.w().i64_extend32_s().local_set(into);
        }
        let mut w = self.w();
        w.local_get(B).i64_eqz().if_(BlockType::Result(ValType::I64));
        if remainder {
            w.local_get(A)
        } else {
            w.i64_const(-1)
        };
        w.else_().local_get(A).local_get(B);
        if remainder {
            w.i64_rem_s()
        } else {
            w.i64_div_s().i64_extend32_s()
        };
        w.end();
    }

    fn divide_words_unsigned(&mut self, op: &Op) {
        use local::{A, B};
        let remainder = op.code == OpCode::RemuW;
        self.set(op.rs1, A);
        self.set(op.rs2, B);
        let mut w = self.w();
        w.local_get(B).i32_wrap_i64().i32_eqz().if_(BlockType::Result(ValType::I32));
        if remainder {
            w.local_get(A).i32_wrap_i64()
        } else {
            w.i32_const(-1)
        };
        w.else_().local_get(A).i32_wrap_i64().local_get(B).i32_wrap_i64();
        if remainder {
            w.i32_rem_u()
        } else {
            w.i32_div_u()
        };
        w.end().i64_extend_i32_s();
    }

    /// Swaps halves, then their halves, then bytes.
    fn reverse_bytes(&mut self, op: &Op) {
        use local::A;
        self.set(op.rs1, A);
        let mut w = self.w();
        for (distance, mask) in [(8, 0x00ff_00ff_00ff_00ff), (16, 0x0000_ffff_0000_ffff)] {
            w.local_get(A).i64_const(distance).i64_shr_u().i64_const(mask).i64_and();
            w.local_get(A).i64_const(mask).i64_and().i64_const(distance).i64_shl();
            w.i64_or().local_set(A);
        }
        w.local_get(A).i64_const(32).i64_rotl();
    }

    /// All ones in each byte that is not zero: bit 7 of a byte becomes set by adding 0x7f unless the rest
    /// is zero, and no carry leaves the byte.
    fn fill_bytes(&mut self, op: &Op) {
        use local::A;
        const SEVEN: i64 = 0x7f7f_7f7f_7f7f_7f7f;
        self.set(op.rs1, A);
        let mut w = self.w();
        w.local_get(A).i64_const(SEVEN).i64_and().i64_const(SEVEN).i64_add();
        w.local_get(A).i64_or().i64_const(7).i64_shr_u();
        w.i64_const(0x0101_0101_0101_0101).i64_and().i64_const(0xff).i64_mul();
    }
}
