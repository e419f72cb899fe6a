//! The op: what a guest instruction means, free of its encoding.

/// Slot that takes results nobody may see (a write to the RISC-V `x0`); never read.
pub const SINK: u8 = 255;

/// One micro-operation.
///
/// `rd`, `rs1`, `rs2`, `rs3` number slots of the integer or the float file, as the op code says.
/// Unused fields are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Op {
    /// What to do.
    pub code: OpCode,
    /// Destination slot.
    pub rd: u8,
    /// First source slot.
    pub rs1: u8,
    /// Second source slot.
    pub rs2: u8,
    /// Third source slot, or the rounding mode of a float op that has one (7 = dynamic).
    pub rs3: u8,
    /// Offset of the guest instruction in its 4 KiB page.
    pub pc: u16,
    /// Immediate: sign-extended to 64 bits before use; the raw instruction for
    /// [`OpCode::System`] and [`OpCode::Illegal`].
    pub imm: i32,
}

const _: () = assert!(size_of::<Op>() == 12, "code, four slots, pc, imm");

/// Expands to `$callback! { $extra NAME, NAME, ... }` with the name of every op code, in order, each group
/// under its documentation: for consumers that make one thing of each op.
#[macro_export]
macro_rules! for_each_op_code {
    ($callback:ident $extra:tt) => {
        $callback! {
            $extra
            /// 64-bit integer, register operands.
            Add, Sub, And, Or, Xor, Sll, Srl, Sra, Slt, Sltu,
            /// Low 32 bits, result sign-extended.
            AddW, SubW, SllW, SrlW, SraW,
            /// 64-bit integer, immediate operand.
            AddI, AndI, OrI, XorI, SllI, SrlI, SraI, SltI, SltuI,
            /// Low 32 bits, immediate operand, result sign-extended.
            AddIW, SllIW, SrlIW, SraIW,
            /// `rd = a`.
            Mov,
            /// `rd = imm`.
            Li,
            /// `rd = pc + imm`.
            AddPc,
            /// Multiplication; `Mulh*` give the high half.
            Mul, Mulh, Mulhsu, Mulhu, MulW,
            /// Division with RISC-V results for zero divisors and overflow.
            Div, Divu, Rem, Remu, DivW, DivuW, RemW, RemuW,
            /// `rd = b + (a << n)`, and with `a` zero-extended from 32 bits.
            Sh1Add, Sh2Add, Sh3Add, AddUw, Sh1AddUw, Sh2AddUw, Sh3AddUw, SllIUw,
            /// Bit manipulation.
            Andn, Orn, Xnor, Clz, Ctz, Cpop, ClzW, CtzW, CpopW, Max, Maxu, Min, Minu,
            SextB, SextH, ZextH, Rol, Ror, RorI, RolW, RorW, RorIW, Rev8, OrcB,
            /// Single bits.
            Bclr, Bext, Binv, Bset, BclrI, BextI, BinvI, BsetI,
            /// `rd = b == 0 ? 0 : a`, `rd = b != 0 ? 0 : a`.
            CzeroEqz, CzeroNez,
            /// `rd = [a + imm]`, sign- or zero-extended.
            LoadI8, LoadI16, LoadI32, Load64, LoadU8, LoadU16, LoadU32,
            /// `[a + imm] = b`.
            Store8, Store16, Store32, Store64,
            /// Float file; 32-bit values are NaN-boxed.
            LoadF32, LoadF64, StoreF32, StoreF64,
            /// Conditional branch to `pc + imm`, else to the instruction behind; `rd` is the
            /// instruction's length.
            Beq, Bne, Blt, Bge, Bltu, Bgeu,
            /// `rd = pc + rs2` (`rs2` is the instruction's length), jump to `pc + imm`.
            Jal,
            /// `rd = pc + rs2` (`rs2` is the instruction's length), jump to `(a + imm) & !1`.
            Jalr,
            /// Continue at this op's own `pc`: ends a block that was cut.
            Next,
            /// No effect.
            Nop,
            /// Load-reserved and store-conditional (`rd` = 0 on success).
            LrW, LrD, ScW, ScD,
            /// `rd = [a]; [a] = rd OP b`.
            AmoSwapW, AmoAddW, AmoXorW, AmoAndW, AmoOrW, AmoMinW, AmoMaxW, AmoMinuW, AmoMaxuW,
            AmoSwapD, AmoAddD, AmoXorD, AmoAndD, AmoOrD, AmoMinD, AmoMaxD, AmoMinuD, AmoMaxuD,
            /// binary32, slots of the float file, rounding mode in `rs3`.
            FAddS, FSubS, FMulS, FDivS, FSqrtS,
            /// `±(a * b) ± c`; the rounding mode is in `imm`.
            FMAddS, FMSubS, FNMSubS, FNMAddS,
            FSgnjS, FSgnjnS, FSgnjxS, FMinS, FMaxS, FEqS, FLtS, FLeS, FClassS,
            /// Conversions: destination first, `W`/`L` are 32- and 64-bit integers, `u` unsigned.
            FCvtWS, FCvtWuS, FCvtLS, FCvtLuS, FCvtSW, FCvtSWu, FCvtSL, FCvtSLu,
            FMvXW, FMvWX, FCvtSD, FCvtDS,
            /// binary64.
            FAddD, FSubD, FMulD, FDivD, FSqrtD,
            FMAddD, FMSubD, FNMSubD, FNMAddD,
            FSgnjD, FSgnjnD, FSgnjxD, FMinD, FMaxD, FEqD, FLtD, FLeD, FClassD,
            FCvtWD, FCvtWuD, FCvtLD, FCvtLuD, FCvtDW, FCvtDWu, FCvtDL, FCvtDLu,
            FMvXD, FMvDX,
            /// An instruction only the architecture's own module understands.
            System,
            /// Raises illegal instruction.
            Illegal,
        }
    };
}

macro_rules! op_codes {
    ({} $($(#[$doc:meta])* $name:ident,)*) => {
        /// All ops. `a` and `b` are the values of `rs1` and `rs2`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        #[expect(missing_docs, reason = "groups are documented at their first member")]
        pub enum OpCode {
            $($(#[$doc])* $name,)*
        }

        impl OpCode {
            /// Every op code, in order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

for_each_op_code!(op_codes {});

impl OpCode {
    /// Whether execution never goes on at the instruction behind this one by itself.
    #[must_use]
    pub fn ends_block(self) -> bool {
        matches!(self, Self::Jal | Self::Jalr | Self::Next | Self::System | Self::Illegal)
    }

    /// Whether this stores to memory.
    #[must_use]
    pub fn writes_memory(self) -> bool {
        let store = matches!(self, Self::Store8 | Self::Store16 | Self::Store32 | Self::Store64);
        let atomic = Self::ScW <= self && self <= Self::AmoMaxuD;
        store || atomic || matches!(self, Self::StoreF32 | Self::StoreF64)
    }

    /// Whether this loads from memory or stores to it.
    #[must_use]
    pub fn accesses_memory(self) -> bool {
        let accesses = Self::LoadI8 <= self && self <= Self::StoreF64;
        accesses || (Self::LrW <= self && self <= Self::AmoMaxuD)
    }

    /// Whether this is a conditional branch.
    #[must_use]
    pub fn is_branch(self) -> bool {
        matches!(self, Self::Beq | Self::Bne | Self::Blt | Self::Bge | Self::Bltu | Self::Bgeu)
    }
}
