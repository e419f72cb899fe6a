//! The squashfs image, read by others: `unsquashfs`, the kernel and the `backhand` crate.

mod compare;
mod readers;
mod sample;
mod tools;
mod writing;
