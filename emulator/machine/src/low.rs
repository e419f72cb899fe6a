//! A value at the lowest addresses of a wasm instance, where instructions name them by one or two bytes
//! instead of four, and processors do so by one: translated code accesses registers everywhere.
//!
//! Linkers place the stack lowest, and it grows down to here: this is its last few of a thousand
//! KiB, which nothing that the machine does comes near.
#![allow(unsafe_code, reason = "no allocator gives these addresses")]

/// The one value of an instance that lies there; elsewhere than in wasm, any number of boxes.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) type Low<T> = Box<T>;

#[cfg(target_arch = "wasm32")]
pub(crate) use wasm::Low;

#[cfg(target_arch = "wasm32")]
mod wasm {
    use std::marker::PhantomData;
    use std::ops::{Deref, DerefMut};
    use std::ptr;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// The first address but that of null.
    const START: usize = 8;
    const END: usize = 32 << 10;

    static TAKEN: AtomicBool = AtomicBool::new(false);

    /// The one value of an instance that lies there.
    #[derive(Debug)]
    pub(crate) struct Low<T>(PhantomData<T>);

    impl<T> Low<T> {
        const AT: *mut T = {
            assert!(START.is_multiple_of(align_of::<T>()) && START + size_of::<T>() <= END);
            ptr::without_provenance_mut(START)
        };

        /// # Panics
        /// If there is one already.
        pub(crate) fn new(value: T) -> Self {
            assert!(!TAKEN.swap(true, Ordering::Relaxed), "one at a time");
            // SAFETY: aligned, inside linear memory, and nobody else's as long as this is `TAKEN`.
            unsafe { Self::AT.write(value) };
            Self(PhantomData)
        }
    }

    impl<T> Deref for Low<T> {
        type Target = T;

        fn deref(&self) -> &T {
            // SAFETY: `new` has put it there, and borrows of it are borrows of `self`.
            unsafe { &*Self::AT }
        }
    }

    impl<T> DerefMut for Low<T> {
        fn deref_mut(&mut self) -> &mut T {
            // SAFETY: as above.
            unsafe { &mut *Self::AT }
        }
    }

    impl<T> Drop for Low<T> {
        fn drop(&mut self) {
            // SAFETY: `new` has put it there, and it is not used again.
            unsafe { Self::AT.drop_in_place() };
            TAKEN.store(false, Ordering::Relaxed);
        }
    }
}
