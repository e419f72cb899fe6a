//! A case and its result, and where things are in memory; the offsets restate `harness.S`.

/// Where the harness is linked: a riscv64 kernel's place on our platform.
pub(crate) const BASE: u64 = 0x8020_0000;
const SNIPPETS: u64 = BASE + 0x1000;
const VARIABLES: u64 = BASE + 0x2000;
const CASES: u64 = BASE + 0x1_0000;

/// Page tables: the root, one of level 1, and one of level 0.
pub(crate) const ROOT: u64 = BASE + 0x3000;
pub(crate) const LEVEL_1: u64 = BASE + 0x4000;
pub(crate) const LEVEL_0: u64 = BASE + 0x5000;
/// Physical pages for cases to map.
pub(crate) const FRAME_A: u64 = BASE + 0x6000;
pub(crate) const FRAME_B: u64 = BASE + 0x8000;
const SCRATCH: u64 = BASE + 0xc000;
/// The root of another address space: two gigapages, the second one mapped there as in the first.
const OTHER_ROOT: u64 = BASE + 0xd000;
/// Its `satp`, with the largest ASID.
pub(crate) const OTHER_SATP: u64 = SV39 | 0xffff << 44 | OTHER_ROOT >> 12;
const SV39: u64 = 8 << 60;

/// Virtual address of what the first entry of [`LEVEL_0`] maps.
pub(crate) const PAGE_0: u64 = 0x4000_0000;
/// Of what the second one maps.
pub(crate) const PAGE_1: u64 = PAGE_0 + PAGE;
/// The snippets in user mode.
const USER_SNIPPETS: u64 = PAGE_0 + 2 * PAGE;
/// Of what the second entry of [`LEVEL_1`] maps.
pub(crate) const MEGAPAGE: u64 = PAGE_0 + (2 << 20);
/// Of what the fourth entry of [`ROOT`] maps.
pub(crate) const GIGAPAGE: u64 = 3 << 30;
pub(crate) const PAGE: u64 = 0x1000;
/// A physical address where nothing is, on our board and on QEMU's.
pub(crate) const NOTHING: u64 = 8 << 30;

pub(crate) const EBREAK: u32 = 0x0010_0073;

/// Bits of a page-table entry.
pub(crate) mod pte {
    pub(crate) const V: u64 = 1 << 0;
    pub(crate) const R: u64 = 1 << 1;
    pub(crate) const W: u64 = 1 << 2;
    pub(crate) const X: u64 = 1 << 3;
    pub(crate) const U: u64 = 1 << 4;
    pub(crate) const G: u64 = 1 << 5;
    pub(crate) const A: u64 = 1 << 6;
    pub(crate) const D: u64 = 1 << 7;

    pub(crate) const fn entry(physical: u64, flags: u64) -> u64 {
        physical >> 12 << 10 | flags
    }
}

/// Bits of `sstatus`.
pub(crate) mod sstatus {
    pub(crate) const SIE: u64 = 1 << 1;
    pub(crate) const SPIE: u64 = 1 << 5;
    pub(crate) const SPP: u64 = 1 << 8;
    pub(crate) const FS: u64 = 0b11 << 13;
    pub(crate) const FS_INITIAL: u64 = 0b01 << 13;
    pub(crate) const SUM: u64 = 1 << 18;
    pub(crate) const MXR: u64 = 1 << 19;
    pub(crate) const SD: u64 = 1 << 63;
    /// What cases look at.
    pub(crate) const COMPARED: u64 = SIE | SPIE | SPP | FS | SUM | MXR | SD;
}

/// Code of the harness that cases run, in its order there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Snippet {
    Load,
    Store,
    Execute,
    Amo,
    LoadReserved,
    EnvironmentCall,
    SupervisorReturn,
    FenceTranslation,
    WaitForInterrupt,
    ReadSstatus,
    WriteReadOnly,
    FloatMove,
    Timer,
    Pending,
    Rewrite,
    RewriteItself,
    WriteCsrs,
    RewriteAtomically,
    RewriteUnfenced,
    ReservedPair,
    Spaces,
    FenceAll,
    FencePage,
    FenceSpace,
    FencePageOfSpace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    User,
    Supervisor,
}

impl Snippet {
    /// Where it is in the address space of `mode`.
    pub(crate) const fn at(self, mode: Mode) -> u64 {
        const BYTES: u64 = 64;
        let page = match mode {
            Mode::User => USER_SNIPPETS,
            Mode::Supervisor => SNIPPETS,
        };
        page + BYTES * self as u64
    }
}

