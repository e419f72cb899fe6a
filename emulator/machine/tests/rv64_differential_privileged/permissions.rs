//! Every leaf entry's flags, with every access from both modes under SUM and MXR, against the
//! manual's rules (volume II, sections 12.1.1, 12.3.1 and 12.3.2) with hardware updates of A and D.

use crate::case::{Case, EBREAK, FRAME_A, Mode, PAGE_0, Snippet, pte, sstatus};
use crate::cause;

/// One cell of the matrix.
pub(crate) struct Access {
    pub(crate) flags: u64,
    pub(crate) snippet: Snippet,
    pub(crate) mode: Mode,
    pub(crate) status: u64,
}

/// What the manual says an access does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) scause: u64,
    pub(crate) sepc: u64,
    /// The entry behind the access.
    pub(crate) flags: u64,
}

pub(crate) fn all() -> Vec<Access> {
    use Snippet::{Amo, Execute, Load, LoadReserved, Store};
    const FLAGS: u64 = pte::V | pte::R | pte::W | pte::X | pte::U | pte::A | pte::D;
    let mut all = Vec::new();
    for flags in (0..=FLAGS).filter(|flags| flags & !FLAGS == 0) {
        for snippet in [Load, Store, Execute, Amo, LoadReserved] {
            for mode in [Mode::User, Mode::Supervisor] {
                for status in [0, sstatus::SUM, sstatus::MXR, sstatus::SUM | sstatus::MXR] {
                    all.push(Access { flags, snippet, mode, status });
                }
            }
        }
    }
    all
}

impl Access {
    /// Every other case fences the page alone.
    pub(crate) fn case(&self, number: usize) -> Case {
        let Self { flags, snippet, mode, status } = self;
        let name = format!("{snippet:?} in {mode:?} mode, flags {flags:08b}, sstatus {status:#x}");
        let case = Case::new(name, *snippet, *mode)
            .with(*status)
            .map(0, FRAME_A, *flags)
            .code(FRAME_A, [EBREAK; 2]);
        Case { fence: if number % 2 == 1 { PAGE_0 } else { 0 }, ..case }
    }

    pub(crate) fn effect(&self) -> Effect {
        let start = self.snippet.at(self.mode);
        let executes = self.snippet == Snippet::Execute;
        let fault_at = if executes { PAGE_0 } else { start };
        if !self.is_permitted() {
            return Effect { scause: self.fault(), sepc: fault_at, flags: self.flags };
        }
        let dirty = if self.writes() { pte::D } else { 0 };
        let flags = self.flags | pte::A | dirty;
        let sepc = if executes { PAGE_0 } else { start + 4 };
        Effect { scause: cause::BREAKPOINT, sepc, flags }
    }

    fn has(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }

    fn writes(&self) -> bool {
        matches!(self.snippet, Snippet::Store | Snippet::Amo)
    }

    fn fault(&self) -> u64 {
        match self.snippet {
            Snippet::Execute => cause::INSTRUCTION_PAGE_FAULT,
            _ if self.writes() => cause::STORE_PAGE_FAULT,
            _ => cause::LOAD_PAGE_FAULT,
        }
    }

    fn is_permitted(&self) -> bool {
        let executes = self.snippet == Snippet::Execute;
        let is_leaf = self.has(pte::R) || (self.has(pte::X) && !self.has(pte::W));
        let reserved = self.has(pte::W) && !self.has(pte::R);
        let open_to_mode = match self.mode {
            Mode::User => self.has(pte::U),
            Mode::Supervisor if executes => !self.has(pte::U),
            Mode::Supervisor => !self.has(pte::U) || self.status & sstatus::SUM != 0,
        };
        let open_to_access = if executes {
            self.has(pte::X)
        } else if self.writes() {
            self.has(pte::W)
        } else {
            self.has(pte::R) || (self.has(pte::X) && self.status & sstatus::MXR != 0)
        };
        self.has(pte::V) && is_leaf && !reserved && open_to_mode && open_to_access
    }
}
