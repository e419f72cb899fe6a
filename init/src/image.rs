//! Squashfs file systems, and a tmpfs above each that shall be writable, joined by overlayfs.

use crate::error::{Context, Error};
use crate::mount::make_directory;
use rustix::fs::{Gid, Mode, Uid};
use rustix::mount::MountFlags;
use std::ffi::CString;

/// The machine's disk.
pub(crate) const DISK: &str = "/dev/vda";

/// Where overlays have their directories.
const OVERLAYS: &str = "/overlay";

/// Renames and metadata changes copy files up whole, so that the upper tree means the same to
/// every reader, whatever the kernel's defaults; `xino` gives all files one device number, which
/// `du -x` and `find -xdev` rely on. Not `auto`, which does so only if the squashfs has an export
/// table; without one a file's inode number changes when it is first written.
const OVERLAY_OPTIONS: &str = "redirect_dir=off,metacopy=off,index=off,xino=on";

/// Mounts the squashfs on `device` at `target`, which is made.
///
/// # Errors
/// If the device is missing or holds no squashfs.
pub(crate) fn mount_squashfs(device: &str, target: &str) -> Result<(), Error> {
    make_directory(target, 0o755).during(|| format!("make {target}"))?;
    rustix::mount::mount(device, target, c"squashfs", MountFlags::RDONLY, c"")
        .during(|| format!("mount the image, squashfs on {device}"))
}

/// A writable view of a read-only tree. Its changes are in memory.
#[derive(Debug)]
pub(crate) struct Overlay {
    /// The tree below.
    pub(crate) lower: String,
    /// What was changed, in overlayfs' own terms.
    pub(crate) upper: String,
    /// Where both are seen as one.
    pub(crate) merged: String,
}

impl Overlay {
    /// Puts a view above `lower`; `name` is that of no other view.
    ///
    /// # Errors
    /// If a directory cannot be made, or the kernel refuses the mount.
    pub(crate) fn mount(lower: &str, name: &str) -> Result<Self, Error> {
        let own = |part: &str| format!("{OVERLAYS}/{name}/{part}");
        let (upper, work, merged) = (own("upper"), own("work"), own("merged"));
        for directory in [OVERLAYS, &format!("{OVERLAYS}/{name}"), &upper, &work, &merged] {
            make_directory(directory, 0o755).during(|| format!("make {directory}"))?;
        }
        adopt_root_attributes(lower, &upper)
            .during(|| format!("give {upper} the owner and mode of {lower}"))?;
        let options = format!("lowerdir={lower},upperdir={upper},workdir={work},{OVERLAY_OPTIONS}");
        let options = CString::new(options).expect("no NUL among them");
        let none = MountFlags::empty();
        rustix::mount::mount(c"overlay", &merged, c"overlay", none, options.as_c_str())
            .during(|| format!("mount the overlay on {merged}"))?;
        Ok(Self { lower: lower.to_owned(), upper, merged })
    }
}

/// The joined tree shows the upper directory's attributes at its root.
fn adopt_root_attributes(lower: &str, upper: &str) -> Result<(), rustix::io::Errno> {
    let image = rustix::fs::stat(lower)?;
    let owner = (Uid::from_raw(image.st_uid), Gid::from_raw(image.st_gid));
    rustix::fs::chown(upper, Some(owner.0), Some(owner.1))?;
    rustix::fs::chmod(upper, Mode::from_raw_mode(image.st_mode))
}
