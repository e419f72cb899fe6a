//! Sequences of ops that are dispatched together.
//!
//! Most of an op's cost is finding out which one it is: a jump that the host predicts badly. A
//! sequence that guests execute often has a code of its own, which stands in its first step; the
//! interpreter then executes that many steps, each with its own operands, as if dispatched one by
//! one. So a fused sequence means the same by construction, and an exception in its middle is
//! precise.
//!
//! The list is what saves most dispatches in a run of bash, python, perl, gzip and the kernel under
//! system calls, forks and pipes: nearly every second one. Each arm costs some hundred bytes of
//! code.

use std::sync::LazyLock;

use lithify_isa::OpCode;

use crate::code::Step;

/// Expands to `$callback! { { NAME = OP OP...; ... } OP, OP, ... }`: the sequences, then all ops.
macro_rules! for_each_code {
    ($callback:ident) => {
        lithify_isa::for_each_op_code! { $callback {
            AddAdd = Add Add;
            AddAddI = Add AddI;
            AddAnd = Add And;
            AddBgeu = Add Bgeu;
            AddBne = Add Bne;
            AddJal = Add Jal;
            AddLoad64 = Add Load64;
            AddLoadU8 = Add LoadU8;
            AddStore64 = Add Store64;
            AddLoadU8Bne = Add LoadU8 Bne;
            AddStore8Bne = Add Store8 Bne;
            AddXorIAnd = Add XorI And;
            AddIAdd = AddI Add;
            AddIAddI = AddI AddI;
            AddIBeq = AddI Beq;
            AddIBge = AddI Bge;
            AddIBltu = AddI Bltu;
            AddIBne = AddI Bne;
            AddIJal = AddI Jal;
            AddIJalr = AddI Jalr;
            AddILi = AddI Li;
            AddILoadU8 = AddI LoadU8;
            AddIMov = AddI Mov;
            AddISllI = AddI SllI;
            AddIStore64 = AddI Store64;
            AddISub = AddI Sub;
            AddIAndLiOr = AddI And Li Or;
            AddIWAddIW = AddIW AddIW;
            AddIWBeq = AddIW Beq;
            AddIWBne = AddIW Bne;
            AddIWLoad64 = AddIW Load64;
            AddIWSrlIW = AddIW SrlIW;
            AddIWStore32 = AddIW Store32;
            AddIWXor = AddIW Xor;
            AddIWStore16Store16Bne = AddIW Store16 Store16 Bne;
            AddPcAddI = AddPc AddI;
            AddPcJalr = AddPc Jalr;
            AddPcLoad64 = AddPc Load64;
            AddPcLoadI32 = AddPc LoadI32;
            AddWAddIW = AddW AddIW;
            AddWAddW = AddW AddW;
            AddWOr = AddW Or;
            AddWSllIW = AddW SllIW;
            AddWStore16 = AddW Store16;
            AddWXor = AddW Xor;
            AndAdd = And Add;
            AndBeq = And Beq;
            AndBne = And Bne;
            AndStore32 = And Store32;
            AndAndAddW = And And AddW;
            AndIAdd = AndI Add;
            AndIAddI = AndI AddI;
            AndIBeq = AndI Beq;
            AndIBne = AndI Bne;
            AndILi = AndI Li;
            AndILoadI32 = AndI LoadI32;
            AndISubBltu = AndI Sub Bltu;
            AndIXorISllIWSrl = AndI XorI SllIW Srl;
            BeqAdd = Beq Add;
            BeqAddI = Beq AddI;
            BeqBeq = Beq Beq;
            BeqLi = Beq Li;
            BeqLoad64 = Beq Load64;
            BeqLoadI32 = Beq LoadI32;
            BeqNext = Beq Next;
            BeqStore64 = Beq Store64;
            BgeuNext = Bgeu Next;
            BltNext = Blt Next;
            BltuNext = Bltu Next;
            BneLi = Bne Li;
            BneLoad64 = Bne Load64;
            BneLoadI32 = Bne LoadI32;
            BneNext = Bne Next;
            LiAdd = Li Add;
            LiAddI = Li AddI;
            LiAndI = Li AndI;
            LiBeq = Li Beq;
            LiBge = Li Bge;
            LiBgeu = Li Bgeu;
            LiBltu = Li Bltu;
            LiBne = Li Bne;
            LiJal = Li Jal;
            LiLi = Li Li;
            LiMov = Li Mov;
            LiSllI = Li SllI;
            LiSrlI = Li SrlI;
            LiStore64 = Li Store64;
            LiSllAddISll = Li Sll AddI Sll;
            LiStore32LiStore32 = Li Store32 Li Store32;
            Load64Add = Load64 Add;
            Load64AddI = Load64 AddI;
            Load64AddIW = Load64 AddIW;
            Load64And = Load64 And;
            Load64AndI = Load64 AndI;
            Load64Beq = Load64 Beq;
            Load64Blt = Load64 Blt;
            Load64Bltu = Load64 Bltu;
            Load64Bne = Load64 Bne;
            Load64Jal = Load64 Jal;
            Load64Jalr = Load64 Jalr;
            Load64Li = Load64 Li;
            Load64Load64 = Load64 Load64;
            Load64LoadI32 = Load64 LoadI32;
            Load64LoadU8 = Load64 LoadU8;
            Load64Mov = Load64 Mov;
            Load64Next = Load64 Next;
            Load64SllI = Load64 SllI;
            Load64SrlI = Load64 SrlI;
            Load64Store64 = Load64 Store64;
            Load64Sub = Load64 Sub;
            Load64Xor = Load64 Xor;
            Load64LoadU16Bgeu = Load64 LoadU16 Bgeu;
            Load64Load64Load64Load64 = Load64 Load64 Load64 Load64;
            LoadF64LoadF64LoadF64LoadF64 = LoadF64 LoadF64 LoadF64 LoadF64;
            LoadI32AddI = LoadI32 AddI;
            LoadI32AddIW = LoadI32 AddIW;
            LoadI32Beq = LoadI32 Beq;
            LoadI32Bne = LoadI32 Bne;
            LoadI32Li = LoadI32 Li;
            LoadI32Load64 = LoadI32 Load64;
            LoadI32LoadI32 = LoadI32 LoadI32;
            LoadI32Store64 = LoadI32 Store64;
            LoadI32AddJalr = LoadI32 Add Jalr;
            LoadI32BltBne = LoadI32 Blt Bne;
            LoadI32XorLoadU8AddIW = LoadI32 Xor LoadU8 AddIW;
            LoadI8BgeNext = LoadI8 Bge Next;
            LoadU16AddI = LoadU16 AddI;
            LoadU16MovStore16 = LoadU16 Mov Store16;
            LoadU16BgeuAddIWBeq = LoadU16 Bgeu AddIW Beq;
            LoadU32LoadU32 = LoadU32 LoadU32;
            LoadU8AddI = LoadU8 AddI;
            LoadU8Beq = LoadU8 Beq;
            LoadU8Bne = LoadU8 Bne;
            LoadU8LoadU8 = LoadU8 LoadU8;
            LoadU8Store8 = LoadU8 Store8;
            LoadU8LiSllISll = LoadU8 Li SllI Sll;
            LoadU8MovSubWBne = LoadU8 Mov SubW Bne;
            LoadU8SrlIAddIXor = LoadU8 SrlI AddI Xor;
            LrDBneScDBne = LrD Bne ScD Bne;
            MovAdd = Mov Add;
            MovAddI = Mov AddI;
            MovAndI = Mov AndI;
            MovBeq = Mov Beq;
            MovBge = Mov Bge;
            MovBgeu = Mov Bgeu;
            MovBlt = Mov Blt;
            MovBltu = Mov Bltu;
            MovBne = Mov Bne;
            MovJal = Mov Jal;
            MovLi = Mov Li;
            MovLoad64 = Mov Load64;
            MovMov = Mov Mov;
            MovSrlIMulSub = Mov SrlI Mul Sub;
            OrOr = Or Or;
            OrStore32 = Or Store32;
            OrXor = Or Xor;
            SllIAdd = SllI Add;
            SllIAddI = SllI AddI;
            SllIBge = SllI Bge;
            SllIBlt = SllI Blt;
            SllIOr = SllI Or;
            SllISllI = SllI SllI;
            SllISrlI = SllI SrlI;
            SllILiBlt = SllI Li Blt;
            SllISrlIAdd = SllI SrlI Add;
            SllIWOr = SllIW Or;
            SllIWSrlIW = SllIW SrlIW;
            SrlAndIStore8AddIW = Srl AndI Store8 AddIW;
            SrlIAndI = SrlI AndI;
            SrlILi = SrlI Li;
            SrlISllI = SrlI SllI;
            SrlIWSllIW = SrlIW SllIW;
            SrlIWSrlIW = SrlIW SrlIW;
            SrlIWAddIWSllIW = SrlIW AddIW SllIW;
            Store32Li = Store32 Li;
            Store32Load64 = Store32 Load64;
            Store32Store32 = Store32 Store32;
            Store32AddIWAnd = Store32 AddIW And;
            Store64Add = Store64 Add;
            Store64AddI = Store64 AddI;
            Store64AddIW = Store64 AddIW;
            Store64AddPc = Store64 AddPc;
            Store64AndI = Store64 AndI;
            Store64Beq = Store64 Beq;
            Store64Bne = Store64 Bne;
            Store64Jal = Store64 Jal;
            Store64Jalr = Store64 Jalr;
            Store64Li = Store64 Li;
            Store64Load64 = Store64 Load64;
            Store64LoadI32 = Store64 LoadI32;
            Store64Mov = Store64 Mov;
            Store64SllI = Store64 SllI;
            Store64Store64 = Store64 Store64;
            Store64Xor = Store64 Xor;
            Store64Store64Store64Store64 = Store64 Store64 Store64 Store64;
            Store8Store8Store8Store8 = Store8 Store8 Store8 Store8;
            SubMul = Sub Mul;
            SubSllI = Sub SllI;
            SubLoad64BgeAddI = Sub Load64 Bge AddI;
            SubOrXorISraI = Sub Or XorI SraI;
            XorOr = Xor Or;
            XorXor = Xor Xor;
            XorIAddILoadI32SraI = XorI AddI LoadI32 SraI;
        } }
    };
}
pub(crate) use for_each_code;

