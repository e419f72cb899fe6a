//! Random instruction sequences that stay inside themselves and inside the window.
//!
//! A few registers hold addresses near the window; no instruction writes them. Jumps go forward,
//! to the start of a later item, so every sequence ends.

use lithify_isa::riscv64::{self, Encoding, all_encodings};
use lithify_isa::{Op, OpCode};

use crate::encode::{
    addi, auipc, bseti, jal, ld, sd, with_b, with_cb, with_cj, with_i, with_j, with_s,
};
use crate::layout::{LAST_REGISTER, State, WINDOW, WINDOW_BYTES};
use crate::random::Random;

const SP: u32 = 2;
const ITEMS: usize = 48;
/// How far a pointer is from the window at most: 12-bit offsets reach all of it.
const POINTER_REACH: u64 = 1500;
/// Draws of 16-bit operands before another instruction is taken.
const DRAWS: usize = 200;

/// Instructions that QEMU's user mode cannot judge: privileged ones, and those this CPU lacks.
pub(crate) const LEFT_OUT: &[&str] = &[
    "c.ebreak",
    "cbo.zero",
    "czero.eqz",
    "czero.nez",
    "ebreak",
    "ecall",
    "fence.i",
    "sfence.vma",
    "sret",
    "wfi",
];

/// Code and the state it starts from.
#[derive(Clone)]
pub(crate) struct Sequence {
    pub(crate) before: State,
    pub(crate) items: Vec<Item>,
}

/// Instructions that only make sense together; jumps go from item to item.
#[derive(Clone)]
pub(crate) struct Item {
    /// The instruction this is about.
    pub(crate) mnemonic: &'static str,
    pub(crate) instructions: Vec<u32>,
    jump: Option<Jump>,
}

/// An offset that is known once the code has its place.
#[derive(Clone)]
struct Jump {
    /// Index of the instruction that holds the offset.
    holder: usize,
    /// Items jumped over.
    over: usize,
    /// The offset, from the item's first instruction, as bits of the holder.
    encode: fn(i32) -> u32,
}

pub(crate) const fn length(instruction: u32) -> usize {
    riscv64::length(instruction as u16) as usize
}

/// The encoding that fixes most bits of `instruction`.
pub(crate) fn mnemonic(instruction: u32) -> &'static str {
    all_encodings()
        .filter(|encoding| length(encoding.bits) == length(instruction))
        .filter(|encoding| encoding.matches(instruction))
        .max_by_key(|encoding| encoding.mask.count_ones())
        .map_or("?", |encoding| encoding.mnemonic)
}

fn bytes_of(instruction: u32) -> impl Iterator<Item = u8> {
    instruction.to_le_bytes().into_iter().take(length(instruction))
}

impl Item {
    pub(crate) fn plain(mnemonic: &'static str, instructions: Vec<u32>) -> Self {
        Self { mnemonic, instructions, jump: None }
    }

    fn bytes(&self) -> usize {
        self.instructions.iter().map(|instruction| length(*instruction)).sum()
    }
}

impl Sequence {
    /// Items that no jump leads over.
    pub(crate) fn surely_executed(&self) -> impl Iterator<Item = &Item> {
        let mut skipped_up_to = 0;
        self.items.iter().enumerate().filter_map(move |(index, item)| {
            let sure = index >= skipped_up_to;
            if let Some(jump) = &item.jump {
                skipped_up_to = skipped_up_to.max(index + 1 + jump.over);
            }
            sure.then_some(item)
        })
    }

    /// The code at `at`, which ends with a jump to `save`.
    pub(crate) fn code(&self, at: u64, save: u64) -> Vec<u8> {
        let mut code: Vec<u8> =
            [ld(30, 31, 30 * 8), ld(31, 31, 31 * 8)].into_iter().flat_map(bytes_of).collect();
        for (index, item) in self.items.iter().enumerate() {
            code.extend(self.resolved(index, item).into_iter().flat_map(bytes_of));
        }
        let slot = LAST_REGISTER.wrapping_sub(self.before.x[SP as usize]) as i32;
        code.extend(bytes_of(sd(31, SP, slot)));
        let here = at + code.len() as u64;
        code.extend(bytes_of(jal(0, save.wrapping_sub(here) as i32)));
        code
    }

    fn resolved(&self, index: usize, item: &Item) -> Vec<u32> {
        let mut instructions = item.instructions.clone();
        if let Some(jump) = &item.jump {
            let end = (index + 1 + jump.over).min(self.items.len());
            let offset: usize = self.items[index..end].iter().map(Item::bytes).sum();
            instructions[jump.holder] |= (jump.encode)(offset as i32);
        }
        instructions
    }
}

