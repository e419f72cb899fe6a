//! `lithify freeze`.

use crate::args::FreezeArgs;
use crate::error::CliError;
use crate::exit::Exit;
use std::path::PathBuf;

/// Ends a run by keeping its machine as an artifact.
pub(crate) fn freeze(args: &FreezeArgs) -> Result<Exit, CliError> {
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.wasm", args.name)));
    args.name.freeze(&path)?;
    crate::print(format!("{}\n", path.display()).as_bytes())
}
