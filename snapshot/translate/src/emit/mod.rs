//! A region as a wasm function.
//!
//! Control flow is structured by the dominator tree (Ramsey: Beyond Relooper, 2022): a block is
//! emitted inside its dominator, behind a wasm block if several edges lead to it, in a loop if edges lead
//! back to it. The root chooses a door by number.
//!
//! Registers are in locals where their value is known, and in memory whenever execution can leave. The budget
//! is in a local from a door on, reduced by whole blocks; exits name the rest together with the program
//! counter, as one constant, and share the code that writes both back.

mod alu;
mod choice;
mod float;
mod flow;
mod memory;
mod near;
mod registers;
mod sides;
mod stack;
mod system;
mod values;

use lithify_isa::translation::{DEPTH_SHIFT, Layout, PAGE_SIZE};
use lithify_isa::{Op, OpCode};
use wasm_encoder::{BlockType, Function, InstructionSink, MemArg, ValType};

use crate::Link;
use crate::blocks::{BasicBlock, End, Offset};
use crate::effects::{Set, is_float};
use crate::flags;
use crate::graph::Node;
use crate::region::{PageCode, Program, Region};
use crate::tight::Tight;
use crate::transfer;
use near::Near;
use registers::Locals;
use sides::Sides;
use stack::LocalSet;
use system::Views;
use values::{Checks, Span, Values};

/// Parameters, then scratch locals, then registers.
mod local {
    /// Address of the TLB set.
    pub(super) const TLB: u32 = 0;
    /// Virtual address of the page.
    pub(super) const PAGE: u32 = 1;
    /// Number of the door to go on at.
    pub(super) const DOOR: u32 = 2;
    /// Low half of an address, then the host's address.
    pub(super) const HOST: u32 = 3;
    /// Address of a TLB place.
    pub(super) const SLOT: u32 = 4;
    /// The depth, in its place above an entry's number.
    pub(super) const DEPTH: u32 = 5;
    pub(super) const I32_LOCALS: u32 = 3;
    /// Instructions left.
    pub(super) const BUDGET: u32 = 6;
    /// Where and how a side exit leaves: see [`super::exit_code`].
    pub(super) const EXIT: u32 = 7;
    /// The result.
    pub(super) const RESULT: u32 = 8;
    /// An address.
    pub(super) const ADDRESS: u32 = 9;
    pub(super) const A: u32 = 10;
    pub(super) const B: u32 = 11;
    pub(super) const C: u32 = 12;
    pub(super) const D: u32 = 13;
    pub(super) const I64_LOCALS: u32 = 8;
    pub(super) const FA: u32 = 14;
    pub(super) const FB: u32 = 15;
    pub(super) const FC: u32 = 16;
    pub(super) const FR: u32 = 17;
    pub(super) const FP: u32 = 18;
    pub(super) const F64_LOCALS: u32 = 5;
    pub(super) const SA: u32 = 19;
    pub(super) const SB: u32 = 20;
    pub(super) const SR: u32 = 21;
    pub(super) const F32_LOCALS: u32 = 3;
    /// The first of those that a function makes as it needs them.
    pub(super) const OTHERS: u32 = SA + F32_LOCALS;
}

/// Bits of an exit's code that count the instructions of the block that have retired; a page holds
/// fewer.
const RETIRED_BITS: u32 = 12;
const _: () = assert!(PAGE_SIZE / 2 < 1 << RETIRED_BITS, "two bytes an instruction");

/// Blocks that were executed less often have exits that are short rather than fast.
const WORTH_LABELS: u64 = 1000;

/// The part of a function's parameter that is the depth.
const DEPTH_MASK: i32 = -(1 << DEPTH_SHIFT);

/// A side exit before the instruction at `at`, with `retired` instructions not yet off the budget.
const fn exit_code(at: Offset, retired: u32) -> i64 {
    (at as i64) << RETIRED_BITS | retired as i64
}

/// What encloses the code being emitted; branches name one by its distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    /// Leads to the code of a node: its end or, of a loop, its start.
    Node(Node),
    /// Leads back to the root.
    Dispatch,
    /// Leads out: the program counter is in [`local::EXIT`].
    Exit,
    /// Leads to [`Exit`](Self::Exit) from the tight loop at a node, whose registers are written back on the way.
    WriteBack(Node),
    /// Leads out: the program counter is in [`local::RESULT`], and nobody else can go on there.
    Out,
    /// Leads to the caller with the program counter in [`local::RESULT`], or on if there is none.
    Return,
    /// Leads on at the program counter in [`local::RESULT`].
    Onward,
    /// Leads to the code of one of a block's side exits, by its number.
    Side(usize),
    /// An arm of a branch.
    Arm,
}

