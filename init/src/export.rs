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

mod sparse;
mod tar;
mod tree;
mod walk;

use crate::control::ControlPort;
use crate::error::{Context, Error};
use crate::image::Overlay;
use crate::ports;
use lithify_control::{Frame, exit_code};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use tree::{State, Tree};

/// State of the upper directory by path.
type Baseline = BTreeMap<Vec<u8>, State>;

/// One overlay whose changes are asked for.
struct Export {
    upper: Tree,
    lower: Tree,
    merged: Tree,
    baseline: Baseline,
}

/// All that can be exported: the container's root, and the caches mounted in it.
pub(crate) struct Exports {
    root: Export,
    caches: Vec<Export>,
    is_asked_for: bool,
}

impl Exports {
    /// Opens the overlays' directories, while they are in sight.
    ///
    /// # Errors
    /// If they cannot be opened.
    pub(crate) fn open(root: &Overlay, caches: &[Overlay]) -> Result<Self, Error> {
        let caches = caches.iter().map(Export::open).collect::<Result<_, _>>()?;
        Ok(Self { root: Export::open(root)?, caches, is_asked_for: false })
    }

    /// Takes the baselines. Nothing runs in the container yet, and init has made all that it makes.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn begin(&mut self) -> Result<(), Error> {
        self.is_asked_for = true;
        self.caches.iter_mut().try_for_each(Export::begin)?;
        self.root.begin()
    }

    /// Writes the archives of a container that ended with `code`; the frame that ends it.
    ///
    /// # Errors
    /// If the control port fails.
    pub(crate) fn finish(&self, code: u32, control: &mut ControlPort) -> Result<Frame, Error> {
        if !self.is_asked_for {
            return Ok(Frame::Exit(code));
        }
        let root = (code == 0).then_some(&self.root);
        for export in root.into_iter().chain(&self.caches) {
            if let Err(error) = ports::open_export().and_then(|port| export.write(&port)) {
                let message = format!("export the changes: {error}").into_bytes();
                return Ok(Frame::Failed { code: exit_code::LITHIFY, message });
            }
            control.send(&Frame::Archived)?;
        }
        Ok(Frame::Exit(code))
    }
}

impl Export {
    fn open(overlay: &Overlay) -> Result<Self, Error> {
        Ok(Self {
            upper: Tree::open(&overlay.upper)?,
            lower: Tree::open(&overlay.lower)?,
            merged: Tree::open(&overlay.merged)?,
            baseline: Baseline::new(),
        })
    }

    fn begin(&mut self) -> Result<(), Error> {
        let mut pending = vec![Vec::new()];
        while let Some(path) = pending.pop() {
            if self.upper.entry(&path)?.is_directory() {
                self.restore_mtime(&path)?;
                pending.extend(self.upper.children(&path)?);
            }
            if let Some(state) = self.upper.state(&path, &self.upper.entry(&path)?)? {
                self.baseline.insert(path, state);
            }
        }
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
        let place = self.merged.locate(path);
        rustix::fs::utimensat(CWD, &place, &times, AtFlags::SYMLINK_NOFOLLOW)
            .during(|| format!("restore the time of {}", tree::show(path)))
    }

    fn write(&self, port: &File) -> Result<(), Error> {
        walk::Walk::new(&self.upper, &self.lower, &self.baseline, port).run()
    }
}
