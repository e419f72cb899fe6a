//! How blocks end: branches, jumps, calls.

use lithify_isa::{Op, OpCode, SINK};
use wasm_encoder::BlockType;

use super::{Emitter, Label, Path, exit_code, field, local};
use crate::blocks::{BasicBlock, End, Offset};
use crate::effects::Set;
use crate::graph::Node;
use crate::transfer;

use lithify_isa::translation::{
    JUMP_ENTRY, JUMP_FUNCTION, JUMP_GENERATION, JUMP_KEY, MAX_DEPTH, PAGE_SIZE,
};

/// How an edge is taken.
#[derive(Debug, Clone, Copy)]
enum Edge {
    /// The code of the node follows here.
    Inline(Node),
    /// A branch to its label.
    Branch(Node),
    /// Through the root, by the door's number.
    Dispatch(u32),
    /// Out of the function.
    Exit(Offset),
}

impl Emitter<'_> {
    /// The end of `block`, which is `node`, and the edges from there.
    pub(super) fn last(&mut self, node: Node, block: &BasicBlock) {
        match block.last {
            End::Branch { op, taken, next } => {
                self.retire(block.len);
                self.branch(node, &op, taken, next);
            }
            End::Jump { op, target } => {
                self.retire(block.len);
                if let Some(op) = op {
                    self.leave_return_address(&op);
                }
                let edge = self.edge(node, target);
                self.go(node, edge);
            }
            End::Call { op, target, back } => {
                self.retire(block.len);
                self.leave_return_address(&op);
                self.call(node, target, back);
            }
            End::CallRegister { op, back } => {
                self.retire(block.len);
                self.take_target(&op);
                self.leave_return_address(&op);
                if self.page.node(self.region, back).is_some() {
                    self.transfer_to_result(back);
                    self.come_back(node, back);
                } else {
                    self.leave();
                }
            }
            End::JumpRegister { op } => {
                self.retire(block.len);
                self.take_target(&op);
                self.leave_return_address(&op);
                if self.region.dispatches && block.last.is_computed_jump() {
                    self.jump_inside();
                }
                self.leave();
            }
            End::Exit { at } => self.exit(at, block.len),
        }
    }

    /// Takes whole instructions off the budget.
    fn retire(&mut self, instructions: u32) {
        let mut w = self.w();
        w.local_get(local::BUDGET).i64_const(instructions.into()).i64_sub();
        w.local_set(local::BUDGET);
    }

    fn leave_return_address(&mut self, op: &Op) {
        if op.rd != SINK {
            self.push_pc(i64::from(op.pc) + i64::from(op.rs2));
            self.write(op.rd);
        }
    }

    /// The target of a jump through a register, into [`local::RESULT`].
    fn take_target(&mut self, op: &Op) {
        self.read(op.rs1);
        let mut w = self.w();
        if op.imm != 0 {
            w.i64_const(op.imm.into()).i64_add();
        }
        w.i64_const(-2).i64_and().local_set(local::RESULT);
    }

    /// Leaves for the program counter in [`local::RESULT`].
    fn leave(&mut self) {
        self.flush();
        let out = self.distance(Label::Leave);
        self.w().br(out);
    }

    /// Goes on in this function if the jump cache knows the program counter in [`local::RESULT`] as a
    /// door of it.
    fn jump_inside(&mut self) {
        use local::{DOOR, RESULT, SLOT};
        self.flush();
        let own = self.link.first_element + self.page.function(self.region);
        let layout = self.layout();
        self.w().block(BlockType::Empty);
        self.labels.push(Label::Arm);
        let dispatch = self.distance(Label::Dispatch);
        let mut w = self.w();
        transfer::slot(&mut w, RESULT);
        w.local_tee(SLOT)
            .i32_load(transfer::jump(layout, JUMP_FUNCTION))
            .i32_const(own as i32)
            .i32_ne()
            .br_if(0);
        w.local_get(SLOT).i64_load(transfer::jump(layout, JUMP_KEY));
        w.local_get(RESULT).i32_const(0).i64_load(field(layout.view, 3)).i64_or().i64_ne().br_if(0);
        w.local_get(SLOT).i32_load(transfer::jump(layout, JUMP_GENERATION));
        w.i32_const(0).i32_load(field(layout.jump_generation, 2)).i32_ne().br_if(0);
        // The same function on another page that looks the same does not count.
        w.local_get(RESULT).local_get(local::PAGE).i64_sub();
        w.i64_const(PAGE_SIZE as i64).i64_ge_u().br_if(0);
        w.local_get(SLOT).i32_load(transfer::jump(layout, JUMP_ENTRY)).local_set(DOOR);
        w.br(dispatch);
        self.close();
    }

    /// Whether another function may begin at `target`.
    fn may_be_translated(&self, target: Offset) -> bool {
        !(0..PAGE_SIZE as Offset).contains(&target) || self.page.door(target).is_some()
    }

    fn edge(&self, from: Node, target: Offset) -> Edge {
        let Some(to) = self.page.node(self.region, target) else { return Edge::Exit(target) };
        let flow = &self.region.flow;
        if flow.is_retreating(from, to) && !flow.dominates(to, from) {
            let door = self.region.doors.binary_search(&to).expect("such targets are doors");
            Edge::Dispatch(door as u32)
        } else if flow.is_retreating(from, to) || self.merges[to] {
            Edge::Branch(to)
        } else {
            Edge::Inline(to)
        }
    }

    /// Whether memory need not be up to date at the other end of `edge`.
    fn keeps_registers(&self, from: Node, edge: Edge) -> bool {
        match edge {
            Edge::Inline(_) => true,
            Edge::Branch(to) => {
                self.tight.head(from).is_some_and(|head| self.tight.head(to) == Some(head))
            }
            Edge::Dispatch(_) | Edge::Exit(_) => false,
        }
    }

    /// Sets what `edge` needs and answers with the label it leads to, or `None` if its code follows.
    fn prepare(&mut self, from: Node, edge: Edge) -> Option<Label> {
        if !self.keeps_registers(from, edge) {
            self.flush();
        }
        match edge {
            Edge::Inline(_) => None,
            Edge::Branch(to) => {
                if self.region.flow.is_retreating(from, to) {
                    self.enter_loop(to);
                } else {
                    let known = self.path.known;
                    let arrived = &mut self.arrivals[to];
                    *arrived = Some(arrived.map_or(known, |arrived| arrived.and(known)));
                }
                Some(Label::Node(to))
            }
            Edge::Dispatch(door) => {
                self.w().i32_const(door as i32).local_set(local::DOOR);
                Some(Label::Dispatch)
            }
            Edge::Exit(at) if self.may_be_translated(at) => {
                self.push_pc(at.into());
                self.w().local_set(local::RESULT);
                Some(Label::Leave)
            }
            Edge::Exit(at) => {
                self.w().i64_const(exit_code(at, 0)).local_set(local::EXIT);
                Some(Label::Exit)
            }
        }
    }

    fn go(&mut self, from: Node, edge: Edge) {
        match (edge, self.prepare(from, edge)) {
            (Edge::Inline(node), _) => self.tree(node),
            (_, Some(label)) => {
                let distance = self.distance(label);
                self.w().br(distance);
            }
            (_, None) => unreachable!("only what is inline has no label"),
        }
    }

    fn branch(&mut self, from: Node, op: &Op, taken: Offset, next: Offset) {
        self.condition(op);
        let (taken, next) = (self.edge(from, taken), self.edge(from, next));
        match (taken, next) {
            (Edge::Inline(a), Edge::Inline(b)) if a != b => {
                self.labels.push(Label::Arm);
                self.w().if_(BlockType::Empty);
                let here = self.path.clone();
                self.tree(a);
                self.w().else_();
                self.path = here;
                self.tree(b);
                self.close();
                self.w().unreachable();
            }
            (Edge::Inline(_), other) => {
                self.w().i32_eqz();
                self.branch_if(from, other);
                self.go(from, taken);
            }
            (other, _) => {
                self.branch_if(from, other);
                self.go(from, next);
            }
        }
    }

    /// Takes the edge if the value on the stack is not zero.
    fn branch_if(&mut self, from: Node, edge: Edge) {
        if self.path.tight.is_some() && !self.keeps_registers(from, edge) {
            // A loop writes back where it is left alone.
            self.labels.push(Label::Arm);
            self.w().if_(BlockType::Empty);
            let here = self.path.clone();
            self.go(from, edge);
            self.path = here;
            return self.close();
        }
        match self.prepare(from, edge) {
            Some(label) => {
                let distance = self.distance(label);
                self.w().br_if(distance);
            }
            // Both ways lead to the same place.
            None => {
                self.w().drop();
            }
        }
    }

    /// Pushes whether the branch is taken.
    fn condition(&mut self, op: &Op) {
        use OpCode as C;
        self.read(op.rs1);
        if op.rs2 == 0 && op.code == C::Beq {
            self.w().i64_eqz();
            return;
        }
        self.read(op.rs2);
        let mut w = self.w();
        match op.code {
            C::Beq => w.i64_eq(),
            C::Bne => w.i64_ne(),
            C::Blt => w.i64_lt_s(),
            C::Bge => w.i64_ge_s(),
            C::Bltu => w.i64_lt_u(),
            _ => w.i64_ge_u(),
        };
    }

    /// A call of `target`, behind which execution is expected at `back`.
    fn call(&mut self, node: Node, target: Offset, back: Offset) {
        if self.page.node(self.region, back).is_none() {
            return self.exit(target, 0);
        }
        match self.page.door(target) {
            Some((function, door)) => {
                self.call_directly(target, function, door);
                self.w().local_get(local::RESULT);
                self.push_pc(back.into());
                self.w().i64_ne().if_(BlockType::Empty);
                self.call_transfer(back);
                self.w().end();
            }
            None => {
                self.push_pc(target.into());
                self.w().local_set(local::RESULT);
                self.transfer_to_result(back);
            }
        }
        self.come_back(node, back);
    }

    fn call_directly(&mut self, target: Offset, function: u32, door: u32) {
        use local::{DEPTH, PAGE, RESULT, TLB};
        let depth = field(self.layout().depth, 2);
        let index = self.link.first_function + function;
        self.w().i32_const(0).i32_load(depth).local_tee(DEPTH);
        self.w().i32_const(MAX_DEPTH as i32).i32_ge_u();
        self.exit_if(target, 0);
        self.flush();
        self.store_budget();
        let mut w = self.w();
        w.i32_const(0).local_get(DEPTH).i32_const(1).i32_add().i32_store(depth);
        w.local_get(TLB).local_get(PAGE).i32_const(door as i32).call(index).local_set(RESULT);
        w.i32_const(0).local_get(DEPTH).i32_store(depth);
    }

    /// Goes on at the program counter in [`local::RESULT`] until it is that of `back`, as far as other
    /// functions are translated.
    fn transfer_to_result(&mut self, back: Offset) {
        self.flush();
        self.store_budget();
        self.call_transfer(back);
    }

    fn call_transfer(&mut self, back: Offset) {
        use local::{RESULT, TLB};
        let index = self.link.first_function + transfer::NUMBER;
        self.w().local_get(TLB).local_get(RESULT);
        self.push_pc(back.into());
        self.w().i32_wrap_i64().call(index).local_set(RESULT);
    }

    /// Behind a call: on with `back` if execution is there.
    fn come_back(&mut self, node: Node, back: Offset) {
        self.path = Path::new(Set::EMPTY);
        let budget = field(self.layout().budget, 3);
        self.w().i32_const(0).i64_load(budget).local_set(local::BUDGET);
        let out = self.distance(Label::Leave);
        self.w().local_get(local::RESULT);
        self.push_pc(back.into());
        self.w().i64_ne().br_if(out);
        let edge = self.edge(node, back);
        self.go(node, edge);
    }
}
