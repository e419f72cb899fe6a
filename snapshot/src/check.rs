//! Says whether an artifact is one: nothing of the build's host is left in it.
//!
//! A frozen module can hold host state in two ways. It can still ask for it, by importing more
//! than WASI or by running code before `_start`; that is visible from outside and checked here.
//! Or the emulator copied something into its memory before the freeze; that [`crate::freeze`]
//! prevents by refusing every call that could.

use crate::Report;
use crate::imports::WASI;

/// What is wrong with an artifact.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// It needs something that no WASI runtime offers.
    #[error("the artifact imports `{0}`, only {WASI} may be left")]
    Import(String),
    /// It offers an entry that was for the build alone.
    #[error("the artifact still exports `{0}`")]
    Export(String),
    /// It lacks what a WASI command has.
    #[error("the artifact does not export `{0}`")]
    NoExport(&'static str),
    /// Code would run before the runtime is ready.
    #[error("the artifact has a start section")]
    Start,
}

/// Checks an inspected artifact.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(report: &Report) -> Result<(), CheckError> {
    let foreign = |import: &&String| !import.strip_prefix(WASI).is_some_and(|s| s.starts_with('.'));
    if let Some(import) = report.imports.iter().find(foreign) {
        return Err(CheckError::Import(import.clone()));
    }
    let build_only = |name: &&String| ["_initialize", "wizer-initialize"].contains(&name.as_str());
    if let Some(export) = report.exports.iter().find(build_only) {
        return Err(CheckError::Export(export.clone()));
    }
    for name in ["memory", "_start"] {
        if !report.exports.iter().any(|export| export == name) {
            return Err(CheckError::NoExport(name));
        }
    }
    if report.has_start { Err(CheckError::Start) } else { Ok(()) }
}
