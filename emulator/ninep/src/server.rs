//! Messages to operations.

mod attributes;
mod data;
mod names;
mod session;
mod walk;

use crate::errno::{Errno, Result};
use crate::fid::{Fid, Fids, Opened};
use crate::message::{ANSWER, HEADER_LEN, NO_TAG, Qid, kind};
use crate::node::{Location, Node};
use crate::ownership::{Attributes, Ownership};
use crate::tree::{FileTree, Kind, Stat};
use crate::wire::{Reader, Writer};
use std::rc::Rc;

/// Longest message, in bytes. Linux's virtio transport makes requests of up to 500 KiB; more would
/// only be memory for a hostile guest to take.
pub const MAX_MESSAGE_LEN: u32 = 512 << 10;

/// Shortest agreed maximum: every answer but to reads fits.
const MIN_MESSAGE_LEN: u32 = 4096;

/// A directory that is served, or a single file.
pub struct Export {
    /// Its files; the empty path is the directory, or the file, itself.
    pub tree: Box<dyn FileTree>,
    /// Changes are refused.
    pub read_only: bool,
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export").field("read_only", &self.read_only).finish_non_exhaustive()
    }
}

/// One session and the exports that it serves.
#[derive(Debug)]
pub struct Server {
    exports: Vec<Export>,
    root: Rc<Node>,
    fids: Fids,
    ownership: Ownership,
    /// Longest message agreed on.
    max_len: u32,
}

/// What is known of a node's file.
struct Known {
    stat: Stat,
    qid: Qid,
}

/// The qid path of the directory of all exports.
const TOP: u64 = u64::MAX;

impl Known {
    fn new(stat: Stat) -> Self {
        Self { qid: Qid::new(stat.kind, qid_path(stat.device, stat.inode)), stat }
    }

    fn top(exports: usize) -> Self {
        let stat = Stat {
            kind: Kind::Directory,
            device: 0,
            inode: 0,
            links: 2 + exports as u64,
            size: 0,
            accessed: 0,
            modified: 0,
            changed: 0,
        };
        Self { qid: Qid::new(Kind::Directory, TOP), stat }
    }

    /// Whether the file ends with the name that it was found by.
    fn is_last_name(&self) -> bool {
        self.stat.kind == Kind::Directory || self.stat.links <= 1
    }
}

/// One number for a file, from its file system's and its own: the former's are small and few.
fn qid_path(device: u64, inode: u64) -> u64 {
    inode ^ device.rotate_right(20)
}

impl Server {
    /// Serves `exports` under the names `0`, `1` and so on.
    #[must_use]
    pub fn new(exports: Vec<Export>) -> Self {
        Self {
            exports,
            root: Node::root(),
            fids: Fids::default(),
            ownership: Ownership::default(),
            max_len: MIN_MESSAGE_LEN,
        }
    }

    /// Executes the request and replaces `answer` by its answer, which has at most
    /// [`MAX_MESSAGE_LEN`] bytes.
    pub fn serve(&mut self, request: &[u8], answer: &mut Vec<u8>) {
        answer.clear();
        answer.resize(HEADER_LEN, 0);
        let (kind, tag, result) = match header(request) {
            Ok((kind, tag, body)) => (kind, tag, self.dispatch(kind, body, answer)),
            Err(error) => (0, NO_TAG, Err(error)),
        };
        let result = match result {
            Ok(()) if answer.len() > self.max_len as usize => Err(Errno::OVERFLOW),
            other => other,
        };
        let kind = match result {
            Ok(()) => kind + ANSWER,
            Err(error) => {
                answer.truncate(HEADER_LEN);
                Writer(answer).u32(error.0);
                kind::RLERROR
            }
        };
        let len = answer.len() as u32;
        answer[..4].copy_from_slice(&len.to_le_bytes());
        answer[4] = kind;
        answer[5..HEADER_LEN].copy_from_slice(&tag.to_le_bytes());
    }

