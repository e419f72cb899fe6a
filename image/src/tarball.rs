//! Reading tar archives in place: ustar, PAX and GNU headers over random access to a [`Blob`].
//!
//! The archive is hostile. Headers are decoded with the `tar` crate; which header follows which,
//! how long names, PAX records and sparse maps are put together and how much of that may be held
//! in memory is decided here. File data is never read: an entry says where it is.

mod pax;
mod sparse;

use std::ops::Range;

use tar::{EntryType, Header};

use crate::limits::{MAX_FILE_BYTES, MAX_TAR_ENTRIES, MAX_TAR_META_BYTES};
use crate::{Blob, Error};
use pax::Pax;
pub use sparse::Extent;

const BLOCK: u64 = 512;

// Fields of a header that are read here (POSIX.1-2017 pax, "ustar Interchange Format").
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;

/// What a tar entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TarKind {
    /// A regular file.
    File(TarData),
    /// A further name of the file at this path of the archive or of a lower layer.
    HardLink(Vec<u8>),
    /// A symbolic link with this target.
    Symlink(Vec<u8>),
    /// A character device.
    CharDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// A device's number. Tar has room for more than Linux accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceNumber {
    /// The driver.
    pub major: u32,
    /// The driver's own number for the device.
    pub minor: u32,
}

/// Where a file's bytes are: extents of the archive, with holes between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TarData {
    /// The file's length in bytes, holes included.
    pub len: u64,
    /// The parts that are stored, ascending and without overlap.
    pub extents: Vec<Extent>,
}

/// One entry of a tar archive.
#[derive(Clone, Debug)]
pub struct TarEntry {
    /// The name as stored: any bytes but NUL.
    pub path: Vec<u8>,
    /// What the entry is.
    pub kind: TarKind,
    /// Permissions, setuid, setgid and sticky bits.
    pub mode: u16,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time in seconds since the epoch.
    pub mtime: i64,
    /// Extended attributes (`SCHILY.xattr.*`), in the order of the archive.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the entry's header starts, in bytes, for messages.
    pub offset: u64,
}

/// Iterates over the entries of a tar archive. After an error it ends.
#[derive(Debug)]
pub struct TarEntries {
    blob: Blob,
    what: String,
    position: u64,
    headers: u64,
    done: bool,
}

/// Extended headers seen before the header that they belong to.
#[derive(Default)]
struct Pending {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Pax,
}

impl TarEntries {
    /// Reads `blob`; `what` names it in errors.
    pub fn new(blob: Blob, what: String) -> Self {
        Self { blob, what, position: 0, headers: 0, done: false }
    }

    fn next_entry(&mut self) -> Result<Option<TarEntry>, Error> {
        let mut pending = Pending::default();
        loop {
            let at = self.position;
            let Some(header) = self.next_header()? else { return Ok(None) };
            let kind = header.entry_type();
            match kind {
                EntryType::XHeader => pending.pax = self.read_pax(at, &header)?,
                EntryType::GNULongName => pending.path = Some(self.read_long_name(at, &header)?),
                EntryType::GNULongLink => pending.link = Some(self.read_long_name(at, &header)?),
                // Global records hold comments (git) or defaults that no layer writer uses; Go's
                // reader, which every container engine is built on, ignores them as well.
                EntryType::XGlobalHeader => self.skip_meta(at, &header)?,
                _ => return self.entry(at, &header, kind, pending).map(Some),
            }
        }
    }

    /// The header at the current position, which moves past it. The archive ends at a block of
    /// zeros or, as many writers leave that out, with the last byte.
    fn next_header(&mut self) -> Result<Option<Header>, Error> {
        if self.position >= self.blob.len() {
            return Ok(None);
        }
        self.headers += 1;
        if self.headers > MAX_TAR_ENTRIES {
            let what = self.what.clone();
            return Err(Error::TooLarge { what, limit: MAX_TAR_ENTRIES, unit: "tar entries" });
        }
        let mut header = Header::new_old();
        self.read_at(header.as_mut_bytes(), self.position, self.position)?;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if numeric(&header, CHECKSUM) != Some(checksum(header.as_bytes())) {
            return Err(self.error(self.position, "wrong checksum: not a tar header"));
        }
        self.position += BLOCK;
        Ok(Some(header))
    }

