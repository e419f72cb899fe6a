//! Directories and files of the host in the container.
//!
//! They come through one 9p device, which Linux lets one mount use: its root is mounted for a moment
//! where nobody is yet, and what is in it is bound to where it belongs. This happens in the
//! container's process, whose mounts nobody else sees and whose root is the container's, so that no
//! link in a target leads out of it.

use crate::accounts::Account;
use crate::error::{Context, Error};
use crate::mount::make_directory;
use crate::mounts::mount_point;
use lithify_control::{Mount, MountKind};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The device's tag.
const TAG: &str = "lithify";

/// Where its root is for a moment.
const PLACE: &str = "/dev/.lithify";

/// What is of no use on a host's files, and of use to who attacks a container.
const FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// Mounts the host's directories and files among `mounts`. Their files appear as `owner`'s; relative targets
/// are below `cwd`.
///
/// # Errors
/// If a mount point cannot be made, or the kernel refuses.
pub(crate) fn attach(mounts: &[Mount], owner: &Account, cwd: &[u8]) -> Result<(), Error> {
    let wanted = || mounts.iter().filter_map(Wanted::of);
    if wanted().next().is_none() {
        return Ok(());
    }
    mount_all(owner).during(|| "mount the host's directories".to_owned())?;
    for wish in wanted() {
        let target = Path::new("/").join(OsStr::from_bytes(cwd)).join(wish.target);
        let kind = if wish.source.is_dir() { "directory" } else { "file" };
        wish.bind(&target).during(|| format!("mount a host {kind} on {}", target.display()))?;
    }
    rustix::mount::unmount(PLACE, UnmountFlags::DETACH)
        .and_then(|()| rustix::fs::rmdir(PLACE))
        .during(|| format!("unmount {PLACE}"))
}

/// Reads and writes go to the host at once: what the host's programs write is seen, what a program
/// here has written is the host's when it is told so, and appending is left to the host, so that
/// writers on both sides lose nothing. The price is that a file can be mapped for reading only:
/// Linux's `cache=mmap` would allow shared writable maps, but opens files for appending without
/// saying so. A request carries 125 pages, all that Linux's transport allows.
fn options(owner: &Account) -> Result<CString, Errno> {
    let Account { uid, gid, .. } = owner;
    let options = format!(
        "trans=virtio,version=9p2000.L,cache=none,msize=512000,access=user,uname={uid}:{gid}"
    );
    CString::new(options).map_err(|_| Errno::INVAL)
}

fn mount_all(owner: &Account) -> Result<(), Errno> {
    make_directory(PLACE, 0o700)?;
    rustix::mount::mount(TAG, PLACE, c"9p", FLAGS, options(owner)?.as_c_str())
}

/// One of them.
struct Wanted<'a> {
    source: PathBuf,
    target: &'a OsStr,
    read_only: bool,
}

impl<'a> Wanted<'a> {
    fn of(mount: &'a Mount) -> Option<Self> {
        let MountKind::Host { export, read_only } = mount.kind else { return None };
        let source = Path::new(PLACE).join(export.to_string());
        Some(Self { source, target: OsStr::from_bytes(&mount.target), read_only })
    }

    fn bind(&self, target: &Path) -> Result<(), Errno> {
        let point = mount_point(target, self.source.is_dir())?;
        // On top of the root it would be seen by nobody who is in it already.
        if std::fs::canonicalize(&point).is_ok_and(|point| point == Path::new("/")) {
            return Err(Errno::BUSY);
        }
        rustix::mount::mount_bind(&self.source, &point)?;
        if self.read_only {
            let flags = FLAGS | MountFlags::BIND | MountFlags::RDONLY;
            rustix::mount::mount_remount(&point, flags, c"")?;
        }
        Ok(())
    }
}
