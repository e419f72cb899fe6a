//! `lithify bundle`.

use crate::args::BundleArgs;
use crate::compile::compiled;
use crate::error::CliError;
use crate::exit::Exit;
use lithify_runner::{BundleError, write_bundle};
use std::fs;
use std::path::{Path, PathBuf};

const RUNNER: &str = "lithify-run";
/// No runner comes near this: `--runner` names something else.
const MAX_RUNNER_BYTES: u64 = 64 << 20;

/// Writes one executable that runs the artifact.
pub(crate) fn bundle(args: &BundleArgs) -> Result<Exit, CliError> {
    let path = match &args.runner {
        Some(path) => path.clone(),
        None => find_runner()?,
    };
    let output = args.output.clone().unwrap_or_else(|| args.file.with_extension(""));
    if output == args.file {
        return Err(CliError::usage("the artifact's name has no suffix, say where with -o"));
    }
    let runner = read_runner(&path)?;
    let code = compiled(&args.file)?;
    write_bundle(&output, &runner, code).map_err(|error| match error {
        BundleError::Runner(_) | BundleError::Machine { .. } => {
            CliError::own(format!("{}: {error}", path.display()))
        }
        other => CliError::own(other),
    })?;
    Ok(Exit::Success)
}

fn read_runner(path: &Path) -> Result<Vec<u8>, CliError> {
    let named =
        |error: &dyn std::fmt::Display| CliError::own(format!("{}: {error}", path.display()));
    let metadata = fs::metadata(path).map_err(|error| named(&error))?;
    if !metadata.is_file() || metadata.len() > MAX_RUNNER_BYTES {
        return Err(named(&"not a runner"));
    }
    fs::read(path).map_err(|error| named(&error))
}

/// Beside this program in an installation; where `make runner` puts it in a build folder.
fn find_runner() -> Result<PathBuf, CliError> {
    let program = std::env::current_exe()
        .map_err(|error| CliError::own(format!("cannot tell where this program is: {error}")))?;
    let beside = program.parent().unwrap_or(Path::new("/"));
    let target = format!("../{}-unknown-linux-musl/tiny", std::env::consts::ARCH);
    let places = [beside.join(RUNNER), beside.join(target).join(RUNNER)];
    // The one beside this program in a build folder is linked to libraries.
    places.iter().rev().find(|place| place.is_file()).cloned().ok_or_else(|| {
        CliError::own(format!(
            "no {RUNNER} in {} or {}; `make runner` builds it, --runner names another place",
            places[0].display(),
            places[1].display()
        ))
    })
}
