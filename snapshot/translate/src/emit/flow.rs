//! How blocks end: branches, jumps, calls.

use lithify_isa::{Op, OpCode, SINK};
use wasm_encoder::BlockType;

use super::{Emitter, Label, Path, exit_code, field, local};
use crate::blocks::{BasicBlock, End, Half, Offset};
use crate::effects::Set;
use crate::graph::Node;
use crate::region::Remote;
use crate::transfer;

use lithify_isa::translation::{
    CODE_PAGE_CONTENT, CODE_PAGE_ENTRIES, CODE_PAGE_ENTRY_SIZE, CODE_PAGE_FOLD, DEPTH_SHIFT,
    MAX_DEPTH, PAGE_SIZE, known_content,
};

/// From a page's address to the offset of its entry in the page cache, but for the fold.
const CODE_PAGE_SHIFT: u32 = PAGE_SIZE.trailing_zeros() - CODE_PAGE_ENTRY_SIZE.trailing_zeros();
const CODE_PAGE_MASK: i32 = ((CODE_PAGE_ENTRIES - 1) * CODE_PAGE_ENTRY_SIZE) as i32;

/// What a call adds to the depth.
const ONE_DEEPER: i32 = 1 << DEPTH_SHIFT;
/// The depth at which calls are exits.
const DEEPEST: i32 = (MAX_DEPTH << DEPTH_SHIFT) as i32;

/// How an edge is taken.
#[derive(Debug, Clone, Copy)]
pub(super) enum Edge {
    /// The code of the node follows here.
    Inline(Node),
    /// A branch to its label.
    Branch(Node),
    /// Through the root, by the door's number.
    Dispatch(usize),
    /// Out of the function.
    Exit(Offset),
}

