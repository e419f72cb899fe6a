//! The contract between the translator, which makes wasm functions of guest code, and the machine,
//! which calls them. One definition, from which both sides take their constants.
//!
//! # A translated function
//!
//! `fn(tlb: i32, page: i64, entry: i32) -> i64`, a member of the emulator module's own table. `tlb` is
//! the address of the current TLB set, `page` the virtual address of the guest page that holds the
//! code, `entry` the number of one of the function's entries, above [`DEPTH_SHIFT`] how many translated
//! functions wait for its return. The result is the program counter where execution goes on. On return registers, float registers, flags and budget are those of that program
//! counter, exactly: each guest instruction has either retired or left no trace.
//!
//! - Whatever is odd is a *side exit*: the function returns the program counter of the
//!   instruction, which the interpreter then executes. A function that returns the program counter it
//!   was entered at, with the budget it found, has made no progress; the caller interprets a block.
//! - *Budget.* Each retired instruction takes one. A function goes on past a check point (its entry,
//!   loop heads, the return from a call) only if the budget exceeds the longest way to the next one:
//!   it never uses the budget up, so where the machine looks up is the interpreter's decision alone.
//! - *Calls.* A guest call may be a wasm call. The caller compares the result with the return
//!   address: if they differ, it returns the result to its own caller. Nesting ends at
//!   [`MAX_DEPTH`], where a call is an exit.
//! - *Other pages.* The jump cache at [`Layout::jumps`] knows what a program counter is, the page cache at
//!   [`Layout::pages`] what content a virtual page has: a function whose page has a certain content may be
//!   called without further questions. Jumps are tail calls.
//! - A store hits the TLB only if its page holds no decoded code, so a function never
//!   changes code. Ops of the architecture ([`OpCode::System`](crate::OpCode::System)) are exits, but for accesses
//!   to the float flags, to the status register while no interrupt waits for what they enable, and to the registers
//!   of exception handlers, and for zeroed blocks. Neither the address space nor the
//!   privilege changes while translated code runs, and what a function found in a TLB set holds until it returns.
//! - *Views.* Privileged code that lets itself access user memory goes over to another TLB set, and back.
//!   A function that is about to jump, or returns, in another view than that in which it was called
//!   leaves with [`OTHER_VIEW`].

/// Bytes in a guest page: the unit in which code is identified, by its content.
pub const PAGE_SIZE: usize = 4096;

/// Places of a TLB set, direct-mapped by the low bits of the virtual page number. In each is an entry for loads
/// and, behind it, one for stores: a copy between two pages of one place would evict one by the other all
/// the time if they shared it. They reach over 32 MiB: an interpreter of a scripting language, its
/// libraries, heap and stack find places beside each other.
pub const TLB_PLACES: usize = 8192;
/// Bytes of a place.
pub const TLB_PLACE_SIZE: usize = 32;
/// Offset in an entry of the `u64` tag: the virtual address of the page's last byte. So that none is zero,
/// which is the tag of an entry that holds nothing.
pub const TLB_TAG: usize = 0;
/// Offset of the `u32` to add, wrapping, to a virtual address's low half for the host address.
pub const TLB_ADDEND: usize = 8;
/// Offset in a place of the entry for stores.
pub const TLB_STORES: usize = 16;
/// Bytes of a set.
pub const TLB_SET_SIZE: usize = TLB_PLACES * TLB_PLACE_SIZE;

/// Most entries of the jump cache, direct-mapped by [`jump_slot`].
pub const JUMP_ENTRIES: usize = 65536;
/// Bits of the program counter below the places: two are the length of a system instruction, behind each of
/// which something is jumped to. A start writes what it learns to fewer pages than with one bit.
pub const JUMP_SHIFT: u32 = 2;
/// How far the program counter is shifted before it is folded into itself: one page's code has
/// places of its own, and so have the starts of many pages.
pub const JUMP_FOLD: i64 = 11;

/// How far the number of an address space is shifted before it is folded into the indices of the jump
/// cache and the page cache: processes of one program have places of their own, which lie together.
pub const SPACE_FOLD: u32 = 7;

/// The offset in the jump cache of the entry of `pc`, in the address space that the word at
/// [`Layout::space`] numbers, with the mask at [`Layout::jump_mask`].
#[must_use]
#[inline(always)]
pub const fn jump_slot(pc: u64, space: u32, mask: u32) -> usize {
    let folded = ((pc ^ pc >> JUMP_FOLD) >> JUMP_SHIFT) as u32 ^ space << SPACE_FOLD;
    (folded.wrapping_mul(JUMP_ENTRY_SIZE as u32) & mask) as usize
}

/// The mask of a jump cache of `entries`, a power of two.
#[must_use]
pub const fn jump_mask(entries: usize) -> u32 {
    ((entries - 1) * JUMP_ENTRY_SIZE) as u32
}

