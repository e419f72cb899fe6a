//! `lithify component`.

use crate::args::ComponentArgs;
use crate::boot_files::component_program;
use crate::build::output::new_file_beside;
use crate::error::CliError;
use crate::exit::Exit;
use crate::inspect::report_of;
use crate::reference::{Target, artifact, in_store};
use crate::registry::open_store;
use lithify_snapshot::write_component;
use std::fs::File;
use std::path::Path;

/// Writes an artifact in the form of a WASI 0.2 component.
pub(crate) fn component(args: &ComponentArgs) -> Result<Exit, CliError> {
    match Target::of(&args.artifact)? {
        Target::File(path) => {
            let output = args.output.clone();
            convert(args, &path, &output.unwrap_or_else(|| path.with_extension("component.wasm")))
        }
        Target::Name(reference) => {
            // Open until the file is read.
            let store = open_store()?;
            let descriptor = in_store(&store, &reference)?;
            let artifact = artifact(&store, &reference, &descriptor)?;
            let output = args.output.as_ref();
            let output = output
                .ok_or_else(|| CliError::usage("the artifact is no file, say where with -o"))?;
            let module = store.get(&artifact.module.digest).map_err(CliError::own)?;
            convert(args, Path::new(module.name()), output)
        }
    }
}

fn convert(args: &ComponentArgs, wasm: &Path, output: &Path) -> Result<Exit, CliError> {
    let about = |path: &Path| {
        let path = path.display().to_string();
        move |error: &dyn std::fmt::Display| CliError::own(format!("{path}: {error}"))
    };
    let report = report_of(wasm)?;
    let program = component_program(args.boot_files.as_deref())?;
    let from = File::open(wasm).map_err(|error| about(wasm)(&error))?;
    let failed = about(output);
    let mut file = new_file_beside(output).map_err(|error| failed(&error))?;
    write_component(&program, &report, from, file.as_file_mut()).map_err(|error| failed(&error))?;
    file.persist(output).map_err(|error| failed(&error.error))?;
    Ok(Exit::Success)
}
