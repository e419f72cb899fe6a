//! Single situations with what the manual says about them.

use crate::case::{
    Case, EBREAK, FRAME_A, FRAME_B, GIGAPAGE, LEVEL_0, LEVEL_1, MEGAPAGE, Mode, NOTHING,
    OTHER_SATP, PAGE, PAGE_0, PAGE_1, ROOT, Snippet, pte, sstatus,
};
use crate::cause;

/// What is checked of an outcome; `None` is not.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) scause: u64,
    pub(crate) stval: Option<u64>,
    pub(crate) sepc: Option<u64>,
    pub(crate) sstatus: Option<u64>,
    pub(crate) arguments: [Option<u64>; 4],
    pub(crate) read_back: [Option<u64>; 4],
}

type Situation = (Case, Expected);

const READ_WRITE: u64 = pte::V | pte::R | pte::W | pte::A | pte::D;
const ALL: u64 = READ_WRITE | pte::X;
const SSI: u64 = 1 << 1;
const STI: u64 = 1 << 5;

/// `addi a3, a3, 1` and 16, and `ret`.
const ADD_1: u32 = 0x0016_8693;
const ADD_16: u32 = 0x0106_8693;
const RET: u32 = 0x0000_8067;

pub(crate) fn all() -> Vec<Situation> {
    let mut all = page_tables();
    all.extend(fences());
    all.push(spaces());
    all.extend(fences_elsewhere());
    all.extend(borders());
    all.extend(modes());
    all.extend(interrupts());
    all.extend(code_changes());
    all.extend(reservations());
    all
}

/// `lr` and `sc`: the load and the store need their own permissions and leave their own marks.
fn reservations() -> [Situation; 3] {
    const NEW: u64 = 0x1234_5678_9abc_def0;
    const OLD: u64 = 77;
    let pair = |name: &str, flags| {
        supervisor(name, Snippet::ReservedPair)
            .map(0, FRAME_A, flags)
            .write(FRAME_A, OLD)
            .arguments([PAGE_0, NEW, 0, 9])
    };
    let store = Snippet::ReservedPair.at(Mode::Supervisor) + 4;
    let fault = |marks| Expected {
        arguments: [None, None, Some(OLD), Some(9)],
        read_back: [Some(pte::entry(FRAME_A, marks)), Some(OLD), None, None],
        ..trap(cause::STORE_PAGE_FAULT, PAGE_0, store)
    };
    let (read, write) = (pte::V | pte::R, pte::V | pte::R | pte::W);
    [
        (
            pair("a reserved pair on a clean page", write),
            Expected {
                scause: cause::BREAKPOINT,
                arguments: [None, None, Some(OLD), Some(0)],
                read_back: [
                    Some(pte::entry(FRAME_A, write | pte::A | pte::D)),
                    Some(NEW),
                    None,
                    None,
                ],
                ..Expected::default()
            },
        ),
        (pair("a reserved pair on a read-only page", read), fault(read | pte::A)),
        (pair("a reserved pair on an accessed page", read | pte::A), fault(read | pte::A)),
    ]
}

fn trap(scause: u64, stval: u64, sepc: u64) -> Expected {
    Expected { scause, stval: Some(stval), sepc: Some(sepc), ..Expected::default() }
}

fn supervisor(name: &str, snippet: Snippet) -> Case {
    Case::new(name, snippet, Mode::Supervisor)
}