/// What is known where code is being emitted.
#[derive(Debug, Clone)]
struct Path {
    /// What locals hold.
    known: Set,
    /// What memory does not.
    dirty: Set,
    values: Values,
    checks: Checks,
    /// The head of the tight loop that this is in: there registers stay dirty.
    tight: Option<Node>,
}

impl Path {
    fn new(known: Set) -> Self {
        let (values, checks) = (Values::new(), Checks::default());
        Self { known, dirty: Set::EMPTY, values, checks, tight: None }
    }
}

/// Emits one function.
struct Emitter<'a> {
    code: Vec<u8>,
    /// Where in it branches are that are seldom taken.
    unlikely: Vec<usize>,
    /// The last instruction that pops into a local, while nothing is behind it.
    last_set: Option<LocalSet>,
    /// Types of the locals from [`local::OTHERS`] on.
    locals: Vec<ValType>,
    /// Locals for host addresses.
    hosts: Vec<u32>,
    labels: Vec<Label>,
    registers: Locals,
    path: Path,
    /// What is known on all forward edges to a node so far.
    arrivals: Vec<Option<Set>>,
    program: &'a Program<'a>,
    page: &'a PageCode<'a>,
    region: &'a Region,
    link: &'a Link,
    /// Nodes that several edges lead to, or the root.
    merges: Vec<bool>,
    loops: Vec<bool>,
    tight: Tight,
    /// Pages that accesses in tight loops remember.
    near: Vec<Near>,
    /// What is there if the function changes the view of the memory.
    views: Option<Views>,
    /// Side exits of the block that is being emitted.
    sides: Sides,
    /// Children in the dominator tree that are merges, in reverse postorder.
    children: Vec<Vec<Node>>,
}

/// The function that `region` becomes.
pub(crate) fn function(
    program: &Program<'_>,
    page: &PageCode<'_>,
    region: &Region,
    link: &Link,
) -> crate::Function {
    let mut emitter = Emitter::new(program, page, region, link);
    emitter.expect_views();
    emitter.whole();
    let fixed = [
        (local::I32_LOCALS, ValType::I32),
        (local::I64_LOCALS, ValType::I64),
        (local::F64_LOCALS, ValType::F64),
        (local::F32_LOCALS, ValType::F32),
    ];
    let others = emitter.locals.chunk_by(|a, b| a == b).map(|run| (run.len() as u32, run[0]));
    let mut function = Function::new(fixed.into_iter().chain(others).collect::<Vec<_>>());
    let code = function.byte_len();
    function.raw(emitter.code);
    let unlikely = emitter.unlikely.iter().map(|at| (code + at) as u32).collect();
    crate::Function { body: function.into_raw_body(), unlikely }
}

/// An access to a field of the machine, whose address is `i32.const 0`.
const fn field(address: u32, align: u32) -> MemArg {
    MemArg { offset: address as u64, align, memory_index: 0 }
}

impl<'a> Emitter<'a> {
    fn new(
        program: &'a Program<'a>,
        page: &'a PageCode<'a>,
        region: &'a Region,
        link: &'a Link,
    ) -> Self {
        let (successors, flow) = (&region.doors.successors, &region.doors.flow);
        let nodes = successors.len();
        let (mut merges, mut loops) = (vec![false; nodes], vec![false; nodes]);
        let mut forward = vec![0; nodes];
        for (from, onward) in successors.iter().enumerate() {
            for &to in onward {
                forward[to] += usize::from(!flow.is_retreating(from, to));
            }
        }
        for &head in region.loops.keys() {
            loops[head] = true;
        }
        for node in 1..nodes {
            merges[node] = forward[node] > 1;
        }
        // Where doors are chosen, each needs a label.
        for &door in &region.doors.nodes {
            merges[door] = true;
        }
        let mut children = vec![Vec::new(); nodes];
        for &node in flow.order[1..].iter().filter(|node| merges[**node]) {
            children[flow.dominator[node]].push(node);
        }
        Self {
            code: Vec::new(),
            unlikely: Vec::new(),
            last_set: None,
            locals: Vec::new(),
            hosts: Vec::new(),
            labels: Vec::new(),
            registers: Locals::default(),
            path: Path::new(Set::EMPTY),
            arrivals: vec![None; nodes],
            program,
            page,
            region,
            link,
            merges,
            loops,
            tight: Tight::new(page.blocks, region),
            near: Vec::new(),
            views: None,
            sides: Sides::None,
            children,
        }
    }

