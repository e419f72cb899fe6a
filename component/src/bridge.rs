//! The artifact: its entry and its memory, which is not ours.

/// Names of the bridge and its functions; `lithify_snapshot` makes it.
mod raw {
    #[link(wasm_import_module = "lithify-bridge")]
    unsafe extern "C" {
        /// The artifact's entry.
        pub(super) safe fn bridge_start();
        /// Copies `len` bytes of the artifact's memory; traps if it has no such bytes.
        pub(super) fn bridge_read(into: *mut u8, at: u32, len: u32);
        /// Copies `len` bytes to the artifact's memory; traps if it has no such bytes.
        pub(super) fn bridge_write(at: u32, from: *const u8, len: u32);
    }
}

/// Runs the artifact. It returns only where it does not call `proc_exit`.
pub(crate) fn start() {
    raw::bridge_start();
}

/// Fills `into` from the artifact's memory.
pub(crate) fn read(into: &mut [u8], at: u32) {
    // SAFETY: the callee writes `len` bytes to `into`.
    unsafe { raw::bridge_read(into.as_mut_ptr(), at, into.len() as u32) }
}

/// Copies `from` to the artifact's memory.
pub(crate) fn write(at: u32, from: &[u8]) {
    // SAFETY: the callee reads `len` bytes of `from`.
    unsafe { raw::bridge_write(at, from.as_ptr(), from.len() as u32) }
}
