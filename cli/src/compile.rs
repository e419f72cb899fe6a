//! `lithify compile`.

use crate::args::CompileArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::inspect::report_of;
use lithify_runner::{Engine, write_compiled};
use std::fs;
use std::path::Path;

/// Writes the native code of an artifact beside it or where the user wants it.
pub(crate) fn compile(args: &CompileArgs) -> Result<Exit, CliError> {
    let compiled = compiled(&args.file)?;
    let output = args.output.clone().unwrap_or_else(|| args.file.with_extension("cwasm"));
    write_compiled(&output, &compiled)?;
    Ok(Exit::Success)
}

/// The native code of an artifact.
pub(crate) fn compiled(file: &Path) -> Result<Vec<u8>, CliError> {
    let path = file.display();
    report_of(file)?;
    let wasm = fs::read(file).map_err(|error| CliError::own(format!("{path}: {error}")))?;
    Engine::new()?.compile(&wasm).map_err(|error| CliError::own(format!("{path}: {error}")))
}
