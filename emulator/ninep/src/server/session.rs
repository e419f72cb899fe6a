//! Beginning and end: the version, the users, fids that are given back.

use super::{Known, MAX_MESSAGE_LEN, MIN_MESSAGE_LEN, Server};
use crate::errno::{Errno, Result};
use crate::fid::Fid;
use crate::message::NONE;
use crate::node::Node;
use crate::tree::Kind;
use crate::wire::{Reader, Writer};
use std::rc::Rc;

const VERSION: &str = "9P2000.L";
const UNKNOWN: &str = "unknown";

impl Server {
    /// Begins a session: whatever was open is closed.
    pub(super) fn version(&mut self, from: &mut Reader<'_>, to: &mut Writer<'_>) -> Result<()> {
        let (max_len, version) = (from.u32()?, from.str()?);
        if max_len < MIN_MESSAGE_LEN {
            return Err(Errno::INVAL);
        }
        self.reset();
        self.max_len = max_len.min(MAX_MESSAGE_LEN);
        let answer = if version == VERSION { VERSION } else { UNKNOWN };
        to.u32(self.max_len).str(answer);
        Ok(())
    }

    /// Forgets the session; what is remembered of owners stays.
    pub fn reset(&mut self) {
        while let Some(fid) = self.fids.pop() {
            self.forget_fid(&fid);
        }
        self.root = Node::root();
    }

    /// Gives a user the root. Linux attaches first in nobody's name: the user name then says whom
    /// all files belong to.
    pub(super) fn attach(&mut self, from: &mut Reader<'_>, to: &mut Writer<'_>) -> Result<()> {
        let (number, auth, name, tree, user) =
            (from.u32()?, from.u32()?, from.str()?, from.str()?, from.u32()?);
        if auth != NONE || !matches!(tree, "" | "/") {
            return Err(Errno::INVAL);
        }
        self.fids.check_free(number)?;
        if user == NONE {
            self.ownership.set_owner(name);
        }
        let user = if user == NONE { self.ownership.user() } else { user };
        let node = Rc::clone(&self.root);
        self.fids.insert(number, Fid { node, kind: Kind::Directory, user, opened: None });
        to.qid(Known::top(self.exports.len()).qid);
        Ok(())
    }

    pub(super) fn clunk(&mut self, from: &mut Reader<'_>) -> Result<()> {
        let fid = self.fids.remove(from.u32()?)?;
        self.forget_fid(&fid);
        Ok(())
    }
}
