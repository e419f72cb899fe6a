//! WASI error numbers and the way a call ends.

/// `errno` of the calls answered here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Errno {
    Success = 0,
    Acces = 2,
    AddrInUse = 3,
    AddrNotAvail = 4,
    AfNoSupport = 5,
    Again = 6,
    BadF = 8,
    Busy = 10,
    ConnAborted = 13,
    ConnRefused = 14,
    ConnReset = 15,
    DQuot = 19,
    Exist = 20,
    Fault = 21,
    FBig = 22,
    HostUnreach = 23,
    IlSeq = 25,
    Inval = 28,
    Io = 29,
    IsDir = 31,
    Loop = 32,
    MFile = 33,
    MLink = 34,
    MsgSize = 35,
    NameTooLong = 37,
    NetDown = 38,
    NetUnreach = 40,
    NFile = 41,
    NoBufs = 42,
    NoEnt = 44,
    NoMem = 48,
    NoSpc = 51,
    NoSys = 52,
    NotConn = 53,
    NotDir = 54,
    NotEmpty = 55,
    NotSup = 58,
    NxIo = 60,
    Overflow = 61,
    Perm = 63,
    Pipe = 64,
    RoFs = 69,
    SPipe = 70,
    TimedOut = 73,
    TxtBsy = 74,
    XDev = 75,
}

impl Errno {
    pub(super) fn code(self) -> u32 {
        u32::from(self as u16)
    }
}

impl From<rustix::io::Errno> for Errno {
    fn from(errno: rustix::io::Errno) -> Self {
        match errno {
            rustix::io::Errno::ACCESS => Self::Acces,
            rustix::io::Errno::ADDRINUSE => Self::AddrInUse,
            rustix::io::Errno::ADDRNOTAVAIL => Self::AddrNotAvail,
            rustix::io::Errno::AFNOSUPPORT => Self::AfNoSupport,
            rustix::io::Errno::AGAIN => Self::Again,
            rustix::io::Errno::BADF => Self::BadF,
            rustix::io::Errno::BUSY => Self::Busy,
            rustix::io::Errno::CONNABORTED => Self::ConnAborted,
            rustix::io::Errno::CONNREFUSED => Self::ConnRefused,
            rustix::io::Errno::CONNRESET => Self::ConnReset,
            rustix::io::Errno::DQUOT => Self::DQuot,
            rustix::io::Errno::EXIST => Self::Exist,
            rustix::io::Errno::FBIG => Self::FBig,
            rustix::io::Errno::HOSTUNREACH => Self::HostUnreach,
            rustix::io::Errno::ILSEQ => Self::IlSeq,
            rustix::io::Errno::INVAL => Self::Inval,
            rustix::io::Errno::ISDIR => Self::IsDir,
            rustix::io::Errno::LOOP => Self::Loop,
            rustix::io::Errno::MFILE => Self::MFile,
            rustix::io::Errno::MLINK => Self::MLink,
            rustix::io::Errno::MSGSIZE => Self::MsgSize,
            rustix::io::Errno::NAMETOOLONG => Self::NameTooLong,
            rustix::io::Errno::NETDOWN => Self::NetDown,
            rustix::io::Errno::NETUNREACH => Self::NetUnreach,
            rustix::io::Errno::NFILE => Self::NFile,
            rustix::io::Errno::NOBUFS => Self::NoBufs,
            rustix::io::Errno::NOENT => Self::NoEnt,
            rustix::io::Errno::NOMEM => Self::NoMem,
            rustix::io::Errno::NOSPC => Self::NoSpc,
            rustix::io::Errno::NOTCONN => Self::NotConn,
            rustix::io::Errno::NOTDIR => Self::NotDir,
            rustix::io::Errno::NOTEMPTY => Self::NotEmpty,
            rustix::io::Errno::OPNOTSUPP => Self::NotSup,
            rustix::io::Errno::NXIO => Self::NxIo,
            rustix::io::Errno::OVERFLOW => Self::Overflow,
            rustix::io::Errno::PERM => Self::Perm,
            rustix::io::Errno::PIPE => Self::Pipe,
            rustix::io::Errno::ROFS => Self::RoFs,
            rustix::io::Errno::SPIPE => Self::SPipe,
            rustix::io::Errno::TIMEDOUT => Self::TimedOut,
            rustix::io::Errno::TXTBSY => Self::TxtBsy,
            rustix::io::Errno::XDEV => Self::XDev,
            _ => Self::Io,
        }
    }
}

impl From<rustix::io::Errno> for Stop {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Errno(errno.into())
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
