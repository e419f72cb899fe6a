//! Linux's error numbers, which 9P2000.L carries.

/// A Linux error number as most architectures, riscv among them, have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub u32);

#[expect(missing_docs, reason = "named as in errno(3)")]
impl Errno {
    pub const PERM: Self = Self(1);
    pub const NOENT: Self = Self(2);
    pub const IO: Self = Self(5);
    pub const NXIO: Self = Self(6);
    pub const BADF: Self = Self(9);
    pub const AGAIN: Self = Self(11);
    pub const NOMEM: Self = Self(12);
    pub const ACCES: Self = Self(13);
    pub const BUSY: Self = Self(16);
    pub const EXIST: Self = Self(17);
    pub const XDEV: Self = Self(18);
    pub const NOTDIR: Self = Self(20);
    pub const ISDIR: Self = Self(21);
    pub const INVAL: Self = Self(22);
    pub const NFILE: Self = Self(23);
    pub const MFILE: Self = Self(24);
    pub const TXTBSY: Self = Self(26);
    pub const FBIG: Self = Self(27);
    pub const NOSPC: Self = Self(28);
    pub const SPIPE: Self = Self(29);
    pub const ROFS: Self = Self(30);
    pub const MLINK: Self = Self(31);
    pub const NAMETOOLONG: Self = Self(36);
    pub const NOTEMPTY: Self = Self(39);
    pub const LOOP: Self = Self(40);
    pub const OVERFLOW: Self = Self(75);
    pub const ILSEQ: Self = Self(84);
    pub const OPNOTSUPP: Self = Self(95);
    pub const DQUOT: Self = Self(122);
}

/// What an operation answers.
pub(crate) type Result<T> = std::result::Result<T, Errno>;
