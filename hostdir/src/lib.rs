//! A host directory that nobody gets out of.
//!
//! A guest reaches host files by paths below a directory that its user named. The paths are the
//! guest's and hostile; the directory's contents may be, too, and they change while a path is
//! being walked. [`HostDir`] is the one place where such paths meet the host. Invariants:
//!
//! - A path is walked name by name from an open directory. `..`, `.` and empty names are refused
//!   before the host sees them, so no name leads up.
//! - No symbolic link is ever followed, neither on the way nor at the end, whatever it points to and
//!   whoever makes it while the walk is under way. Who wants a link's target reads it and resolves
//!   it, as the guest's kernel does.
//! - Where the user named a single file, the empty path is that file and every other path is refused.
//! - Nothing is opened that would block or act when it is opened: pipes and devices are refused.
//!
//! One `openat` for each name costs some microseconds on deep paths and needs nothing but POSIX;
//! `openat2` would be one call, and a second implementation for where it is missing or filtered.

mod dir;
mod entries;
mod walk;

pub use dir::{HostDir, OpenFlags, SetTimes};
pub use entries::{Entry, read_entries};
pub use rustix::fs::{FileType, Stat, Timespec, Timestamps};
pub use rustix::io::Errno;