fn page_tables() -> Vec<Situation> {
    let load = Snippet::Load.at(Mode::Supervisor);
    let on = |name, at| supervisor(name, Snippet::Load).arguments([at, 0, 0, 0]);
    let root = |entry| move |case: Case| case.write(ROOT + 24, entry);
    let level_1 = |entry| move |case: Case| case.write(LEVEL_1 + 8, entry);
    let fault = |at| trap(cause::LOAD_PAGE_FAULT, at, load);
    let value = |value| Expected {
        scause: cause::BREAKPOINT,
        arguments: [None, Some(value), None, None],
        ..Expected::default()
    };
    let offset = FRAME_A % (2 << 20);
    let base = FRAME_A - offset;
    vec![
        (
            level_1(pte::entry(base, ALL))(on("a megapage", MEGAPAGE + offset)).write(FRAME_A, 7),
            value(7),
        ),
        (
            level_1(pte::entry(base + PAGE, ALL))(on("a misaligned megapage", MEGAPAGE)),
            fault(MEGAPAGE),
        ),
        (
            root(pte::entry(2 << 30, ALL))(on("a gigapage", GIGAPAGE + FRAME_A - (2 << 30)))
                .write(FRAME_A, 9),
            value(9),
        ),
        (root(pte::entry(base, ALL))(on("a misaligned gigapage", GIGAPAGE)), fault(GIGAPAGE)),
        (level_1(0)(on("an invalid entry of level 1", MEGAPAGE)), fault(MEGAPAGE)),
        (root(0)(on("an invalid entry of the root", GIGAPAGE)), fault(GIGAPAGE)),
        (
            level_1(pte::entry(LEVEL_0, pte::V | pte::A))(on("a pointer with A set", MEGAPAGE))
                .map(0, FRAME_A, ALL),
            fault(MEGAPAGE),
        ),
        (
            level_1(pte::entry(LEVEL_0, pte::V | pte::U))(on("a pointer with U set", MEGAPAGE))
                .map(0, FRAME_A, ALL),
            fault(MEGAPAGE),
        ),
        (on("a reserved bit in a leaf", PAGE_0).map(0, FRAME_A, ALL | 1 << 60), fault(PAGE_0)),
        (
            on("no such frame", PAGE_0).map(0, NOTHING, ALL),
            trap(cause::LOAD_ACCESS_FAULT, PAGE_0, load),
        ),
        (
            supervisor("a store to no frame", Snippet::Store).map(0, NOTHING, ALL),
            trap(cause::STORE_ACCESS_FAULT, PAGE_0, Snippet::Store.at(Mode::Supervisor)),
        ),
        (
            supervisor("code in no frame", Snippet::Execute).map(0, NOTHING, ALL),
            trap(cause::INSTRUCTION_ACCESS_FAULT, PAGE_0, PAGE_0),
        ),
        (on("not sign-extended", 1 << 38), fault(1 << 38)),
        (on("not sign-extended, low", u64::MAX << 39 | 5 << 12), fault(u64::MAX << 39 | 5 << 12)),
    ]
}

/// `sfence.vma` of one address covers the leaf entry that maps it, and so all of a superpage
/// (section 12.2.1).
fn fences() -> Vec<Situation> {
    const MEGA: u64 = 2 << 20;
    let offset = FRAME_A % MEGA;
    let before = FRAME_A - offset;
    let value = |value| Expected {
        scause: cause::BREAKPOINT,
        arguments: [None, Some(value), None, None],
        ..Expected::default()
    };
    let load = |name, frame, expected, fence| {
        let case = supervisor(name, Snippet::Load)
            .write(LEVEL_1 + 8, pte::entry(frame, ALL))
            .arguments([MEGAPAGE + offset, 0, 0, 0]);
        (Case { fence, ..case }, value(expected))
    };
    let prepare = supervisor("memory for two megapages", Snippet::Load)
        .write(FRAME_A, 7)
        .write(FRAME_A + MEGA, 8)
        .arguments([FRAME_A, 0, 0, 0]);
    vec![
        (prepare, value(7)),
        load("a megapage", before, 7, 0),
        load("a megapage moved, fenced by another address in it", before + MEGA, 8, MEGAPAGE),
        load("a megapage moved back, fenced by its end", before, 7, MEGAPAGE + MEGA - PAGE),
    ]
}

/// Code at one address in two address spaces, which take turns without a fence.
fn spaces() -> Situation {
    const MEGA: u64 = 2 << 20;
    let offset = FRAME_A % MEGA;
    let case = supervisor("code in two address spaces in turns", Snippet::Spaces)
        .code(FRAME_A, [ADD_1, RET])
        .code(FRAME_A + MEGA, [ADD_16, RET])
        .write(LEVEL_1 + 8, pte::entry(FRAME_A + MEGA - offset, ALL))
        .arguments([MEGAPAGE + offset, OTHER_SATP, 0, 0]);
    let expected = Expected {
        scause: cause::BREAKPOINT,
        arguments: [None, None, Some(OTHER_SATP), Some(2 * 16 + 2)],
        ..Expected::default()
    };
    (case, expected)
}

