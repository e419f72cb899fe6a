//! The squashfs writer on the `backhand` crate. It has neither hard links, extended attributes nor
//! a directory index; the first two end as warnings.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ::backhand::compression::{CompressionAction, Compressor};
use ::backhand::kind::Kind as Format;
use ::backhand::{BackhandError, FilesystemCompressor, FilesystemWriter, NodeHeader, SuperBlock};

use super::{RootfsWriter, Warning};
use crate::{Content, ContentReader, Error, Kind, Metadata, Node, Special};

/// Bytes of a data block. The guest reads and copies whole blocks, and a start touches scattered
/// small files: large blocks read in vain. Below this, the cost of a request to the disk outweighs
/// the copying.
const BLOCK_BYTES: u32 = 64 << 10;

/// The image's length is a multiple of this, as loop devices and disks want it.
const PADDING_KIB: u32 = 4;

/// Where the superblock's flags are: they follow magic, inode count, time, block size and fragment
/// count (4 bytes each), compressor and block log (2 bytes each).
const FLAGS_OFFSET: u64 = 24;
/// The superblock's flags: inodes, data, fragments and ids are uncompressed, and there are no
/// extended attributes. Kernels obey the marks on each block instead; tools show these.
const FLAGS: u16 = 0x0001 | 0x0002 | 0x0008 | 0x0800 | 0x0200;

/// Collects a tree and writes it when it is finished. File data stays where it is until then.
pub(super) struct BackhandWriter<'a> {
    out: &'a mut File,
    image: FilesystemWriter<'static, 'static, 'static>,
    warnings: Vec<Warning>,
}

impl<'a> BackhandWriter<'a> {
    pub(super) fn new(out: &'a mut File) -> Self {
        let mut image = FilesystemWriter::default();
        image.set_kind(Format::new_v4(&STORED));
        image.set_block_size(BLOCK_BYTES);
        image.set_time(0);
        image.set_kib_padding(PADDING_KIB);
        // The crate takes files of equal length and equal 64-bit hash, which is easy to forge, for
        // equal: an innocent-looking data file could replace a program.
        image.set_no_duplicate_files(false);
        image.set_compressor(
            FilesystemCompressor::new(Compressor::Gzip, None).expect("gzip needs no options"),
        );
        Self { out, image, warnings: Vec::new() }
    }
}

impl RootfsWriter for BackhandWriter<'_> {
    fn dir(&mut self, path: &Path, meta: &Metadata) -> Result<(), Error> {
        if path == Path::new("/") {
            self.set_root(meta);
            return Ok(());
        }
        Ok(self.image.push_dir(path, header(meta))?)
    }

    fn file(&mut self, path: &Path, meta: &Metadata, content: &Content) -> Result<(), Error> {
        let reader = Named { reader: content.reader(), path: path.to_owned() };
        Ok(self.image.push_file(reader, path, header(meta))?)
    }

    fn symlink(&mut self, path: &Path, meta: &Metadata, target: &Path) -> Result<(), Error> {
        Ok(self.image.push_symlink(target, path, header(meta))?)
    }

    fn node(&mut self, path: &Path, meta: &Metadata, special: Special) -> Result<(), Error> {
        let header = header(meta);
        let pushed = match special {
            Special::CharDevice { major, minor } => {
                self.image.push_char_device(device(major, minor), path, header)
            }
            Special::BlockDevice { major, minor } => {
                self.image.push_block_device(device(major, minor), path, header)
            }
            Special::Fifo => self.image.push_fifo(path, header),
            Special::Socket => self.image.push_socket(path, header),
        };
        Ok(pushed?)
    }

    fn hardlink(&mut self, path: &Path, existing: &Path, node: &Node) -> Result<(), Error> {
        let (path_buf, existing) = (path.to_owned(), existing.to_owned());
        self.warnings.push(Warning::HardLinkCopied { path: path_buf, existing });
        match &node.kind {
            Kind::Directory => Err(Error::LinkToDirectory(path.to_owned())),
            Kind::File(content) => self.file(path, &node.meta, content),
            Kind::Symlink(target) => self.symlink(path, &node.meta, target),
            Kind::Special(special) => self.node(path, &node.meta, *special),
        }
    }

    fn xattr(&mut self, path: &Path, name: &[u8], _value: &[u8]) -> Result<(), Error> {
        let name = String::from_utf8_lossy(name).into_owned();
        self.warnings.push(Warning::XattrDropped { path: path.to_owned(), name });
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Warning>, Error> {
        let mut out = BufWriter::new(&mut *self.out);
        let (_, len) = self.image.write(&mut out)?;
        out.seek(SeekFrom::Start(FLAGS_OFFSET))
            .and_then(|_| out.write_all(&FLAGS.to_le_bytes()))
            .and_then(|()| out.flush())
            .map_err(Error::write("the squashfs image"))?;
        drop(out);
        self.out.set_len(len).map_err(Error::write("the squashfs image"))?;
        Ok(self.warnings)
    }
}

impl BackhandWriter<'_> {
    /// The crate has no way to set the root's time, which therefore is 0.
    fn set_root(&mut self, meta: &Metadata) {
        self.image.set_root_mode(meta.mode);
        self.image.set_root_uid(meta.uid);
        self.image.set_root_gid(meta.gid);
    }
}

fn header(meta: &Metadata) -> NodeHeader {
    NodeHeader::new(meta.mode, meta.uid, meta.gid, meta.mtime)
}

/// Linux' `new_encode_dev`: 12 bits of major number amid 20 bits of minor number.
fn device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// A reader whose errors say which file of the tree they are about: the writer does not.
struct Named {
    reader: ContentReader,
    path: PathBuf,
}

impl Read for Named {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("the content of `{}`: {error}", self.path.display()),
            )
        })
    }
}

/// "Compression" whose result is always longer than its input: the writer then stores the input.
struct Stored;

static STORED: Stored = Stored;

impl CompressionAction for Stored {
    type Error = BackhandError;
    type Compressor = Compressor;
    type FilesystemCompressor = FilesystemCompressor;
    type SuperBlock = SuperBlock;

    fn compress(
        &self,
        bytes: &[u8],
        _compressor: FilesystemCompressor,
        _block_size: u32,
    ) -> Result<Vec<u8>, BackhandError> {
        Ok(vec![0; bytes.len() + 1])
    }

    fn decompress(
        &self,
        _bytes: &[u8],
        _out: &mut Vec<u8>,
        _compressor: Compressor,
    ) -> Result<(), BackhandError> {
        Err(BackhandError::CorruptedOrInvalidSquashfs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_packed_as_linux_does() {
        assert_eq!(device(1, 3), 0x0103);
        assert_eq!(device(0xabc, 0x12345), 0x123a_bc45);
    }
}