    fn entry(
        &mut self,
        at: u64,
        header: &Header,
        kind: EntryType,
        pending: Pending,
    ) -> Result<TarEntry, Error> {
        let Pending { path, link, pax } = pending;
        let path = pax.path.clone().or(path).unwrap_or_else(|| header.path_bytes().into_owned());
        let link = pax.link_path.clone().or(link);
        let kind = self.kind(at, header, kind, &path, link, &pax)?;
        if path.contains(&0) {
            return Err(self.error(at, "the name holds a NUL byte"));
        }
        let id = |value: Option<i64>, what: &str| {
            let id = value.and_then(|value| u32::try_from(value).ok());
            id.ok_or_else(|| self.error(at, &format!("unreadable {what}")))
        };
        let mtime = pax.mtime.or_else(|| numeric(header, MTIME));
        let mode = numeric(header, MODE).ok_or_else(|| self.error(at, "unreadable mode"))?;
        Ok(TarEntry {
            path,
            kind,
            mode: (mode & 0o7777) as u16,
            uid: id(pax.uid.or_else(|| numeric(header, UID)), "uid")?,
            gid: id(pax.gid.or_else(|| numeric(header, GID)), "gid")?,
            mtime: mtime.ok_or_else(|| self.error(at, "unreadable mtime"))?,
            xattrs: pax.xattrs,
            offset: at,
        })
    }

    fn kind(
        &mut self,
        at: u64,
        header: &Header,
        kind: EntryType,
        path: &[u8],
        link: Option<Vec<u8>>,
        pax: &Pax,
    ) -> Result<TarKind, Error> {
        let link = || link.or_else(|| Some(header.link_name_bytes()?.into_owned()));
        Ok(match kind {
            // Before POSIX a trailing slash was what told a directory.
            EntryType::Regular if path.ends_with(b"/") => TarKind::Directory,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                TarKind::File(self.file_data(at, header, kind, pax)?)
            }
            EntryType::Link => TarKind::HardLink(self.target(at, link())?),
            EntryType::Symlink => TarKind::Symlink(self.target(at, link())?),
            EntryType::Directory => TarKind::Directory,
            EntryType::Fifo => TarKind::Fifo,
            EntryType::Char => TarKind::CharDevice(self.device(at, header)?),
            EntryType::Block => TarKind::BlockDevice(self.device(at, header)?),
            other => {
                let flag = char::from(other.as_byte()).escape_default().to_string();
                return Err(self.error(at, &format!("unsupported entry type `{flag}`")));
            }
        })
    }

    fn target(&self, at: u64, link: Option<Vec<u8>>) -> Result<Vec<u8>, Error> {
        match link {
            Some(target) if !target.is_empty() && !target.contains(&0) => Ok(target),
            _ => Err(self.error(at, "a link without a usable target")),
        }
    }

    fn device(&self, at: u64, header: &Header) -> Result<DeviceNumber, Error> {
        match (header.device_major(), header.device_minor()) {
            (Ok(Some(major)), Ok(Some(minor))) => Ok(DeviceNumber { major, minor }),
            _ => Err(self.error(at, "a device without readable numbers")),
        }
    }

    fn file_data(
        &mut self,
        at: u64,
        header: &Header,
        kind: EntryType,
        pax: &Pax,
    ) -> Result<TarData, Error> {
        let gnu_map = match kind {
            EntryType::GNUSparse => Some(self.gnu_sparse_map(at, header)?),
            _ => None,
        };
        let stored = self.stored_range(at, header, pax)?;
        let data = match gnu_map {
            Some((map, len)) => self.place(at, map, len, stored)?,
            None => match self.pax_sparse_map(at, pax, &stored)? {
                Some((map, len, data)) => self.place(at, map, len, data)?,
                None => TarData::contiguous(stored),
            },
        };
        if data.len > MAX_FILE_BYTES {
            let what = format!("{}: a file at byte {at}", self.what);
            return Err(Error::TooLarge { what, limit: MAX_FILE_BYTES, unit: "bytes" });
        }
        Ok(data)
    }

    /// The range of the entry's stored bytes; the position moves to the header after it.
    fn stored_range(&mut self, at: u64, header: &Header, pax: &Pax) -> Result<Range<u64>, Error> {
        let size = match pax.size {
            Some(size) => size,
            None => header.entry_size().map_err(|_| self.error(at, "unreadable size"))?,
        };
        let start = self.position;
        let end = start.checked_add(size).filter(|end| *end <= self.blob.len());
        let end = end.ok_or_else(|| {
            self.error(at, &format!("{size} bytes of data, beyond the archive's end"))
        })?;
        self.position = end.next_multiple_of(BLOCK);
        Ok(start..end)
    }

    fn read_meta(&mut self, at: u64, header: &Header) -> Result<Vec<u8>, Error> {
        let range = self.stored_range(at, header, &Pax::default())?;
        let len = range.end - range.start;
        if len > MAX_TAR_META_BYTES {
            let what = format!("{}: an extended header at byte {at}", self.what);
            return Err(Error::TooLarge { what, limit: MAX_TAR_META_BYTES, unit: "bytes" });
        }
        let mut bytes = vec![0; len as usize];
        self.read_at(&mut bytes, range.start, at)?;
        Ok(bytes)
    }

    fn skip_meta(&mut self, at: u64, header: &Header) -> Result<(), Error> {
        self.stored_range(at, header, &Pax::default()).map(drop)
    }

    fn read_long_name(&mut self, at: u64, header: &Header) -> Result<Vec<u8>, Error> {
        let mut name = self.read_meta(at, header)?;
        name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
        Ok(name)
    }

    fn read_pax(&mut self, at: u64, header: &Header) -> Result<Pax, Error> {
        let records = self.read_meta(at, header)?;
        Pax::parse(&records).map_err(|reason| self.error(at, &reason))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64, at: u64) -> Result<(), Error> {
        self.blob.read_at(buffer, offset).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.error(at, "the archive ends within it"),
            _ => Error::read(&self.what)(error),
        })
    }

    fn error(&self, offset: u64, reason: &str) -> Error {
        Error::Tar { what: self.what.clone(), offset, reason: reason.to_owned() }
    }
}