/// Fences reach an address space that is not the current one.
fn fences_elsewhere() -> [Situation; 4] {
    let fenced = |name, snippet| {
        let case = supervisor(name, snippet)
            .map(0, FRAME_A, ALL)
            .write(FRAME_A, 7)
            .write(FRAME_B, 8)
            .arguments([PAGE_0, OTHER_SATP, LEVEL_0, pte::entry(FRAME_B, ALL)]);
        let expected = Expected {
            scause: cause::BREAKPOINT,
            arguments: [None, Some(8), None, None],
            ..Expected::default()
        };
        (case, expected)
    };
    [
        fenced("a page moved, all fenced elsewhere", Snippet::FenceAll),
        fenced("a page moved, fenced elsewhere", Snippet::FencePage),
        fenced("a page moved, its address space fenced elsewhere", Snippet::FenceSpace),
        fenced("a page moved, fenced of its address space elsewhere", Snippet::FencePageOfSpace),
    ]
}

/// Accesses and instructions on two pages, which need not be neighbours in memory.
fn borders() -> Vec<Situation> {
    let [load, store] = [Snippet::Load, Snippet::Store].map(|snippet| snippet.at(Mode::Supervisor));
    let at = PAGE_1 - 4;
    let two =
        |name, snippet| supervisor(name, snippet).arguments([at, 0x1122_3344_5566_7788, 0, 0]);
    let halves = |case: Case| case.write(FRAME_A + PAGE - 8, 1 << 32).write(FRAME_B, 2);
    let straddling = |name: &str| {
        let case = Case::new(name, Snippet::Load, Mode::Supervisor).arguments([0, 0, 0, 100]);
        let case = Case { entry: PAGE_1 - 2, ..case };
        case.write(FRAME_A + PAGE - 8, u64::from(ADD_1 & 0xffff) << 48)
            .write(FRAME_B, u64::from(ADD_1 >> 16) | u64::from(EBREAK) << 16)
    };
    vec![
        (
            halves(two("a load across pages", Snippet::Load))
                .map(0, FRAME_A, ALL)
                .map(1, FRAME_B, ALL),
            Expected {
                scause: cause::BREAKPOINT,
                arguments: [None, Some(2 << 32 | 1), None, None],
                ..Expected::default()
            },
        ),
        (
            halves(two("a load onto a missing page", Snippet::Load))
                .map(0, FRAME_A, ALL)
                .map(1, FRAME_B, 0),
            trap(cause::LOAD_PAGE_FAULT, PAGE_1, load),
        ),
        (
            halves(two("a load from a missing page", Snippet::Load))
                .map(0, FRAME_A, 0)
                .map(1, FRAME_B, ALL),
            trap(cause::LOAD_PAGE_FAULT, at, load),
        ),
        (
            halves(two("a store across pages", Snippet::Store))
                .map(0, FRAME_A, ALL)
                .map(1, FRAME_B, ALL),
            Expected { scause: cause::BREAKPOINT, ..Expected::default() },
        ),
        (
            halves(two("a store onto a read-only page", Snippet::Store)).map(0, FRAME_A, ALL).map(
                1,
                FRAME_B,
                pte::V | pte::R | pte::A,
            ),
            trap(cause::STORE_PAGE_FAULT, PAGE_1, store),
        ),
        (
            two("a misaligned amo", Snippet::Amo)
                .arguments([PAGE_0 + 4, 0, 0, 0])
                .map(0, FRAME_A, ALL),
            trap(cause::STORE_ADDRESS_MISALIGNED, PAGE_0 + 4, Snippet::Amo.at(Mode::Supervisor)),
        ),
        (
            two("a misaligned load-reserved", Snippet::LoadReserved)
                .arguments([PAGE_0 + 4, 0, 0, 0])
                .map(0, FRAME_A, ALL),
            trap(
                cause::LOAD_ADDRESS_MISALIGNED,
                PAGE_0 + 4,
                Snippet::LoadReserved.at(Mode::Supervisor),
            ),
        ),
        (
            straddling("an instruction on two pages").map(0, FRAME_A, ALL).map(1, FRAME_B, ALL),
            Expected {
                scause: cause::BREAKPOINT,
                sepc: Some(PAGE_1 + 2),
                arguments: [None, None, None, Some(101)],
                ..Expected::default()
            },
        ),
        (
            straddling("an instruction whose end is missing")
                .map(0, FRAME_A, ALL)
                .map(1, FRAME_B, 0),
            trap(cause::INSTRUCTION_PAGE_FAULT, PAGE_1, PAGE_1 - 2),
        ),
        (
            straddling("an instruction whose end is not executable")
                .map(0, FRAME_A, ALL)
                .map(1, FRAME_B, READ_WRITE),
            trap(cause::INSTRUCTION_PAGE_FAULT, PAGE_1, PAGE_1 - 2),
        ),
    ]
}