macro_rules! codes {
    ({ $($fused:ident = $($part:ident)+;)* } $($(#[$doc:meta])* $plain:ident,)*) => {
        /// What the interpreter dispatches on: an op or a sequence of ops.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u16)]
        pub(crate) enum Code {
            $($plain,)*
            $($fused,)*
            /// Enters translated code; the block's instructions follow.
            Translated,
            /// Says that it is executed; the block's instructions follow.
            Note,
        }

        impl Code {
            pub(crate) const fn plain(op: OpCode) -> Self {
                match op {
                    $(OpCode::$plain => Self::$plain,)*
                }
            }
        }

        const SEQUENCES: &[Sequence] =
            &[$((Code::$fused, &[$(Code::$part),+]),)*];
    };
}

for_each_code!(codes);

/// A code and the ops it stands for.
type Sequence = (Code, &'static [Code]);

impl Code {
    /// What a step with this code does first.
    fn first(self) -> Self {
        let sequence = SEQUENCES.iter().find(|(fused, _)| *fused == self);
        sequence.map_or(self, |(_, parts)| parts[0])
    }

    /// Whether the step leads to another block by a link.
    pub(crate) fn has_link(self) -> bool {
        use Code::{Beq, Bge, Bgeu, Blt, Bltu, Bne, Jal, Next};
        matches!(self.first(), Beq | Bne | Blt | Bge | Bltu | Bgeu | Jal | Next)
    }
}

/// The sequences by their first op, the longest first.
static BY_FIRST: LazyLock<Vec<Vec<Sequence>>> = LazyLock::new(|| {
    let mut table = vec![Vec::new(); OpCode::ALL.len()];
    for &(fused, parts) in SEQUENCES {
        table[parts[0] as usize].push((fused, parts));
    }
    for sequences in &mut table {
        sequences.sort_by_key(|(_, parts)| std::cmp::Reverse(parts.len()));
    }
    table
});

/// Marks the sequences in the steps of a block, from its start, the longest that fits first.
pub(crate) fn fuse(steps: &mut [Step]) {
    let mut at = 0;
    while let Some(first) = steps.get(at) {
        let fits = |parts: &[Code]| {
            steps[at..].iter().map(|step| step.code).take(parts.len()).eq(parts.iter().copied())
        };
        // A note between two ops begins none.
        let sequences = BY_FIRST.get(first.code as usize);
        let found = sequences.into_iter().flatten().find(|(_, parts)| fits(parts));
        let (code, len) = found.map_or((first.code, 1), |(fused, parts)| (*fused, parts.len()));
        steps[at].code = code;
        at += len;
    }
}

#[cfg(test)]
mod tests;
