//! Every sequence, fused and one by one, on an architecture that has nothing but RAM.

use std::rc::Rc;

use super::*;
use crate::arch::{Access, Arch, Trap};
use crate::arena::PAGE_SIZE;
use crate::bus::{GuestMemory, GuestPhysAddr};
use crate::code::next;
use crate::core::{Bus, Core};
use crate::ram::Ram;
use crate::time::Timekeeper;
use lithify_isa::Op;

const BASE: u64 = 0x8000_0000;
const DATA: u64 = BASE + PAGE_SIZE as u64;
const PAGES: usize = 3;
const TRIALS: u64 = 200;
/// Registers that hold addresses of data.
const POINTERS: u64 = 4;
const REGISTERS: u64 = 12;
const BUDGET: i64 = 1000;

/// The exceptions that were raised.
#[derive(Debug, Default, PartialEq)]
struct Flat(Vec<(Trap, u64)>);

#[derive(Debug)]
struct Nothing;

impl Bus for Nothing {
    fn read(&mut self, _at: u64, _size: u8, _memory: &mut dyn GuestMemory) -> Option<u64> {
        None
    }

    fn write(&mut self, _: u64, _: u8, _: u64, _: &mut dyn GuestMemory) -> Option<()> {
        None
    }

    fn poll(&mut self, _memory: &mut dyn GuestMemory) {}

    fn external_interrupt(&self) -> bool {
        false
    }
}

impl Arch for Flat {
    type Board = Nothing;

    fn length(_first_half: u16) -> u16 {
        unreachable!("nothing is decoded")
    }

    fn lift(_instruction: u32, _pc: u16) -> Op {
        unreachable!("nothing is decoded")
    }

    fn translate(_core: &mut Core<Self>, va: u64, _access: Access) -> Result<u64, Trap> {
        Ok(va)
    }

    fn known_to_all(_core: &mut Core<Self>, va: u64, _access: Access) -> Option<u64> {
        Some(va)
    }

    fn system(_core: &mut Core<Self>, _instruction: u32, pc: u64) -> Result<u64, Trap> {
        Ok(pc)
    }

    fn enter_trap(core: &mut Core<Self>, trap: Trap, pc: u64) {
        core.arch.0.push((trap, pc));
    }

    fn status(&self) -> &u64 {
        &0
    }

    fn trap_registers(&self) -> [&u64; 4] {
        [&0; 4]
    }

    fn select_view(_core: &mut Core<Self>) {}

    fn take_interrupt(_core: &mut Core<Self>) {}

    fn prepare_float(_core: &mut Core<Self>) -> Result<(), Trap> {
        Ok(())
    }

    fn illegal(instruction: u32) -> Trap {
        Trap { cause: 2, tval: u64::from(instruction) }
    }

    fn access_fault(va: u64, access: Access) -> Trap {
        Trap { cause: access as u64, tval: va }
    }

    fn misaligned(va: u64, access: Access) -> Trap {
        Trap { cause: 16 + access as u64, tval: va }
    }
}

/// A splitmix64 generator.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// A block of the ops of `codes` with random operands. Most addresses are in RAM.
fn block(codes: &[OpCode], random: &mut Random) -> Vec<Step> {
    let mut steps: Vec<Step> = codes
        .iter()
        .enumerate()
        .map(|(index, &code)| {
            let rs1 = if random.below(8) == 0 { REGISTERS } else { POINTERS };
            Step::new(
                &Op {
                    code,
                    rd: 1 + random.below(REGISTERS) as u8,
                    rs1: 1 + random.below(rs1) as u8,
                    rs2: 1 + random.below(REGISTERS) as u8,
                    rs3: 0,
                    pc: if code == OpCode::Next { PAGE_SIZE as u16 } else { 4 * index as u16 },
                    imm: random.below(128) as i32 - 64,
                },
                index,
            )
        })
        .collect();
    // The end of the page: whatever is behind it, the block ends.
    steps.push(next(PAGE_SIZE as u16, codes.len()));
    steps
}

/// Everything a block can change.
fn outcome(steps: &[Step], seed: u64) -> (Vec<u64>, u64, i64, Flat, Vec<u8>) {
    let mut random = Random(seed);
    let ram = Ram::new(BASE, (PAGES * PAGE_SIZE) as u64);
    let mut core = Core::new(ram, Nothing, Rc::new(Timekeeper::new(0)), Flat::default());
    for (register, value) in core.x.iter_mut().enumerate().skip(1) {
        let pointer = DATA + random.below(PAGE_SIZE as u64 + 64);
        let small = random.below(3);
        let any = random.below(u64::MAX);
        *value = match register as u64 {
            1..=POINTERS => pointer,
            _ if any.is_multiple_of(2) => small,
            _ => any,
        };
    }
    core.pc = BASE;
    core.budget = BUDGET;
    let id = core.code.insert(BASE, 0, steps);
    core.execute(id);
    let mut memory = vec![0; (PAGES - 1) * PAGE_SIZE];
    core.ram.read(GuestPhysAddr(DATA), &mut memory).expect("inside");
    (core.x[..32].to_vec(), core.pc, core.budget, core.arch, memory)
}

#[test]
fn sequences_do_what_their_ops_do_one_by_one() {
    let mut random = Random(1);
    let all = OpCode::ALL;
    for (fused, parts) in SEQUENCES {
        let codes: Vec<OpCode> = parts.iter().map(|part| all[*part as usize]).collect();
        for trial in 0..TRIALS {
            let plain = block(&codes, &mut random);
            let mut together = plain.clone();
            fuse(&mut together);
            assert_eq!(together[0].code, *fused, "the longest sequence that fits");
            assert_eq!(outcome(&together, trial), outcome(&plain, trial), "{fused:?}: {plain:?}");
        }
    }
}

#[test]
fn no_sequence_is_listed_twice_and_none_hides_another() {
    for (at, (fused, parts)) in SEQUENCES.iter().enumerate() {
        let others = &SEQUENCES[at + 1..];
        assert!(others.iter().all(|(_, other)| other != parts), "{fused:?} is listed twice");
        let ends = |part: &Code| OpCode::ALL[*part as usize].ends_block();
        let (_, before) = parts.split_last().expect("a sequence has ops");
        assert!(!before.iter().any(ends), "{fused:?} goes on behind its end");
    }
}
