//! The exit codes, all of them.

/// How the program ends. Docker's numbers where docker has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done.
    Success,
    /// 1: `build` failed.
    Build,
    /// 2: the command line is wrong; clap's own errors end with the same code.
    Usage,
    /// 125: lithify itself failed, the guest's program did not run or could not finish.
    Own,
    /// 130: Ctrl-C stopped a build, as a shell reports signal 2.
    Canceled,
    /// The guest program's own code. Among them, as init and the runner report them: 126, it
    /// cannot be executed; 127, it was not found; 128 + n, signal n killed it (141: the reader of
    /// its output went away).
    Guest(u32),
}

impl Exit {
    /// As the operating system takes it, which keeps the low eight bits.
    pub(crate) fn code(self) -> i32 {
        match self {
            Self::Success => 0,
            Self::Build => 1,
            Self::Usage => 2,
            Self::Own => 125,
            Self::Canceled => 130,
            Self::Guest(code) => code.cast_signed(),
        }
    }
}
