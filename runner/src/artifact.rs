//! From a file name to a module ready to start.

use crate::error::RunnerError;
use crate::{Engine, trust};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use wasmtime::{ExternType, Module};

const WASM_MAGIC: &[u8] = b"\0asm";
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";
const ELF_MAGIC: &[u8] = b"\x7fELF";

/// A loaded artifact.
#[derive(Debug)]
pub struct Artifact {
    pub(crate) module: Module,
}

impl Artifact {
    /// Opens a `.cwasm`: maps it, nothing is copied.
    ///
    /// # Errors
    /// If the file is anything else, could have been written by others, or was compiled for
    /// another engine or machine.
    pub fn open_precompiled(engine: &Engine, path: &Path) -> Result<Self, RunnerError> {
        match Form::of_file(path)? {
            Form::Precompiled => Self::new(trust::load(engine, path)?, path),
            Form::Wasm => Err(RunnerError::NoCompiler { path: path.into() }),
        }
    }

    /// Opens a `.cwasm` or `.wasm`, whichever `path` is; the compiled form of the latter comes
    /// from `cache`.
    ///
    /// # Errors
    /// As [`open_precompiled`](Self::open_precompiled), and if the `.wasm` is no valid module.
    #[cfg(feature = "compiler")]
    pub fn open(
        engine: &Engine,
        path: &Path,
        cache: &crate::CompiledCache,
    ) -> Result<Self, RunnerError> {
        match Form::of_file(path)? {
            Form::Precompiled => Self::open_precompiled(engine, path),
            Form::Wasm => Self::new(cache.module_of_file(engine, path)?, path),
        }
    }

    /// Opens a `.wasm` and compiles it for this run only, where no compiled form can be kept.
    ///
    /// # Errors
    /// If the file cannot be read or is no artifact.
    #[cfg(feature = "compiler")]
    pub fn open_uncached(engine: &Engine, path: &Path) -> Result<Self, RunnerError> {
        let read = |source| RunnerError::Read { path: path.into(), source };
        let wasm = std::fs::read(path).map_err(read)?;
        Self::new(engine.compile_in_memory(&wasm)?, path)
    }

    pub(crate) fn new(module: Module, path: &Path) -> Result<Self, RunnerError> {
        match flaw(&module) {
            None => Ok(Self { module }),
            Some(reason) => Err(RunnerError::NotAnArtifact { path: path.into(), reason }),
        }
    }
}

/// What the first bytes of a file say it is.
enum Form {
    Wasm,
    Precompiled,
}

impl Form {
    fn of_file(path: &Path) -> Result<Self, RunnerError> {
        let read = |source| RunnerError::Read { path: path.into(), source };
        let mut start = Vec::new();
        let file = File::open(path).map_err(read)?;
        file.take(CORE_MODULE.len() as u64).read_to_end(&mut start).map_err(read)?;
        let reason = match &start[..] {
            CORE_MODULE => return Ok(Self::Wasm),
            start if start.starts_with(ELF_MAGIC) => return Ok(Self::Precompiled),
            start if start.starts_with(WASM_MAGIC) && start.len() == CORE_MODULE.len() => {
                "a component, which other runtimes run; give the artifact that it was made from"
            }
            start if WASM_MAGIC.starts_with(start) || start.starts_with(WASM_MAGIC) => {
                "the file is cut off"
            }
            _ => "neither WebAssembly nor a compiled form of it",
        };
        Err(RunnerError::NotAnArtifact { path: path.into(), reason: reason.into() })
    }
}

fn flaw(module: &Module) -> Option<String> {
    let foreign = module.imports().find(|import| import.module() != crate::wasi::MODULE);
    if let Some(import) = foreign {
        return Some(format!("it imports `{}` from `{}`", import.name(), import.module()));
    }
    if !matches!(module.get_export("_start"), Some(ExternType::Func(_))) {
        return Some("it exports no function `_start`".into());
    }
    (!matches!(module.get_export("memory"), Some(ExternType::Memory(_))))
        .then(|| "it exports no `memory`".into())
}