/// What is at a place outside the function.
#[derive(Debug, Clone, Copy)]
enum Outside {
    /// Another function of the page.
    Near { function: u32, door: u32 },
    /// A function of a page that may be there.
    Remote(Remote),
    /// Another page, of which the profile knows nothing.
    Unknown,
    /// Nothing that is translated.
    Interpreted,
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
                self.flush();
                self.w().local_get(local::DEPTH).i32_const(DEEPEST).i32_ge_u();
                let out = self.distance(Label::Out);
                self.branch_unlikely(out);
                self.store_budget();
                self.call_result();
                self.come_back(node, back);
            }
            End::JumpRegister { op } => {
                self.retire(block.len);
                self.take_target(&op);
                self.leave_return_address(&op);
                if self.region.dispatches && block.last.is_computed_jump() {
                    self.jump_inside();
                }
                self.flush();
                let label = if block.last.is_return() { Label::Return } else { Label::Onward };
                let distance = self.distance(label);
                self.w().br(distance);
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

    fn outside(&self, target: Offset) -> Outside {
        if (0..PAGE_SIZE as Offset).contains(&target) {
            let door = self.page.door(target);
            return door
                .map_or(Outside::Interpreted, |(function, door)| Outside::Near { function, door });
        }
        self.program.remote(self.page.number, target).map_or(Outside::Unknown, Outside::Remote)
    }

    fn edge(&self, from: Node, target: Offset) -> Edge {
        let Some(to) = self.page.node(self.region, target) else { return Edge::Exit(target) };
        self.inner_edge(from, to)
    }

    /// The edge to a node of this function.
    pub(super) fn inner_edge(&self, from: Node, to: Node) -> Edge {
        let flow = &self.region.doors.flow;
        if flow.is_retreating(from, to) && !flow.dominates(to, from) {
            Edge::Dispatch(self.region.doors.number(to).expect("such targets are doors"))
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
    pub(super) fn prepare(&mut self, from: Node, edge: Edge) -> Option<Label> {
        if !self.keeps_registers(from, edge) {
            self.flush();
        }
        match edge {
            Edge::Inline(_) => None,
            Edge::Branch(to) => {
                self.ask_for_no_door(to);
                if self.region.doors.flow.is_retreating(from, to) {
                    self.enter_loop(to);
                } else {
                    self.arrive_with(to, self.path.known);
                }
                Some(Label::Node(to))
            }
            Edge::Dispatch(door) => {
                self.w().i32_const(door as i32).local_set(local::DOOR);
                Some(Label::Dispatch)
            }
            Edge::Exit(at) if matches!(self.outside(at), Outside::Unknown) => {
                self.push_pc(at.into());
                self.w().local_set(local::RESULT);
                Some(Label::Onward)
            }
            Edge::Exit(at) => {
                self.w().i64_const(exit_code(at, 0)).local_set(local::EXIT);
                Some(Label::Exit)
            }
        }
    }

    /// An edge to `to`, at whose start this is known.
    pub(super) fn arrive_with(&mut self, to: Node, known: Set) {
        let arrived = &mut self.arrivals[to];
        *arrived = Some(arrived.map_or(known, |arrived| arrived.and(known)));
    }

    pub(super) fn go(&mut self, from: Node, edge: Edge) {
        if let Edge::Exit(at) = edge {
            return self.jump_out(at);
        }
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

    /// Goes on outside the function, by a tail call if something may be there.
    fn jump_out(&mut self, at: Offset) {
        use local::{DEPTH, PAGE, TLB};
        match self.outside(at) {
            Outside::Near { function, door } => {
                self.flush();
                self.exit_in_other_view(at);
                self.store_budget();
                let index = self.link.first_function + function;
                let mut w = self.w();
                w.local_get(TLB).local_get(PAGE).local_get(DEPTH).i32_const(door as i32).i32_or();
                w.return_call(index);
            }
            Outside::Remote(remote) => {
                self.flush();
                self.exit_in_other_view(at);
                self.open(Label::Arm);
                self.ask_for_page(remote.distance, remote.content);
                self.store_budget();
                let index = self.link.first_function + remote.function;
                let door = remote.door as i32;
                let mut w = self.w();
                w.local_get(TLB)
                    .local_get(local::ADDRESS)
                    .local_get(DEPTH)
                    .i32_const(door)
                    .i32_or();
                w.return_call(index);
                self.close();
                self.go_onward(at);
            }
            Outside::Unknown => {
                self.flush();
                self.go_onward(at);
            }
            Outside::Interpreted => self.exit(at, 0),
        }
    }

    fn go_onward(&mut self, at: Offset) {
        self.push_pc(at.into());
        let onward = self.distance(Label::Onward);
        self.w().local_set(local::RESULT).br(onward);
    }

    /// Leaves before the last instruction of `block`, which is `retired` instructions behind its start, unless the
    /// other half of it is on the next page.
    pub(super) fn ask_for_half(&mut self, block: &BasicBlock, half: Half, retired: u32) {
        const LAST_HALF: Offset = PAGE_SIZE as Offset - 2;
        debug_assert!(usize::from(block.end) > PAGE_SIZE, "it lies on two pages");
        let here = self.path.clone();
        self.open(Label::Arm);
        if let Some(content) = self.program.behind(self.page.number, half) {
            self.open(Label::Arm);
            self.ask_for_page(PAGE_SIZE as i64, content);
            self.w().br(1);
            self.close();
        }
        self.exit(LAST_HALF, retired);
        self.close();
        self.path = here;
    }

    /// Leaves what is innermost unless the other page is what it was in the profile. Its address is in
    /// [`local::ADDRESS`].
    fn ask_for_page(&mut self, distance: i64, content: u32) {
        use local::{ADDRESS, PAGE, SLOT};
        let layout = self.layout();
        let of_entry = |at: usize| field(layout.pages + at as u32, 3);
        let shift = i64::from(CODE_PAGE_SHIFT);
        let mut w = self.w();
        w.local_get(PAGE).i64_const(distance).i64_add().local_tee(ADDRESS);
        w.local_get(ADDRESS).i64_const(CODE_PAGE_FOLD.into()).i64_shr_u().i64_xor();
        w.i64_const(shift).i64_shr_u().i32_wrap_i64();
        transfer::fold_space(&mut w, layout, CODE_PAGE_ENTRY_SIZE);
        w.i32_const(CODE_PAGE_MASK).i32_and();
        w.local_tee(SLOT).i64_load(of_entry(0)).local_get(ADDRESS).i64_ne();
        self.branch_unlikely(0);
        let mut w = self.w();
        w.local_get(SLOT).i64_load(of_entry(CODE_PAGE_CONTENT));
        w.i32_const(0).i64_load32_u(field(layout.space, 2));
        w.i64_const(known_content(content, 0).cast_signed()).i64_or().i64_ne();
        self.branch_unlikely(0);
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
        if let Edge::Exit(at) = edge
            && matches!(self.outside(at), Outside::Near { .. } | Outside::Remote(_))
        {
            let here = self.path.clone();
            self.w().if_(BlockType::Empty);
            self.labels.push(Label::Arm);
            self.jump_out(at);
            self.close();
            self.path = here;
            return;
        }
        match self.prepare(from, edge) {
            Some(Label::Exit) => {
                let distance = self.distance(Label::Exit);
                self.branch_unlikely(distance);
            }
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
        use local::{ADDRESS, DEPTH, PAGE, RESULT};
        let outside = self.outside(target);
        if matches!(outside, Outside::Interpreted) {
            return self.exit(target, 0);
        }
        self.w().local_get(DEPTH).i32_const(DEEPEST).i32_ge_u();
        self.exit_if(target, 0);
        self.flush();
        self.store_budget();
        match outside {
            Outside::Near { function, door } => self.call_door(PAGE, function, door),
            Outside::Remote(remote) => {
                self.open(Label::Arm);
                self.open(Label::Arm);
                self.ask_for_page(remote.distance, remote.content);
                self.call_door(ADDRESS, remote.function, remote.door);
                self.w().br(1);
                self.close();
                self.push_pc(target.into());
                self.w().local_set(RESULT);
                self.call_result();
                self.close();
            }
            Outside::Unknown | Outside::Interpreted => {
                self.push_pc(target.into());
                self.w().local_set(RESULT);
                self.call_result();
            }
        }
        self.come_back(node, back);
    }

    /// Calls a function of the page whose address is in local `page`.
    fn call_door(&mut self, page: u32, function: u32, door: u32) {
        use local::{DEPTH, RESULT, TLB};
        let index = self.link.first_function + function;
        let mut w = self.w();
        w.local_get(TLB).local_get(page).local_get(DEPTH).i32_const(ONE_DEEPER | door as i32);
        w.i32_add().call(index).local_set(RESULT);
    }

    /// Calls what is at the program counter in [`local::RESULT`], if it is translated.
    fn call_result(&mut self) {
        use local::{DEPTH, RESULT, TLB};
        let index = self.link.first_function + transfer::NUMBER;
        let mut w = self.w();
        w.local_get(TLB).local_get(RESULT).local_get(DEPTH).i32_const(ONE_DEEPER).i32_add();
        w.call(index).local_set(RESULT);
    }

    /// Behind a call: on with `back` if execution is there.
    fn come_back(&mut self, node: Node, back: Offset) {
        self.path = Path::new(Set::EMPTY);
        let budget = field(self.layout().budget, 3);
        self.w().i32_const(0).i64_load(budget).local_set(local::BUDGET);
        let out = self.distance(Label::Out);
        self.w().local_get(local::RESULT);
        self.push_pc(back.into());
        self.w().i64_ne();
        self.branch_unlikely(out);
        let edge = self.edge(node, back);
        self.go(node, edge);
    }
}
