//! The freeze: give memory back, say `Ready`, and wait in a read for the thaw.

use crate::control::ControlPort;
use crate::error::{Context, Error};
use lithify_control::{Frame, StartRequest};
use std::fs::File;
use std::io::Write;

/// Hands the kernel's caches back to its free pages, which need no place in the frozen image.
pub(crate) struct Reclaim {
    drop_caches: File,
}

/// `Documentation/admin-guide/sysctl/vm.rst`: page cache, and reclaimable slab objects.
const PAGE_CACHE_AND_SLAB: &[u8] = b"3";

impl Reclaim {
    /// Opens the control file, which the container's own tree shows read-only.
    ///
    /// # Errors
    /// If the kernel has none.
    pub(crate) fn open() -> Result<Self, Error> {
        let path = "/proc/sys/vm/drop_caches";
        let drop_caches = File::options().write(true).open(path);
        drop_caches.map(|drop_caches| Self { drop_caches }).during(|| format!("open {path}"))
    }

    /// Does it.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn run(mut self) -> Result<(), Error> {
        self.drop_caches.write_all(PAGE_CACHE_AND_SLAB).during(|| "drop the caches".to_owned())
    }
}

/// Reports readiness; returns in a thawed machine, with its request.
///
/// # Errors
/// If the control port fails.
pub(crate) fn until_start(control: &mut ControlPort) -> Result<StartRequest, Error> {
    control.send(&Frame::Ready)?;
    control.wait_for_start()
}