/// What QEMU 7.2 lacks, or has otherwise than the manual.
pub(crate) fn not_in_qemu() -> Vec<Situation> {
    let mut all = cache_blocks();
    // Step 2 of the translation (section 12.3.2): an access fault, where QEMU has a page fault.
    all.push((
        supervisor("a table in no frame", Snippet::Load)
            .write(ROOT + 24, pte::entry(NOTHING, pte::V))
            .arguments([GIGAPAGE, 0, 0, 0]),
        trap(cause::LOAD_ACCESS_FAULT, GIGAPAGE, Snippet::Load.at(Mode::Supervisor)),
    ));
    all
}

/// Zicboz (volume I, section 7.6). A block is a page.
fn cache_blocks() -> Vec<Situation> {
    /// `cbo.zero (a0)`
    const CBO_ZERO: u32 = 0x0045_200f;
    let zero = |name, mode, flags| {
        Case::new(name, Snippet::Execute, mode)
            .code(FRAME_A, [CBO_ZERO, EBREAK])
            .map(0, FRAME_A, flags)
            .map(1, FRAME_B, flags)
            .write(FRAME_B + PAGE - 8, 5)
    };
    let in_page_1 = |case: Case| Case { entry: PAGE_0, ..case }.arguments([PAGE_1 + 40, 0, 0, 0]);
    vec![
        (
            in_page_1(zero("cbo.zero", Mode::Supervisor, ALL)),
            Expected {
                scause: cause::BREAKPOINT,
                sepc: Some(PAGE_0 + 4),
                read_back: [None, None, None, Some(0)],
                ..Expected::default()
            },
        ),
        (
            in_page_1(zero("cbo.zero of a read-only page", Mode::Supervisor, ALL & !pte::W)),
            Expected {
                read_back: [None, None, None, Some(5)],
                ..trap(cause::STORE_PAGE_FAULT, PAGE_1 + 40, PAGE_0)
            },
        ),
        (
            // Zeroes its own code: what follows is the defined illegal instruction.
            zero("cbo.zero of code", Mode::Supervisor, ALL),
            Expected {
                scause: cause::ILLEGAL_INSTRUCTION,
                sepc: Some(PAGE_0 + 4),
                ..Expected::default()
            },
        ),
        (
            in_page_1(zero("cbo.zero in user mode", Mode::User, ALL | pte::U)),
            Expected {
                scause: cause::ILLEGAL_INSTRUCTION,
                sepc: Some(PAGE_0),
                ..Expected::default()
            },
        ),
    ]
}

fn modes() -> Vec<Situation> {
    use Snippet::{
        EnvironmentCall, FenceTranslation, FloatMove, ReadSstatus, SupervisorReturn,
        WaitForInterrupt, WriteCsrs, WriteReadOnly,
    };
    let illegal = |snippet: Snippet, mode| {
        let expected = Expected {
            scause: cause::ILLEGAL_INSTRUCTION,
            sepc: Some(snippet.at(mode)),
            ..Expected::default()
        };
        (Case::new(format!("{snippet:?} in {mode:?} mode"), snippet, mode), expected)
    };
    let mut all: Vec<Situation> =
        [SupervisorReturn, FenceTranslation, WaitForInterrupt, ReadSstatus, FloatMove]
            .map(|snippet| illegal(snippet, Mode::User))
            .into();
    all.push(illegal(FloatMove, Mode::Supervisor));
    all.push((
        supervisor("float state becomes dirty", FloatMove).with(sstatus::FS_INITIAL),
        Expected {
            scause: cause::BREAKPOINT,
            sstatus: Some(sstatus::SPP | sstatus::FS | sstatus::SD),
            ..Expected::default()
        },
    ));
    all.push(illegal(WriteReadOnly, Mode::Supervisor));
    all.push((
        Case::new("ecall with interrupts enabled", EnvironmentCall, Mode::User).with(sstatus::SPIE),
        Expected {
            scause: cause::ECALL_FROM_U,
            stval: Some(0),
            sepc: Some(EnvironmentCall.at(Mode::User)),
            sstatus: Some(sstatus::SPIE),
            ..Expected::default()
        },
    ));
    all.push((
        supervisor("a fault with interrupts enabled", Snippet::Load)
            .arguments([PAGE_0, 0, 0, 0])
            .map(0, FRAME_A, 0)
            .with(sstatus::SPIE | sstatus::SUM | sstatus::MXR),
        Expected {
            scause: cause::LOAD_PAGE_FAULT,
            sstatus: Some(sstatus::SPIE | sstatus::SPP | sstatus::SUM | sstatus::MXR),
            ..Expected::default()
        },
    ));
    all.push((
        supervisor("bits of sie, sepc and scause", WriteCsrs),
        Expected {
            scause: cause::BREAKPOINT,
            arguments: [Some(0x222), Some(u64::MAX - 1), None, None],
            ..Expected::default()
        },
    ));
    all
}

