//! Which registers differ by a constant, and which of the memory around such values the TLB was asked
//! for already.
//!
//! The accesses of a block that have the same base are checked together, at the first: one compare for
//! up to [`MAX_SPAN`] bytes. The merged check fails where the bytes are on two pages, although each access
//! may be inside one; the interpreter executes those. Where bytes are in their page is known if their base is a
//! constant or the program counter: then accesses to two pages are not merged.

use lithify_isa::translation::PAGE_SIZE;
use lithify_isa::{Op, OpCode};

use crate::system;

/// Bytes that one check covers at most.
const MAX_SPAN: i64 = 512;
/// Constants beyond make a value of its own.
const MAX_DELTA: i64 = 1 << 20;
/// Constants beyond are no addresses.
const MAX_ADDRESS: i64 = 1 << 40;
/// Checks remembered at a time.
const MAX_CHECKS: usize = 12;

/// A value and a constant to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value {
    id: u32,
    delta: i64,
}

/// What is always in `x0`: constants are so far from it.
const ZERO: u32 = 0;
/// The address of the page that the code is on.
const CODE_PAGE: u32 = 32;

impl Value {
    /// Whether it is known how far behind the start of a page this is.
    const fn is_placed(self) -> bool {
        self.id == ZERO || self.id == CODE_PAGE
    }

    /// The sum, unless that is better a value of its own.
    fn plus(self, constant: i64) -> Option<Self> {
        let delta = self.delta + constant;
        let most = if self.is_placed() { MAX_ADDRESS } else { MAX_DELTA };
        (delta.abs() < most).then_some(Self { delta, ..self })
    }
}

/// The values in the integer registers.
#[derive(Debug, Clone)]
pub(super) struct Values {
    of: [Value; 32],
    next: u32,
    /// What of the integer registers stays the same in the loop or moves in constant steps.
    steady: u32,
    /// Registers that are such a one plus something small.
    near: u32,
    /// Float registers that are known to hold a boxed binary32, which is in a local as such.
    singles: u32,
    /// What the value of each register is at most.
    most: [u64; 32],
}

const UNBOUNDED: u64 = u64::MAX;
/// Tables up to this size are few pages.
const SMALL: u64 = 1 << 13;

impl Values {
    pub(super) fn new() -> Self {
        Self::in_loop(0)
    }

    /// In a loop that leaves the registers `steady` alone or moves them in constant steps.
    pub(super) fn in_loop(steady: u32) -> Self {
        let of = std::array::from_fn(|slot| Value { id: slot as u32, delta: 0 });
        Self { of, next: CODE_PAGE + 1, steady, near: 0, singles: 0, most: [UNBOUNDED; 32] }
    }

    /// Whether the float register `slot` is in a local as a binary32.
    pub(super) fn is_single(&self, slot: u8) -> bool {
        self.singles & 1 << (slot & 31) != 0
    }

    pub(super) fn set_single(&mut self, slot: u8, is_single: bool) {
        let bit = 1 << (slot & 31);
        self.singles = if is_single { self.singles | bit } else { self.singles & !bit };
    }

    /// Whether addresses in `slot` are likely to stay on a page for some iterations of the loop.
    pub(super) fn is_near(&self, slot: u8) -> bool {
        (self.steady | self.near) & 1u32.checked_shl(slot.into()).unwrap_or(0) != 0
    }

    fn is_steady(&self, slot: u8) -> bool {
        slot != 0 && self.steady & 1u32.checked_shl(slot.into()).unwrap_or(0) != 0
    }

    fn bound(&self, slot: u8) -> u64 {
        self.most.get(usize::from(slot)).copied().unwrap_or(UNBOUNDED)
    }

    /// What the result of `op` is at most.
    fn bound_of(&self, op: &Op) -> u64 {
        use OpCode as C;
        let times = |bound: u64, shift: i32| bound.saturating_mul(1 << (shift & 63));
        match op.code {
            C::Mov => self.bound(op.rs1),
            C::AndI if op.imm >= 0 => op.imm.unsigned_abs().into(),
            C::LoadU8 => 0xff,
            C::AddI if op.imm >= 0 => {
                self.bound(op.rs1).saturating_add(op.imm.unsigned_abs().into())
            }
            C::SllI => times(self.bound(op.rs1), op.imm),
            C::SrlI => self.bound(op.rs1) >> (op.imm & 63),
            C::SrlIW if op.imm & 31 > 0 => u64::from(u32::MAX >> (op.imm & 31)),
            C::Sh1Add | C::Sh2Add | C::Sh3Add | C::Add => {
                let shift = match op.code {
                    C::Add => 0,
                    C::Sh1Add => 1,
                    C::Sh2Add => 2,
                    _ => 3,
                };
                times(self.bound(op.rs1), shift).saturating_add(self.bound(op.rs2))
            }
            _ => UNBOUNDED,
        }
    }

