//! `lithify component`.

use crate::args::ComponentArgs;
use crate::boot_files::component_program;
use crate::build::output::new_file_beside;
use crate::error::CliError;
use crate::exit::Exit;
use crate::inspect::report_of;
use crate::reference::LocalArtifact;
use lithify_snapshot::write_component;
use std::fs::File;
use std::path::Path;

/// Writes an artifact in the form of a WASI 0.2 component.
pub(crate) fn component(args: &ComponentArgs) -> Result<Exit, CliError> {
    let artifact = LocalArtifact::find(&args.artifact)?;
    let (wasm, output) =
        (&artifact.file, artifact.output(args.output.as_deref(), "component.wasm")?);
    let about = |path: &Path| {
        let path = path.display().to_string();
        move |error: &dyn std::fmt::Display| CliError::own(format!("{path}: {error}"))
    };
    let report = report_of(wasm)?;
    let program = component_program(args.boot_files.as_deref())?;
    let from = File::open(wasm).map_err(|error| about(wasm)(&error))?;
    let failed = about(&output);
    let mut file = new_file_beside(&output).map_err(|error| failed(&error))?;
    write_component(&program, &report, from, file.as_file_mut()).map_err(|error| failed(&error))?;
    file.persist(&output).map_err(|error| failed(&error.error))?;
    Ok(Exit::Success)
}
