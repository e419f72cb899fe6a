//! From the calls of a tree to the parts of an image, and the image's layout: superblock, data,
//! then the tables in the one order that Linux accepts.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::data::{DataWriter, Written};
use super::format::{FileType, NO_TABLE, Superblock, XattrIdTable};
use super::ids::IdTable;
use super::inodes::{InodeTables, inode_tables};
use super::metadata::TableWriter;
use super::nodes::{Attributes, Body, Nodes};
use super::xattrs::{XattrTable, is_representable};
use super::{RootfsWriter, Warning, fits_u32};
use crate::limits::MAX_PATH_BYTES;
use crate::node::check_len;
use crate::{Content, Error, Metadata, Special};

/// The image's length is a multiple of this, as loop devices and disks want it.
const PADDING_BYTES: u64 = 4096;

/// Writes file data at once and all else when it is finished.
#[derive(Debug)]
pub(super) struct SquashfsWriter<'a> {
    data: DataWriter<'a>,
    nodes: Nodes,
    ids: IdTable,
    xattrs: XattrTable,
    warnings: Vec<Warning>,
}

impl<'a> SquashfsWriter<'a> {
    pub(super) fn new(out: &'a mut File) -> Result<Self, Error> {
        let mut ids = IdTable::default();
        let root = ids.index(0)?;
        let root = Attributes { mode: 0o755, uid: root, gid: root, mtime: 0, xattr: None };
        Ok(Self {
            data: DataWriter::new(out),
            nodes: Nodes::new(root),
            ids,
            xattrs: XattrTable::default(),
            warnings: Vec::new(),
        })
    }

    fn attributes(&mut self, path: &Path, meta: &Metadata) -> Result<Attributes, Error> {
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
        meta: &Metadata,
        file_type: FileType,
        body: Body,
    ) -> Result<(), Error> {
        let attributes = self.attributes(path, meta)?;
        self.nodes.add(path, attributes, file_type, body)
    }
}

impl RootfsWriter for SquashfsWriter<'_> {
    fn dir(&mut self, path: &Path, meta: &Metadata) -> Result<(), Error> {
        let attributes = self.attributes(path, meta)?;
        if path == Path::new("/") {
            self.nodes.set_root(attributes);
            return Ok(());
        }
        self.nodes.add_directory(path, attributes)
    }

    fn file(&mut self, path: &Path, meta: &Metadata, content: &Content) -> Result<(), Error> {
        let data = self.data.file(path, content)?;
        self.add(path, meta, FileType::Regular, Body::Regular(data))
    }

    fn symlink(&mut self, path: &Path, meta: &Metadata, target: &Path) -> Result<(), Error> {
        let target = target.as_os_str().as_bytes();
        // The kernel calls a target that fills a page a corrupted image.
        check_len("a symbolic link's target", target.len(), MAX_PATH_BYTES - 1)?;
        self.add(path, meta, FileType::Symlink, Body::Symlink(target.into()))
    }

    fn node(&mut self, path: &Path, meta: &Metadata, special: Special) -> Result<(), Error> {
        let (file_type, body) = match special {
            Special::CharDevice { major, minor } => {
                (FileType::CharDevice, Body::Device(device(major, minor)))
            }
            Special::BlockDevice { major, minor } => {
                (FileType::BlockDevice, Body::Device(device(major, minor)))
            }
            Special::Fifo => (FileType::Fifo, Body::Ipc),
            Special::Socket => (FileType::Socket, Body::Ipc),
        };
        self.add(path, meta, file_type, body)
    }

    fn hardlink(&mut self, path: &Path, existing: &Path) -> Result<(), Error> {
        self.nodes.link(path, existing)
    }

    fn finish(self) -> Result<Vec<Warning>, Error> {
        let written = self.data.finish()?;
        let tables = inode_tables(&self.nodes)?;
        write_image(written, &tables, &self.ids, &self.xattrs)?;
        Ok(self.warnings)
    }
}

fn write_image(
    data: Written<'_>,
    tables: &InodeTables,
    ids: &IdTable,
    xattrs: &XattrTable,
) -> Result<(), Error> {
    let Written { out: file, end, fragments, fragment_table } = data;
    let mut out = TableWriter::new(file, end)?;
    let inode_table_start = out.position();
    out.blocks(&tables.inodes)?;
    let directory_table_start = out.position();
    out.blocks(&tables.directories)?;
    let mut superblock = Superblock {
        inodes: tables.count,
        fragments,
        ids: ids.count(),
        root_inode: tables.root,
        inode_table_start,
        directory_table_start,
        fragment_table_start: out.lookup(&fragment_table, &[])?,
        lookup_table_start: out.lookup(&tables.lookup, &[])?,
        id_table_start: out.lookup(ids.table(), &[])?,
        xattr_id_table_start: write_xattrs(&mut out, xattrs)?,
        bytes_used: 0,
    };
    superblock.bytes_used = out.position();
    let len = superblock.bytes_used.next_multiple_of(PADDING_BYTES);
    out.bytes(&vec![0; (len - superblock.bytes_used) as usize])?;
    out.finish()?;
    file.write_all_at(&superblock.encode(), 0)
        .and_then(|()| file.set_len(len))
        .map_err(Error::write("the squashfs image"))
}

fn write_xattrs(out: &mut TableWriter<'_>, xattrs: &XattrTable) -> Result<u64, Error> {
    if xattrs.count() == 0 {
        return Ok(NO_TABLE);
    }
    let xattr_table_start = out.position();
    out.blocks(xattrs.attributes())?;
    let xattr_ids = fits_u32("the sets of extended attributes", xattrs.count() as u64, "sets")?;
    let head = XattrIdTable { xattr_table_start, xattr_ids }.encode();
    out.lookup(xattrs.sets(), &head)
}

/// Linux' `new_encode_dev`: 12 bits of major number amid 20 bits of minor number.
fn device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}