    /// Whether `op` adds something small to a steady register.
    fn moves_little(&self, op: &Op) -> bool {
        use OpCode as C;
        let is_small = |slot, scale: u64| self.bound(slot) <= SMALL / scale;
        match op.code {
            C::Add => {
                is_small(op.rs1, 1) && self.is_steady(op.rs2)
                    || is_small(op.rs2, 1) && self.is_steady(op.rs1)
            }
            C::Sh1Add => is_small(op.rs1, 2) && self.is_steady(op.rs2),
            C::Sh2Add => is_small(op.rs1, 4) && self.is_steady(op.rs2),
            C::Sh3Add => is_small(op.rs1, 8) && self.is_steady(op.rs2),
            C::AddI | C::Mov => self.is_near(op.rs1),
            _ => false,
        }
    }

    pub(super) fn of(&self, slot: u8) -> Value {
        self.of[usize::from(slot)]
    }

    /// `op` is executed.
    pub(super) fn step(&mut self, op: &Op) {
        let writes_integer = !matches!(
            op.code,
            OpCode::LoadF32 | OpCode::LoadF64 | OpCode::StoreF32 | OpCode::StoreF64 | OpCode::Nop
        ) && !(OpCode::Store8..=OpCode::Store64).contains(&op.code);
        let slot = usize::from(op.rd);
        // A float op with a float result forgets an integer register in vain.
        if !writes_integer || slot == 0 || slot >= self.of.len() {
            return;
        }
        let source = self.of(op.rs1);
        let known = match op.code {
            OpCode::AddI => source.plus(op.imm.into()),
            OpCode::Mov => Some(source),
            OpCode::Li => Some(Value { id: ZERO, delta: op.imm.into() }),
            OpCode::AddPc => {
                Some(Value { id: CODE_PAGE, delta: i64::from(op.pc) + i64::from(op.imm) })
            }
            _ => None,
        };
        let (most, near) = (self.bound_of(op), self.moves_little(op));
        self.most[slot] = most;
        self.near = self.near & !(1 << slot) | u32::from(near) << slot;
        self.of[slot] = known.unwrap_or_else(|| {
            self.next += 1;
            Value { id: self.next - 1, delta: 0 }
        });
    }
}

/// Bytes around a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) id: u32,
    pub(super) start: i64,
    pub(super) end: i64,
    /// Whether the check was for stores, which includes loads: what can be written can be read.
    pub(super) store: bool,
    /// The page, if what it is relative to is known.
    page: Option<i64>,
}

impl Span {
    fn covers(&self, other: &Self) -> bool {
        let inside = self.start <= other.start && other.end <= self.end;
        self.id == other.id && inside && (self.store || !other.store)
    }

    /// Both as one, if that is not too long and may be on one page.
    fn merged(&self, other: &Self) -> Option<Self> {
        let (start, end) = (self.start.min(other.start), self.end.max(other.end));
        let one_page = self.id == other.id && self.page == other.page;
        let fits = one_page && end - start <= MAX_SPAN;
        fits.then_some(Self { start, end, store: self.store || other.store, ..*self })
    }
}

/// A span whose host address is in a local.
#[derive(Debug, Clone, Copy)]
pub(super) struct Check {
    pub(super) span: Span,
    pub(super) local: u32,
}

/// Checks that hold here, the latest last.
#[derive(Debug, Clone, Default)]
pub(super) struct Checks(Vec<Check>);

impl Checks {
    pub(super) fn find(&self, wanted: &Span) -> Option<Check> {
        self.0.iter().rev().find(|check| check.span.covers(wanted)).copied()
    }

    /// The local of the oldest check, which is forgotten, if there are too many.
    pub(super) fn make_room(&mut self) -> Option<u32> {
        (self.0.len() == MAX_CHECKS).then(|| self.0.remove(0).local)
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    pub(super) fn add(&mut self, check: Check) {
        self.0.push(check);
    }

    /// The locals in use.
    pub(super) fn locals(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|check| check.local)
    }
}

