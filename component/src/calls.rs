//! The functions that the artifact imports.
//!
//! `lithify_snapshot` joins the artifact's import `NAME` to `artifact_NAME`. Pointers that they get
//! are addresses in the artifact's memory; where one is outside of it, the artifact traps.

use lithify_control::Overrides;
use wasip1::wasi_snapshot_preview1 as raw;
use wasip2::clocks::{monotonic_clock, wall_clock};

use crate::bridge;
use crate::descriptors::{Descriptor, FOLDER};
use crate::errno::{Errno, Result};
use crate::forward::{self, FDSTAT_LEN, FILESTAT_LEN, PRESTAT_LEN, fills, with_path, with_paths};
use crate::host::with;
use crate::memory::{Buffer, iovec, put_u32, put_u64};
use crate::poll;
use crate::sockets::Sockets;

const CLOCK_REALTIME: u32 = 0;
const CLOCK_MONOTONIC: u32 = 1;

/// Declares functions that answer with an error number.
macro_rules! calls {
    ($($name:ident($($argument:ident: $ty:ty),*) $body:block)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: $ty),*) -> i32 {
            #[allow(clippy::too_many_arguments, reason = "preview 1 declares them")]
            fn answer($($argument: $ty),*) -> Result<()> $body
            answer($($argument),*).map_or_else(|errno| errno.0, |()| 0)
        }
    )*};
}

/// The host's number of a descriptor.
fn host(fd: u32) -> Result<i32> {
    Descriptor::host(fd)
}

fn buffer(at: u32, len: u32) -> Buffer {
    Buffer { at, len }
}

