//! Freed memory is frozen with the rest, and what was in it with it: this makes it zeros, which have
//! no place in an artifact. A page of them has one in the compiled form, from which a start that
//! writes there copies it; what lies behind the frozen memory is zeros without a copy.
#![allow(unsafe_code, reason = "takes what the allocator would give")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr;

/// Sizes of the blocks taken, largest first. What is left between smaller ones stays as it is.
const SIZES: [usize; 4] = [1 << 20, 64 << 10, 4 << 10, 512];

const ALIGN: usize = align_of::<*mut u8>();

/// Blocks of this many bytes are large.
const LARGE: usize = 4 << 10;

/// Zeroes the allocator's free memory, and takes large blocks of it away for good: the machine that
/// is thawed gets new memory in their place.
pub(crate) fn retire_free_memory() {
    for size in SIZES.into_iter().filter(|size| *size >= LARGE) {
        unlink(take_all(layout(size)), |_| ());
    }
    zero_free_memory();
}

/// Zeroes the allocator's free memory.
pub(crate) fn zero_free_memory() {
    let mut taken = SIZES.map(|_| ptr::null_mut());
    for (size, taken) in SIZES.into_iter().zip(&mut taken) {
        *taken = take_all(layout(size));
    }
    for (size, taken) in SIZES.into_iter().zip(taken) {
        // SAFETY: `take_all` allocated the blocks of the list with this layout.
        unlink(taken, |block| unsafe { dealloc(block, layout(size)) });
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, ALIGN).expect("a power of two")
}

/// A list of all blocks of one size that the allocator has, each linked by its first word.
fn take_all(layout: Layout) -> *mut *mut u8 {
    let mut list: *mut *mut u8 = ptr::null_mut();
    loop {
        let before = core::arch::wasm32::memory_size(0);
        // SAFETY: the layout's size is not zero.
        let block = unsafe { alloc_zeroed(layout) }.cast::<*mut u8>();
        if block.is_null() {
            return list;
        }
        // The allocator had no more, and new memory is zeros as it is.
        if core::arch::wasm32::memory_size(0) != before {
            // SAFETY: allocated above with this layout.
            unsafe { dealloc(block.cast(), layout) };
            return list;
        }
        // SAFETY: the block has room for a pointer and is aligned for it.
        unsafe { block.write(list.cast()) };
        list = block;
    }
}

/// Passes the blocks of a list on, zeroed.
fn unlink(mut list: *mut *mut u8, pass_on: impl Fn(*mut u8)) {
    while !list.is_null() {
        // SAFETY: `take_all` linked blocks that have room for a pointer.
        let next = unsafe { list.replace(ptr::null_mut()) };
        pass_on(list.cast());
        list = next.cast();
    }
}