impl Iterator for TarEntries {
    type Item = Result<TarEntry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.next_entry().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

impl TarData {
    fn contiguous(stored: Range<u64>) -> Self {
        let len = stored.end - stored.start;
        let extent = Extent { file_offset: 0, blob_offset: stored.start, len };
        Self { len, extents: if len == 0 { Vec::new() } else { vec![extent] } }
    }
}

/// The sum of the header's bytes with the checksum field read as blanks.
fn checksum(header: &[u8; 512]) -> i64 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| i64::from(*byte)).sum::<i64>();
    sum(&header[..CHECKSUM.start]) + sum(&header[CHECKSUM.end..]) + 8 * i64::from(b' ')
}

/// A numeric field: octal text, or GNU's big-endian two's complement where the top bit is set.
/// Unlike the `tar` crate, Go's reader takes a blank field as zero, and layers have them.
fn numeric(header: &Header, field: Range<usize>) -> Option<i64> {
    let field = &header.as_bytes()[field];
    if field[0] & 0x80 != 0 {
        return binary(field);
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    if text.is_empty() { Some(0) } else { i64::from_str_radix(text, 8).ok() }
}

/// The first byte is 0x80 or, for negative numbers, 0xff; what does not fit 64 bits is refused.
fn binary(field: &[u8]) -> Option<i64> {
    let (head, low) = field.split_at(field.len().saturating_sub(8));
    let sign = if field[0] == 0xff { 0xff } else { 0 };
    let fill = head.iter().skip(1).all(|byte| *byte == sign);
    if !fill || !matches!(field[0], 0x80 | 0xff) {
        return None;
    }
    match <[u8; 8]>::try_from(low) {
        Ok(low) if !head.is_empty() => Some(i64::from_be_bytes(low)),
        // Fields of 8 bytes: the marker bit is the number's own top byte.
        Ok(mut low) => {
            low[0] = sign;
            Some(i64::from_be_bytes(low))
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests;
