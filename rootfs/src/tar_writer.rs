//! Writing layer tars: ustar headers, preceded by a PAX header only where a field does not fit.
//! Files with long runs of zeros are sparse, in GNU tar's format 1.0, which Go's reader and with it
//! every container engine knows.
//! Owners are numbers, user and group names stay empty, so the bytes depend on the values alone.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use lithify_image::DeviceNumber;
use tar::{EntryType, Header};

use crate::holes::parts_to_store;
use crate::{Content, ContentReader, Error, Kind, Metadata, Special};

const BLOCK: u64 = 512;
/// Bytes of the header's name and link name fields. The prefix field is not used: PAX says it
/// more simply and every reader of layers knows it.
const NAME_FIELD: usize = 100;
/// Largest number in a field of seven octal digits (uid, gid).
const MAX_ID: u32 = 0o777_7777;
/// Largest number in a field of eleven octal digits (size).
const MAX_SIZE: u64 = 0o777_7777_7777;

/// The name of a sparse file for readers that do not know the format: they get its map and data.
const SPARSE_NAME: &[u8] = b"GNUSparseFile.0";
/// Longest map of a sparse file that our reader takes.
const MAX_MAP: usize = lithify_image::limits::MAX_TAR_META_BYTES as usize;

pub(crate) struct TarWriter<W> {
    out: W,
}

/// What one header says.
struct Fields<'a> {
    path: Vec<u8>,
    meta: &'a Metadata,
    kind: EntryType,
    /// Bytes that follow the header.
    size: u64,
    /// The file's length, if it is sparse.
    real_size: Option<u64>,
    link: &'a [u8],
    device: Option<DeviceNumber>,
}

impl<W: Write> TarWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out }
    }

    /// An empty file whose name is the message: a whiteout or an opaque marker.
    pub(crate) fn marker(&mut self, path: &Path) -> Result<(), Error> {
        let meta = Metadata::root_owned(0);
        self.header(&Fields::new(path, &meta, EntryType::Regular))
    }

    pub(crate) fn hard_link(&mut self, path: &Path, existing: &Path) -> Result<(), Error> {
        let meta = Metadata::root_owned(0);
        let link = existing.as_os_str().as_bytes();
        self.header(&Fields { link, ..Fields::new(path, &meta, EntryType::Link) })
    }

    pub(crate) fn node(&mut self, path: &Path, meta: &Metadata, kind: &Kind) -> Result<(), Error> {
        let fields = |kind| Fields::new(path, meta, kind);
        match kind {
            Kind::Directory => {
                let mut dir = fields(EntryType::Directory);
                if dir.path.is_empty() {
                    dir.path.push(b'.');
                }
                dir.path.push(b'/');
                self.header(&dir)
            }
            Kind::File(content) => self.file(fields(EntryType::Regular), path, content),
            Kind::Symlink(target) => {
                let link = target.as_os_str().as_bytes();
                self.header(&Fields { link, ..fields(EntryType::Symlink) })
            }
            Kind::Special(Special::CharDevice(number)) => {
                self.header(&Fields { device: Some(*number), ..fields(EntryType::Char) })
            }
            Kind::Special(Special::BlockDevice(number)) => {
                self.header(&Fields { device: Some(*number), ..fields(EntryType::Block) })
            }
            Kind::Special(Special::Fifo) => self.header(&fields(EntryType::Fifo)),
            Kind::Special(Special::Socket) => Err(Error::SocketInLayer(path.to_owned())),
        }
    }

    /// The archive's end: two blocks of zeros.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        self.write(&[0; 2 * BLOCK as usize])?;
        self.out.flush().map_err(Error::write("a layer"))
    }

    fn header(&mut self, fields: &Fields<'_>) -> Result<(), Error> {
        let records = fields.pax_records();
        if !records.is_empty() {
            let meta = Metadata::root_owned(0o644);
            let name = Path::new("PaxHeaders");
            let size = records.len() as u64;
            let pax = Fields { size, ..Fields::new(name, &meta, EntryType::XHeader) };
            self.write(pax.header().as_bytes())?;
            self.write(&records)?;
            self.pad(size)?;
        }
        self.write(fields.header().as_bytes())
    }

    fn file(&mut self, fields: Fields<'_>, path: &Path, content: &Content) -> Result<(), Error> {
        let parts = parts_to_store(content).map_err(Error::content(path))?;
        let parts = parts.filter(|parts| map_of(parts, content.len()).len() <= MAX_MAP);
        let Some(parts) = parts else {
            self.header(&Fields { size: content.len(), ..fields })?;
            self.data(path, content.reader())?;
            return self.pad(content.len());
        };
        let map = map_of(&parts, content.len());
        let stored: u64 = parts.iter().map(|part| part.end - part.start).sum();
        let size = (map.len() as u64).next_multiple_of(BLOCK) + stored;
        self.header(&Fields { size, real_size: Some(content.len()), ..fields })?;
        self.write(&map)?;
        self.pad(map.len() as u64)?;
        parts.into_iter().try_for_each(|part| self.data(path, content.reader_of(part)))?;
        self.pad(stored)
    }

    fn data(&mut self, path: &Path, reader: ContentReader) -> Result<(), Error> {
        let mut reader = Failing { reader, error: None };
        let copied = io::copy(&mut reader, &mut self.out);
        if let Some(error) = reader.error {
            return Err(Error::content(path)(error));
        }
        copied.map_err(Error::write("a layer")).map(drop)
    }

    fn pad(&mut self, len: u64) -> Result<(), Error> {
        let padding = len.next_multiple_of(BLOCK) - len;
        self.write(&[0; BLOCK as usize][..padding as usize])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out.write_all(bytes).map_err(Error::write("a layer"))
    }
}

