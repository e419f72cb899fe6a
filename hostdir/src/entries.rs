//! The entries of a directory, from any position.

use rustix::fs::{FileType, RawDir, SeekFrom};
use rustix::io::Result;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

/// What the host is asked for at once: some hundred entries.
const BUFFER_LEN: usize = 32 << 10;

/// One entry.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Its name; `.` and `..` are among them.
    pub name: &'a [u8],
    /// Its inode.
    pub inode: u64,
    /// Its type, [`FileType::Unknown`] on file systems that do not keep it here.
    pub kind: FileType,
    /// Where the next entry is.
    pub next: u64,
}

/// Hands the entries of an open directory to `take`, from position `from` on (0, or
/// [`Entry::next`] of an earlier one), until it refuses one or the end is reached.
///
/// # Errors
/// What the host answers.
pub fn read_entries(
    directory: BorrowedFd<'_>,
    from: u64,
    take: &mut dyn FnMut(&Entry<'_>) -> bool,
) -> Result<()> {
    rustix::fs::seek(directory, SeekFrom::Start(from))?;
    let mut buffer = Vec::<u8>::with_capacity(BUFFER_LEN);
    let mut entries = RawDir::new(directory, buffer.spare_capacity_mut() as &mut [MaybeUninit<u8>]);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let wanted = take(&Entry {
            name: entry.file_name().to_bytes(),
            inode: entry.ino(),
            kind: entry.file_type(),
            next: entry.next_entry_cookie(),
        });
        if !wanted {
            break;
        }
    }
    Ok(())
}
