//! Side exits, out of the way: the code of a block branches to a label of the exit's own, behind everything that follows the
//! block. There it says where and how execution leaves, so that the way on computes none of that.
//!
//! A label is opened in front of the block's code: the code is emitted once to find out which exits it has, and
//! then again.

use super::{Emitter, Label, exit_code, local};
use crate::blocks::Offset;

/// The side exits of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sides {
    /// Exits branch straight out.
    None,
    /// Those found so far.
    Found(Vec<i64>),
    /// Those that have labels.
    Open(Vec<i64>),
}

impl Emitter<'_> {
    /// Opens a label for each side exit of what `emit` emits.
    pub(super) fn open_side_exits(&mut self, emit: impl FnOnce(&mut Self)) -> Vec<i64> {
        let (at, locals, near) = (self.code.len(), self.locals.len(), self.near.len());
        let unlikely = self.unlikely.len();
        let (path, hosts) = (self.path.clone(), self.hosts.len());
        let registers = self.registers.clone();
        self.sides = Sides::Found(Vec::new());
        emit(self);
        let Sides::Found(exits) = std::mem::replace(&mut self.sides, Sides::None) else {
            unreachable!("nothing else is begun inside a block");
        };
        self.code.truncate(at);
        self.unlikely.truncate(unlikely);
        self.last_set = None;
        self.locals.truncate(locals);
        self.near.truncate(near);
        self.hosts.truncate(hosts);
        self.path = path;
        self.registers = registers;
        for number in 0..exits.len() {
            self.open(Label::Side(number));
        }
        self.sides = Sides::Open(exits.clone());
        exits
    }

    /// Behind the block and all that follows it: the code of its side exits.
    pub(super) fn close_side_exits(&mut self, exits: Vec<i64>, out: Label) {
        self.sides = Sides::None;
        for code in exits.into_iter().rev() {
            self.close();
            let out = self.distance(out);
            self.w().i64_const(code).local_set(local::EXIT).br(out);
        }
    }

    /// Leaves before the instruction at `at` if the value on the stack is not zero.
    pub(super) fn exit_if(&mut self, at: Offset, retired: u32) {
        let out = self.way_out();
        if out == Label::Exit {
            self.flush();
        }
        let code = exit_code(at, retired);
        let side = match &mut self.sides {
            Sides::None => None,
            Sides::Found(exits) => {
                if exits.last() != Some(&code) {
                    exits.push(code);
                }
                // Counted only: no label is open yet.
                self.w().br_if(0);
                return;
            }
            Sides::Open(exits) => exits.iter().position(|&exit| exit == code),
        };
        if let Some(number) = side {
            let side = self.distance(Label::Side(number));
            self.branch_unlikely(side);
        } else {
            let out = self.distance(out);
            self.w().i64_const(code).local_set(local::EXIT);
            self.branch_unlikely(out);
        }
    }

    /// Where side exits lead to.
    pub(super) fn way_out(&self) -> Label {
        self.path.tight.map_or(Label::Exit, Label::WriteBack)
    }
}
