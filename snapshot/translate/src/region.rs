//! Regions: blocks of a page that reach each other without a call. Each becomes a function.
//!
//! A region's graph has a root that leads to its *doors*: blocks that are entered from outside
//! (called or without a known predecessor), loop heads and return points, so that execution gets
//! back into translated code soon after a side exit. The way to a door in a loop leads through the loop's
//! head ([`doors`](crate::doors)). Targets of backward edges that do not dominate the
//! edge's start are doors as well: such an edge goes through the root. So every cycle has a door in it,
//! and doors are where the budget is looked at.

use std::collections::{BTreeMap, BTreeSet};

use lithify_isa::translation::PAGE_SIZE;

use crate::blocks::{BasicBlock, End, Half, Offset};
use crate::doors::Doors;
use crate::effects::Set;
use crate::graph::Node;
use crate::neighbours::Neighbours;
use crate::{Entry, Page, loops};

/// All pages.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    pub(crate) pages: Vec<PageCode<'a>>,
    neighbours: Neighbours<'a>,
    /// What stands for the content of each page: the number of its first entry.
    contents: Vec<u32>,
}

/// A door on another page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remote {
    /// From the one page to the other, in bytes.
    pub(crate) distance: i64,
    /// What stands for the other's content.
    pub(crate) content: u32,
    pub(crate) function: u32,
    pub(crate) door: u32,
}

/// Pages from the one with offset 0, and the offset there.
const fn split(offset: Offset) -> (i32, u16) {
    let size = PAGE_SIZE as Offset;
    (offset.div_euclid(size), offset.rem_euclid(size) as u16)
}

fn starts_at(blocks: &[BasicBlock], start: u16) -> bool {
    blocks.binary_search_by_key(&start, |block| block.start).is_ok()
}

impl<'a> Program<'a> {
    /// `first` is the least of the numbers that functions get.
    pub(crate) fn new(pages: &'a [Page], blocks: &'a [Vec<BasicBlock>], first: u32) -> Self {
        let neighbours = Neighbours::new(pages);
        let entered = entered(blocks, &neighbours);
        let codes = blocks.iter().zip(&entered).enumerate();
        let mut codes: Vec<_> = codes
            .map(|(number, (blocks, entered))| PageCode::new(number, blocks, entered))
            .collect();
        number_functions(&mut codes, first);
        let (mut contents, mut entries) = (Vec::new(), 0);
        for (number, code) in codes.iter().enumerate() {
            contents.push(entries);
            entries += code.entries(number).count() as u32;
        }
        Self { pages: codes, neighbours, contents }
    }

    /// What stands for the content of a page that begins with `half` and may be the one behind page `from`, which
    /// has translated code.
    pub(crate) fn behind(&self, from: usize, half: Half) -> Option<u32> {
        let is_known = |page: usize| !self.pages[page].blocks.is_empty();
        let begins = |page: usize| self.neighbours.page(page).first_half() == half;
        let page = self.neighbours.find(from, 1, |page| is_known(page) && begins(page))?;
        Some(self.contents[page])
    }

    /// The door to which `target` leads from page `from`, on another page.
    pub(crate) fn remote(&self, from: usize, target: Offset) -> Option<Remote> {
        let (distance, offset) = split(target);
        let door = |page: usize| self.pages[page].door(offset.into());
        let page = self.neighbours.find(from, distance, |page| door(page).is_some())?;
        let (function, door) = door(page)?;
        let distance = i64::from(distance) * PAGE_SIZE as i64;
        Some(Remote { distance, content: self.contents[page], function, door })
    }
}

