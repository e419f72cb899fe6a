//! A bundle: one executable file that is a runner and the compiled artifact that it runs.
//!
//! Both halves are ELF files, and the engine maps memory images only from a file whose own ELF header
//! describes them. So the halves share one header. The kernel reads the program headers of an ELF file
//! and no section headers, the engine the other way round:
//!
//! | offset | |
//! | --- | --- |
//! | 0 | ELF header: type, entry and program headers of the runner; flags and section headers of the compiled artifact |
//! | 64 | the runner, unchanged |
//! | a multiple of 64 KiB | the compiled artifact, its sections' offsets moved by that much |
//!
//! A bundle starts as the runner does. The runner then finds the engine's mark in the header of the
//! file that it is, and maps it a second time as a compiled artifact.
//!
//! A bundle that is cut off inside the runner, its first megabyte, is a program that is cut off: it dies of the
//! first page that is not there, before anything in it could say why. One that is cut off behind says so.

#[cfg(feature = "compiler")]
mod join;

use crate::error::{RunnerError, root_cause};
use crate::{Artifact, Engine, trust};
use std::ffi::{CStr, OsStr, c_char};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use wasmtime::Module;

#[cfg(feature = "compiler")]
pub use join::{BundleError, write_bundle};

const ELF_MAGIC: &[u8] = b"\x7fELF";
/// Place of `EI_OSABI` in an ELF header, and the engine's number there.
const OS_ABI: usize = 7;
const WASMTIME: u8 = 200;

/// The program that runs, if it is a bundle.
#[derive(Debug)]
pub struct Bundle {
    file: File,
    path: PathBuf,
    /// The kernel itself named the file, so that its native code runs already.
    is_certain: bool,
}

impl Bundle {
    /// This program's own file. Without `/proc`, as in an empty root directory, it is looked for under
    /// the name by which it was executed; where it cannot be found this is no bundle.
    #[must_use]
    pub fn of_program() -> Option<Self> {
        let (mut file, is_certain) = match File::open("/proc/self/exe") {
            Ok(file) => (file, true),
            Err(_) => (File::open(executed_name()).ok()?, false),
        };
        let mut start = [0; OS_ABI + 1];
        file.read_exact(&mut start).ok()?;
        let is_bundle = start.starts_with(ELF_MAGIC) && start[OS_ABI] == WASMTIME;
        is_bundle.then(|| Self { file, path: executed_name().to_owned(), is_certain })
    }

    /// Maps the artifact; nothing is copied.
    ///
    /// # Errors
    /// If the file is damaged, was made for another processor, or could have been exchanged by others.
    pub fn open(self, engine: &Engine) -> Result<Artifact, RunnerError> {
        let Self { file, path, is_certain } = self;
        if !is_certain {
            trust::check(&file, &path)?;
        }
        // SAFETY: the file is the program that runs, or one that only this user or root can have
        // written; either could do anything anyway. The kernel lets nobody write a file that runs.
        let module = unsafe { Module::deserialize_open_file(engine.wasmtime(), file) };
        let module = module.map_err(|error| RunnerError::Bundle {
            path: path.clone(),
            reason: root_cause(&error),
        })?;
        Artifact::new(module, &path)
    }
}

/// The name that `execve` was given, which the kernel hands to every program.
fn executed_name() -> &'static Path {
    // SAFETY: this only reads what the kernel put beside the arguments.
    let name = unsafe { libc::getauxval(libc::AT_EXECFN) } as *const c_char;
    if name.is_null() {
        return Path::new("");
    }
    // SAFETY: the kernel wrote a terminated string there, which nothing in this program changes.
    let name = unsafe { CStr::from_ptr(name) };
    Path::new(OsStr::from_bytes(name.to_bytes()))
}
