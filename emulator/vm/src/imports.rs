//! Functions that the snapshot stage provides, and partly replaces in the artifact.

use std::cell::Cell;

mod raw {
    #[link(wasm_import_module = "lithify")]
    unsafe extern "C" {
        /// Length of the ROM in bytes.
        pub(super) safe fn rom_len() -> u64;
        /// Copies `len` bytes of the ROM from `offset`.
        pub(super) fn rom_read(into: *mut u8, offset: u64, len: u32);
        /// Length of a boot item; before the freeze only.
        pub(super) safe fn boot_len(item: u32) -> u64;
        /// Copies `len` bytes of a boot item from `offset`; before the freeze only.
        pub(super) fn boot_read(item: u32, into: *mut u8, offset: u64, len: u32);
        /// Takes messages for the user; before the freeze only.
        pub(super) fn boot_log(from: *const u8, len: u32);
        /// Takes what the container prints before the freeze; returns 1 once the build has seen the
        /// line for which the freeze waits, else 0.
        pub(super) fn boot_output(from: *const u8, len: u32) -> u32;
    }
}

/// What the machine boots from.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub(crate) enum BootItem {
    Kernel = 0,
    Initramfs = 1,
    Config = 2,
}

fn length(into: &[u8]) -> u32 {
    u32::try_from(into.len()).expect("linear memory is below 4 GiB")
}

pub(crate) fn rom_len() -> u64 {
    raw::rom_len()
}

thread_local! {
    static ROM_BYTES: Cell<u64> = const { Cell::new(0) };
}

/// Bytes of the ROM read so far.
pub(crate) fn rom_bytes() -> u64 {
    ROM_BYTES.get()
}

/// Fills `into`; the range lies inside the ROM.
pub(crate) fn rom_read(into: &mut [u8], offset: u64) {
    ROM_BYTES.set(ROM_BYTES.get() + into.len() as u64);
    // SAFETY: the callee writes `len` bytes to `into`.
    unsafe { raw::rom_read(into.as_mut_ptr(), offset, length(into)) }
}

pub(crate) fn boot_len(item: BootItem) -> u64 {
    raw::boot_len(item as u32)
}

/// Fills `into`; the range lies inside the item.
pub(crate) fn boot_read(item: BootItem, into: &mut [u8], offset: u64) {
    // SAFETY: the callee writes `len` bytes to `into`.
    unsafe { raw::boot_read(item as u32, into.as_mut_ptr(), offset, length(into)) }
}

pub(crate) fn boot_log(from: &[u8]) {
    // SAFETY: the callee reads `len` bytes of `from`.
    unsafe { raw::boot_log(from.as_ptr(), length(from)) }
}

/// Shows output of the container to who builds; whether the awaited line was in what it has printed
/// so far.
pub(crate) fn boot_output(from: &[u8]) -> bool {
    // SAFETY: the callee reads `len` bytes of `from`.
    unsafe { raw::boot_output(from.as_ptr(), length(from)) != 0 }
}