/// Bytes of an entry. The fewer, the more of them a processor's cache holds: a program jumps to many places.
pub const JUMP_ENTRY_SIZE: usize = 16;
/// Offset of the `u64` program counter.
pub const JUMP_KEY: usize = 0;
/// Offset of the `u32` that must equal the one at [`Layout::space`].
pub const JUMP_SPACE: usize = 8;
/// Offset of the `u32` that is the [`jump_target`], 0 if nothing is translated there.
pub const JUMP_TARGET: usize = 12;
/// Bits of a target for the number of the entry. A page has fewer places for one.
pub const JUMP_TARGET_SHIFT: u32 = 12;
const _: () = assert!(PAGE_SIZE / 2 < 1 << JUMP_TARGET_SHIFT, "two bytes an instruction");
/// Indices in the module's table of functions are below this, so that a target has room for them.
pub const MAX_FUNCTION: u32 = 1 << (32 - JUMP_TARGET_SHIFT);

/// Entry number `entry` of the translated function at `function` in the module's table.
#[must_use]
pub const fn jump_target(function: u32, entry: u32) -> u32 {
    function << JUMP_TARGET_SHIFT | entry
}

/// Entries of the page cache, direct-mapped by [`code_page_index`].
pub const CODE_PAGE_ENTRIES: usize = 16384;
/// Bytes of an entry: the page's virtual address, then a `u64` that is [`known_content`].
pub const CODE_PAGE_ENTRY_SIZE: usize = 16;
/// Offset of the `u64` that is [`known_content`].
pub const CODE_PAGE_CONTENT: usize = 8;
/// How far a virtual page number is shifted before it is folded into itself: the kernel's pages and a
/// program's have places of their own.
pub const CODE_PAGE_FOLD: u32 = 12;

/// The place of the page at `va` in the page cache, in the address space that the word at [`Layout::space`]
/// numbers.
#[must_use]
#[inline(always)]
pub const fn code_page_index(va: u64, space: u32) -> usize {
    let number = va / PAGE_SIZE as u64;
    ((number ^ number >> CODE_PAGE_FOLD) as usize ^ (space << SPACE_FOLD) as usize)
        % CODE_PAGE_ENTRIES
}

/// What the page cache says of a page whose first entry in the table is number `first`, in the address
/// space that the word at [`Layout::space`] numbers.
#[must_use]
#[inline(always)]
pub const fn known_content(first: u32, space: u32) -> u64 {
    (first as u64) << 32 | space as u64
}

/// Bit of a function's result: the program counter, which is even, is the others. The machine is in another view
/// of memory than the one that the function was called with, so that no caller may go on. A caller
/// expects an even number, and so passes this on to its own.
pub const OTHER_VIEW: u64 = 1;

/// Deepest nesting of translated functions: bounds the host's stack.
pub const MAX_DEPTH: u32 = 200;
/// Where in a function's parameter the depth begins, above the entry's number.
pub const DEPTH_SHIFT: u32 = 16;

