//! What a request mounts in the container besides its root.
//!
//! Sources are made in init's own tree, where the image has no say, and taken along as detached
//! mounts; they are attached when the container's root is the only one in sight, so that no link
//! in a target leads out of it.

use crate::agent;
use crate::error::{Context, Error};
use crate::helper::Helper;
use crate::image::Overlay;
use crate::mount::{INERT, make_directory};
use crate::volumes;
use lithify_control::{Mount, MountKind, PLAN};
use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Write;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where sources are made that are no volumes.
const SOURCES: &str = "/sources";

/// Links followed on the way to one mount point; the kernel's own limit.
const MAX_LINKS: u32 = 40;

/// Mounts that are made but not yet attached.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    detached: Vec<Detached>,
    /// Views whose changes are asked for, in the order of the request.
    pub(crate) caches: Vec<Overlay>,
    /// Who serves the sockets.
    helpers: Vec<Helper>,
}

#[derive(Debug)]
struct Detached {
    target: PathBuf,
    is_directory: bool,
    tree: OwnedFd,
}

impl Mounts {
    /// Makes the sources of `mounts`; the volumes are mounted. Sockets lead to the
    /// gateway, so there must be a network; it need not be set up yet.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn prepare(mounts: &[Mount], network: bool) -> Result<Self, Error> {
        make_directory(SOURCES, 0o700).during(|| format!("make {SOURCES}"))?;
        let mut prepared = Self::default();
        for (number, mount) in mounts.iter().enumerate() {
            let Some(source) = prepared.source(number, &mount.kind, network)? else { continue };
            let tree = detach(&source).during(|| format!("open {}", source.display()))?;
            prepared.detached.push(Detached {
                target: OsStr::from_bytes(&mount.target).into(),
                is_directory: source.is_dir(),
                tree,
            });
        }
        Ok(prepared)
    }

    fn source(
        &mut self,
        number: usize,
        kind: &MountKind,
        network: bool,
    ) -> Result<Option<PathBuf>, Error> {
        let own = format!("{SOURCES}/{number}");
        match kind {
            MountKind::Bind { volume, file, writable } => {
                let mut source = PathBuf::from(volumes::path(*volume));
                if *writable {
                    let lower = volumes::path(*volume);
                    source = Overlay::mount(&lower, &format!("mount{number}"))?.merged.into();
                }
                Ok(Some(
                    file.iter().fold(source, |source, file| source.join(OsStr::from_bytes(file))),
                ))
            }
            MountKind::Cache { volume } => {
                let name = format!("mount{number}");
                let overlay = Overlay::mount(&volumes::path(*volume), &name)?;
                let source = PathBuf::from(&overlay.merged);
                self.caches.push(overlay);
                Ok(Some(source))
            }
            MountKind::Tmpfs { size } => {
                make_tmpfs(&own, *size).during(|| format!("mount tmpfs on {own}"))?;
                Ok(Some(own.into()))
            }
            // Left to the container's process.
            MountKind::Host { .. } => Ok(None),
            MountKind::File { content, mode, uid, gid } => {
                make_file(&own, content, *mode, (*uid, *gid)).during(|| format!("write {own}"))?;
                Ok(Some(own.into()))
            }
            MountKind::Socket { port, mode, uid, gid } => {
                let reachable = if network { Ok(()) } else { Err(Errno::NETUNREACH) };
                reachable.during(|| format!("make {own}"))?;
                let gateway = SocketAddrV4::new(PLAN.gateway_v4, *port);
                self.helpers.push(agent::serve_at(&own, *mode, (*uid, *gid), gateway)?);
                Ok(Some(own.into()))
            }
        }
    }

    /// Attaches the mounts in the caller's root. What is missing of a target is made.
    ///
    /// # Errors
    /// If a mount point cannot be made, or the kernel refuses.
    pub(crate) fn attach(&self) -> Result<(), Error> {
        for mount in &self.detached {
            let target = mount.target.display();
            let point = mount_point(&mount.target, mount.is_directory)
                .during(|| format!("make the mount point {target}"))?;
            let flags =
                MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
            rustix::mount::move_mount(&mount.tree, c"", CWD, &point, flags)
                .during(|| format!("mount on {target}"))?;
        }
        Ok(())
    }
}

/// A mount of its own of what is at `source`.
fn detach(source: &Path) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    rustix::mount::open_tree(CWD, source, flags)
}

fn make_tmpfs(path: &str, size: Option<u64>) -> Result<(), Errno> {
    make_directory(path, 0o755)?;
    let options = size.map_or_else(String::new, |size| format!("size={size}"));
    let options = CString::new(options).map_err(|_| Errno::INVAL)?;
    let flags = INERT.difference(MountFlags::NOEXEC);
    rustix::mount::mount(c"tmpfs", path, c"tmpfs", flags, options.as_c_str())
}

fn make_file(path: &str, content: &[u8], mode: u32, owner: (u32, u32)) -> std::io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    file.write_all(content)?;
    rustix::fs::fchown(&file, Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)))?;
    Ok(rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?)
}

/// Makes what is missing of `target`, links followed; where that is in the end. A path through a
/// loop of links has no end, and is refused.
pub(crate) fn mount_point(target: &Path, is_directory: bool) -> Result<PathBuf, Errno> {
    let mut path = Path::new("/").join(target);
    for _ in 0..MAX_LINKS {
        match rustix::fs::stat(&path) {
            Err(Errno::NOENT) => {}
            found => {
                let is_right = FileType::from_raw_mode(found?.st_mode).is_dir() == is_directory;
                let wrong = if is_directory { Errno::NOTDIR } else { Errno::ISDIR };
                return is_right.then_some(path).ok_or(wrong);
            }
        }
        match std::fs::read_link(&path) {
            Ok(link) => path = path.parent().unwrap_or(Path::new("/")).join(link),
            Err(_) => {
                if let Some(parent) = path.parent() {
                    path = mount_point(parent, true)?.join(path.file_name().unwrap_or_default());
                }
                make(&path, is_directory)?;
                return Ok(path);
            }
        }
    }
    Err(Errno::LOOP)
}

fn make(path: &Path, is_directory: bool) -> Result<(), Errno> {
    if is_directory {
        return rustix::fs::mkdir(path, Mode::from_raw_mode(0o755));
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::from_raw_mode(0o644)).map(drop)
}
