//! From a fid by names to another.

use super::{Known, Server};
use crate::errno::{Errno, Result};
use crate::fid::Fid;
use crate::message::{MAX_WALK, Qid};
use crate::node::Node;
use crate::tree::Kind;
use crate::wire::{Reader, Writer};
use std::rc::Rc;

impl Server {
    /// A walk that stops on the way answers how far it came and makes no fid.
    pub(super) fn walk(&mut self, from: &mut Reader<'_>, to: &mut Writer<'_>) -> Result<()> {
        let (number, new_number, count) = (from.u32()?, from.u32()?, from.u16()?);
        if count > MAX_WALK {
            return Err(Errno::INVAL);
        }
        let fid = self.fids.get(number)?;
        let (mut node, mut kind, user) = (Rc::clone(&fid.node), fid.kind, fid.user);
        let in_place = number == new_number;
        if in_place && fid.opened.is_some() {
            return Err(Errno::INVAL);
        }
        if !in_place {
            self.fids.check_free(new_number)?;
        }
        let mut qids = Vec::new();
        for _ in 0..count {
            match self.step(&node, kind, from.str()?) {
                Ok((next, known)) => {
                    (node, kind) = (next, known.stat.kind);
                    qids.push(known.qid);
                }
                Err(error) if qids.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        if qids.len() == usize::from(count) {
            self.fids.insert(new_number, Fid { node, kind, user, opened: None });
        }
        put(&qids, to);
        Ok(())
    }

    /// Symbolic links are not followed: that is the guest's part.
    fn step(&mut self, node: &Rc<Node>, kind: Kind, name: &str) -> Result<(Rc<Node>, Known)> {
        if kind != Kind::Directory {
            return Err(Errno::NOTDIR);
        }
        let next = match name {
            ".." => node.parent()?,
            "" | "." => return Err(Errno::INVAL),
            name if name.contains('/') => return Err(Errno::INVAL),
            name => node.child(name),
        };
        let known = self.look_at(&next)?;
        Ok((next, known))
    }
}

fn put(qids: &[Qid], to: &mut Writer<'_>) {
    to.u16(qids.len() as u16);
    for qid in qids {
        to.qid(*qid);
    }
}