calls! {
    artifact_args_sizes_get(count: u32, len: u32) {
        with(|host| host.arguments.put_sizes(count, len));
        Ok(())
    }

    artifact_args_get(list: u32, bytes: u32) {
        with(|host| host.arguments.put(list, bytes));
        Ok(())
    }

    artifact_environ_sizes_get(count: u32, len: u32) {
        with(|host| host.variables.put_sizes(count, len));
        Ok(())
    }

    artifact_environ_get(list: u32, bytes: u32) {
        with(|host| host.variables.put(list, bytes));
        Ok(())
    }

    artifact_clock_time_get(clock: u32, _precision: u64, to: u32) {
        let now = match clock {
            CLOCK_MONOTONIC => monotonic_clock::now(),
            CLOCK_REALTIME => {
                let now = wall_clock::now();
                now.seconds.saturating_mul(1_000_000_000).saturating_add(now.nanoseconds.into())
            }
            _ => return Err(Errno::INVAL),
        };
        put_u64(to, now);
        Ok(())
    }

    artifact_random_get(to: u32, len: u32) {
        bridge::write(to, &wasip2::random::random::get_random_bytes(len.into()));
        Ok(())
    }

    artifact_poll_oneoff(subscriptions: u32, events: u32, count: u32, happened: u32) {
        put_u32(happened, with(|host| poll::wait(host, subscriptions, events, count))?);
        Ok(())
    }

    artifact_fd_read(fd: u32, iovs: u32, count: u32, len: u32) {
        let read = with(|host| {
            let into = iovec(iovs, 0);
            let bytes = match Descriptor::of(fd) {
                Descriptor::Host(fd) => return host.fill(into, |iovec, filled| {
                    // SAFETY: `fill` gives addresses of its own.
                    unsafe { raw::fd_read(fd, iovec, 1, filled) }
                }),
                Descriptor::Stdin => host.stdin.read(into.len as usize)?,
                Descriptor::File(file) => host.folder.read(file, into.len as usize)?,
                Descriptor::Ready => host.sockets()?.list_ready(into.len as usize),
                Descriptor::Socket(socket) => {
                    return host.sockets()?.read(socket, into, (count > 1).then(|| iovec(iovs, 1)));
                }
                Descriptor::Folder => return Err(Errno::BADF),
            };
            bridge::write(into.at, &bytes);
            Ok(bytes.len())
        })?;
        put_u32(len, read as u32);
        Ok(())
    }

    artifact_fd_write(fd: u32, iovs: u32, count: u32, len: u32) {
        let written = with(|host| match Descriptor::of(fd) {
            Descriptor::Host(fd) => host.take(iovec(iovs, 0), |iovec, taken| {
                // SAFETY: `take` gives addresses of its own.
                unsafe { raw::fd_write(fd, iovec, 1, taken) }
            }),
            Descriptor::Socket(socket) => {
                let pieces: Vec<Buffer> = (0..count.min(2)).map(|n| iovec(iovs, n)).collect();
                host.sockets()?.write(socket, &pieces)
            }
            _ => Err(Errno::BADF),
        })?;
        put_u32(len, written as u32);
        Ok(())
    }

    artifact_fd_pread(fd: u32, iovs: u32, _count: u32, offset: i64, len: u32) {
        let fd = host(fd)?;
        let read = with(|host| host.fill(iovec(iovs, 0), |iovec, filled| {
            // SAFETY: as in `fd_read`.
            unsafe { raw::fd_pread(fd, iovec, 1, offset, filled) }
        }))?;
        put_u32(len, read as u32);
        Ok(())
    }

    artifact_fd_pwrite(fd: u32, iovs: u32, _count: u32, offset: i64, len: u32) {
        let fd = host(fd)?;
        let written = with(|host| host.take(iovec(iovs, 0), |iovec, taken| {
            // SAFETY: as in `fd_write`.
            unsafe { raw::fd_pwrite(fd, iovec, 1, offset, taken) }
        }))?;
        put_u32(len, written as u32);
        Ok(())
    }

    artifact_fd_readdir(fd: u32, to: u32, room: u32, cookie: i64, len: u32) {
        let fd = host(fd)?;
        let listed = with(|host| host.fill_plain(buffer(to, room), |at, room, filled| {
            // SAFETY: `fill_plain` gives addresses of its own.
            unsafe { raw::fd_readdir(fd, at, room, cookie, filled) }
        }))?;
        put_u32(len, listed as u32);
        Ok(())
    }

    artifact_fd_close(fd: u32) {
        match Descriptor::of(fd) {
            // SAFETY: the call takes no pointers, as below where nothing else is said.
            Descriptor::Host(fd) => Errno::of(unsafe { raw::fd_close(fd) }),
            Descriptor::File(file) => with(|host| host.folder.close(file)),
            Descriptor::Socket(socket) => with(|host| host.sockets()?.close(socket)),
            _ => Ok(()),
        }
    }

    artifact_fd_sync(fd: u32) {
        // SAFETY: as above.
        Errno::of(unsafe { raw::fd_sync(host(fd)?) })
    }

    artifact_fd_datasync(fd: u32) {
        // SAFETY: as above.
        Errno::of(unsafe { raw::fd_datasync(host(fd)?) })
    }

    artifact_fd_filestat_set_size(fd: u32, size: i64) {
        // SAFETY: as above.
        Errno::of(unsafe { raw::fd_filestat_set_size(host(fd)?, size) })
    }

    artifact_fd_filestat_set_times(fd: u32, accessed: i64, modified: i64, flags: i32) {
        // SAFETY: as above.
        Errno::of(unsafe { raw::fd_filestat_set_times(host(fd)?, accessed, modified, flags) })
    }

    artifact_fd_fdstat_get(fd: u32, to: u32) {
        let fd = host(fd)?;
        // SAFETY: `fills` gives room for what the call writes, as below.
        fills::<FDSTAT_LEN>(to, |room| unsafe { raw::fd_fdstat_get(fd, room) })
    }

    artifact_fd_filestat_get(fd: u32, to: u32) {
        let fd = host(fd)?;
        // SAFETY: as above.
        fills::<FILESTAT_LEN>(to, |room| unsafe { raw::fd_filestat_get(fd, room) })
    }

    artifact_fd_prestat_get(fd: u32, to: u32) {
        if fd == FOLDER {
            // A directory, and the length of its name.
            put_u64(to, (Overrides::DIRECTORY.len() as u64) << 32);
            return Ok(());
        }
        let fd = host(fd)?;
        // SAFETY: as above.
        fills::<PRESTAT_LEN>(to, |room| unsafe { raw::fd_prestat_get(fd, room) })
    }

    artifact_fd_prestat_dir_name(fd: u32, to: u32, len: u32) {
        if fd == FOLDER {
            let name = Overrides::DIRECTORY.as_bytes();
            bridge::write(to, &name[..name.len().min(len as usize)]);
            return Ok(());
        }
        let fd = host(fd)?;
        with(|host| host.fill_plain(buffer(to, len), |at, room, filled| {
            // SAFETY: `fill_plain` gives addresses of its own; the name fills all of its room.
            unsafe {
                *(filled as *mut i32) = room;
                raw::fd_prestat_dir_name(fd, at, room)
            }
        }))
        .map(drop)
    }

    artifact_path_open(
        directory: u32, lookup: i32, path: u32, len: u32, oflags: i32, rights: i64, inherited: i64,
        fdflags: i32, opened: u32
    ) {
        let path = buffer(path, len);
        if directory == FOLDER {
            let name = String::from_utf8(path.bytes()).map_err(|_| Errno::NOENT)?;
            put_u32(opened, with(|host| host.open_own(&name))?.number());
            return Ok(());
        }
        let how = [lookup, oflags, fdflags];
        forward::path_open(host(directory)?, path, how, [rights, inherited], opened)
    }

    artifact_path_create_directory(directory: u32, path: u32, len: u32) {
        let directory = host(directory)?;
        // SAFETY: `with_path` gives the address of the path, as below.
        with_path(buffer(path, len), |at, len| unsafe {
            raw::path_create_directory(directory, at, len)
        })
    }

    artifact_path_remove_directory(directory: u32, path: u32, len: u32) {
        let directory = host(directory)?;
        // SAFETY: as above.
        with_path(buffer(path, len), |at, len| unsafe {
            raw::path_remove_directory(directory, at, len)
        })
    }

    artifact_path_unlink_file(directory: u32, path: u32, len: u32) {
        let directory = host(directory)?;
        // SAFETY: as above.
        with_path(buffer(path, len), |at, len| unsafe {
            raw::path_unlink_file(directory, at, len)
        })
    }

    artifact_path_filestat_get(directory: u32, lookup: i32, path: u32, len: u32, to: u32) {
        let (directory, path) = (host(directory)?, buffer(path, len).bytes());
        // SAFETY: the path outlives the call; else as above.
        fills::<FILESTAT_LEN>(to, |room| unsafe {
            raw::path_filestat_get(directory, lookup, path.as_ptr() as i32, path.len() as i32, room)
        })
    }

    artifact_path_filestat_set_times(
        directory: u32, lookup: i32, path: u32, len: u32, accessed: i64, modified: i64, flags: i32
    ) {
        let directory = host(directory)?;
        // SAFETY: as above.
        with_path(buffer(path, len), |at, len| unsafe {
            raw::path_filestat_set_times(directory, lookup, at, len, accessed, modified, flags)
        })
    }

    artifact_path_link(
        directory: u32, lookup: i32, path: u32, len: u32, to: u32, new_path: u32, new_len: u32
    ) {
        let (directory, to) = (host(directory)?, host(to)?);
        let paths = [buffer(path, len), buffer(new_path, new_len)];
        // SAFETY: `with_paths` gives addresses of both, as below.
        with_paths(paths, |old, new| unsafe {
            raw::path_link(directory, lookup, old[0], old[1], to, new[0], new[1])
        })
    }

    artifact_path_rename(
        directory: u32, path: u32, len: u32, to: u32, new_path: u32, new_len: u32
    ) {
        let (directory, to) = (host(directory)?, host(to)?);
        let paths = [buffer(path, len), buffer(new_path, new_len)];
        // SAFETY: as above.
        with_paths(paths, |old, new| unsafe {
            raw::path_rename(directory, old[0], old[1], to, new[0], new[1])
        })
    }

    artifact_path_symlink(target: u32, target_len: u32, directory: u32, path: u32, len: u32) {
        let directory = host(directory)?;
        // SAFETY: as above.
        with_paths([buffer(target, target_len), buffer(path, len)], |target, path| unsafe {
            raw::path_symlink(target[0], target[1], directory, path[0], path[1])
        })
    }

    artifact_path_readlink(
        directory: u32, path: u32, len: u32, to: u32, room: u32, target_len: u32
    ) {
        let (directory, path) = (host(directory)?, buffer(path, len).bytes());
        let read = with(|host| host.fill_plain(buffer(to, room), |at, room, filled| {
            let (from, len) = (path.as_ptr() as i32, path.len() as i32);
            // SAFETY: the path outlives the call, and `fill_plain` gives addresses of its own.
            unsafe { raw::path_readlink(directory, from, len, at, room, filled) }
        }))?;
        put_u32(target_len, read as u32);
        Ok(())
    }

    artifact_sock_accept(fd: u32, _flags: u32, accepted: u32) {
        let Descriptor::Socket(listener) = Descriptor::of(fd) else { return Err(Errno::BADF) };
        let socket = with(|host| host.sockets()?.accept(listener))?;
        put_u32(accepted, Descriptor::Socket(socket).number());
        Ok(())
    }

    artifact_sock_shutdown(fd: u32, how: u32) {
        let Descriptor::Socket(socket) = Descriptor::of(fd) else { return Err(Errno::BADF) };
        with(|host| host.sockets()?.shutdown(socket, how))
    }
}

/// Ends the run. Codes of containers have eight bits.
#[unsafe(no_mangle)]
extern "C" fn artifact_proc_exit(code: u32) -> ! {
    with(|host| host.sockets.as_mut().map(Sockets::drain));
    wasip2::cli::exit::exit_with_code(code as u8);
    unreachable!("the host ends the run")
}
