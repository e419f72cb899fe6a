//! Where things are in memory; the offsets restate those of `harness.S`.
//!
//! ```text
//! BASE                  harness
//! BASE + VARIABLES      its variables
//! BASE + CODE           the sequences, one behind the other
//! BASE + MAX_CODE       two pages, on whose border the window lies
//! BASE + RECORDS        records
//! ```

use crate::generate::Sequence;

/// Where the harness is linked: a riscv64 kernel's place on our platform.
pub(crate) const BASE: u64 = 0x8020_0000;
const SAVE: u64 = BASE + 64;
const VARIABLES: u64 = BASE + 0x1000;
const CODE: u64 = BASE + 0x2000;
const PAGE: u64 = 0x1000;

/// Less than the reach of the `jal` from a sequence's end to the harness.
const MAX_CODE: u64 = 1 << 19;

/// The memory a sequence works on.
pub(crate) const WINDOW: u64 = BASE + MAX_CODE + PAGE - WINDOW_BYTES / 2;
pub(crate) const WINDOW_BYTES: u64 = 256;
/// Where a sequence leaves x31 at its end.
pub(crate) const LAST_REGISTER: u64 = WINDOW + WINDOW_BYTES;
const RECORDS: u64 = BASE + MAX_CODE + 2 * PAGE;

/// Times every sequence runs, from where it stopped: after the first time its code is decoded already,
/// and its operands are its own results.
pub(crate) const PASSES: u64 = 8;

/// Registers and memory, before or after.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// The first is not `x0` but the address of the sequence.
    pub(crate) x: [u64; 32],
    pub(crate) f: [u64; 32],
    pub(crate) fcsr: u64,
    pub(crate) window: [u64; WINDOW_BYTES as usize / 8],
}

impl State {
    pub(crate) const BYTES: usize = 8 * (32 + 32 + 1) + WINDOW_BYTES as usize;

    pub(crate) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.x.iter().chain(&self.f).chain([&self.fcsr]).chain(&self.window).copied()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let mut words = bytes
            .chunks_exact(8)
            .map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")));
        let mut word = || words.next().expect("a whole record");
        Self {
            x: std::array::from_fn(|_| word()),
            f: std::array::from_fn(|_| word()),
            fcsr: word(),
            window: std::array::from_fn(|_| word()),
        }
    }
}

/// Memory from [`BASE`] on that runs `sequences` and ends with their records.
pub(crate) fn image(harness: &[u8], sequences: &[Sequence]) -> Vec<u8> {
    let mut image = harness.to_vec();
    image.resize((CODE - BASE) as usize, 0);
    let mut records = Vec::with_capacity(sequences.len() * State::BYTES);
    for sequence in sequences {
        let at = BASE + image.len() as u64;
        image.extend(sequence.code(at, SAVE));
        let mut before = sequence.before.clone();
        before.x[0] = at;
        records.extend(before.words().flat_map(u64::to_le_bytes));
    }
    assert!(image.len() <= MAX_CODE as usize, "{} bytes of code", image.len());
    image.resize((RECORDS - BASE) as usize, 0);
    let variables = [RECORDS, RECORDS + records.len() as u64, PASSES, WINDOW];
    for (at, value) in (VARIABLES - BASE..).step_by(8).zip(variables) {
        image[at as usize..][..8].copy_from_slice(&value.to_le_bytes());
    }
    image.extend(records);
    image
}

/// The image as a Linux program: one segment, all of it writable code (ELF-64 Object File Format;
/// RISC-V ELF Specification).
pub(crate) fn elf(image: &[u8]) -> Vec<u8> {
    const EXEC: u16 = 2;
    const RISCV: u16 = 243;
    const RVC_AND_DOUBLE_ABI: u32 = 5;
    const LOAD: u32 = 1;
    const READ_WRITE_EXECUTE: u32 = 7;
    const HEADER_BYTES: u16 = 64;
    const SEGMENT_BYTES: u16 = 56;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let halves = |elf: &mut Vec<u8>, values: &[u16]| {
        elf.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    };
    halves(&mut elf, &[EXEC, RISCV, 1, 0]);
    for value in [BASE, u64::from(HEADER_BYTES), 0] {
        elf.extend(value.to_le_bytes());
    }
    elf.extend(RVC_AND_DOUBLE_ABI.to_le_bytes());
    halves(&mut elf, &[HEADER_BYTES, SEGMENT_BYTES, 1, 0, 0, 0]);
    elf.extend(LOAD.to_le_bytes());
    elf.extend(READ_WRITE_EXECUTE.to_le_bytes());
    let len = image.len() as u64;
    for value in [PAGE, BASE, BASE, len, len, PAGE] {
        elf.extend(value.to_le_bytes());
    }
    elf.resize(PAGE as usize, 0);
    elf.extend(image);
    elf
}
