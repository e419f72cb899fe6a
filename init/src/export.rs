//! What the container changed, as one OCI layer on the export port.
//!
//! The overlay's upper directory already is the difference to the image; what remains is to say it
//! in a layer's words (whiteouts, opaque markers) and to leave out what init itself put there.
//! That is told apart by a baseline: the upper directory's state just before the image's program
//! starts. A file that init made is left out while it has the baseline's content and attributes; a
//! directory is left out while it has those of the image, or of the baseline if init made it, and
//! nothing in it is written either.
//!
//! The upper directory is read directly, and only when every process that could change it is gone.
//! Its entries are hostile all the same: no link is followed, and names, links and attributes that
//! a layer cannot hold end the export with an error.

mod tar;
mod tree;
mod walk;

use crate::error::{Context, Error};
use crate::ports;
use lithify_control::{Frame, exit_code};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use tree::{State, Tree};

/// State of the upper directory by path.
type Baseline = BTreeMap<Vec<u8>, State>;

/// The layers below the container's root.
pub(crate) struct Export {
    upper: Tree,
    lower: Tree,
    baseline: Option<Baseline>,
}

impl Export {
    /// Opens the layers, while they are in sight.
    ///
    /// # Errors
    /// If they cannot be opened.
    pub(crate) fn open() -> Result<Self, Error> {
        let (upper, lower) = (Tree::open(crate::image::UPPER)?, Tree::open(crate::image::LOWER)?);
        Ok(Self { upper, lower, baseline: None })
    }

    /// Takes the baseline. The caller's root is the container's, and nothing runs in it yet.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn begin(&mut self) -> Result<(), Error> {
        let mut baseline = Baseline::new();
        let mut pending = vec![Vec::new()];
        while let Some(path) = pending.pop() {
            if self.upper.entry(&path)?.is_directory() {
                self.restore_mtime(&path)?;
                pending.extend(self.upper.children(&path)?);
            }
            if let Some(state) = self.upper.state(&path, &self.upper.entry(&path)?)? {
                baseline.insert(path, state);
            }
        }
        self.baseline = Some(baseline);
        Ok(())
    }

    /// Gives a directory of the image, in which init made something, the image's time back.
    fn restore_mtime(&self, path: &[u8]) -> Result<(), Error> {
        let Some(image) = self.lower.directory(path)? else { return Ok(()) };
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec {
                tv_sec: image.meta.mtime(),
                tv_nsec: image.meta.mtime_nsec(),
            },
        };
        let in_root = Path::new("/").join(OsStr::from_bytes(path));
        rustix::fs::utimensat(CWD, &in_root, &times, AtFlags::SYMLINK_NOFOLLOW)
            .during(|| format!("restore the time of {}", in_root.display()))
    }

    /// The frame that ends a container which ended with `code`, after the layer if there is to be
    /// one.
    pub(crate) fn finish(self, code: u32) -> Frame {
        let Some(baseline) = self.baseline.as_ref().filter(|_| code == 0) else {
            return Frame::Exit(code);
        };
        match self.write(baseline) {
            Ok(()) => Frame::Exit(code),
            Err(error) => Frame::Failed {
                code: exit_code::LITHIFY,
                message: format!("export the changes: {error}").into_bytes(),
            },
        }
    }

    fn write(&self, baseline: &Baseline) -> Result<(), Error> {
        let port = ports::open_export()?;
        walk::Walk::new(&self.upper, &self.lower, baseline, port).run()
    }
}
