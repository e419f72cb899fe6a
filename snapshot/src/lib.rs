//! Boot once, freeze, seal the rootfs in, read artifacts back.
//!
//! The stage is handed the emulator as a `.wasm` file and never links it:
//!
//! 1. [`freeze`] runs the emulator until the guest's init asks to be frozen and takes its memory
//!    and globals as a module that continues from there;
//! 2. [`seal`] replaces the emulator's imports of the build's files by the rootfs itself, one
//!    passive data segment, and puts the custom sections in front;
//! 3. [`inspect`] reads sizes, imports and custom sections without running anything, and
//!    [`check`] says from them whether something of the host is left;
//! 4. [`save`] makes an artifact of the memory of a run that stands still;
//! 5. [`write_component`] puts an artifact into a WASI 0.2 component.
//!
//! Equal inputs give equal bytes: nothing here reads a clock, a path or randomness, and the
//! emulator cannot, since every call that would is refused until the freeze.

mod append;
mod census;
mod check;
mod component;
mod dead_code;
mod file_walk;
mod freeze;
mod hints;
mod host;
mod imports;
mod inspect;
mod memory_map;
mod rom;
mod save;
mod sections;
mod segments;
mod stored_rom;
mod translation;

pub use census::MachineSizes;
pub use check::{CheckError, check};
pub use component::{ComponentError, write_component};
pub use freeze::{FreezeError, Frozen, LineTest, Machine, freeze, train};
pub use inspect::{InspectError, Report, RomReport, Sizes, inspect};
pub use lithify_translate::Budget;
pub use rom::{SealError, seal};
pub use save::{SaveError, save};
pub use sections::{Manifest, Sections, TranslationReport};
pub use stored_rom::StoredRom;
pub use translation::Selection;
