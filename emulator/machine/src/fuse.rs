//! Sequences of ops that are dispatched together.
//!
//! Most of an op's cost is finding out which one it is: a jump that the host predicts badly. A sequence that
//! guests execute often has a code of its own, which stands in its first step; the interpreter
//! then executes that many steps, each with its own operands, as if dispatched one by one. So a
//! fused sequence means the same by construction, and an exception in its middle is precise.

use std::sync::LazyLock;

use lithify_isa::OpCode;

use crate::code::Step;

/// Expands to `$callback! { { NAME = OP OP...; ... } OP, OP, ... }`: the sequences, then all ops.
macro_rules! for_each_code {
    ($callback:ident) => {
        lithify_isa::for_each_op_code! { $callback {
            Store64Store64Store64Store64 = Store64 Store64 Store64 Store64;
            Load64Load64Load64Load64 = Load64 Load64 Load64 Load64;
            Store64Store64Store64 = Store64 Store64 Store64;
            Load64Load64Load64 = Load64 Load64 Load64;
            Store64Store64 = Store64 Store64;
            Load64Load64 = Load64 Load64;
            Load64AddIJalr = Load64 AddI Jalr;
            AddPcLoad64Jalr = AddPc Load64 Jalr;
            AddPcLoad64 = AddPc Load64;
            AddPcAddI = AddPc AddI;
            AddPcLoadI32 = AddPc LoadI32;
            SllISrlIAdd = SllI SrlI Add;
            SllIAddLoad64 = SllI Add Load64;
            SllIAdd = SllI Add;
            SllISrlI = SllI SrlI;
            SllIOr = SllI Or;
            SllILi = SllI Li;
            SllIBlt = SllI Blt;
            SllIBge = SllI Bge;
            SllIAddI = SllI AddI;
            SrlISllI = SrlI SllI;
            SrlIAdd = SrlI Add;
            SrlIAndI = SrlI AndI;
            SrlIJalr = SrlI Jalr;
            Load64AddI = Load64 AddI;
            Load64Store64 = Load64 Store64;
            Load64Mov = Load64 Mov;
            Load64Li = Load64 Li;
            Load64Beq = Load64 Beq;
            Load64Bne = Load64 Bne;
            Load64Add = Load64 Add;
            Load64AndI = Load64 AndI;
            Load64SllI = Load64 SllI;
            Load64SrlI = Load64 SrlI;
            Load64Xor = Load64 Xor;
            Load64Jalr = Load64 Jalr;
            Load64Jal = Load64 Jal;
            Load64LoadI32 = Load64 LoadI32;
            Load64AddIW = Load64 AddIW;
            Load64Store32 = Load64 Store32;
            AddIStore64 = AddI Store64;
            AddIJalr = AddI Jalr;
            AddIJal = AddI Jal;
            AddIBne = AddI Bne;
            AddIBeq = AddI Beq;
            AddIBgeu = AddI Bgeu;
            AddILi = AddI Li;
            AddIAddI = AddI AddI;
            AddILoad64 = AddI Load64;
            AddIMov = AddI Mov;
            AddIAdd = AddI Add;
            AddIAnd = AddI And;
            AddISllI = AddI SllI;
            AddIAndI = AddI AndI;
            AddLoad64 = Add Load64;
            AddLoadU8 = Add LoadU8;
            AddLoadU16 = Add LoadU16;
            AddLoadI8 = Add LoadI8;
            AddLoadI32 = Add LoadI32;
            AddAdd = Add Add;
            AddStore64 = Add Store64;
            AddStore8 = Add Store8;
            AddAddI = Add AddI;
            AddAnd = Add And;
            AddBeq = Add Beq;
            AddBne = Add Bne;
            MovMov = Mov Mov;
            MovJal = Mov Jal;
            MovJalr = Mov Jalr;
            MovLoad64 = Mov Load64;
            MovBeq = Mov Beq;
            MovBne = Mov Bne;
            MovAddI = Mov AddI;
            MovStore64 = Mov Store64;
            MovAdd = Mov Add;
            MovBlt = Mov Blt;
            MovLi = Mov Li;
            MovBgeu = Mov Bgeu;
            LiLi = Li Li;
            LiBeq = Li Beq;
            LiBne = Li Bne;
            LiAddI = Li AddI;
            LiMov = Li Mov;
            LiAdd = Li Add;
            LiStore64 = Li Store64;
            LiLoad64 = Li Load64;
            LiJal = Li Jal;
            LiBlt = Li Blt;
            LiBltu = Li Bltu;
            LiSllI = Li SllI;
            LiAddPc = Li AddPc;
            Store64AddPc = Store64 AddPc;
            Store64Load64 = Store64 Load64;
            Store64Mov = Store64 Mov;
            Store64AddI = Store64 AddI;
            Store64Jal = Store64 Jal;
            Store64Li = Store64 Li;
            Store64Beq = Store64 Beq;
            Store64Bne = Store64 Bne;
            Store64Add = Store64 Add;
            Store64AndI = Store64 AndI;
            Store64AddIW = Store64 AddIW;
            Store64LoadU8 = Store64 LoadU8;
            AndIBne = AndI Bne;
            AndIBeq = AndI Beq;
            AndISllI = AndI SllI;
            AndISrlI = AndI SrlI;
            AndIAdd = AndI Add;
            AndILi = AndI Li;
            AndIStore8 = AndI Store8;
            AddIWBeq = AddIW Beq;
            AddIWBne = AddIW Bne;
            AddIWStore32 = AddIW Store32;
            AddIWSllI = AddIW SllI;
            AddIWXor = AddIW Xor;
            AddIWStore16 = AddIW Store16;
            AddIWJal = AddIW Jal;
            LoadU8Bne = LoadU8 Bne;
            LoadU8Beq = LoadU8 Beq;
            LoadU8LoadU8 = LoadU8 LoadU8;
            LoadU8AddI = LoadU8 AddI;
            LoadU8Li = LoadU8 Li;
            LoadU8Mov = LoadU8 Mov;
            LoadU8SllI = LoadU8 SllI;
            LoadU16Bgeu = LoadU16 Bgeu;
            LoadU16Mov = LoadU16 Mov;
            LoadU16AddI = LoadU16 AddI;
            LoadI32AddIW = LoadI32 AddIW;
            LoadI32Load64 = LoadI32 Load64;
            LoadI32Beq = LoadI32 Beq;
            LoadI32Bne = LoadI32 Bne;
            LoadI32Li = LoadI32 Li;
            LoadI32AddI = LoadI32 AddI;
            LoadI32LoadI32 = LoadI32 LoadI32;
            LoadI8Bge = LoadI8 Bge;
            LoadU32LoadU32 = LoadU32 LoadU32;
            AndAdd = And Add;
            AndSllI = And SllI;
            AndAnd = And And;
            AndBeq = And Beq;
            AndBne = And Bne;
            XorAnd = Xor And;
            XorAndI = Xor AndI;
            XorXor = Xor Xor;
            XorAddW = Xor AddW;
            XorStore64 = Xor Store64;
            OrOr = Or Or;
            OrAddW = Or AddW;
            SllIWAddW = SllIW AddW;
            SllIWSrlIW = SllIW SrlIW;
            SllIWOr = SllIW Or;
            SrlIWOr = SrlIW Or;
            SrlIWSllIW = SrlIW SllIW;
            AddWAddW = AddW AddW;
            AddWXor = AddW Xor;
            AddWSllIW = AddW SllIW;
            AddWStore16 = AddW Store16;
            AddWAddIW = AddW AddIW;
            Store8Store8 = Store8 Store8;
            Store8AddIW = Store8 AddIW;
            Store8AddI = Store8 AddI;
            Store32Store32 = Store32 Store32;
            Store32Load64 = Store32 Load64;
            Store32AddI = Store32 AddI;
            Store16AddI = Store16 AddI;
            SrlAndI = Srl AndI;
            SubAddI = Sub AddI;
            BeqLoad64 = Beq Load64;
            BeqLi = Beq Li;
            BeqMov = Beq Mov;
            BeqAddI = Beq AddI;
            BneLoad64 = Bne Load64;
            BneMov = Bne Mov;
            BneLi = Bne Li;
            BneAddI = Bne AddI;
            MulAdd = Mul Add;
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
        let found = BY_FIRST[first.code as usize].iter().find(|(_, parts)| fits(parts));
        let (code, len) = found.map_or((first.code, 1), |(fused, parts)| (*fused, parts.len()));
        steps[at].code = code;
        at += len;
    }
}

#[cfg(test)]
mod tests;