    fn w(&mut self) -> InstructionSink<'_> {
        InstructionSink::new(&mut self.code)
    }

    fn new_local(&mut self, of: ValType) -> u32 {
        self.locals.push(of);
        local::OTHERS + self.locals.len() as u32 - 1
    }

    fn layout(&self) -> &'a Layout {
        &self.link.layout
    }

    fn whole(&mut self) {
        use local::{BUDGET, DEPTH, DOOR, EXIT, PAGE, RESULT, TLB};
        let layout = self.layout();
        for label in [Label::Out, Label::Onward, Label::Return, Label::Exit] {
            self.open(label);
        }
        self.w().local_get(DOOR).i32_const(DEPTH_MASK).i32_and().local_set(DEPTH);
        self.w().i32_const(0).i64_load(field(layout.budget, 3)).local_set(BUDGET);
        if self.region.doors.nodes.len() > 1 {
            let mut w = self.w();
            w.local_get(DOOR).i32_const(!DEPTH_MASK).i32_and().local_set(DOOR);
        }
        if self.region.dispatches {
            self.labels.push(Label::Dispatch);
            self.w().loop_(BlockType::Empty);
        }
        self.tree(0);
        if self.region.dispatches {
            self.close();
        }
        self.w().unreachable();
        self.close();
        let mut w = self.w();
        w.local_get(BUDGET).local_get(EXIT).i64_const((1 << RETIRED_BITS) - 1).i64_and().i64_sub();
        w.local_set(BUDGET).local_get(PAGE).local_get(EXIT).i64_const(RETIRED_BITS.into());
        w.i64_shr_s().i64_add().local_set(RESULT);
        let out = self.distance(Label::Out);
        self.w().br(out);
        self.close();
        let out = self.distance(Label::Out);
        self.w().local_get(DEPTH).br_if(out);
        self.close();
        self.leave_in_other_view();
        self.store_budget();
        let transfer = self.link.first_function + transfer::NUMBER;
        self.w().local_get(TLB).local_get(RESULT).local_get(DEPTH).return_call(transfer);
        self.close();
        self.store_budget();
        self.w().local_get(RESULT);
        self.tell_other_view();
        self.w().end();
    }

    fn store_budget(&mut self) {
        let budget = field(self.layout().budget, 3);
        self.w().i32_const(0).local_get(local::BUDGET).i64_store(budget);
    }

    /// A branch that is seldom taken, if the value on the stack is not zero.
    fn branch_unlikely(&mut self, distance: u32) {
        self.unlikely.push(self.code.len());
        self.w().br_if(distance);
    }

    fn open(&mut self, label: Label) {
        self.labels.push(label);
        self.w().block(BlockType::Empty);
    }

    fn close(&mut self) {
        self.labels.pop();
        self.w().end();
    }

    /// Distance of the innermost `label`.
    fn distance(&self, label: Label) -> u32 {
        let from_top = self.labels.iter().rev().position(|&enclosing| enclosing == label);
        from_top.expect("edges stay inside what encloses them") as u32
    }

    /// The code of `node` and of all that it dominates.
    fn tree(&mut self, node: Node) {
        if self.merges[node] {
            self.arrive(node);
        }
        self.path.tight = self.tight.head(node);
        if self.tight.is_head(node) {
            self.open(Label::WriteBack(node));
        }
        if self.loops[node] {
            self.labels.push(Label::Node(node));
            self.w().loop_(BlockType::Empty);
        }
        let children = self.children[node].clone();
        for &child in children.iter().rev() {
            self.open(Label::Node(child));
        }
        if node == 0 {
            self.choose_door();
        } else {
            self.choose_door_inside(node);
            self.block(node);
        }
        for &child in &children {
            self.close();
            self.tree(child);
        }
        if self.loops[node] {
            self.close();
        }
        if self.tight.is_head(node) {
            self.close();
            self.write_back(self.tight.written(node));
            let out = self.distance(Label::Exit);
            self.w().br(out);
        }
    }

    fn is_door(&self, node: Node) -> bool {
        self.region.doors.number(node).is_some()
    }

    /// Several edges lead to `node`: what is known is known on all of them. Nothing is on the way
    /// from the root. A loop gets what it uses. In a tight loop, all that it writes is in locals at any
    /// place, and memory may lag behind.
    fn arrive(&mut self, node: Node) {
        let arrived = self.arrivals[node].filter(|_| !self.region.doors.is_outermost(node));
        self.path = Path::new(arrived.unwrap_or(Set::EMPTY));
        let tight = self.tight.head(node);
        if let Some(head) = tight.filter(|head| *head != node) {
            self.path.tight = tight;
            self.path.dirty = self.tight.written(head);
        }
        if self.loops[node] {
            if tight.is_none() {
                // Calls inside leave nothing known but what each way back makes known again.
                self.path.known = self.path.known.and(self.wanted_in(node));
            }
            self.enter_loop(node);
        }
        if let Some(head) = tight {
            self.path.dirty = self.tight.written(head);
            self.path.values = Values::in_loop(self.tight.steady(node));
        }
    }

    /// What is known at the head of a loop. What float instructions need is asked for in front of loops that never forget
    /// it: on a way back nobody can leave, as the branch may not be taken. Nor on the way to a door inside, where
    /// leaving would be at that door.
    fn wanted_in(&self, head: Node) -> Set {
        let wanted = self.region.preloads[head].or(self.tight.written(head));
        if self.tight.head(head).is_some() && self.region.doors.ways(head).is_empty() {
            return wanted;
        }
        Set { x: wanted.x, f: wanted.f, ..Set::EMPTY }
    }

    /// Makes known what the loop at `head` uses.
    fn enter_loop(&mut self, head: Node) {
        let wanted = self.wanted_in(head);
        let at = self.node_block(head).start.into();
        self.load_missing(wanted);
        if wanted.float {
            self.ask_for_float(at, 0);
        }
        if wanted.nearest {
            self.ask_for_nearest(at, 0);
        }
        if wanted.fused {
            self.ask_for_fused(at, 0);
        }
    }

    fn node_block(&self, node: Node) -> &'a BasicBlock {
        &self.page.blocks[self.region.members[node - 1]]
    }

    fn block(&mut self, node: Node) {
        let block = self.node_block(node);
        let out = self.way_out();
        let exits = match block.count {
            WORTH_LABELS.. => self.open_side_exits(|this| this.ops(node, block)),
            _ => Vec::new(),
        };
        self.ops(node, block);
        self.sides = Sides::None;
        self.last(node, block);
        self.close_side_exits(exits, out);
    }

    /// All of `block` but how it ends.
    fn ops(&mut self, node: Node, block: &BasicBlock) {
        if self.is_door(node) {
            self.look_at_budget(block.start.into(), self.region.longest[node]);
        }
        let spans = values::plan(&block.ops, self.path.values.clone());
        // The last instruction may be among the ops, or what the block ends with.
        let last = if matches!(block.last, End::Jump { op: None, .. }) {
            block.len - 1
        } else {
            block.len
        };
        for (retired, (op, span)) in (0..).zip(block.ops.iter().zip(spans)) {
            if let Some(half) = block.behind.filter(|_| retired == last) {
                self.ask_for_half(block, half, retired);
            }
            self.op(&block.ops, span, retired);
            self.path.values.step(op);
        }
        if let Some(half) = block.behind.filter(|_| last == block.len) {
            self.ask_for_half(block, half, block.len - 1);
        }
    }

    /// Leaves before the instruction at `at` unless `longest` instructions may be executed.
    fn look_at_budget(&mut self, at: Offset, longest: u32) {
        self.w().local_get(local::BUDGET).i64_const(longest.into()).i64_le_s();
        self.exit_if(at, 0);
    }

    fn exit(&mut self, at: Offset, retired: u32) {
        self.flush();
        let out = self.distance(Label::Exit);
        self.w().i64_const(exit_code(at, retired)).local_set(local::EXIT).br(out);
    }

    /// The one of `ops` before which `retired` of them have been executed.
    fn op(&mut self, ops: &[Op], span: Option<Span>, retired: u32) {
        let (before, op) = (&ops[..retired as usize], &ops[retired as usize]);
        match span {
            Some(span) => self.access(op, span, retired),
            None if op.code == OpCode::Nop => {}
            None if flags::access(op).is_some() => self.access_flags(op, retired),
            None if op.code == OpCode::System => self.system(before, op, retired),
            None if is_float(op.code) => self.float(op, retired),
            None if (OpCode::LrW..=OpCode::AmoMaxuD).contains(&op.code) => self.atomic(op, retired),
            None => self.alu(op),
        }
    }
}
