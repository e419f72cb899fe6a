//! WASI error numbers and the way a call ends.

/// `errno` of the calls answered here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Errno {
    Success = 0,
    Again = 6,
    BadF = 8,
    Fault = 21,
    Inval = 28,
    Io = 29,
    MFile = 33,
    NoEnt = 44,
    NoSpc = 51,
    NoSys = 52,
    NotDir = 54,
    Perm = 63,
    SPipe = 70,
}

impl Errno {
    pub(super) fn code(self) -> u32 {
        u32::from(self as u16)
    }
}

impl From<rustix::io::Errno> for Errno {
    fn from(errno: rustix::io::Errno) -> Self {
        match errno {
            rustix::io::Errno::AGAIN => Self::Again,
            rustix::io::Errno::BADF => Self::BadF,
            rustix::io::Errno::NOSPC => Self::NoSpc,
            rustix::io::Errno::PERM => Self::Perm,
            _ => Self::Io,
        }
    }
}

/// Why a call does not succeed: the guest gets an error number, or the program ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Errno(Errno),
    Exit(u32),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}
