//! Where execution goes on by a number: the root's choice of a door, that of the heads of loops, and computed jumps.

use std::collections::BTreeMap;

use lithify_isa::translation::{
    JUMP_KEY, JUMP_SPACE, JUMP_TARGET, JUMP_TARGET_SHIFT, PAGE_SIZE, jump_target,
};
use wasm_encoder::BlockType;

use super::flow::Edge;
use super::{Emitter, Label, field, local};
use crate::effects::Set;
use crate::graph::Node;
use crate::transfer;

/// In place of a door's number: none is asked for.
const NO_DOOR: i32 = -1;
/// Fewer doors are compared with, one by one.
const MIN_TABLE: usize = 3;

impl Emitter<'_> {
    pub(super) fn choose_door(&mut self) {
        let doors = &self.region.doors;
        for &to in &doors.successors[0] {
            self.arrivals[to] = Some(Set::EMPTY);
        }
        let ways = doors.ways(0).values();
        let distances: Vec<u32> = ways.map(|&next| self.distance(Label::Node(next))).collect();
        let (last, others) = distances.split_last().expect("a region has a door");
        if others.is_empty() {
            self.w().br(*last);
            return;
        }
        // Most come through one door: the processor guesses that branch better than a table's.
        let usual = self.usual_door();
        let mut w = self.w();
        w.local_get(local::DOOR).i32_const(usual as i32).i32_eq().br_if(distances[usual]);
        w.local_get(local::DOOR).br_table(others.iter().copied(), *last);
    }

    /// The number of the door through which most come: of those that calls lead to, or else of all.
    fn usual_door(&self) -> usize {
        let doors = &self.region.doors;
        let count = |number: usize| self.node_block(doors.nodes[number]).count;
        let rank = |number: &usize| {
            let is_called = self.region.called.contains(&doors.nodes[*number]);
            (is_called, count(*number), std::cmp::Reverse(*number))
        };
        (0..doors.nodes.len()).max_by_key(rank).expect("a region has a door")
    }

    /// At the head of a loop: sends on who asks for a door inside.
    pub(super) fn choose_door_inside(&mut self, head: Node) {
        let ways = self.region.doors.ways(head);
        let mut ways_on = BTreeMap::new();
        for (&door, &next) in ways {
            let edge = self.inner_edge(head, next);
            let here = self.path.clone();
            let label = self.prepare_way(head, edge);
            self.path = here;
            ways_on.insert(door, self.distance(label));
        }
        if ways_on.len() < MIN_TABLE {
            for (door, distance) in ways_on {
                self.w().local_get(local::DOOR).i32_const(door as i32).i32_eq().br_if(distance);
            }
            return;
        }
        let (first, last) =
            (*ways.keys().next().expect("some"), *ways.keys().last().expect("some"));
        // The block around adds one to each distance.
        let own = 0;
        let distances: Vec<u32> = (first..=last)
            .map(|door| ways_on.get(&door).map_or(own, |distance| distance + 1))
            .collect();
        let mut w = self.w();
        w.block(BlockType::Empty).local_get(local::DOOR).i32_const(NO_DOOR).i32_eq().br_if(own);
        w.local_get(local::DOOR).i32_const(first as i32).i32_sub().br_table(distances, own).end();
    }

    /// What the way to a door needs: nothing but that the other end knows what is known here.
    fn prepare_way(&mut self, head: Node, edge: Edge) -> Label {
        let Edge::Branch(to) = edge else { unreachable!("doors inside are merges") };
        debug_assert!(self.path.dirty == Set::EMPTY || self.tight.head(head).is_some());
        self.arrive_with(to, self.path.known);
        Label::Node(to)
    }

    /// In front of the head of a loop with doors inside.
    pub(super) fn ask_for_no_door(&mut self, head: Node) {
        if !self.region.doors.ways(head).is_empty() {
            self.w().i32_const(NO_DOOR).local_set(local::DOOR);
        }
    }

    /// Goes on in this function if the jump cache knows the program counter in [`local::RESULT`] as a door of it.
    pub(super) fn jump_inside(&mut self) {
        use local::{DOOR, PAGE, RESULT, SLOT};
        self.flush();
        let layout = self.layout();
        let own = self.link.first_element + self.page.function(self.region);
        self.open(Label::Arm);
        let dispatch = self.distance(Label::Dispatch);
        let mut w = self.w();
        transfer::slot(&mut w, RESULT, layout);
        w.local_tee(SLOT).i32_load(transfer::jump(layout, JUMP_TARGET));
        // What is left of a target in this function is the entry's number.
        w.i32_const(jump_target(own, 0).cast_signed()).i32_sub().local_tee(DOOR);
        w.i32_const(1 << JUMP_TARGET_SHIFT).i32_ge_u().br_if(0);
        w.local_get(SLOT).i64_load(transfer::jump(layout, JUMP_KEY));
        w.local_get(RESULT).i64_ne().br_if(0);
        w.local_get(SLOT).i32_load(transfer::jump(layout, JUMP_SPACE));
        w.i32_const(0).i32_load(field(layout.space, 2)).i32_ne().br_if(0);
        // The same function on another page that looks the same does not count.
        w.local_get(RESULT).local_get(PAGE).i64_sub();
        w.i64_const(PAGE_SIZE as i64).i64_ge_u().br_if(0);
        w.br(dispatch);
        self.close();
    }
}