/// The hottest functions come first: what is executed all the time lies together.
fn number_functions(pages: &mut [PageCode<'_>], first: u32) {
    let mut all: Vec<_> = pages.iter().flat_map(PageCode::heat).collect();
    all.sort_by_key(|&(heat, page, region)| (std::cmp::Reverse(heat), page, region));
    for (number, (_, page, region)) in (first..).zip(all) {
        pages[page].functions[region] = number;
    }
}

/// For each page the offsets to which others lead.
fn entered(blocks: &[Vec<BasicBlock>], neighbours: &Neighbours<'_>) -> Vec<BTreeSet<Offset>> {
    let mut entered = vec![BTreeSet::new(); blocks.len()];
    for (number, of_page) in blocks.iter().enumerate() {
        for target in of_page.iter().flat_map(BasicBlock::targets) {
            let (distance, offset) = split(target);
            let wanted = |page: usize| starts_at(&blocks[page], offset);
            if distance != 0
                && let Some(page) = neighbours.find(number, distance, wanted)
            {
                entered[page].insert(offset.into());
            }
        }
    }
    entered
}

/// A page's blocks and the functions they become.
#[derive(Debug)]
pub(crate) struct PageCode<'a> {
    /// Its place among all.
    pub(crate) number: usize,
    pub(crate) blocks: &'a [BasicBlock],
    pub(crate) regions: Vec<Region>,
    /// Number of the function that each region becomes.
    functions: Vec<u32>,
    /// Region and node of each block.
    places: BTreeMap<u16, (usize, Node)>,
}

/// Blocks that become one function. Node 0 is the root, node `n` the block `members[n - 1]`.
#[derive(Debug)]
pub(crate) struct Region {
    /// Indices of its blocks in the page.
    pub(crate) members: Vec<usize>,
    /// Entries, and the graph.
    pub(crate) doors: Doors,
    /// Nodes that calls lead to.
    pub(crate) called: BTreeSet<Node>,
    /// Whether some edge goes through the root.
    pub(crate) dispatches: bool,
    /// For doors: instructions on the longest way from there to the next door or out.
    pub(crate) longest: Vec<u32>,
    /// The nodes of each loop, by its head.
    pub(crate) loops: BTreeMap<Node, BTreeSet<Node>>,
    /// For loop heads: what to have in locals.
    pub(crate) preloads: Vec<Set>,
}

impl<'a> PageCode<'a> {
    fn new(number: usize, blocks: &'a [BasicBlock], entered: &BTreeSet<Offset>) -> Self {
        let index: BTreeMap<Offset, usize> =
            blocks.iter().enumerate().map(|(at, block)| (block.start.into(), at)).collect();
        let called = &called(blocks) | entered;
        let otherwise = entered_otherwise(blocks, &index);
        let regions: Vec<_> = components(blocks, &index)
            .into_iter()
            .map(|members| Region::new(blocks, members, &called, &otherwise))
            .collect();
        let mut places = BTreeMap::new();
        for (number, region) in regions.iter().enumerate() {
            for (at, &member) in region.members.iter().enumerate() {
                places.insert(blocks[member].start, (number, at + 1));
            }
        }
        let functions = vec![0; regions.len()];
        Self { number, blocks, regions, functions, places }
    }

    /// For each region how often its hottest block was executed, the page, and the region's number there.
    fn heat(&self) -> impl Iterator<Item = (u64, usize, usize)> {
        self.regions.iter().enumerate().map(|(number, region)| {
            let counts = region.members.iter().map(|&member| self.blocks[member].count);
            (counts.max().unwrap_or(0), self.number, number)
        })
    }

    /// The node of `region` that starts at `offset`.
    pub(crate) fn node(&self, region: &Region, offset: Offset) -> Option<Node> {
        let (number, node) = *self.places.get(&u16::try_from(offset).ok()?)?;
        std::ptr::eq(&raw const self.regions[number], region).then_some(node)
    }

    /// Number of the function that `region` becomes.
    pub(crate) fn function(&self, region: &Region) -> u32 {
        let at = self.regions.iter().position(|other| std::ptr::eq(other, region));
        self.functions[at.expect("one of this page")]
    }

    /// Function and entry number of the door at `offset`.
    pub(crate) fn door(&self, offset: Offset) -> Option<(u32, u32)> {
        let (number, node) = *self.places.get(&u16::try_from(offset).ok()?)?;
        let door = self.regions[number].doors.number(node)?;
        Some((self.functions[number], door as u32))
    }

    /// Where the functions may be entered, by offset.
    pub(crate) fn entries(&self, page: usize) -> impl Iterator<Item = Entry> {
        self.places.keys().filter_map(move |&offset| {
            let (function, entry) = self.door(offset.into())?;
            Some(Entry { page, offset, function, entry: entry as u16 })
        })
    }
}

/// Offsets that calls inside the page lead to.
fn called(blocks: &[BasicBlock]) -> BTreeSet<Offset> {
    let target = |block: &BasicBlock| match block.last {
        End::Call { target, .. } => Some(target),
        _ => None,
    };
    blocks.iter().filter_map(target).collect()
}