/// Makes [`Layout`] of its fields, which are words.
macro_rules! layout {
    ($(#[$about:meta])* { $($(#[$meaning:meta])* $field:ident,)* }) => {
        $(#[$about])*
        pub struct Layout {
            $($(#[$meaning])* pub $field: u32,)*
        }

        impl Layout {
            /// Number of words.
            pub const WORDS: usize = [$(stringify!($field)),*].len();

            /// As words, in the order of the fields.
            #[must_use]
            pub fn to_words(self) -> [u32; Self::WORDS] {
                [$(self.$field),*]
            }

            /// The inverse of [`to_words`](Self::to_words).
            #[must_use]
            pub fn from_words([$($field),*]: [u32; Self::WORDS]) -> Self {
                Self { $($field),* }
            }
        }
    };
}

layout! {
    /// Where the machine keeps what translated functions use: addresses in the emulator's linear memory,
    /// fixed from the freeze on. All are below 32 MiB, so that an access needs no bounds check.
    ///
    /// The emulator hands it out as the `u32`s of [`to_words`](Self::to_words), in this order.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    {
        /// 256 `u64`: the integer registers by slot. Slot 0 always holds zero, slot 255 is a sink.
        x,
        /// 256 `u64`: the float registers by slot; 32-bit values are NaN-boxed.
        f,
        /// `i64`: instructions left.
        budget,
        /// `u8`: accrued float exceptions, as in `fflags`.
        fflags,
        /// `u8`: the dynamic rounding mode, as in `frm`.
        frm,
        /// `u8`: 1 if float instructions may run without asking the architecture.
        float_ready,
        /// `u64`: the supervisor's status register; the bit that enables interrupts is all that translated
        /// code changes.
        status,
        /// `u8`: 1 if the current mode may access it.
        privileged,
        /// `u8`: 1 if an interrupt waits for being enabled.
        interrupt_waits,
        /// `u64`: the supervisor's scratch register.
        scratch,
        /// `u64`: where its handler of exceptions goes back to; an even number.
        exception_pc,
        /// `u64`: what the last exception was.
        cause,
        /// `u64`: what else is known of it.
        trap_value,
        /// Two `u32`: the addresses of the TLB sets of a mode that may access [`status`](Self::status), while it
        /// leaves user memory alone and while it does not.
        views,
        /// `u64`: host address of the last load-reserved, `u64::MAX` if there is none. A guest page has
        /// one host page, for ever.
        reservation,
        /// The jump cache: [`JUMP_ENTRIES`] entries.
        jumps,
        /// `u32`: the [`jump_mask`] of the entries that are in use.
        jump_mask,
        /// The page cache: [`CODE_PAGE_ENTRIES`] entries.
        pages,
        /// `u32`: which address space and which view of it is current. Entries of both caches that were made
        /// for another one do not count.
        space,
    }
}

/// The table of translated code, which a build hands to the emulator before the freeze. Little-endian: a
/// `u32` count of pages, the `u32` [`FORM`](table::FORM), [`PageRecord`](table::PageRecord)s sorted by hash, then all
/// [`EntryRecord`](table::EntryRecord)s.
pub mod table {
    use super::{
        CODE_PAGE_CONTENT, CODE_PAGE_ENTRIES, CODE_PAGE_ENTRY_SIZE, CODE_PAGE_FOLD, DEPTH_SHIFT,
        JUMP_ENTRIES, JUMP_ENTRY_SIZE, JUMP_FOLD, JUMP_KEY, JUMP_SHIFT, JUMP_SPACE, JUMP_TARGET,
        JUMP_TARGET_SHIFT, Layout, SPACE_FOLD, TLB_ADDEND, TLB_PLACE_SIZE, TLB_PLACES, TLB_STORES,
        TLB_TAG,
    };

    /// A digest of the contract's numbers. Functions that a translator with others has made would work on the
    /// wrong bytes of the machine: it takes no table but of its own form.
    pub const FORM: u32 = digest(&[
        TLB_PLACES,
        TLB_PLACE_SIZE,
        TLB_TAG,
        TLB_ADDEND,
        TLB_STORES,
        JUMP_ENTRIES,
        JUMP_SHIFT as usize,
        JUMP_FOLD as usize,
        JUMP_ENTRY_SIZE,
        JUMP_KEY,
        JUMP_SPACE,
        JUMP_TARGET,
        JUMP_TARGET_SHIFT as usize,
        SPACE_FOLD as usize,
        CODE_PAGE_ENTRIES,
        CODE_PAGE_ENTRY_SIZE,
        CODE_PAGE_CONTENT,
        CODE_PAGE_FOLD as usize,
        DEPTH_SHIFT as usize,
        Layout::WORDS,
    ]);

    /// FNV-1a over whole numbers.
    const fn digest(numbers: &[usize]) -> u32 {
        let (mut digest, mut at) = (0x811c_9dc5, 0);
        while at < numbers.len() {
            digest = (digest ^ numbers[at] as u32).wrapping_mul(0x0100_0193);
            at += 1;
        }
        digest
    }

    const HEADER_SIZE: usize = 8;
    const PAGE_SIZE: usize = 24;
    const ENTRY_SIZE: usize = 8;

    /// The table's bytes.
    #[must_use]
    pub fn encode(pages: &[PageRecord], entries: &[EntryRecord]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((pages.len() as u32).to_le_bytes());
        bytes.extend(FORM.to_le_bytes());
        for PageRecord { hash, first, len } in pages {
            hash.iter().for_each(|half| bytes.extend(half.to_le_bytes()));
            bytes.extend(first.to_le_bytes());
            bytes.extend(len.to_le_bytes());
        }
        for EntryRecord { offset, entry, function } in entries {
            bytes.extend(offset.to_le_bytes());
            bytes.extend(entry.to_le_bytes());
            bytes.extend(function.to_le_bytes());
        }
        bytes
    }

    /// The inverse of [`encode`]; `None` if the form, a length or an order is wrong.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<(Vec<PageRecord>, Vec<EntryRecord>)> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_SIZE>()?;
        let count = word(&header[..4]);
        if word(&header[4..]) != u64::from(FORM) {
            return None;
        }
        let pages_len = usize::try_from(count.checked_mul(PAGE_SIZE as u64)?).ok()?;
        let (pages, entries) = rest.split_at_checked(pages_len)?;
        let (pages, _) = pages.as_chunks::<PAGE_SIZE>();
        let (entries, []) = entries.as_chunks::<ENTRY_SIZE>() else { return None };
        let pages: Vec<_> = pages.iter().map(PageRecord::parse).collect();
        let entries: Vec<_> = entries.iter().map(EntryRecord::parse).collect();
        let inside = |page: &PageRecord| {
            let end = u64::from(page.first) + u64::from(page.len);
            end <= entries.len() as u64
        };
        let good = pages.is_sorted_by_key(|page| page.hash) && pages.iter().all(inside);
        good.then_some((pages, entries))
    }

    fn word(bytes: &[u8]) -> u64 {
        bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
    }

    impl PageRecord {
        fn parse(bytes: &[u8; PAGE_SIZE]) -> Self {
            let hash = [word(&bytes[..8]), word(&bytes[8..16])];
            Self { hash, first: word(&bytes[16..20]) as u32, len: word(&bytes[20..]) as u32 }
        }
    }

    impl EntryRecord {
        fn parse(bytes: &[u8; ENTRY_SIZE]) -> Self {
            let [offset, entry] = [word(&bytes[..2]) as u16, word(&bytes[2..4]) as u16];
            Self { offset, entry, function: word(&bytes[4..]) as u32 }
        }
    }

    /// A page with translated code.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub struct PageRecord {
        /// [`page_hash`](super::page_hash) of its content.
        pub hash: [u64; 2],
        /// Number of its first entry among all entries.
        pub first: u32,
        /// Number of its entries.
        pub len: u32,
    }

    /// A place where translated code may be entered; a page's are sorted by offset.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub struct EntryRecord {
        /// Byte offset of the guest instruction in its page.
        pub offset: u16,
        /// Number of the entry in its function.
        pub entry: u16,
        /// Index of the function in the module's table.
        pub function: u32,
    }
}

