//! The emulator's imports from module `lithify`: what they are before the freeze and after.

use wasmparser::ValType::{I32, I64};
use wasmparser::{FuncType, ValType};

/// The import module that a freeze serves and a seal removes.
pub(crate) const LITHIFY: &str = "lithify";
/// The import module that remains in an artifact.
pub(crate) const WASI: &str = "wasi_snapshot_preview1";

/// One import from [`LITHIFY`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BuildImport {
    /// Length of the rootfs in bytes.
    RomLen,
    /// Copies a piece of the rootfs into memory.
    RomRead,
    /// Length of a boot item in bytes.
    BootLen,
    /// Copies a piece of a boot item into memory.
    BootRead,
    /// Tells the build what the kernel says.
    BootLog,
    /// Tells the build what the container prints; asks whether the awaited line was in it.
    BootOutput,
}

impl BuildImport {
    const ALL: [Self; 6] = [
        Self::RomLen,
        Self::RomRead,
        Self::BootLen,
        Self::BootRead,
        Self::BootLog,
        Self::BootOutput,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RomLen => "rom_len",
            Self::RomRead => "rom_read",
            Self::BootLen => "boot_len",
            Self::BootRead => "boot_read",
            Self::BootLog => "boot_log",
            Self::BootOutput => "boot_output",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|import| import.name() == name)
    }

    fn signature(self) -> (&'static [ValType], &'static [ValType]) {
        match self {
            Self::RomLen => (&[], &[I64]),
            Self::RomRead => (&[I32, I64, I32], &[]),
            Self::BootLen => (&[I32], &[I64]),
            Self::BootRead => (&[I32, I32, I64, I32], &[]),
            Self::BootLog => (&[I32, I32], &[]),
            Self::BootOutput => (&[I32, I32], &[I32]),
        }
    }

    pub(crate) fn has_type(self, ty: &FuncType) -> bool {
        (ty.params(), ty.results()) == self.signature()
    }
}
