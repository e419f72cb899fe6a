//! What the server needs of whoever has the files.

use crate::errno::Result;

/// An open file or directory of a [`FileTree`], which gives the number its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handle(pub u32);

/// What a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Anything else: it is listed and can be removed, not opened.
    Other,
}

/// What is known of a file. Times are nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// The file system that it is in.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Names it has.
    pub links: u64,
    /// Bytes.
    pub size: u64,
    /// Last read.
    pub accessed: u64,
    /// Last write.
    pub modified: u64,
    /// Last change of anything.
    pub changed: u64,
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenFlags {
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
    /// Made if missing.
    pub create: bool,
    /// With `create`: an error if it exists.
    pub exclusive: bool,
    /// Emptied.
    pub truncate: bool,
    /// Writes go to the end by [`FileTree::append`].
    pub append: bool,
}

/// What becomes of a time stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetTime {
    /// It stays.
    Keep,
    /// The host's time now.
    Now,
    /// Nanoseconds since the Unix epoch.
    At(u64),
}

/// One entry of a directory; `.` and `..` are entries, too.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is, if the directory says so.
    pub kind: Kind,
    /// Its number in the directory's file system.
    pub inode: u64,
    /// Where the next entry is, for [`FileTree::read_directory`].
    pub next: u64,
}

/// A directory of the host and what is below it.
///
/// Paths are relative to it, names joined by `/`; the empty path is the directory itself. No name
/// is empty, `.` or `..`. Symbolic links in the last name of a path are never followed. Whatever
/// the path, nothing outside of the directory is reached: that is the implementation's promise,
/// also while others rename and link in it.
///
/// Every method answers what the host answers as an error number.
#[expect(clippy::missing_errors_doc, reason = "said once for all")]
pub trait FileTree {
    /// What `path` is.
    fn stat(&mut self, path: &str) -> Result<Stat>;

    /// What an open file is.
    fn stat_handle(&mut self, file: Handle) -> Result<Stat>;

    /// Opens or makes a regular file.
    fn open(&mut self, path: &str, flags: OpenFlags) -> Result<Handle>;

    /// Opens a directory for reading its entries and for [`sync`](Self::sync).
    fn open_directory(&mut self, path: &str) -> Result<Handle>;

    /// Forgets an open file or directory.
    fn close(&mut self, file: Handle);

    /// Fills `into` from byte `offset`; fewer bytes are the end of the file.
    fn read(&mut self, file: Handle, offset: u64, into: &mut [u8]) -> Result<usize>;

    /// Writes some of `from`, at least one byte, at byte `offset`.
    fn write(&mut self, file: Handle, offset: u64, from: &[u8]) -> Result<usize>;

    /// Writes some of `from`, at least one byte, to the end, wherever that is by now.
    fn append(&mut self, file: Handle, from: &[u8]) -> Result<usize>;

    /// Cuts the file or extends it by zeros.
    fn set_size(&mut self, file: Handle, size: u64) -> Result<()>;

    /// Waits until what was written is on the disk; without the metadata that reading back does not
    /// need if `data_only`.
    fn sync(&mut self, file: Handle, data_only: bool) -> Result<()>;

    /// Hands entries to `take`, from position `from` on (0, or [`Entry::next`] of an earlier one),
    /// until it refuses one or there are no more.
    fn read_directory(
        &mut self,
        directory: Handle,
        from: u64,
        take: &mut dyn FnMut(&Entry<'_>) -> bool,
    ) -> Result<()>;

    /// Sets the time stamps of `path`.
    fn set_times(&mut self, path: &str, accessed: SetTime, modified: SetTime) -> Result<()>;

    /// Sets the time stamps of a file that is open for writing.
    fn set_times_handle(
        &mut self,
        file: Handle,
        accessed: SetTime,
        modified: SetTime,
    ) -> Result<()>;

    /// Makes a directory.
    fn create_directory(&mut self, path: &str) -> Result<()>;

    /// Removes an empty directory.
    fn remove_directory(&mut self, path: &str) -> Result<()>;

    /// Removes anything else.
    fn remove_file(&mut self, path: &str) -> Result<()>;

    /// Moves `path` to `to`, over what is there.
    fn rename(&mut self, path: &str, to: &str) -> Result<()>;

    /// Gives the file `path` a second name, `to`.
    fn link(&mut self, path: &str, to: &str) -> Result<()>;

    /// Makes a symbolic link `path` to `target`.
    fn symlink(&mut self, target: &str, path: &str) -> Result<()>;

    /// The target of the symbolic link `path`.
    fn read_link(&mut self, path: &str) -> Result<String>;
}
