//! From the calls of a tree to the parts of an image, and the image's layout: superblock, data,
//! then the tables in the one order that Linux accepts.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::data::{DataEnd, DataSink};
use super::format::{FileType, NO_TABLE, Superblock, XattrIdTable};
use super::ids::IdTable;
use super::inodes::inode_tables;
use super::metadata::TableWriter;
use super::nodes::{Attributes, Body, Nodes};
use super::xattrs::{XattrTable, is_representable};
use super::{RootfsWriter, Warning, fits_u32};
use crate::limits::MAX_PATH_BYTES;
use crate::node::check_len;
use crate::{Content, DeviceNumber, Error, Metadata as NodeMetadata, Special};

/// The image's length is a multiple of this, as loop devices and disks want it.
const PADDING_BYTES: u64 = 4096;

/// Hands on file data at once and lays out all else when it is finished.
#[derive(Debug)]
pub(super) struct SquashfsWriter<S> {
    data: S,
    nodes: Nodes,
    ids: IdTable,
    xattrs: XattrTable,
    warnings: Vec<Warning>,
}

/// All of an image but the file data, which is between its two parts.
#[derive(Debug)]
pub(super) struct Metadata {
    /// Where the image starts.
    pub(super) superblock: Vec<u8>,
    /// Where the tables start: the data's end.
    pub(super) tables_start: u64,
    /// Up to the image's end.
    pub(super) tables: Vec<u8>,
}

/// What is left when a tree is laid out.
#[derive(Debug)]
pub(super) struct Finished<S> {
    pub(super) data: S,
    pub(super) metadata: Metadata,
    pub(super) warnings: Vec<Warning>,
}

impl<S: DataSink> SquashfsWriter<S> {
    /// A writer that gives the data of files to `data`.
    pub(super) fn new(data: S) -> Result<Self, Error> {
        let mut ids = IdTable::default();
        let root = ids.index(0)?;
        let root = Attributes { mode: 0o755, uid: root, gid: root, mtime: 0, xattr: None };
        Ok(Self {
            data,
            nodes: Nodes::new(root),
            ids,
            xattrs: XattrTable::default(),
            warnings: Vec::new(),
        })
    }

    fn attributes(&mut self, path: &Path, meta: &NodeMetadata) -> Result<Attributes, Error> {
        for name in meta.xattrs.keys().filter(|name| !is_representable(name)) {
            let name = String::from_utf8_lossy(name).into_owned();
            self.warnings.push(Warning::XattrDropped { path: path.to_owned(), name });
        }
        Ok(Attributes {
            mode: meta.mode,
            uid: self.ids.index(meta.uid)?,
            gid: self.ids.index(meta.gid)?,
            mtime: meta.mtime,
            xattr: self.xattrs.index(&meta.xattrs)?,
        })
    }

    fn add(
        &mut self,
        path: &Path,
        meta: &NodeMetadata,
        file_type: FileType,
        body: Body,
    ) -> Result<(), Error> {
        let attributes = self.attributes(path, meta)?;
        self.nodes.add(path, attributes, file_type, body)
    }

    /// Completes the image's parts.
    pub(super) fn finish(mut self) -> Result<Finished<S>, Error> {
        let end = self.data.finish()?;
        let metadata = metadata(&end, &self.nodes, &self.ids, &self.xattrs)?;
        Ok(Finished { data: self.data, metadata, warnings: self.warnings })
    }
}

impl<S: DataSink> RootfsWriter for SquashfsWriter<S> {
    fn dir(&mut self, path: &Path, meta: &NodeMetadata) -> Result<(), Error> {
        let attributes = self.attributes(path, meta)?;
        if path == Path::new("/") {
            self.nodes.set_root(attributes);
            return Ok(());
        }
        self.nodes.add_directory(path, attributes)
    }

    fn file(&mut self, path: &Path, meta: &NodeMetadata, content: &Content) -> Result<(), Error> {
        let data = self.data.file(path, content)?;
        self.add(path, meta, FileType::Regular, Body::Regular(data))
    }

    fn symlink(&mut self, path: &Path, meta: &NodeMetadata, target: &Path) -> Result<(), Error> {
        let target = target.as_os_str().as_bytes();
        // The kernel calls a target that fills a page a corrupted image.
        check_len("a symbolic link's target", target.len(), MAX_PATH_BYTES - 1)?;
        self.add(path, meta, FileType::Symlink, Body::Symlink(target.into()))
    }

    fn node(&mut self, path: &Path, meta: &NodeMetadata, special: Special) -> Result<(), Error> {
        let (file_type, body) = match special {
            Special::CharDevice(number) => (FileType::CharDevice, Body::Device(device(number))),
            Special::BlockDevice(number) => (FileType::BlockDevice, Body::Device(device(number))),
            Special::Fifo => (FileType::Fifo, Body::Ipc),
            Special::Socket => (FileType::Socket, Body::Ipc),
        };
        self.add(path, meta, file_type, body)
    }

    fn hardlink(&mut self, path: &Path, existing: &Path) -> Result<(), Error> {
        self.nodes.link(path, existing)
    }
}

/// Lays out superblock and tables around the data.
fn metadata(
    data: &DataEnd,
    nodes: &Nodes,
    ids: &IdTable,
    xattrs: &XattrTable,
) -> Result<Metadata, Error> {
    let tables = inode_tables(nodes)?;
    let mut out = TableWriter::new(data.position);
    let inode_table_start = out.position();
    out.blocks(&tables.inodes);
    let directory_table_start = out.position();
    out.blocks(&tables.directories);
    let mut superblock = Superblock {
        inodes: tables.count,
        fragments: data.fragments,
        ids: ids.count(),
        root_inode: tables.root,
        inode_table_start,
        directory_table_start,
        fragment_table_start: out.lookup(&data.fragment_table, &[]),
        lookup_table_start: out.lookup(&tables.lookup, &[]),
        id_table_start: out.lookup(ids.table(), &[]),
        xattr_id_table_start: add_xattrs(&mut out, xattrs)?,
        bytes_used: 0,
    };
    superblock.bytes_used = out.position();
    out.pad(PADDING_BYTES);
    Ok(Metadata {
        superblock: superblock.encode(),
        tables_start: data.position,
        tables: out.into_bytes(),
    })
}

fn add_xattrs(out: &mut TableWriter, xattrs: &XattrTable) -> Result<u64, Error> {
    if xattrs.count() == 0 {
        return Ok(NO_TABLE);
    }
    let xattr_table_start = out.position();
    out.blocks(xattrs.attributes());
    let xattr_ids = fits_u32("the sets of extended attributes", xattrs.count() as u64, "sets")?;
    let head = XattrIdTable { xattr_table_start, xattr_ids }.encode();
    Ok(out.lookup(xattrs.sets(), &head))
}

/// Linux' `new_encode_dev`: 12 bits of major number amid 20 bits of minor number.
fn device(DeviceNumber { major, minor }: DeviceNumber) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}
