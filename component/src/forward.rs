//! Calls on the host's files and streams, passed on to the preview 1 adapter.
//!
//! Pointers are the only thing that changes: the adapter knows our memory alone.

use wasip1::wasi_snapshot_preview1 as raw;

use crate::bridge;
use crate::descriptors::Descriptor;
use crate::errno::{Errno, Result};
use crate::host::Host;
use crate::memory::{Buffer, put_u32};

/// Lengths of `fdstat`, `filestat` and `prestat`.
pub(crate) const FDSTAT_LEN: usize = 24;
pub(crate) const FILESTAT_LEN: usize = 64;
pub(crate) const PRESTAT_LEN: usize = 8;

/// Address of bytes in our memory.
fn at(bytes: &[u8]) -> i32 {
    bytes.as_ptr() as i32
}

/// Length as calls have it.
fn len(bytes: &[u8]) -> i32 {
    bytes.len() as i32
}

/// A call that fills `N` bytes at the pointer that it gets.
pub(crate) fn fills<const N: usize>(to: u32, call: impl FnOnce(i32) -> i32) -> Result<()> {
    // `u64`s of the adapter's are aligned.
    let mut room = Aligned([0; N]);
    Errno::of(call(room.0.as_mut_ptr() as i32))?;
    bridge::write(to, &room.0);
    Ok(())
}

#[repr(align(8))]
struct Aligned<const N: usize>([u8; N]);

/// A call that gets a path, as its pointer and length.
pub(crate) fn with_path(path: Buffer, call: impl FnOnce(i32, i32) -> i32) -> Result<()> {
    let path = path.bytes();
    Errno::of(call(at(&path), len(&path)))
}

/// A call that gets two paths.
pub(crate) fn with_paths(
    paths: [Buffer; 2],
    call: impl FnOnce([i32; 2], [i32; 2]) -> i32,
) -> Result<()> {
    let paths = paths.map(Buffer::bytes);
    Errno::of(call([at(&paths[0]), len(&paths[0])], [at(&paths[1]), len(&paths[1])]))
}

impl Host {
    /// A call that fills a buffer, from an `iovec` in our memory, and tells how much of it.
    pub(crate) fn fill(
        &mut self,
        into: Buffer,
        call: impl FnOnce(i32, i32) -> i32,
    ) -> Result<usize> {
        let room = self.scratch(into.len as usize);
        let iovec = [at(room), len(room)];
        let mut filled = 0_u32;
        Errno::of(call(iovec.as_ptr() as i32, (&raw mut filled) as i32))?;
        let filled = filled.min(into.len) as usize;
        bridge::write(into.at, &room[..filled]);
        Ok(filled)
    }

    /// A call that takes bytes, from an `iovec` in our memory, and tells how many.
    pub(crate) fn take(
        &mut self,
        from: Buffer,
        call: impl FnOnce(i32, i32) -> i32,
    ) -> Result<usize> {
        let bytes = self.scratch(from.len as usize);
        bridge::read(bytes, from.at);
        let iovec = [at(bytes), len(bytes)];
        let mut taken = 0_u32;
        Errno::of(call(iovec.as_ptr() as i32, (&raw mut taken) as i32))?;
        Ok(taken as usize)
    }

    /// A call that fills a buffer of ours, given by pointer and length, and tells how much of it.
    pub(crate) fn fill_plain(
        &mut self,
        into: Buffer,
        call: impl FnOnce(i32, i32, i32) -> i32,
    ) -> Result<usize> {
        self.fill(into, |iovec, filled| {
            // SAFETY: `fill` gives the address of an `iovec`, which outlives this call.
            let [at, len] = unsafe { *(iovec as *const [i32; 2]) };
            call(at, len, filled)
        })
    }
}

/// Opens a path of the host's.
pub(crate) fn path_open(
    directory: i32,
    path: Buffer,
    how: [i32; 3],
    rights: [i64; 2],
    opened: u32,
) -> Result<()> {
    let [lookup, oflags, fdflags] = how;
    let mut fd = 0_i32;
    with_path(path, |at, len| {
        let fd = (&raw mut fd) as i32;
        // SAFETY: the path outlives the call, which writes one number to `fd`.
        unsafe {
            raw::path_open(directory, lookup, at, len, oflags, rights[0], rights[1], fdflags, fd)
        }
    })?;
    put_u32(opened, Descriptor::Host(fd).number());
    Ok(())
}