/// Makes sequences.
pub(crate) struct Generator {
    random: Random,
    encodings: Vec<&'static Encoding>,
}

/// The registers of one sequence that point near the window.
struct Pointers {
    all: Vec<u32>,
    /// One that is aligned, for atomics.
    aligned: u32,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        let encodings =
            all_encodings().filter(|encoding| !LEFT_OUT.contains(&encoding.mnemonic)).collect();
        Self { random: Random::new(seed), encodings }
    }

    pub(crate) fn sequence(&mut self) -> Sequence {
        let mut before = self.state();
        let pointers = self.pointers(&mut before);
        let mut items = Vec::with_capacity(ITEMS);
        while items.len() < ITEMS {
            let encoding = *self.random.pick(&self.encodings);
            items.extend(
                Draw { random: &mut self.random, before: &before, pointers: &pointers }
                    .item(encoding),
            );
        }
        Sequence { before, items }
    }

    fn state(&mut self) -> State {
        let random = &mut self.random;
        State {
            x: std::array::from_fn(|_| random.integer()),
            f: std::array::from_fn(|_| random.float()),
            fcsr: random.below(5) << 5 | random.below(32),
            window: std::array::from_fn(|_| random.integer()),
        }
    }

    fn pointers(&mut self, before: &mut State) -> Pointers {
        let random = &mut self.random;
        let mut all = vec![SP, 8 + random.below(8) as u32];
        while all.len() < 4 {
            // `c.jalr` writes x1 and could never be drawn without it.
            let register = 3 + random.below(29) as u32;
            if !all.contains(&register) {
                all.push(register);
            }
        }
        for &register in &all {
            let distance = random.below(POINTER_REACH + WINDOW_BYTES);
            let inside = WINDOW + random.below(WINDOW_BYTES);
            let around =
                if random.one_in(2) { WINDOW + WINDOW_BYTES - distance } else { WINDOW + distance };
            before.x[register as usize] = if random.one_in(2) { inside } else { around };
        }
        let aligned = all[3];
        before.x[aligned as usize] &= !7;
        Pointers { all, aligned }
    }
}

/// Drawing one item of a sequence.
struct Draw<'a> {
    random: &'a mut Random,
    before: &'a State,
    pointers: &'a Pointers,
}

