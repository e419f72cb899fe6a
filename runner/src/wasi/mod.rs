//! The part of WASI preview 1 that an artifact uses, on plain file descriptors.
//!
//! Hand-written because it is a fraction of the start time of a complete implementation, and
//! because an artifact needs little: arguments, environment, clocks, randomness, three streams,
//! one wait, files below directories that the user named, and sockets as far as the user lets them
//! out. Calls outside this set answer
//! `ENOSYS`; nothing else of the host's file system is reachable. Names, numbers and layouts are those of `wasi_snapshot_preview1.witx`.

mod clock;
mod descriptors;
mod errno;
mod file_calls;
mod host_files;
mod memory;
mod own_folder;
mod poll;
mod process;
mod sockets;
mod streams;

pub(crate) use own_folder::OwnFolder;
pub(crate) use process::Exit;
pub(crate) use sockets::SocketFiles;
pub use streams::Streams;

use crate::{HostMount, Network};
use errno::{Errno, Stop};
use host_files::HostFiles;
use memory::GuestMemory;
use wasmtime::{Caller, ExternType, Func, Linker, Memory, Module, Result, Store, Val};

/// The import module whose calls are answered here.
pub(crate) const MODULE: &str = "wasi_snapshot_preview1";

type Outcome = std::result::Result<(), Stop>;

/// What one running artifact sees of the host.
pub(crate) struct Host {
    /// Arguments, `argv[0]` first.
    pub(crate) args: Vec<Vec<u8>>,
    /// Environment as `NAME=VALUE`.
    pub(crate) env: Vec<Vec<u8>>,
    pub(crate) streams: Streams,
    pub(crate) folder: OwnFolder,
    pub(crate) files: HostFiles,
    pub(crate) sockets: SocketFiles,
    /// The instance's memory, once there is one.
    pub(crate) memory: Option<Memory>,
}

impl Host {
    pub(crate) fn new(
        args: Vec<Vec<u8>>,
        env: Vec<Vec<u8>>,
        streams: Streams,
        folder: OwnFolder,
        mounts: Vec<HostMount>,
        network: Option<Network>,
    ) -> Self {
        let (files, sockets) = (HostFiles::new(mounts), SocketFiles::new(network));
        Self { args, env, streams, folder, files, sockets, memory: None }
    }
}

fn call(
    mut caller: Caller<'_, Host>,
    body: impl FnOnce(&mut Host, &mut GuestMemory<'_>) -> Outcome,
) -> Result<u32> {
    let Some(memory) = caller.data().memory else {
        return Ok(Errno::Fault.code());
    };
    let (bytes, host) = memory.data_and_store_mut(&mut caller);
    match body(host, &mut GuestMemory::new(bytes)) {
        Ok(()) => Ok(Errno::Success.code()),
        Err(Stop::Errno(errno)) => Ok(errno.code()),
        Err(Stop::Exit(code)) => Err(Exit(code).into()),
    }
}

macro_rules! link {
    ($linker:ident: $($name:ident($($arg:ident: $ty:ty),*);)*) => {$(
        $linker.func_wrap(
            MODULE,
            stringify!($name),
            |caller: Caller<'_, Host>, $($arg: $ty),*| {
                call(caller, |host, memory| host.$name(memory, $($arg),*))
            },
        )?;
    )*};
}

/// Defines every call that is answered here.
pub(crate) fn link(linker: &mut Linker<Host>) -> Result<()> {
    link! { linker:
        args_get(argv: u32, buffer: u32);
        args_sizes_get(count: u32, size: u32);
        environ_get(environ: u32, buffer: u32);
        environ_sizes_get(count: u32, size: u32);
        clock_res_get(id: u32, resolution: u32);
        clock_time_get(id: u32, precision: u64, time: u32);
        random_get(buffer: u32, len: u32);
        sched_yield();
        fd_read(fd: u32, iovs: u32, count: u32, read: u32);
        fd_write(fd: u32, iovs: u32, count: u32, written: u32);
        fd_seek(fd: u32, offset: i64, whence: u32, position: u32);
        fd_close(fd: u32);
        fd_fdstat_get(fd: u32, stat: u32);
        fd_filestat_get(fd: u32, stat: u32);
        fd_prestat_get(fd: u32, prestat: u32);
        fd_prestat_dir_name(fd: u32, path: u32, len: u32);
        path_open(
            dir: u32, dirflags: u32, path: u32, len: u32, oflags: u32,
            rights: u64, inheriting: u64, fdflags: u32, fd: u32
        );
        fd_pread(fd: u32, iovs: u32, count: u32, offset: u64, read: u32);
        fd_pwrite(fd: u32, iovs: u32, count: u32, offset: u64, written: u32);
        fd_readdir(fd: u32, buffer: u32, len: u32, from: u64, used: u32);
        fd_sync(fd: u32);
        fd_datasync(fd: u32);
        fd_filestat_set_size(fd: u32, size: u64);
        fd_filestat_set_times(fd: u32, accessed: u64, modified: u64, flags: u32);
        path_filestat_get(dir: u32, lookup: u32, path: u32, len: u32, stat: u32);
        path_filestat_set_times(
            dir: u32, lookup: u32, path: u32, len: u32, accessed: u64, modified: u64, flags: u32
        );
        path_create_directory(dir: u32, path: u32, len: u32);
        path_remove_directory(dir: u32, path: u32, len: u32);
        path_unlink_file(dir: u32, path: u32, len: u32);
        path_rename(dir: u32, path: u32, len: u32, new_dir: u32, new_path: u32, new_len: u32);
        path_link(
            dir: u32, lookup: u32, path: u32, len: u32, new_dir: u32, new_path: u32, new_len: u32
        );
        path_symlink(target: u32, target_len: u32, dir: u32, path: u32, len: u32);
        path_readlink(
            dir: u32, path: u32, len: u32, buffer: u32, buffer_len: u32, used: u32
        );
        sock_accept(fd: u32, flags: u32, accepted: u32);
        sock_shutdown(fd: u32, how: u32);
        poll_oneoff(subscriptions: u32, events: u32, count: u32, ready: u32);
    }
    linker.func_wrap(MODULE, "proc_exit", |code: u32| Result::<()>::Err(Exit(code).into()))?;
    Ok(())
}

/// Answers `ENOSYS` for what `module` imports beyond [`link`].
pub(crate) fn link_missing(
    linker: &mut Linker<Host>,
    store: &mut Store<Host>,
    module: &Module,
) -> Result<()> {
    for import in module.imports().filter(|import| import.module() == MODULE) {
        let ExternType::Func(ty) = import.ty() else { continue };
        if linker.get_by_import(&mut *store, &import).is_some() {
            continue;
        }
        let refuse = Func::new(&mut *store, ty, |_, _, results| {
            results.fill(Val::I32(Errno::NoSys.code().cast_signed()));
            Ok(())
        });
        linker.define(&mut *store, MODULE, import.name(), refuse)?;
    }
    Ok(())
}
