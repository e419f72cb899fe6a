//! One engine configuration for freeze, compile and run.
//!
//! A compiled form only loads under the configuration it was made with, so there is exactly one,
//! without options, shared by programs with a compiler and without.

use crate::error::{RunnerError, root_cause};
use wasmtime::Config;

/// The frozen image is mapped copy-on-write only while it is shorter than this bound; beyond it
/// every start would copy the whole image (20 ms for 24 MB). The format's own limit is the bound.
const DENSE_IMAGE_LIMIT: u64 = 4 << 30;

/// A configured wasmtime engine.
#[derive(Clone)]
pub struct Engine(wasmtime::Engine);

impl std::fmt::Debug for Engine {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Engine")
    }
}

impl Engine {
    /// The engine for this host.
    ///
    /// # Errors
    /// If wasmtime does not support the host.
    pub fn new() -> Result<Self, RunnerError> {
        let mut config = Config::new();
        config
            .memory_guaranteed_dense_image_size(DENSE_IMAGE_LIMIT)
            // Unwind tables cost the start time per function and nothing here unwinds.
            .native_unwind_info(false)
            .wasm_backtrace_max_frames(None)
            .generate_address_map(false);
        // Translated code says where it is seldom left, which goes behind its function: it decides where code is,
        // not what it does.
        #[cfg(feature = "compiler")]
        config.cranelift_opt_level(wasmtime::OptLevel::Speed).wasm_branch_hinting(true);
        wasmtime::Engine::new(&config)
            .map(Self)
            .map_err(|error| RunnerError::Instantiate(root_cause(&error)))
    }

    /// The engine itself, for callers that instantiate modules with imports of their own.
    #[must_use]
    pub fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0
    }

    /// Translates a module to native code for this host: the contents of a `.cwasm` file. A packed ROM
    /// is in it as it is, to be mapped.
    ///
    /// # Errors
    /// [`RunnerError::Invalid`] if `wasm` is no valid module, or its ROM damaged.
    #[cfg(feature = "compiler")]
    pub fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, RunnerError> {
        let wasm = crate::expand::expand(wasm)?;
        self.0.precompile_module(&wasm).map_err(|error| RunnerError::Invalid(root_cause(&error)))
    }

    /// Translates a module into this process only.
    ///
    /// # Errors
    /// [`RunnerError::Invalid`] if `wasm` is no valid module.
    #[cfg(feature = "compiler")]
    pub(crate) fn compile_in_memory(&self, wasm: &[u8]) -> Result<wasmtime::Module, RunnerError> {
        wasmtime::Module::new(&self.0, wasm)
            .map_err(|error| RunnerError::Invalid(root_cause(&error)))
    }

    /// Names everything besides the module that decides the native code: for what processor, and
    /// a number for engine version, configuration and processor features.
    #[cfg(feature = "compiler")]
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("{}-{:016x}", std::env::consts::ARCH, self.compatibility())
    }

    /// Names everything besides the module that decides the native code.
    #[cfg(feature = "compiler")]
    pub(crate) fn compatibility(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        self.0.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }
}
