//! `lithify compile`.

use crate::args::CompileArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::inspect::report_of;
use lithify_runner::{Engine, write_compiled};
use std::fs;

/// Writes the native code of an artifact beside it or where the user wants it.
pub(crate) fn compile(args: &CompileArgs) -> Result<Exit, CliError> {
    let path = args.file.display();
    report_of(&args.file)?;
    let wasm = fs::read(&args.file).map_err(|error| CliError::own(format!("{path}: {error}")))?;
    let compiled =
        Engine::new()?.compile(&wasm).map_err(|error| CliError::own(format!("{path}: {error}")))?;
    let output = args.output.clone().unwrap_or_else(|| args.file.with_extension("cwasm"));
    write_compiled(&output, &compiled)?;
    Ok(Exit::Success)
}