/// Blocks that were executed more often than all that lead to them.
fn entered_otherwise(blocks: &[BasicBlock], index: &BTreeMap<Offset, usize>) -> BTreeSet<Offset> {
    let mut known = vec![0u64; blocks.len()];
    for block in blocks {
        for to in block.successors().filter_map(|offset| index.get(&offset)) {
            known[*to] = known[*to].saturating_add(block.count);
        }
    }
    // A few more are those that went on there behind an exception.
    let more = |(block, known): &(&BasicBlock, u64)| block.count > known.saturating_add(known / 8);
    let more = blocks.iter().zip(known).filter(more);
    more.map(|(block, _)| block.start.into()).collect()
}

/// Groups of blocks that are connected, each sorted, the groups by their first block.
fn components(blocks: &[BasicBlock], index: &BTreeMap<Offset, usize>) -> Vec<Vec<usize>> {
    let mut leader: Vec<usize> = (0..blocks.len()).collect();
    fn find(leader: &mut [usize], mut at: usize) -> usize {
        while leader[at] != at {
            leader[at] = leader[leader[at]];
            at = leader[at];
        }
        at
    }
    for (at, block) in blocks.iter().enumerate() {
        for to in block.successors().filter_map(|offset| index.get(&offset)) {
            let (a, b) = (find(&mut leader, at), find(&mut leader, *to));
            leader[a.max(b)] = a.min(b);
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in 0..blocks.len() {
        groups.entry(find(&mut leader, at)).or_default().push(at);
    }
    groups.into_values().collect()
}

impl Region {
    fn new(
        blocks: &[BasicBlock],
        members: Vec<usize>,
        called: &BTreeSet<Offset>,
        otherwise: &BTreeSet<Offset>,
    ) -> Self {
        let node_at: BTreeMap<Offset, Node> = members
            .iter()
            .enumerate()
            .map(|(at, &member)| (blocks[member].start.into(), at + 1))
            .collect();
        let nodes_of = |offsets: &BTreeSet<Offset>| -> BTreeSet<Node> {
            node_at.iter().filter(|(at, _)| offsets.contains(at)).map(|(_, &node)| node).collect()
        };
        let (called, otherwise) = (nodes_of(called), nodes_of(otherwise));
        let code: Vec<_> = members.iter().map(|&member| &blocks[member]).collect();
        let mut direct: Vec<Vec<Node>> = vec![Vec::new()];
        direct.extend(code.iter().map(|block| {
            block.successors().filter_map(|offset| node_at.get(&offset).copied()).collect()
        }));
        let mut wanted = &called | &otherwise;
        wanted.extend(return_points(&code, &node_at));
        let doors = Doors::new(&direct, wanted, &called);
        let goes_through_root = |from: Node| {
            let jumps = doors.nodes.len() > 1 && code[from - 1].last.is_computed_jump();
            let mut onward = doors.successors[from].iter();
            let flow = &doors.flow;
            jumps || onward.any(|&to| flow.is_retreating(from, to) && !flow.dominates(to, from))
        };
        let dispatches = (1..direct.len()).any(goes_through_root);
        let longest = longest_ways(&doors, &code);
        let loops = loops::all(&doors.successors, &doors.flow);
        let preloads = loops::preloads(&code, &direct, &loops);
        Self { members, doors, called, dispatches, longest, loops, preloads }
    }
}

/// Blocks that calls return to.
fn return_points(code: &[&BasicBlock], node_at: &BTreeMap<Offset, Node>) -> BTreeSet<Node> {
    let back = code.iter().filter_map(|block| match block.last {
        End::Call { back, .. } | End::CallRegister { back, .. } => node_at.get(&back).copied(),
        _ => None,
    });
    back.collect()
}

/// Every cycle has a door, so that ways which end at doors are finite.
fn longest_ways(doors: &Doors, code: &[&BasicBlock]) -> Vec<u32> {
    let mut longest = vec![0; doors.successors.len()];
    for &node in doors.flow.order[1..].iter().rev() {
        let onward = doors.successors[node].iter().filter(|to| doors.number(**to).is_none());
        longest[node] = code[node - 1].len + onward.map(|&to| longest[to]).max().unwrap_or(0);
    }
    longest
}