fn interrupts() -> Vec<Situation> {
    const SOON: u64 = 1000;
    let timer =
        |name, status| supervisor(name, Snippet::Timer).arguments([0, SOON, STI, 0]).with(status);
    let pending =
        |name, set, enabled| supervisor(name, Snippet::Pending).arguments([0, set, enabled, 0]);
    let interrupt =
        |code| Expected { scause: cause::INTERRUPT | code, stval: Some(0), ..Expected::default() };
    let both = Expected { arguments: [None, None, None, Some(SSI | STI)], ..interrupt(1) };
    vec![
        (
            timer("a timer", sstatus::SPIE),
            Expected { sstatus: Some(sstatus::SPP | sstatus::SPIE), ..interrupt(5) },
        ),
        (pending("a timer that is due", 0, STI), interrupt(5)),
        (
            pending("a software interrupt", SSI, SSI),
            Expected { arguments: [None, None, None, Some(SSI | STI)], ..interrupt(1) },
        ),
        (pending("software before timer", SSI, SSI | STI), both),
        (pending("a pending interrupt that is not enabled", SSI, STI), interrupt(5)),
    ]
}

fn code_changes() -> Vec<Situation> {
    let run = |name: &str, snippet, at: u64, instruction: u32| {
        supervisor(name, snippet)
            .code(FRAME_A, [ADD_1, RET])
            .map(0, FRAME_A, ALL)
            .map(1, FRAME_A, READ_WRITE)
            .arguments([PAGE_0, instruction.into(), at, 0])
    };
    let sum = |sum| Expected {
        scause: cause::BREAKPOINT,
        arguments: [None, None, None, Some(sum)],
        ..Expected::default()
    };
    let both = u64::from(ADD_16) | u64::from(RET) << 32;
    vec![
        (run("code rewritten where it runs", Snippet::Rewrite, PAGE_0, ADD_16), sum(17)),
        (run("code rewritten through an alias", Snippet::Rewrite, PAGE_1, ADD_16), sum(17)),
        (run("code rewritten in memory", Snippet::Rewrite, FRAME_A, ADD_16), sum(17)),
        // More than the manual asks for, as QEMU has it: fetches are never stale.
        (run("code rewritten, no fence", Snippet::RewriteUnfenced, PAGE_0, ADD_16), sum(17)),
        (run("an alias rewritten, no fence", Snippet::RewriteUnfenced, PAGE_1, ADD_16), sum(17)),
        (
            run("code rewritten by an amo", Snippet::RewriteAtomically, PAGE_1, 0)
                .arguments([PAGE_0, both, PAGE_1, 0]),
            sum(17),
        ),
        (
            // The upper half of `addi a3, a3, 1` and the lower one of `ret`, misaligned.
            run("code rewritten by a misaligned store", Snippet::Rewrite, PAGE_0 + 2, 0)
                .arguments([PAGE_0, u64::from(ADD_16 >> 16 | RET << 16), PAGE_0 + 2, 0]),
            sum(17),
        ),
        (
            run("an instruction that rewrites its own page", Snippet::RewriteItself, 0, ADD_16),
            sum(16),
        ),
    ]
}
