//! The guest's numbers for files.

use crate::errno::{Errno, Result};
use crate::node::{Node, OpenFile};
use crate::tree::Kind;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Most fids at once: a guest that only makes new ones must not fill the host's memory.
pub const MAX_FIDS: usize = 1 << 16;

/// A file as the guest holds it.
#[derive(Debug)]
pub(crate) struct Fid {
    pub(crate) node: Rc<Node>,
    /// What it was when the guest got there.
    pub(crate) kind: Kind,
    /// The guest's user in whose name it is used.
    pub(crate) user: u32,
    pub(crate) opened: Option<Opened>,
}

/// What an open fid reads and writes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Opened {
    /// The directory of all exports.
    Top,
    Directory {
        file: OpenFile,
        /// The file system of its entries.
        device: u64,
    },
    File {
        file: OpenFile,
        append: bool,
    },
}

impl Opened {
    pub(crate) fn file(self) -> Option<OpenFile> {
        match self {
            Self::Top => None,
            Self::Directory { file, .. } | Self::File { file, .. } => Some(file),
        }
    }
}

/// All fids by number.
#[derive(Debug, Default)]
pub(crate) struct Fids(BTreeMap<u32, Fid>);

impl Fids {
    pub(crate) fn get(&self, number: u32) -> Result<&Fid> {
        self.0.get(&number).ok_or(Errno::BADF)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Result<&mut Fid> {
        self.0.get_mut(&number).ok_or(Errno::BADF)
    }

    /// Fails unless `number` may be given to a new fid.
    pub(crate) fn check_free(&self, number: u32) -> Result<()> {
        if self.0.contains_key(&number) {
            return Err(Errno::INVAL);
        }
        if self.0.len() >= MAX_FIDS { Err(Errno::NFILE) } else { Ok(()) }
    }

    /// Adds a fid that [`check_free`](Self::check_free) has allowed.
    pub(crate) fn insert(&mut self, number: u32, fid: Fid) {
        self.0.insert(number, fid);
    }

    pub(crate) fn remove(&mut self, number: u32) -> Result<Fid> {
        self.0.remove(&number).ok_or(Errno::BADF)
    }

    /// Takes any fid out.
    pub(crate) fn pop(&mut self) -> Option<Fid> {
        self.0.pop_first().map(|(_, fid)| fid)
    }
}
