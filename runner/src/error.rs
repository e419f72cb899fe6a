//! What can go wrong between a file name and the guest's exit code.

use std::io;
use std::path::PathBuf;

/// Why an artifact did not run, in words for its user.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The file could not be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The compiled form could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or its folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is neither a core WebAssembly module nor one that wasmtime compiled.
    #[error("{}: not an artifact: {reason}", path.display())]
    NotAnArtifact {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// The bytes are no valid module: cut off, damaged, or using what the engine lacks.
    #[error("not a valid WebAssembly module: {0}")]
    Invalid(String),
    /// Native code of another engine version, configuration or processor.
    #[error(
        "{}: compiled for another version or machine ({reason}); compile the .wasm again",
        path.display()
    )]
    Incompatible {
        /// The file.
        path: PathBuf,
        /// The first difference.
        reason: String,
    },
    /// The artifact in a bundle cannot be used.
    #[error(
        "{}: this bundle is damaged or was made for another machine ({reason}); bundle the .wasm again",
        path.display()
    )]
    Bundle {
        /// The file.
        path: PathBuf,
        /// The first difference.
        reason: String,
    },
    /// Native code is only run from files that nobody else could have written.
    #[error("{}: refusing to run native code from here: {reason}", path.display())]
    Untrusted {
        /// The file or folder.
        path: PathBuf,
        /// Which condition fails.
        reason: String,
    },
    /// The file holds WebAssembly and this program has no compiler.
    #[error("{}: this runner runs only precompiled .cwasm files", path.display())]
    NoCompiler {
        /// The file.
        path: PathBuf,
    },
    /// There is no folder to keep compiled forms in.
    #[error("neither XDG_CACHE_HOME nor HOME is set to an absolute path")]
    NoCacheFolder,
    /// The user's terminal does not let itself be set up.
    #[error("cannot set up the terminal: {0}")]
    Terminal(#[source] io::Error),
    /// The engine refused to start the module.
    #[error("cannot start the artifact: {0}")]
    Instantiate(String),
    /// The emulator itself failed; guest programs cannot cause this.
    #[error("the artifact's machine stopped: {0}")]
    Trap(String),
}

/// The engine's errors are chains whose last link names the cause; the outer ones say "failed to".
pub(crate) fn root_cause(error: &wasmtime::Error) -> String {
    error.root_cause().to_string()
}
