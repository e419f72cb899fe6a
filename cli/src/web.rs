//! `lithify web`.

use crate::args::WebArgs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::inspect::report_of;
use crate::reference::LocalArtifact;
use lithify_runner::{MAX_WEB_ARTIFACT, WEB_ARTIFACT, WEB_PAGE};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A web server is often another user.
const FOLDER_MODE: u32 = 0o755;

/// Writes a folder with a page that runs the artifact.
pub(crate) fn web(args: &WebArgs) -> Result<Exit, CliError> {
    let artifact = LocalArtifact::find(&args.artifact)?;
    let output = artifact.output(args.output.as_deref(), "web")?;
    // Says what else the file may be.
    report_of(&artifact.file)?;
    let failed =
        |path: &Path, error: io::Error| CliError::own(format!("{}: {error}", path.display()));
    let len = fs::metadata(&artifact.file).map_err(|error| failed(&artifact.file, error))?.len();
    if len >= MAX_WEB_ARTIFACT {
        let mib = len >> 20;
        return Err(CliError::own(format!(
            "{}: {mib} MiB, and browsers take modules below {} MiB; is there something to leave out of the image?",
            artifact.file.display(),
            MAX_WEB_ARTIFACT >> 20
        )));
    }
    write(&artifact.file, &output).map_err(|error| failed(&output, error))?;
    Ok(Exit::Success)
}

/// All of the folder or nothing: it gets its name at the end.
fn write(artifact: &Path, output: &Path) -> io::Result<()> {
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = tempfile::Builder::new()
        .prefix(".lithify-")
        .permissions(Permissions::from_mode(FOLDER_MODE))
        .tempdir_in(parent.unwrap_or(Path::new(".")))?;
    for (name, text) in WEB_PAGE {
        fs::write(folder.path().join(name), text)?;
    }
    let module = folder.path().join(WEB_ARTIFACT);
    fs::copy(artifact, &module)?;
    fs::set_permissions(&module, Permissions::from_mode(0o644))?;
    fs::rename(folder.path(), output)?;
    // It is somebody's now.
    let _ = folder.keep();
    Ok(())
}
