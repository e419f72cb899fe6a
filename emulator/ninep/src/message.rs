//! Numbers of 9P2000.L: message types, flags, layouts.

use crate::tree::{Kind, OpenFlags};

/// `size[4] type[1] tag[2]` before every message's body.
pub(crate) const HEADER_LEN: usize = 7;
/// Header and count before the data in `Rread` and `Rreaddir`.
pub(crate) const READ_HEADER_LEN: usize = HEADER_LEN + 4;
/// Added to a request's type in its answer.
pub(crate) const ANSWER: u8 = 1;
/// `NOFID`, `NONUNAME`.
pub(crate) const NONE: u32 = u32::MAX;
/// `NOTAG`.
pub(crate) const NO_TAG: u16 = u16::MAX;
/// Most names in a `Twalk`.
pub(crate) const MAX_WALK: u16 = 16;

/// Message types.
pub(crate) mod kind {
    pub(crate) const RLERROR: u8 = 7;
    pub(crate) const TSTATFS: u8 = 8;
    pub(crate) const TLOPEN: u8 = 12;
    pub(crate) const TLCREATE: u8 = 14;
    pub(crate) const TSYMLINK: u8 = 16;
    pub(crate) const TMKNOD: u8 = 18;
    pub(crate) const TREADLINK: u8 = 22;
    pub(crate) const TGETATTR: u8 = 24;
    pub(crate) const TSETATTR: u8 = 26;
    pub(crate) const TREADDIR: u8 = 40;
    pub(crate) const TFSYNC: u8 = 50;
    pub(crate) const TLOCK: u8 = 52;
    pub(crate) const TGETLOCK: u8 = 54;
    pub(crate) const TLINK: u8 = 70;
    pub(crate) const TMKDIR: u8 = 72;
    pub(crate) const TRENAMEAT: u8 = 74;
    pub(crate) const TUNLINKAT: u8 = 76;
    pub(crate) const TVERSION: u8 = 100;
    pub(crate) const TATTACH: u8 = 104;
    pub(crate) const TFLUSH: u8 = 108;
    pub(crate) const TWALK: u8 = 110;
    pub(crate) const TREAD: u8 = 116;
    pub(crate) const TWRITE: u8 = 118;
    pub(crate) const TCLUNK: u8 = 120;
}

/// What identifies a file to the guest. The version is always zero, by which Linux knows not to
/// cache the file: what others write on the host is to be seen at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Qid {
    pub(crate) kind: u8,
    pub(crate) path: u64,
}

impl Qid {
    pub(crate) fn new(kind: Kind, path: u64) -> Self {
        const QTDIR: u8 = 0x80;
        const QTSYMLINK: u8 = 0x02;
        let kind = match kind {
            Kind::Directory => QTDIR,
            Kind::Symlink => QTSYMLINK,
            Kind::File | Kind::Other => 0,
        };
        Self { kind, path }
    }
}

/// Bytes of a qid.
pub(crate) const QID_LEN: usize = 13;

/// File type bits of `st_mode`.
pub(crate) fn mode_bits(kind: Kind) -> u32 {
    match kind {
        Kind::File => 0o100_000,
        Kind::Directory => 0o040_000,
        Kind::Symlink => 0o120_000,
        // A pipe: the harmless one among what cannot be opened.
        Kind::Other => 0o010_000,
    }
}

/// `d_type` of a directory entry.
pub(crate) fn entry_type(kind: Kind) -> u8 {
    match kind {
        Kind::File => 8,
        Kind::Directory => 4,
        Kind::Symlink => 10,
        Kind::Other => 0,
    }
}

/// `Tunlinkat`: a directory is meant.
pub(crate) const AT_REMOVEDIR: u32 = 0x200;

/// `open` flags as `Tlopen` and `Tlcreate` carry them: Linux's generic ones.
const WRITE_ONLY: u32 = 1;
const READ_WRITE: u32 = 2;
const ACCESS_MODE: u32 = 3;
const EXCLUSIVE: u32 = 0o200;
const TRUNCATE: u32 = 0o1000;
const APPEND: u32 = 0o2000;

/// Flags of `Tlopen`.
pub(crate) fn open_flags(raw: u32) -> OpenFlags {
    OpenFlags {
        read: raw & ACCESS_MODE != WRITE_ONLY,
        write: matches!(raw & ACCESS_MODE, WRITE_ONLY | READ_WRITE),
        create: false,
        exclusive: false,
        truncate: raw & TRUNCATE != 0,
        append: raw & APPEND != 0,
    }
}

/// Flags of `Tlcreate`.
pub(crate) fn create_flags(raw: u32) -> OpenFlags {
    OpenFlags { create: true, exclusive: raw & EXCLUSIVE != 0, ..open_flags(raw) }
}

/// Bits of `valid` in `Tsetattr`.
pub(crate) mod valid {
    pub(crate) const MODE: u32 = 1;
    pub(crate) const UID: u32 = 1 << 1;
    pub(crate) const GID: u32 = 1 << 2;
    pub(crate) const SIZE: u32 = 1 << 3;
    pub(crate) const ATIME: u32 = 1 << 4;
    pub(crate) const MTIME: u32 = 1 << 5;
    pub(crate) const ATIME_SET: u32 = 1 << 7;
    pub(crate) const MTIME_SET: u32 = 1 << 8;
}

/// `P9_STATS_BASIC`: the attributes that `Rgetattr` fills in.
pub(crate) const GETATTR_BASIC: u64 = 0x7ff;
