//! Runs an artifact on wasmtime.
//!
//! An artifact is a core WebAssembly module that imports only `wasi_snapshot_preview1` and holds
//! a booted machine; running it means mapping its compiled form, answering some twenty WASI calls
//! and handing on the exit code. Invariants:
//!
//! - Compiled forms are native code. One is only mapped from a file that the user or root owns
//!   and nobody else can write, and the check and the mapping use the same open file.
//! - Without the feature `compiler` there is no compiler in the program and only `.cwasm` files
//!   run; both kinds of program share one engine configuration, so each loads the other's files.
//! - The guest reaches three streams, clocks, randomness, its request, what is below the directories
//!   that its user named and what that user's choice of network lets out, nothing else.

mod artifact;
mod bundle;
#[cfg(feature = "compiler")]
mod cache;
mod engine;
mod environment;
mod error;
mod events;
#[cfg(feature = "compiler")]
mod expand;
mod meter;
mod mounts;
mod network;
mod output_watch;
mod run;
mod terminal;
mod trust;
mod wasi;
mod web;

pub use artifact::Artifact;
pub use bundle::Bundle;
#[cfg(feature = "compiler")]
pub use bundle::{BundleError, write_bundle};
#[cfg(feature = "compiler")]
pub use cache::{CompiledCache, user_cache, write_compiled};
pub use engine::Engine;
pub use environment::variable;
pub use error::RunnerError;
pub use events::{Events, Freezer};
pub use meter::{Meter, Stats};
pub use mounts::{HostMount, MountError};
pub use network::{Network, NetworkError, NetworkMode, NetworkWish};
pub use output_watch::OutputWatch;
pub use run::{End, RunOptions, Standstill, run, run_until_freeze};
pub use terminal::{NotATerminal, Terminal};
pub use wasi::Streams;
pub use web::{MAX_WEB_ARTIFACT, WEB_ARTIFACT, WEB_PAGE};
