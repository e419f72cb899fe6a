//! Host memory behind guest pages, handed out page by page.

use std::ptr::NonNull;

/// Bytes in a page, guest and host side.
pub(crate) const PAGE_SIZE: usize = 4096;

/// Pages fetched from the host at once: 1 MiB.
const CHUNK_PAGES: usize = 256;

/// Slots of one zeroed page each, handed out in order. Single slots are never given back, so a
/// machine's memory stays one dense run in the order of first touch, whatever the guest's address
/// space looks like.
#[derive(Debug)]
pub(crate) struct Arena {
    chunks: Vec<Chunk>,
    used: usize,
    /// Slots that the chunks have room for.
    room: usize,
}

#[derive(Debug)]
struct Chunk {
    pages: NonNull<u8>,
    /// Number of its first slot.
    first: usize,
}

impl Arena {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), used: 0, room: 0 }
    }

    /// A zeroed page that nobody else has, valid as long as the arena.
    pub(crate) fn page(&mut self) -> NonNull<u8> {
        let slot = self.used;
        if slot == self.room {
            self.chunks.push(Chunk { pages: fresh_chunk(), first: slot });
            self.room += CHUNK_PAGES;
        }
        self.used += 1;
        self.slot(slot)
    }

    /// The page of slot number `slot`, which was handed out.
    pub(crate) fn slot(&self, slot: usize) -> NonNull<u8> {
        assert!(slot < self.used, "slot {slot} of {}", self.used);
        let chunk = &self.chunks[self.chunks.partition_point(|chunk| chunk.first <= slot) - 1];
        // SAFETY: a chunk has CHUNK_PAGES pages, and the next one's first slot is not behind them.
        unsafe { chunk.pages.add((slot - chunk.first) * PAGE_SIZE) }
    }

    /// Leaves the rest of a chunk alone: in a frozen memory a page of zeros is copied as any other, while one
    /// that memory grows by costs a quarter less.
    pub(crate) const fn leave_room(&mut self) {
        self.room = self.used;
    }

    /// Takes all slots but the first `len` back; nobody uses them any more. What is handed out next is
    /// [fresh](Self::leave_room).
    pub(crate) fn truncate(&mut self, len: usize) {
        for slot in len..self.used {
            // SAFETY: the slot is one whole page, to which the caller leaves no reference.
            unsafe { self.slot(slot).write_bytes(0, PAGE_SIZE) };
        }
        self.used = self.used.min(len);
        self.leave_room();
        self.chunks.retain(|chunk| chunk.first < len);
    }
}

/// Fresh linear memory is zero by definition; an allocator would write the zeros once more and
/// make every page of the chunk dirty.
#[cfg(target_arch = "wasm32")]
fn fresh_chunk() -> NonNull<u8> {
    const WASM_PAGE: usize = 65536;
    let old = core::arch::wasm32::memory_grow(0, CHUNK_PAGES * PAGE_SIZE / WASM_PAGE);
    assert!(old != usize::MAX, "out of memory: the runtime refused to grow the module's memory");
    NonNull::new((old * WASM_PAGE) as *mut u8).expect("memory grows above address zero")
}

#[cfg(not(target_arch = "wasm32"))]
const CHUNK_LAYOUT: std::alloc::Layout =
    match std::alloc::Layout::from_size_align(CHUNK_PAGES * PAGE_SIZE, PAGE_SIZE) {
        Ok(layout) => layout,
        Err(_) => panic!("the size of a page is a power of two"),
    };

#[cfg(not(target_arch = "wasm32"))]
fn fresh_chunk() -> NonNull<u8> {
    // SAFETY: the layout's size is not zero.
    let chunk = unsafe { std::alloc::alloc_zeroed(CHUNK_LAYOUT) };
    NonNull::new(chunk).unwrap_or_else(|| std::alloc::handle_alloc_error(CHUNK_LAYOUT))
}

/// Linear memory cannot shrink; elsewhere a builder runs one machine after another.
#[cfg(not(target_arch = "wasm32"))]
impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: `fresh_chunk` allocated it with this layout, and the arena that handed out its pages
        // drops it with them.
        unsafe { std::alloc::dealloc(self.pages.as_ptr(), CHUNK_LAYOUT) };
    }
}