/// Bytes that a load or store accesses.
fn width(code: OpCode) -> Option<i64> {
    use OpCode as C;
    Some(match code {
        C::LoadI8 | C::LoadU8 | C::Store8 => 1,
        C::LoadI16 | C::LoadU16 | C::Store16 => 2,
        C::LoadI32 | C::LoadU32 | C::Store32 | C::LoadF32 | C::StoreF32 => 4,
        C::Load64 | C::Store64 | C::LoadF64 | C::StoreF64 => 8,
        _ => return None,
    })
}

/// The bytes that `op` accesses, if it is a plain load or store.
pub(super) fn span(op: &Op, values: &Values) -> Option<Span> {
    let width = width(op.code)?;
    let store = (OpCode::Store8..=OpCode::Store64).contains(&op.code)
        || matches!(op.code, OpCode::StoreF32 | OpCode::StoreF64);
    let value = values.of(op.rs1);
    let start = value.delta + i64::from(op.imm);
    let page = value.is_placed().then(|| start.div_euclid(PAGE_SIZE as i64));
    Some(Span { id: value.id, start, end: start + width, store, page })
}

/// For each op that is a load or store, the bytes to check there if none of the checks before covers it.
pub(super) fn plan(ops: &[Op], mut values: Values) -> Vec<Option<Span>> {
    // Group of each op, and the spans of the groups.
    let mut groups: Vec<Option<usize>> = Vec::with_capacity(ops.len());
    let mut spans: Vec<Span> = Vec::new();
    // Groups before are of another view of the memory.
    let mut first = 0;
    for (at, op) in ops.iter().enumerate() {
        if system::changes_view(ops, at) {
            first = spans.len();
        }
        groups.push(span(op, &values).map(|span| {
            let merged = |group: &Span| group.merged(&span);
            let mut groups = spans.iter().enumerate().skip(first).rev();
            match groups.find_map(|(at, group)| Some((at, merged(group)?))) {
                Some((at, merged)) => {
                    spans[at] = merged;
                    at
                }
                None => {
                    spans.push(span);
                    spans.len() - 1
                }
            }
        }));
        values.step(op);
    }
    groups.into_iter().map(|group| group.map(|group| spans[group])).collect()
}

#[cfg(test)]
mod tests {
    use lithify_isa::riscv64::lift;

    use super::*;

    const A4: u8 = 14;
    const A5: u8 = 15;
    const SP: u8 = 2;

    fn op(code: OpCode, rd: u8, rs1: u8, imm: i32) -> Op {
        Op { code, rd, rs1, rs2: 0, rs3: 0, imm, pc: 0 }
    }

    fn load(base: u8, offset: i32) -> Op {
        op(OpCode::Load64, 10, base, offset)
    }

    /// The lengths of what is checked for each load or store of `ops`.
    fn lengths(ops: &[Op]) -> Vec<i64> {
        plan(ops, Values::new()).iter().flatten().map(|span| span.end - span.start).collect()
    }

    #[test]
    fn accesses_in_two_views_are_checked_apart() {
        let status = |word| system::access(&lift(word, 0)).expect("one that is compiled");
        let unlock = status(0x1007_a073); // csrs sstatus, a5
        let disable = status(0x1001_7073); // csrci sstatus, 2
        let cases = [(unlock, [8, 16, 16]), (disable, [40, 40, 40])];
        for (between, expected) in cases {
            let ops = [load(SP, 0), between, load(SP, 24), load(SP, 32)];
            assert_eq!(lengths(&ops), expected, "{between:?}");
        }
    }

    #[test]
    fn accesses_are_checked_together_unless_they_are_known_to_be_on_two_pages() {
        use OpCode::{AddI, AddPc, Li};
        let cases: [(&[Op], &[i64]); 6] = [
            (&[load(SP, 0), load(SP, 56)], &[64, 64]),
            (&[load(SP, 0), load(SP, 1024), load(SP, 8)], &[16, 8, 16]),
            (&[op(Li, A5, 0, 0x5000), load(A5, 0), load(A5, 8)], &[16, 16]),
            (&[op(Li, A5, 0, 0x5000), load(A5, -8), load(A5, 0), load(A5, -16)], &[16, 8, 16]),
            (
                &[op(Li, A5, 0, 0x5000), op(AddI, A4, A5, 2000), load(A4, 0), load(A5, 1992)],
                &[16, 16],
            ),
            (&[op(AddPc, A5, 0, 0xff8), load(A5, 0), load(A5, 8), load(A5, 16)], &[8, 16, 16]),
        ];
        for (ops, expected) in cases {
            assert_eq!(lengths(ops), expected, "{ops:?}");
        }
    }
}
