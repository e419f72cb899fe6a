//! What the oracle cannot judge, because it lacks the instruction or has it wrong: results worked
//! out from the manual (volume I, chapters 12 and 28).

use crate::generate::{Item, Sequence};
use crate::layout::{State, WINDOW, WINDOW_BYTES};
use crate::subjects::{Ours, Subject, assembler_is_there};

/// x10 = operation(x11, x12)
struct Case {
    mnemonic: &'static str,
    instruction: u32,
    operands: [u64; 2],
    result: u64,
}

const CZERO_EQZ: u32 = 0x0ec5_d533;
const CZERO_NEZ: u32 = 0x0ec5_f533;
const CTZW: u32 = 0x6015_951b;

const fn case(mnemonic: &'static str, instruction: u32, operands: [u64; 2], result: u64) -> Case {
    Case { mnemonic, instruction, operands, result }
}

const CASES: &[Case] = &[
    case("czero.eqz", CZERO_EQZ, [0x1234_5678_9abc_def0, 0], 0),
    case("czero.eqz", CZERO_EQZ, [0x1234_5678_9abc_def0, 1 << 63], 0x1234_5678_9abc_def0),
    case("czero.eqz", CZERO_EQZ, [u64::MAX, 1 << 32], u64::MAX),
    case("czero.nez", CZERO_NEZ, [0x1234_5678_9abc_def0, 0], 0x1234_5678_9abc_def0),
    case("czero.nez", CZERO_NEZ, [0x1234_5678_9abc_def0, 1 << 63], 0),
    case("czero.nez", CZERO_NEZ, [u64::MAX, 1 << 32], 0),
    case("ctzw", CTZW, [0, 0], 32),
    case("ctzw", CTZW, [1 << 33, 0], 32),
    case("ctzw", CTZW, [u64::MAX << 31, 0], 31),
];

fn sequence(case: &Case) -> Sequence {
    let mut x = [0; 32];
    x[2] = WINDOW;
    x[11..13].copy_from_slice(&case.operands);
    let window = [0; WINDOW_BYTES as usize / 8];
    Sequence {
        before: State { x, f: [0; 32], fcsr: 0, window },
        items: vec![Item::plain(case.mnemonic, vec![case.instruction])],
    }
}

#[test]
fn instructions_unknown_to_the_oracle_follow_the_manual() {
    if !assembler_is_there() {
        return;
    }
    let sequences: Vec<Sequence> = CASES.iter().map(sequence).collect();
    let states = Ours::new("by-hand").run(&sequences).expect("the sequences run");
    for (case, state) in CASES.iter().zip(states) {
        let Case { mnemonic, operands, result, .. } = case;
        assert_eq!(state.x[10], *result, "{mnemonic} of {operands:x?}");
    }
}