/// Keeps a read error apart from the write errors that `io::copy` would mix it with.
struct Failing<R> {
    reader: R,
    error: Option<io::Error>,
}

impl<R: Read> Read for Failing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).map_err(|error| {
            let kind = error.kind();
            self.error = Some(error);
            kind.into()
        })
    }
}

impl<'a> Fields<'a> {
    fn new(path: &Path, meta: &'a Metadata, kind: EntryType) -> Self {
        let path = path.as_os_str().as_bytes().to_vec();
        Self { path, meta, kind, size: 0, real_size: None, link: &[], device: None }
    }

    /// The records for what the header cannot hold, sorted by key.
    fn pax_records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        if let Some(real_size) = self.real_size {
            record(&mut records, b"GNU.sparse.major", b"1");
            record(&mut records, b"GNU.sparse.minor", b"0");
            record(&mut records, b"GNU.sparse.name", &self.path);
            record(&mut records, b"GNU.sparse.realsize", real_size.to_string().as_bytes());
        }
        for (name, value) in &self.meta.xattrs {
            record(&mut records, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
        }
        if self.meta.gid > MAX_ID {
            record(&mut records, b"gid", self.meta.gid.to_string().as_bytes());
        }
        if self.link.len() > NAME_FIELD {
            record(&mut records, b"linkpath", self.link);
        }
        if self.path.len() > NAME_FIELD && self.real_size.is_none() {
            record(&mut records, b"path", &self.path);
        }
        if self.size > MAX_SIZE {
            record(&mut records, b"size", self.size.to_string().as_bytes());
        }
        if self.meta.uid > MAX_ID {
            record(&mut records, b"uid", self.meta.uid.to_string().as_bytes());
        }
        records
    }

    /// The ustar header, with what does not fit cut short.
    fn header(&self) -> Header {
        let mut header = Header::new_ustar();
        let name = if self.real_size.is_some() { SPARSE_NAME } else { &self.path[..] };
        fill(&mut header.as_old_mut().name, name);
        fill(&mut header.as_old_mut().linkname, self.link);
        header.set_entry_type(self.kind);
        header.set_mode(u32::from(self.meta.mode));
        header.set_uid(u64::from(self.meta.uid.min(MAX_ID)));
        header.set_gid(u64::from(self.meta.gid.min(MAX_ID)));
        header.set_mtime(u64::from(self.meta.mtime));
        header.set_size(self.size.min(MAX_SIZE));
        let ustar = header.as_ustar_mut().expect("the header was made as ustar");
        let number = self.device.unwrap_or(DeviceNumber { major: 0, minor: 0 });
        ustar.set_device_major(number.major);
        ustar.set_device_minor(number.minor);
        header.set_cksum();
        header
    }
}

fn fill(field: &mut [u8; NAME_FIELD], value: &[u8]) {
    let len = value.len().min(NAME_FIELD);
    field[..len].copy_from_slice(&value[..len]);
}

/// The map of a sparse file, as GNU tar's format 1.0 has it before the data: decimal lines, first
/// the count of parts, then offset and length of each. One of no length says that a hole is last.
fn map_of(parts: &[Range<u64>], len: u64) -> Vec<u8> {
    let hole_is_last = parts.last().is_none_or(|part| part.end < len);
    let end = hole_is_last.then_some(len..len);
    let mut map = format!("{}\n", parts.len() + usize::from(hole_is_last));
    for part in parts.iter().cloned().chain(end) {
        map.push_str(&format!("{}\n{}\n", part.start, part.end - part.start));
    }
    map.into_bytes()
}

/// Appends `LEN KEY=VALUE\n`, where the length counts its own digits.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + " =\n".len();
    let mut len = rest;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    records.extend(len.to_string().as_bytes());
    records.extend([b" ", key, b"=", value, b"\n"].concat());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_lengths_count_their_own_digits() {
        for (value_len, start) in
            [(1, "6 a="), (4, "9 a="), (5, "11 a="), (93, "99 a="), (94, "101 a=")]
        {
            let mut records = Vec::new();
            record(&mut records, b"a", &vec![b'v'; value_len]);
            assert!(records.starts_with(start.as_bytes()), "{}", String::from_utf8_lossy(&records));
            let len: usize = start.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(records.len(), len);
        }
    }

    #[test]
    fn a_pax_header_appears_only_where_needed() {
        let size = |path: &str, meta: &Metadata| {
            let mut out = Vec::new();
            let mut tar = TarWriter::new(&mut out);
            tar.node(Path::new(path), meta, &Kind::Special(Special::Fifo)).unwrap();
            out.len()
        };
        let plain = Metadata::file();
        assert_eq!(size(&"n".repeat(100), &plain), 512);
        assert_eq!(size(&"n".repeat(101), &plain), 3 * 512);
        assert_eq!(size("n", &Metadata { uid: MAX_ID, ..plain.clone() }), 512);
        assert_eq!(size("n", &Metadata { uid: MAX_ID + 1, ..plain }), 3 * 512);
    }
}
