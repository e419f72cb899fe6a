//! The container's root: the image's squashfs below, a tmpfs above, joined by overlayfs.

use crate::error::{Context, Error};
use crate::mount::make_directory;
use rustix::fs::{Gid, Mode, Uid};
use rustix::mount::MountFlags;

/// Where the joined tree is mounted.
pub(crate) const ROOT: &str = "/container";

const DISK: &str = "/dev/vda";
/// The image alone.
pub(crate) const LOWER: &str = "/image";
/// What the container changed, in overlayfs' own terms.
pub(crate) const UPPER: &str = "/upper";
const WORK: &str = "/work";

/// Renames and metadata changes copy files up whole, so that the upper tree means the same to
/// every reader, whatever the kernel's defaults; `xino` gives all files one device number, which
/// `du -x` and `find -xdev` rely on. Not `auto`, which does so only if the squashfs has an export
/// table; without one a file's inode number changes when it is first written.
const OVERLAY_OPTIONS: &std::ffi::CStr =
    c"lowerdir=/image,upperdir=/upper,workdir=/work,redirect_dir=off,metacopy=off,index=off,xino=on";

/// Mounts the image read-only and the container's writable root over it.
///
/// # Errors
/// If the root disk is missing or no squashfs, or a mount fails.
pub(crate) fn mount() -> Result<(), Error> {
    for directory in [LOWER, UPPER, WORK, ROOT] {
        make_directory(directory, 0o755).during(|| format!("make {directory}"))?;
    }
    rustix::mount::mount(DISK, LOWER, c"squashfs", MountFlags::RDONLY, c"")
        .during(|| format!("mount the image, squashfs on {DISK}"))?;
    adopt_root_attributes()
        .during(|| format!("give {UPPER} the owner and mode of the image's /"))?;
    rustix::mount::mount(c"overlay", ROOT, c"overlay", MountFlags::empty(), OVERLAY_OPTIONS)
        .during(|| format!("mount the overlay on {ROOT}"))
}

/// The joined tree shows the upper directory's attributes at its root.
fn adopt_root_attributes() -> Result<(), rustix::io::Errno> {
    let image = rustix::fs::stat(LOWER)?;
    let owner = (Uid::from_raw(image.st_uid), Gid::from_raw(image.st_gid));
    rustix::fs::chown(UPPER, Some(owner.0), Some(owner.1))?;
    rustix::fs::chmod(UPPER, Mode::from_raw_mode(image.st_mode))
}