/// What to set up before going to `entry`.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) snippet: Snippet,
    /// Physical addresses and their new contents.
    pub(crate) writes: [(u64, u64); 4],
    pub(crate) sstatus: u64,
    pub(crate) entry: u64,
    /// a0 to a3
    pub(crate) arguments: [u64; 4],
    /// The page to fence, or 0 for the whole address space.
    pub(crate) fence: u64,
}

impl Case {
    /// Runs `snippet` in `mode` with a0 = `PAGE_0`.
    pub(crate) fn new(name: impl Into<String>, snippet: Snippet, mode: Mode) -> Self {
        let spp = if mode == Mode::Supervisor { sstatus::SPP } else { 0 };
        Self {
            name: name.into(),
            snippet,
            writes: [(SCRATCH, 0); 4],
            sstatus: spp,
            entry: snippet.at(mode),
            arguments: [PAGE_0, 0, 0, 0],
            fence: 0,
        }
    }

    pub(crate) fn write(mut self, at: u64, value: u64) -> Self {
        let free = self.writes.iter_mut().find(|(at, _)| *at == SCRATCH);
        *free.expect("a case has four writes") = (at, value);
        self
    }

    /// Puts `instructions` at the start of a physical page.
    pub(crate) fn code(self, at: u64, instructions: [u32; 2]) -> Self {
        self.write(at, u64::from(instructions[0]) | u64::from(instructions[1]) << 32)
    }

    /// Maps virtual page 0, 1, ... to `frame`.
    pub(crate) fn map(self, page: u64, frame: u64, flags: u64) -> Self {
        self.write(LEVEL_0 + 8 * page, pte::entry(frame, flags))
    }

    pub(crate) fn with(mut self, sstatus: u64) -> Self {
        self.sstatus |= sstatus;
        self
    }

    pub(crate) fn arguments(mut self, arguments: [u64; 4]) -> Self {
        self.arguments = arguments;
        self
    }

    fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let writes = self.writes.iter().flat_map(|(at, value)| [*at, *value]);
        writes.chain([self.sstatus, self.entry]).chain(self.arguments).chain([self.fence])
    }
}

/// The trap that ended a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) scause: u64,
    pub(crate) stval: u64,
    pub(crate) sepc: u64,
    pub(crate) sstatus: u64,
    pub(crate) arguments: [u64; 4],
    /// What the case's writes became.
    pub(crate) read_back: [u64; 4],
}

impl Outcome {
    pub(crate) const BYTES: usize = 12 * 8;

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let word = |index: usize| {
            u64::from_le_bytes(bytes[8 * index..][..8].try_into().expect("eight bytes"))
        };
        Self {
            scause: word(0),
            stval: word(1),
            sepc: word(2),
            sstatus: word(3) & sstatus::COMPARED,
            arguments: std::array::from_fn(|n| word(4 + n)),
            read_back: std::array::from_fn(|n| word(8 + n)),
        }
    }
}

/// Memory from [`BASE`] on that runs `cases`.
pub(crate) fn image(harness: &[u8], cases: &[Case]) -> Vec<u8> {
    const ALL: u64 = pte::V | pte::R | pte::W | pte::X | pte::A | pte::D;
    let mut image = harness.to_vec();
    image.resize((CASES - BASE) as usize, 0);
    image.extend(cases.iter().flat_map(Case::words).flat_map(u64::to_le_bytes));
    let cases_end = BASE + image.len() as u64;
    image.resize(image.len().next_multiple_of(PAGE as usize), 0);
    let results = BASE + image.len() as u64;
    image.resize(image.len() + cases.len() * Outcome::BYTES, 0);
    let mut set = |at: u64, value: u64| {
        image[(at - BASE) as usize..][..8].copy_from_slice(&value.to_le_bytes());
    };
    for (index, value) in [CASES, cases_end, results, SV39 | ROOT >> 12].into_iter().enumerate() {
        set(VARIABLES + 8 * index as u64, value);
    }
    set(ROOT + 8, pte::entry(LEVEL_1, pte::V));
    set(ROOT + 16, pte::entry(2 << 30, ALL | pte::G));
    set(OTHER_ROOT + 8, pte::entry(2 << 30, ALL));
    set(OTHER_ROOT + 16, pte::entry(2 << 30, ALL | pte::G));
    set(LEVEL_1, pte::entry(LEVEL_0, pte::V));
    set(LEVEL_0 + 16, pte::entry(SNIPPETS, ALL | pte::U));
    image
}
