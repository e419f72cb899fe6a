//! Host memory behind guest pages, handed out page by page.

use std::ptr::NonNull;

/// Bytes in a page, guest and host side.
pub(crate) const PAGE_SIZE: usize = 4096;

/// Pages fetched from the host at once: 1 MiB.
const CHUNK_PAGES: usize = 256;

/// A bump allocator of zeroed pages. Single pages are never given back, so a machine's memory
/// stays one dense run in the order of first touch, whatever the guest's address space looks like.
#[derive(Debug)]
pub(crate) struct Arena {
    chunks: Vec<NonNull<u8>>,
    next: *mut u8,
    left: usize,
}

impl Arena {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), next: std::ptr::null_mut(), left: 0 }
    }

    /// A zeroed page that nobody else has, valid as long as the arena.
    pub(crate) fn page(&mut self) -> NonNull<u8> {
        if self.left == 0 {
            let chunk = fresh_chunk();
            self.chunks.push(chunk);
            self.next = chunk.as_ptr();
            self.left = CHUNK_PAGES;
        }
        let page = self.next;
        self.left -= 1;
        // SAFETY: `left` pages remain in the chunk at `next`; the result is inside it or one past.
        self.next = unsafe { page.add(PAGE_SIZE) };
        NonNull::new(page).expect("chunks are never at address zero")
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
impl Drop for Arena {
    fn drop(&mut self) {
        for chunk in &self.chunks {
            // SAFETY: `fresh_chunk` allocated it with this layout, and the pages go with the arena.
            unsafe { std::alloc::dealloc(chunk.as_ptr(), CHUNK_LAYOUT) };
        }
    }
}
