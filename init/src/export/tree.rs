//! Reading the overlay's upper and lower directories.

use crate::error::{Context, Error};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString, OsString};
use std::fs::{File, Metadata};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Longest file that is compared by content. Those that init makes are a few lines.
const MAX_COMPARED_LEN: u64 = 4096;

/// Overlayfs' own marks, `Documentation/filesystems/overlayfs.rst`.
const OVERLAY_PREFIX: &[u8] = b"trusted.overlay.";

/// Name and value, sorted by name.
pub(super) type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// A directory tree. Paths in it are relative, the root's is empty.
pub(super) struct Tree {
    root: OwnedFd,
}

/// A file of any type.
pub(super) struct Entry {
    pub(super) meta: Metadata,
    /// Extended attributes without overlayfs' own.
    pub(super) attributes: Attributes,
    /// A directory that hides the lower one.
    pub(super) opaque: bool,
}

/// What makes two files the same to a layer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State {
    mode: u32,
    owner: (u32, u32),
    /// Of directories: a file is the same if rewritten with the same bytes.
    mtime: Option<(i64, i64)>,
    device: u64,
    attributes: Attributes,
    content: Vec<u8>,
}

impl Tree {
    pub(super) fn open(path: &str) -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty())
            .map(|root| Self { root })
            .during(|| format!("open {path}"))
    }

    /// Leads to the tree also where it is out of the caller's sight. The dot makes the root the
    /// directory and not the link to it.
    pub(super) fn locate(&self, path: &[u8]) -> PathBuf {
        let mut full = format!("/proc/self/fd/{}/./", self.root.as_raw_fd()).into_bytes();
        full.extend_from_slice(path);
        OsString::from_vec(full).into()
    }

    pub(super) fn entry(&self, path: &[u8]) -> Result<Entry, Error> {
        let full = self.locate(path);
        let meta = std::fs::symlink_metadata(&full).during(|| format!("look at {}", show(path)))?;
        let mut entry = Entry { meta, attributes: Vec::new(), opaque: false };
        for name in attribute_names(&full).during(|| format!("list xattrs of {}", show(path)))? {
            let value = attribute(&full, &name)
                .during(|| format!("read xattr {} of {}", name.to_string_lossy(), show(path)))?;
            entry.take_attribute(path, name.to_bytes(), value)?;
        }
        entry.attributes.sort();
        Ok(entry)
    }

    /// The entry, if it is a directory; `None` also if nothing is there.
    pub(super) fn directory(&self, path: &[u8]) -> Result<Option<Entry>, Error> {
        match self.entry(path) {
            Err(Error::Os { errno: Errno::NOENT | Errno::NOTDIR, .. }) => Ok(None),
            entry => entry.map(|entry| Some(entry).filter(Entry::is_directory)),
        }
    }

    /// Paths of a directory's entries, sorted bytewise.
    pub(super) fn children(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let child = |name: &[u8]| match path {
            [] => name.to_vec(),
            _ => [path, b"/", name].concat(),
        };
        let mut children: Vec<Vec<u8>> = std::fs::read_dir(self.locate(path))
            .and_then(|entries| {
                entries
                    .map(|entry| Ok(child(entry?.file_name().as_bytes())))
                    .collect::<Result<_, _>>()
            })
            .during(|| format!("list {}", show(path)))?;
        children.sort_unstable();
        Ok(children)
    }

    pub(super) fn open_file(&self, path: &[u8]) -> Result<File, Error> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::open(self.locate(path), flags, Mode::empty())
            .map(File::from)
            .during(|| format!("open {}", show(path)))
    }

    /// Where a symbolic link leads; no bytes for anything else.
    pub(super) fn target(&self, path: &[u8], entry: &Entry) -> Result<Vec<u8>, Error> {
        if !entry.meta.is_symlink() {
            return Ok(Vec::new());
        }
        std::fs::read_link(self.locate(path))
            .map(|target| target.into_os_string().into_vec())
            .during(|| format!("read link {}", show(path)))
    }

    /// `None` for files that are too long to compare.
    pub(super) fn state(&self, path: &[u8], entry: &Entry) -> Result<Option<State>, Error> {
        let meta = &entry.meta;
        if meta.is_file() && meta.len() > MAX_COMPARED_LEN {
            return Ok(None);
        }
        let content = match meta.is_file() {
            true => std::fs::read(self.locate(path)).during(|| format!("read {}", show(path)))?,
            false => self.target(path, entry)?,
        };
        // Whatever is made in the root itself changes its time, also what is left out.
        let is_timed = meta.is_dir() && !path.is_empty();
        Ok(Some(State {
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            mtime: is_timed.then(|| (meta.mtime(), meta.mtime_nsec())),
            device: meta.rdev(),
            attributes: entry.attributes.clone(),
            content,
        }))
    }
}

impl Entry {
    pub(super) fn is_directory(&self) -> bool {
        self.meta.is_dir()
    }

    /// A mark that the lower entry of this name is deleted.
    pub(super) fn is_whiteout(&self) -> bool {
        self.meta.file_type().is_char_device() && self.meta.rdev() == 0
    }

    pub(super) fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.meta.mode())
    }

    /// The mount options keep the kernel from making redirects and metadata-only copies: with
    /// one, the upper tree would not be the whole change.
    fn take_attribute(&mut self, path: &[u8], name: &[u8], value: Vec<u8>) -> Result<(), Error> {
        match name.strip_prefix(OVERLAY_PREFIX) {
            Some(b"opaque") => self.opaque = value == b"y",
            Some(b"redirect") => return Err(not_for_layers(path, "overlayfs redirects it")),
            Some(b"metacopy") => return Err(not_for_layers(path, "overlayfs left its data below")),
            Some(_) => {}
            None if name.contains(&b'=') => {
                return Err(not_for_layers(path, "the name of one of its xattrs has a \"=\""));
            }
            None => self.attributes.push((name.to_vec(), value)),
        }
        Ok(())
    }
}

pub(super) fn not_for_layers(path: &[u8], why: &'static str) -> Error {
    Error::NotForLayers { path: show(path), why }
}

/// The path as the container sees it.
pub(super) fn show(path: &[u8]) -> String {
    format!("/{}", path.escape_ascii())
}

fn attribute_names(path: &Path) -> Result<Vec<CString>, Errno> {
    let mut list = vec![0; attribute_list_len(path)?];
    if !list.is_empty() {
        let len = rustix::fs::llistxattr(path, &mut list)?;
        list.truncate(len);
    }
    Ok(list.split_inclusive(|byte| *byte == 0).filter_map(to_name).collect())
}

fn to_name(bytes: &[u8]) -> Option<CString> {
    CStr::from_bytes_with_nul(bytes).ok().map(CStr::to_owned)
}

/// A squashfs without any attributes says that it does not support them.
fn attribute_list_len(path: &Path) -> Result<usize, Errno> {
    match rustix::fs::llistxattr_query(path) {
        Err(Errno::OPNOTSUPP) => Ok(0),
        len => len,
    }
}

fn attribute(path: &Path, name: &CStr) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; rustix::fs::lgetxattr_query(path, name)?];
    if !value.is_empty() {
        let len = rustix::fs::lgetxattr(path, name, &mut value)?;
        value.truncate(len);
    }
    Ok(value)
}
