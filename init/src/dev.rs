//! What a container finds in `/dev`, `/proc` and `/sys`: docker's set, made before the freeze.

use crate::error::{Context, Error};
use crate::mount::{INERT, Mount};
use rustix::fs::{CWD, FileType, Mode, makedev};
use rustix::io::Errno;
use rustix::mount::MountFlags;

const MOUNTS: [Mount; 7] = [
    Mount { kind: c"proc", target: "/proc", flags: INERT, options: c"", optional: false },
    Mount {
        kind: c"tmpfs",
        target: "/dev",
        flags: MountFlags::NOSUID,
        options: c"mode=755,size=64m",
        optional: false,
    },
    // gid 5 is `tty` in every distribution.
    Mount {
        kind: c"devpts",
        target: "/dev/pts",
        flags: MountFlags::NOSUID.union(MountFlags::NOEXEC),
        options: c"newinstance,ptmxmode=0666,mode=0620,gid=5",
        optional: true,
    },
    Mount {
        kind: c"tmpfs",
        target: "/dev/shm",
        flags: INERT,
        options: c"mode=1777,size=64m",
        optional: false,
    },
    Mount { kind: c"mqueue", target: "/dev/mqueue", flags: INERT, options: c"", optional: true },
    Mount {
        kind: c"sysfs",
        target: "/sys",
        flags: INERT.union(MountFlags::RDONLY),
        options: c"",
        optional: false,
    },
    Mount {
        kind: c"cgroup2",
        target: "/sys/fs/cgroup",
        flags: INERT.union(MountFlags::RDONLY),
        options: c"",
        optional: true,
    },
];

/// Name, major and minor, as `Documentation/admin-guide/devices.txt` assigns them.
const DEVICES: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// Target, link.
const LINKS: [(&str, &str); 6] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("/proc/kcore", "/dev/core"),
    ("pts/ptmx", "/dev/ptmx"),
];

/// Machine state that is none of the container's business; docker's list.
const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];

/// Settings of the whole machine; docker's list.
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Fills the container's root, which must be the caller's, in its namespaces.
///
/// # Errors
/// If a mount or a device node fails; what the kernel was built without is left out.
pub(crate) fn populate() -> Result<(), Error> {
    MOUNTS.iter().try_for_each(Mount::apply)?;
    DEVICES.iter().try_for_each(|&(path, major, minor)| make_device(path, major, minor))?;
    LINKS.iter().try_for_each(|&(target, link)| make_link(target, link))
}

/// For programs that still read the mount table in `/etc`.
///
/// # Errors
/// If the link cannot be made. An image may bring its own, or have no `/etc`.
pub(crate) fn link_mount_table() -> Result<(), Error> {
    make_link("/proc/mounts", "/etc/mtab")
}

/// Hides machine state and makes settings of the whole machine read-only.
///
/// # Errors
/// If a mount fails; what the kernel was built without is left out.
pub(crate) fn protect_kernel() -> Result<(), Error> {
    MASKED.iter().try_for_each(|path| skip_absent(mask(path), path))?;
    READ_ONLY.iter().try_for_each(|path| skip_absent(protect(path), path))
}

fn make_device(path: &str, major: u32, minor: u32) -> Result<(), Error> {
    let mode = Mode::from_raw_mode(0o666);
    rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, mode, makedev(major, minor))
        // Whatever the umask took away.
        .and_then(|()| rustix::fs::chmod(path, mode))
        .during(|| format!("make {path}"))
}

fn make_link(target: &str, link: &str) -> Result<(), Error> {
    match rustix::fs::symlink(target, link) {
        Err(Errno::EXIST | Errno::NOENT | Errno::NOTDIR) => Ok(()),
        made => made.during(|| format!("link {link}")),
    }
}

fn mask(path: &str) -> Result<(), Errno> {
    match rustix::mount::mount_bind("/dev/null", path) {
        Err(Errno::NOTDIR) => rustix::mount::mount(
            c"tmpfs",
            path,
            c"tmpfs",
            INERT.union(MountFlags::RDONLY),
            c"size=0k,nr_inodes=1",
        ),
        bound => bound,
    }
}

fn protect(path: &str) -> Result<(), Errno> {
    rustix::mount::mount_bind_recursive(path, path)?;
    let flags = MountFlags::BIND.union(MountFlags::RDONLY).union(INERT);
    rustix::mount::mount_remount(path, flags, c"")
}

fn skip_absent(done: Result<(), Errno>, path: &str) -> Result<(), Error> {
    match done {
        Err(Errno::NOENT) => Ok(()),
        done => done.during(|| format!("protect {path}")),
    }
}
