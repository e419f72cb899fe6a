//! WASI's error numbers as Linux's.

use lithify_ninep::Errno;

/// What a file operation can answer; anything else is an I/O error.
pub(super) fn linux(errno: wasip1::Errno) -> Errno {
    match errno {
        wasip1::ERRNO_ACCES => Errno::ACCES,
        wasip1::ERRNO_AGAIN => Errno::AGAIN,
        wasip1::ERRNO_BADF => Errno::BADF,
        wasip1::ERRNO_BUSY => Errno::BUSY,
        wasip1::ERRNO_DQUOT => Errno::DQUOT,
        wasip1::ERRNO_EXIST => Errno::EXIST,
        wasip1::ERRNO_FBIG => Errno::FBIG,
        wasip1::ERRNO_ILSEQ => Errno::ILSEQ,
        wasip1::ERRNO_INVAL => Errno::INVAL,
        wasip1::ERRNO_ISDIR => Errno::ISDIR,
        wasip1::ERRNO_LOOP => Errno::LOOP,
        wasip1::ERRNO_MFILE => Errno::MFILE,
        wasip1::ERRNO_MLINK => Errno::MLINK,
        wasip1::ERRNO_NAMETOOLONG => Errno::NAMETOOLONG,
        wasip1::ERRNO_NFILE => Errno::NFILE,
        wasip1::ERRNO_NOENT => Errno::NOENT,
        wasip1::ERRNO_NOMEM => Errno::NOMEM,
        wasip1::ERRNO_NOSPC => Errno::NOSPC,
        wasip1::ERRNO_NOSYS | wasip1::ERRNO_NOTSUP => Errno::OPNOTSUPP,
        wasip1::ERRNO_NOTDIR => Errno::NOTDIR,
        wasip1::ERRNO_NOTEMPTY => Errno::NOTEMPTY,
        wasip1::ERRNO_NXIO => Errno::NXIO,
        wasip1::ERRNO_OVERFLOW => Errno::OVERFLOW,
        // A path that would lead out of the directory is the latter.
        wasip1::ERRNO_PERM | wasip1::ERRNO_NOTCAPABLE => Errno::PERM,
        wasip1::ERRNO_ROFS => Errno::ROFS,
        wasip1::ERRNO_SPIPE => Errno::SPIPE,
        wasip1::ERRNO_TXTBSY => Errno::TXTBSY,
        wasip1::ERRNO_XDEV => Errno::XDEV,
        _ => Errno::IO,
    }
}
