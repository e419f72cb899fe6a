//! Mounting, and init's own root.

use crate::error::{Context, Error};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::MountFlags;
use std::ffi::CStr;

/// One line of a mount table.
pub(crate) struct Mount {
    /// Type, which also stands as the source of file systems that have none.
    pub(crate) kind: &'static CStr,
    /// Directory to mount on; made if missing.
    pub(crate) target: &'static str,
    /// `MS_*`.
    pub(crate) flags: MountFlags,
    /// The file system's own options.
    pub(crate) options: &'static CStr,
    /// Absence from the kernel's configuration is no error.
    pub(crate) optional: bool,
}

impl Mount {
    /// Mounts it.
    ///
    /// # Errors
    /// If the directory cannot be made or the kernel refuses the mount.
    pub(crate) fn apply(&self) -> Result<(), Error> {
        let mounted = make_directory(self.target, 0o755).and_then(|()| {
            rustix::mount::mount(self.kind, self.target, self.kind, self.flags, self.options)
        });
        match mounted {
            Err(Errno::NODEV | Errno::NOENT) if self.optional => Ok(()),
            mounted => mounted
                .during(|| format!("mount {} on {}", self.kind.to_string_lossy(), self.target)),
        }
    }
}

/// Makes one directory unless something of that name is there.
pub(crate) fn make_directory(path: &str, mode: u32) -> Result<(), Errno> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(mode)) {
        Err(Errno::EXIST) => Ok(()),
        made => made,
    }
}

/// No set-user-id, no devices, no programs: for file systems that hold only kernel data.
pub(crate) const INERT: MountFlags =
    MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

const KERNEL_INTERFACES: [Mount; 3] = [
    Mount { kind: c"proc", target: "/proc", flags: INERT, options: c"", optional: false },
    Mount { kind: c"sysfs", target: "/sys", flags: INERT, options: c"", optional: false },
    Mount {
        kind: c"devtmpfs",
        target: "/dev",
        flags: INERT_BUT_DEVICES,
        options: c"",
        optional: false,
    },
];

const INERT_BUT_DEVICES: MountFlags = MountFlags::NOSUID.union(MountFlags::NOEXEC);

/// Moves from the initramfs to a tmpfs with proc, sys and dev.
///
/// `pivot_root` cannot leave an initramfs, and the container must pivot; the same tmpfs holds the
/// container's writable layer.
///
/// # Errors
/// If a mount fails.
pub(crate) fn enter_own_root() -> Result<(), Error> {
    const BASE: Mount = Mount {
        kind: c"tmpfs",
        target: "/base",
        flags: MountFlags::empty(),
        options: c"mode=0755",
        optional: false,
    };
    BASE.apply()?;
    std::env::set_current_dir("/base")
        .and_then(|()| Ok(rustix::mount::mount_move(".", "/")?))
        .and_then(|()| Ok(rustix::process::chroot(".")?))
        .during(|| "leave the initramfs".to_owned())?;
    KERNEL_INTERFACES.iter().try_for_each(Mount::apply)
}