/// A 128-bit hash of a page's content. Not for secrets: who makes two pages of equal hash executes one's
/// translation in place of the other's, with the rights of the page's own user.
#[must_use]
pub fn page_hash(page: &[u8; PAGE_SIZE]) -> [u64; 2] {
    // Odd multipliers, and as many lanes as hide a multiplication's latency.
    const FACTORS: [u64; 4] = [
        0x9e37_79b9_7f4a_7c15,
        0xd6e8_feb8_6659_fd93,
        0xbf58_476d_1ce4_e5b9,
        0x94d0_49bb_1331_11eb,
    ];
    let mut lanes = FACTORS;
    let (words, _) = page.as_chunks::<8>();
    for words in words.as_chunks::<4>().0 {
        for ((lane, word), factor) in lanes.iter_mut().zip(words).zip(FACTORS) {
            *lane = (*lane ^ u64::from_le_bytes(*word)).wrapping_mul(factor);
            *lane ^= *lane >> 32;
        }
    }
    // Each half depends on all lanes, in another order.
    let fold = |order: [usize; 4], factor: u64| {
        order.into_iter().fold(factor, |sum: u64, lane| {
            let mixed = (sum.rotate_left(23) ^ lanes[lane]).wrapping_mul(factor);
            mixed ^ mixed >> 29
        })
    };
    [fold([0, 1, 2, 3], FACTORS[2]), fold([2, 0, 3, 1], FACTORS[1])]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::table::{EntryRecord, PageRecord, encode, parse};
    use super::{PAGE_SIZE, page_hash};

    #[test]
    fn every_bit_of_a_page_changes_both_halves_of_its_hash() {
        let zeros = page_hash(&[0; PAGE_SIZE]);
        let mut seen = BTreeSet::from(zeros);
        for bit in 0..8 * PAGE_SIZE {
            let mut page = [0; PAGE_SIZE];
            page[bit / 8] = 1 << (bit % 8);
            assert!(page_hash(&page).into_iter().all(|half| seen.insert(half)), "bit {bit}");
        }
    }

    #[test]
    fn tables_are_read_back_and_damage_is_refused() {
        let pages = [
            PageRecord { hash: [1, 2], first: 0, len: 1 },
            PageRecord { hash: [1, 1 << 63], first: 1, len: 2 },
        ];
        let entry = |offset| EntryRecord { offset, entry: 7, function: 0x0123_4567 };
        let entries = [entry(0), entry(2), entry(4094)];
        let bytes = encode(&pages, &entries);
        assert_eq!(parse(&bytes), Some((pages.to_vec(), entries.to_vec())));
        for len in 0..bytes.len() {
            assert_eq!(parse(&bytes[..len]), None, "{len} bytes");
        }
        let unsorted = encode(&[pages[1], pages[0]], &entries);
        assert_eq!(parse(&unsorted), None);
        let mut endless = bytes.clone();
        endless[..4].fill(0xff);
        assert_eq!(parse(&endless), None);
        let mut other_form = bytes.clone();
        other_form[4] ^= 1;
        assert_eq!(parse(&other_form), None);
    }
}