impl Draw<'_> {
    fn item(&mut self, encoding: &Encoding) -> Option<Item> {
        let mnemonic = encoding.mnemonic;
        let plain = |instructions| Some(Item::plain(mnemonic, instructions));
        match mnemonic {
            "beq" | "bne" | "blt" | "bge" | "bltu" | "bgeu" => Some(self.branch(encoding)),
            "c.beqz" | "c.bnez" => {
                let source = self.random.below(8) as u32;
                Some(self.jump(mnemonic, vec![encoding.bits | source << 7], 0, with_cb))
            }
            "c.j" => Some(self.jump(mnemonic, vec![encoding.bits], 0, with_cj)),
            "jal" => {
                let instruction = encoding.bits | self.free() << 7;
                Some(self.jump(mnemonic, vec![instruction], 0, with_j))
            }
            "jalr" => Some(self.jump_register(encoding)),
            "c.jr" | "c.jalr" => {
                let target = self.scratch();
                let glue = [auipc(target), addi(target, target, 0), encoding.bits | target << 7];
                Some(self.jump(mnemonic, glue.to_vec(), 1, with_i))
            }
            "ctzw" => plain(self.count_trailing_zeros(encoding)),
            "c.addi16sp" => self.move_stack(encoding),
            _ if mnemonic.starts_with("csr") => plain(vec![self.csr(encoding)]),
            _ if mnemonic.starts_with("lr.") => plain(self.reserved_pair(encoding.bits)),
            _ if mnemonic.starts_with("sc.") => plain(self.store_conditional(encoding)),
            _ if mnemonic.starts_with("amo") => plain(self.atomic(encoding)),
            _ => self.draw(encoding).map(|instruction| Item::plain(mnemonic, vec![instruction])),
        }
    }

    /// Random operands for whatever computes, loads or stores.
    fn draw(&mut self, encoding: &Encoding) -> Option<u32> {
        (0..DRAWS).find_map(|_| {
            let instruction = self.operands(encoding);
            let op = riscv64::lift(instruction, 0);
            let width = width(op.code);
            let fits = op.code != OpCode::Illegal
                && mnemonic(instruction) == encoding.mnemonic
                && !self.writes_pointer(encoding, &op)
                && width.is_none_or(|width| self.is_in_window(&op, width));
            fits.then_some(instruction)
        })
    }

    fn operands(&mut self, encoding: &Encoding) -> u32 {
        let random = self.random.next() as u32;
        if length(encoding.bits) == 2 {
            return encoding.bits | random & !encoding.mask & 0xffff;
        }
        let instruction = encoding.bits | random & !encoding.mask;
        if has_rounding_mode(encoding) {
            return instruction & !0x7000 | self.random.pick(&[0, 1, 2, 3, 4, 7]) << 12;
        }
        match width(riscv64::lift(instruction, 0).code) {
            Some(width) => self.address(instruction, width),
            None => instruction,
        }
    }

    /// Makes a 32-bit load or store one that hits the window, often the page border in it.
    fn address(&mut self, instruction: u32, width: u64) -> u32 {
        let pointer = *self.random.pick(&self.pointers.all);
        let target = if self.random.one_in(4) {
            WINDOW + WINDOW_BYTES / 2 - self.random.below(width)
        } else {
            WINDOW + self.random.below(WINDOW_BYTES - width + 1)
        };
        let offset = target.wrapping_sub(self.before.x[pointer as usize]) as i32;
        let is_store = instruction & 0x20 != 0;
        let (immediate, offset) =
            if is_store { (with_s(-1), with_s(offset)) } else { (with_i(-1), with_i(offset)) };
        instruction & !immediate & !(31 << 15) | offset | pointer << 15
    }

    fn is_in_window(&self, op: &Op, width: u64) -> bool {
        let address = self.before.x[usize::from(op.rs1)].wrapping_add(i64::from(op.imm) as u64);
        self.pointers.all.contains(&u32::from(op.rs1))
            && (WINDOW..=WINDOW + WINDOW_BYTES - width).contains(&address)
    }

    fn writes_pointer(&self, encoding: &Encoding, op: &Op) -> bool {
        !has_float_result(encoding.mnemonic) && self.pointers.all.contains(&u32::from(op.rd))
    }

    fn any(&mut self) -> u32 {
        self.random.below(32) as u32
    }

    /// A register that may be written.
    fn free(&mut self) -> u32 {
        loop {
            let register = self.any();
            if !self.pointers.all.contains(&register) {
                return register;
            }
        }
    }

    /// A register that may be written and keeps what is written.
    fn scratch(&mut self) -> u32 {
        self.other_than(0)
    }

    fn other_than(&mut self, register: u32) -> u32 {
        loop {
            let other = self.free();
            if other != 0 && other != register {
                return other;
            }
        }
    }

    fn jump(
        &mut self,
        mnemonic: &'static str,
        instructions: Vec<u32>,
        holder: usize,
        encode: fn(i32) -> u32,
    ) -> Item {
        let over = self.random.below(7) as usize;
        Item { mnemonic, instructions, jump: Some(Jump { holder, over, encode }) }
    }

    fn branch(&mut self, encoding: &Encoding) -> Item {
        let a = self.any();
        let b = if self.random.one_in(4) { a } else { self.any() };
        self.jump(encoding.mnemonic, vec![encoding.bits | a << 15 | b << 20], 0, with_b)
    }

    /// `jalr` ignores the lowest bit of its target.
    fn jump_register(&mut self, encoding: &Encoding) -> Item {
        let base = self.scratch();
        let instruction = encoding.bits | self.free() << 7 | base << 15;
        let odd = self.random.one_in(2);
        let encode = if odd { |offset| with_i(offset | 1) } else { with_i };
        self.jump(encoding.mnemonic, vec![auipc(base), instruction], 1, encode)
    }

    /// QEMU before 8.0 counts on in the upper half, so a bit is set at the end of the lower one.
    fn count_trailing_zeros(&mut self, encoding: &Encoding) -> Vec<u32> {
        const BIT: u32 = 31;
        let source = self.scratch();
        let bit_set = bseti(source, self.any(), BIT);
        vec![bit_set, encoding.bits | source << 15 | self.free() << 7]
    }

    /// Moves the stack pointer there and back.
    fn move_stack(&mut self, encoding: &Encoding) -> Option<Item> {
        let instruction = encoding.bits | self.random.next() as u32 & !encoding.mask & 0xffff;
        let op = riscv64::lift(instruction, 0);
        let seen = addi(self.free(), SP, 0);
        (op.code != OpCode::Illegal)
            .then(|| Item::plain(encoding.mnemonic, vec![instruction, seen, addi(SP, SP, -op.imm)]))
    }

    /// An access to the float status that leaves a valid rounding mode.
    fn csr(&mut self, encoding: &Encoding) -> u32 {
        const FFLAGS: u32 = 1;
        const FRM: u32 = 2;
        const FCSR: u32 = 3;
        const RNE_TO_RMM: u64 = 5;
        let operand = self.any();
        let (number, operand) = match (encoding.mnemonic, self.random.below(3)) {
            (_, 0) | ("csrrw", _) => (FFLAGS, operand),
            ("csrrwi", 1) => (FRM, self.random.below(RNE_TO_RMM) as u32),
            // Five bits are all flags. Clearing bits of a valid mode leaves a valid one.
            ("csrrwi", _) => (FCSR, operand),
            ("csrrc" | "csrrci", which) => (FRM + u32::from(which == 1), operand),
            (_, which) => (FRM + u32::from(which == 1), 0),
        };
        encoding.bits | number << 20 | operand << 15 | self.free() << 7
    }

    /// `addi` that makes `register` an address in the window, aligned to 4 or 8 bytes as the
    /// width in `instruction` asks.
    fn aim(&mut self, register: u32, instruction: u32) -> u32 {
        let size = if instruction & 0x1000 == 0 { 4 } else { 8 };
        let target = WINDOW + size * self.random.below(WINDOW_BYTES / size);
        let pointer = self.before.x[self.pointers.aligned as usize];
        addi(register, self.pointers.aligned, target.wrapping_sub(pointer) as i32)
    }

    fn atomic(&mut self, encoding: &Encoding) -> Vec<u32> {
        let address = self.scratch();
        let operands = self.any() << 20 | self.free() << 7 | self.ordering();
        vec![self.aim(address, encoding.bits), encoding.bits | operands | address << 15]
    }

    /// `aq` and `rl`.
    fn ordering(&mut self) -> u32 {
        (self.random.below(4) as u32) << 25
    }

    /// `lr`, then `sc` to the same address: what it finds reserved otherwise is up to the
    /// implementation.
    fn reserved_pair(&mut self, load: u32) -> Vec<u32> {
        const SC_INSTEAD_OF_LR: u32 = 1 << 27;
        let address = self.scratch();
        let store = load | SC_INSTEAD_OF_LR | self.any() << 20 | self.free() << 7;
        let load = load | self.other_than(address) << 7 | self.ordering();
        vec![self.aim(address, load), load | address << 15, store | address << 15]
    }

    /// `sc` without a reservation, or twice for one.
    fn store_conditional(&mut self, encoding: &Encoding) -> Vec<u32> {
        const LR_INSTEAD_OF_SC: u32 = 1 << 27;
        let address = self.scratch();
        let store = encoding.bits | address << 15 | self.ordering();
        let first = store | self.any() << 20 | self.other_than(address) << 7;
        let second = store | self.any() << 20 | self.free() << 7;
        let aim = self.aim(address, encoding.bits);
        if self.random.one_in(2) {
            return vec![aim, second];
        }
        let load = (encoding.bits ^ LR_INSTEAD_OF_SC) | address << 15;
        vec![aim, load | self.other_than(address) << 7, first, second]
    }
}

