//! A start in a machine that interprets everything, to find out what one with translated code would interpret.
//!
//! Blocks say when they are executed, and translated accesses to memory that they are next. Translated code goes on
//! from entry to entry, and is left where it ends and at an access whose page the TLB does not know. Every
//! block that is executed from there to the next entry is one that has to be decoded.

use std::collections::{BTreeMap, BTreeSet};

use lithify_isa::translation::page_hash;

use crate::arena::PAGE_SIZE;
use crate::machine::Machine;
use crate::pages::{Piece, Translations};

/// Where on which content of a page there is translated code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Translated(BTreeMap<[u64; 2], Vec<Piece>>);

impl Translated {
    /// From records that follow each other: for each piece the page's [hash](page_hash), the offset of its
    /// first byte there and of the one behind it. `None` if they are cut off.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (records, cut) = bytes.as_chunks();
        let mut translated = Self::default();
        records.iter().for_each(|record| translated.insert(record));
        cut.is_empty().then_some(translated)
    }

    fn insert(&mut self, record: &[u8; TRANSLATED_LEN]) {
        let (hash, piece) = record.split_first_chunk::<16>().expect("longer");
        let hash = [0, 1].map(|at| u64::from_le_bytes(hash.as_chunks().0[at]));
        let [start, end] = [0, 1].map(|at| u16::from_le_bytes(piece.as_chunks().0[at]));
        self.0.entry(hash).or_default().push((start, end));
    }

    /// Where there is translated code on a page that holds `bytes`.
    fn on_page(&self, bytes: &[u8; PAGE_SIZE]) -> &[Piece] {
        self.0.get(&page_hash(bytes)).map_or(&[], Vec::as_slice)
    }
}

/// Bytes of one record of translated code: the page's hash, its first byte and the one behind it.
const TRANSLATED_LEN: usize = 20;

/// Most notes (32 MiB): a program that executes ever new code cannot make them grow without bound.
const MAX_NOTES: usize = 2 << 20;

/// What is about to be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// A block where translated code can be entered.
    Entry,
    /// Another block of translated code.
    Translated,
    /// A block that is not translated.
    Interpreted,
    /// An access to memory in translated code.
    Access,
}

/// What a step says, and where it is.
#[derive(Debug, Clone, Copy)]
struct Note {
    next: Next,
    /// Guest-physical.
    address: u64,
}

/// What the notes of executed steps have said.
#[derive(Debug)]
pub(crate) struct Rehearsal {
    translated: Translated,
    notes: Vec<Note>,
    /// Whether a machine with translated code executes such now.
    is_inside: bool,
    /// The last access in translated code.
    access: u64,
    /// In the order of first execution, each once.
    used: Vec<u64>,
    seen: BTreeSet<u64>,
    /// Where jumps of privileged code have led.
    jumps: BTreeSet<u64>,
}

impl Rehearsal {
    fn new(translated: Translated) -> Self {
        Self {
            translated,
            notes: Vec::new(),
            is_inside: false,
            access: 0,
            used: Vec::new(),
            seen: BTreeSet::new(),
            jumps: BTreeSet::new(),
        }
    }

    /// Where there is translated code on a page that holds `bytes`.
    pub(crate) fn on_page(&self, bytes: &[u8; PAGE_SIZE]) -> &[Piece] {
        self.translated.on_page(bytes)
    }

    /// The number of a note that says that `next` is at guest-physical `address`, if there are not too many.
    pub(crate) fn note(&mut self, next: Next, address: u64) -> Option<u32> {
        let number = self.notes.len();
        if number == MAX_NOTES {
            return None;
        }
        self.notes.push(Note { next, address });
        Some(number as u32)
    }

    /// A step with the note of this number is executed.
    pub(crate) fn heed(&mut self, number: u32) {
        let Note { next, address } = self.notes[number as usize];
        match next {
            Next::Access => return self.access = address,
            Next::Translated if self.is_inside => return,
            Next::Entry => self.is_inside = true,
            Next::Translated | Next::Interpreted => self.is_inside = false,
        }
        self.note_use(address);
    }

    /// The TLB did not know the page of an access.
    pub(crate) fn miss(&mut self) {
        if std::mem::replace(&mut self.is_inside, false) {
            self.note_use(self.access);
        }
    }

    fn note_use(&mut self, address: u64) {
        if self.seen.insert(address) {
            self.used.push(address);
        }
    }