    fn dispatch(&mut self, kind: u8, body: &[u8], answer: &mut Vec<u8>) -> Result<()> {
        let mut from = Reader::new(body);
        let from = &mut from;
        let to = &mut Writer(answer);
        match kind {
            kind::TVERSION => self.version(from, to),
            kind::TATTACH => self.attach(from, to),
            kind::TFLUSH => Ok(()),
            kind::TCLUNK => self.clunk(from),
            kind::TWALK => self.walk(from, to),
            kind::TGETATTR => self.get_attributes(from, to),
            kind::TSETATTR => self.set_attributes(from),
            kind::TSTATFS => self.file_system(from, to),
            kind::TLOPEN => self.open(from, to),
            kind::TLCREATE => self.create(from, to),
            kind::TREAD => self.read(from, to),
            kind::TWRITE => self.write(from, to),
            kind::TREADDIR => self.read_directory(from, to),
            kind::TFSYNC => self.sync(from),
            kind::TLOCK => self.lock(from, to),
            kind::TGETLOCK => self.get_lock(from, to),
            kind::TMKDIR => self.create_directory(from, to),
            kind::TSYMLINK => self.symlink(from, to),
            kind::TREADLINK => self.read_link(from, to),
            kind::TLINK => self.link(from),
            kind::TRENAMEAT => self.rename(from),
            kind::TUNLINKAT => self.unlink(from),
            kind::TMKNOD => Err(Errno::PERM),
            _ => Err(Errno::OPNOTSUPP),
        }
    }

    fn export(&mut self, export: usize) -> Result<&mut Export> {
        self.exports.get_mut(export).ok_or(Errno::NOENT)
    }

    fn tree(&mut self, export: usize) -> Result<&mut dyn FileTree> {
        Ok(&mut *self.export(export)?.tree)
    }

    /// The export and path of a node's file.
    fn readable(&mut self, node: &Rc<Node>) -> Result<(usize, String)> {
        match node.locate()? {
            Location::In { export, path } => Ok((export, path)),
            Location::Top => Err(Errno::INVAL),
        }
    }

    /// The export and path of a node that is to be changed.
    fn writable(&mut self, node: &Rc<Node>) -> Result<(usize, String)> {
        match node.locate()? {
            Location::In { export, path } if !self.export(export)?.read_only => Ok((export, path)),
            _ => Err(Errno::ROFS),
        }
    }

    /// Whether a node's file must stay as it is. One without a name can only have been opened for
    /// writing where that is allowed.
    fn is_read_only(&mut self, node: &Rc<Node>) -> Result<bool> {
        match node.locate() {
            Ok(Location::In { export, .. }) => Ok(self.export(export)?.read_only),
            Ok(Location::Top) => Ok(true),
            Err(_) => Ok(false),
        }
    }

    /// The export and path of the entry `name` of a directory that is to be changed.
    fn writable_entry(&mut self, directory: u32, name: &str) -> Result<(usize, String)> {
        let fid = self.fids.get(directory)?;
        if fid.kind != Kind::Directory {
            return Err(Errno::NOTDIR);
        }
        let node = Rc::clone(&fid.node);
        let (export, path) = self.writable(&node)?;
        Ok((export, join(&path, name)))
    }

    /// What a node's file is: by its name, or, if that is gone, by a handle that is still open.
    fn look_at(&mut self, node: &Rc<Node>) -> Result<Known> {
        let by_name = match node.locate() {
            Ok(Location::Top) => return Ok(Known::top(self.exports.len())),
            Ok(Location::In { export, path }) => self.tree(export)?.stat(&path),
            Err(gone) => Err(gone),
        };
        match (by_name, node.any_open(false)) {
            (Err(Errno::NOENT), Some(file)) => self.tree(file.export)?.stat_handle(file.handle),
            (by_name, _) => by_name,
        }
        .map(Known::new)
    }

    /// What a path is, if anything.
    fn file_at(&mut self, export: usize, path: &str) -> Result<Known> {
        self.tree(export)?.stat(path).map(Known::new)
    }

    fn forget_fid(&mut self, fid: &Fid) {
        let Some(file) = fid.opened.and_then(Opened::file) else { return };
        fid.node.closed(file);
        if let Ok(tree) = self.tree(file.export) {
            tree.close(file.handle);
        }
    }

    /// Remembers whose a new file is.
    fn own(&mut self, kind: Kind, qid: Qid, mode: u32, uid: u32, gid: u32) {
        let mode = mode & crate::ownership::PERMISSIONS;
        self.ownership.set(kind, qid.path, Attributes { mode, uid, gid });
    }
}

/// Type, tag and body of a message.
fn header(message: &[u8]) -> Result<(u8, u16, &[u8])> {
    let mut from = Reader::new(message);
    let (len, kind, tag) = (from.u32()?, from.u8()?, from.u16()?);
    if len as usize != message.len() || len > MAX_MESSAGE_LEN {
        return Err(Errno::INVAL);
    }
    Ok((kind, tag, &message[HEADER_LEN..]))
}

/// A path and one more name.
fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.into() } else { format!("{path}/{name}") }
}