/// Bytes that an op loads or stores.
fn width(code: OpCode) -> Option<u64> {
    use OpCode as C;
    Some(match code {
        C::LoadI8 | C::LoadU8 | C::Store8 => 1,
        C::LoadI16 | C::LoadU16 | C::Store16 => 2,
        C::LoadI32 | C::LoadU32 | C::Store32 | C::LoadF32 | C::StoreF32 => 4,
        C::Load64 | C::Store64 | C::LoadF64 | C::StoreF64 => 8,
        _ => return None,
    })
}

/// A float instruction whose funct3 is free.
fn has_rounding_mode(encoding: &Encoding) -> bool {
    let is_float = matches!(encoding.bits & 0x7f, 0x43 | 0x47 | 0x4b | 0x4f | 0x53);
    is_float && encoding.mask & 0x7000 == 0
}

fn has_float_result(mnemonic: &str) -> bool {
    const INTEGER_RESULTS: [&str; 7] = ["fence", "feq", "flt", "fle", "fclass", "fmv.x", "fcvt.w"];
    let is_float = mnemonic.starts_with('f') || mnemonic.starts_with("c.fl");
    is_float
        && !mnemonic.starts_with("fcvt.l")
        && !INTEGER_RESULTS.iter().any(|prefix| mnemonic.starts_with(prefix))
}