    /// Privileged code jumps to virtual address `pc`, which nobody knew.
    pub(crate) fn note_jump(&mut self, pc: u64) {
        self.jumps.insert(pc);
    }

    /// Where jumps of privileged code have led.
    pub(crate) fn jumps(&self) -> Vec<u64> {
        self.jumps.iter().copied().collect()
    }

    /// Where decoded blocks begin in a machine with translated code, in the order of first execution.
    pub(crate) fn used(&self) -> &[u64] {
        &self.used
    }
}

impl Machine {
    /// Interprets what `table` says is translated, and keeps an eye on it, for a
    /// [footprint](Self::footprint). `pieces` are records of the translated code: for each piece the
    /// page's [hash](page_hash), the offset of its first byte there and of the one behind it. `None` if
    /// either is damaged.
    pub fn rehearse(&mut self, table: &[u8], pieces: &[u8]) -> Option<()> {
        let rehearsal = Rehearsal::new(Translated::decode(pieces)?);
        let translations = Translations::parse(table)?.rehearsed(rehearsal);
        self.core.look_up(translations);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use lithify_isa::translation::table::{EntryRecord, PageRecord, encode};

    use super::*;
    use crate::frozen::tests::{looping_machine, thawed};

    /// The record of a piece of a page that holds `bytes`.
    fn record(bytes: &[u8; PAGE_SIZE], (start, end): Piece) -> Vec<u8> {
        let hash = page_hash(bytes).map(u64::to_le_bytes);
        [hash.as_flattened(), &start.to_le_bytes(), &end.to_le_bytes()].concat()
    }

    #[test]
    fn pieces_are_found_by_the_content_of_their_page() {
        let page = [9; PAGE_SIZE];
        let record = record(&page, (0x210, 0x320));
        let translated = Translated::decode(&record).expect("one record");
        assert_eq!(translated.on_page(&page), [(0x210, 0x320)]);
        assert!(translated.on_page(&[8; PAGE_SIZE]).is_empty());
        assert_eq!(Translated::decode(&record[1..]), None);
    }

    #[test]
    fn a_machine_says_where_it_would_interpret() {
        const LOOP: [u32; 4] = [
            0x0000_0317, // auipc x6, 0
            0x4003_3383, // ld x7, 1024(x6)
            0x0012_8293, // addi x5, x5, 1
            0xff9f_f06f, // j -8
        ];
        let mut machine = looping_machine(LOOP);
        let at = machine.core.pc;
        let page = machine.core.ram.page_index(at).expect("in RAM");
        let bytes = *machine.core.ram.bytes(page);
        let hash = page_hash(&bytes);
        let table = encode(
            &[PageRecord { hash, first: 0, len: 1 }],
            &[EntryRecord { offset: 64, entry: 0, function: 1 }],
        );
        let frozen = machine.freeze();
        let mut copy = thawed(&frozen);
        copy.rehearse(&table, &record(&bytes, (64, 80))).expect("neither is damaged");
        copy.run_slice();
        assert!(copy.core.x[5] > 1000);
        // The way there, the entry, the load that finds an empty TLB. The loop has nothing else to decode.
        assert_eq!(copy.footprint(&frozen).blocks, [at, at + 64, at + 68]);
    }

    #[test]
    fn used_is_what_is_executed_outside_and_where_translated_code_is_entered_and_left() {
        let mut rehearsal = Rehearsal::new(Translated::default());
        let [outside, entry, inside, access, behind] = [
            (Next::Interpreted, 2),
            (Next::Entry, 4),
            (Next::Translated, 6),
            (Next::Access, 8),
            (Next::Translated, 10),
        ]
        .map(|(next, address)| rehearsal.note(next, address).expect("few"));
        for number in [outside, entry, inside, access, behind] {
            rehearsal.heed(number);
        }
        assert_eq!(rehearsal.used(), [2, 4]);
        rehearsal.miss();
        assert_eq!(rehearsal.used(), [2, 4, 8]);
        // What follows is interpreted up to the next entry.
        for number in [behind, entry, inside, behind] {
            rehearsal.heed(number);
        }
        assert_eq!(rehearsal.used(), [2, 4, 8, 10]);
        rehearsal.heed(outside);
        rehearsal.miss();
        assert_eq!(rehearsal.used(), [2, 4, 8, 10], "each once, and a miss out there is none");
    }
}
