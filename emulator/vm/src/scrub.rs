//! Freed memory is frozen with the rest, and what was in it with it: this makes it zeros, which have
//! no place in an artifact.
#![allow(unsafe_code, reason = "takes what the allocator would give")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr;

/// Sizes of the blocks taken, largest first. What is left between smaller ones stays as it is.
const SIZES: [usize; 4] = [1 << 20, 64 << 10, 4 << 10, 512];

const ALIGN: usize = align_of::<*mut u8>();

/// Zeroes the allocator's free memory.
pub(crate) fn free_memory() {
    let mut taken = SIZES.map(|_| ptr::null_mut());
    for (size, taken) in SIZES.into_iter().zip(&mut taken) {
        *taken = take_all(layout(size));
    }
    for (size, taken) in SIZES.into_iter().zip(taken) {
        give_back(taken, layout(size));
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, ALIGN).expect("a power of two")
}

/// A list of all blocks of one size that the allocator has, each linked by its first word. The last
/// one may be new: the allocator grows when it has no more, and new memory is zeros as well.
fn take_all(layout: Layout) -> *mut *mut u8 {
    let mut list: *mut *mut u8 = ptr::null_mut();
    loop {
        let before = core::arch::wasm32::memory_size(0);
        // SAFETY: the layout's size is not zero.
        let block = unsafe { alloc_zeroed(layout) }.cast::<*mut u8>();
        if block.is_null() {
            return list;
        }
        // SAFETY: the block has room for a pointer and is aligned for it.
        unsafe { block.write(list.cast()) };
        list = block;
        if core::arch::wasm32::memory_size(0) != before {
            return list;
        }
    }
}

fn give_back(mut list: *mut *mut u8, layout: Layout) {
    while !list.is_null() {
        // SAFETY: `take_all` linked blocks of this layout, each of which is freed once.
        unsafe {
            let next = list.read().cast();
            list.write(ptr::null_mut());
            dealloc(list.cast(), layout);
            list = next;
        }
    }
}
