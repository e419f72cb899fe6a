//! Native code runs only from files that nobody but the user (or root) could have written.

use crate::Engine;
use crate::error::{RunnerError, root_cause};
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use wasmtime::Module;

const GROUP_OR_OTHERS_WRITE: u32 = 0o022;
const ROOT: u32 = 0;

/// Maps a `.cwasm` file. Owner and mode are read from the same open file that is mapped, so the
/// file cannot be exchanged between the check and the use.
pub(crate) fn load(engine: &Engine, path: &Path) -> Result<Module, RunnerError> {
    let read = |source| RunnerError::Read { path: path.into(), source };
    let file = File::open(path).map_err(read)?;
    check(&file, path)?;
    // SAFETY: the contents are what wasmtime wrote, as far as the file's owner is trusted: only
    // this user or root can have written them, and both can run any code as this user anyway.
    // The writers in this crate replace such files by renaming and never change them in place.
    let module = unsafe { Module::deserialize_open_file(engine.wasmtime(), file) };
    module.map_err(|error| RunnerError::Incompatible {
        path: path.into(),
        reason: root_cause(&error),
    })
}

/// Refuses a file that others could have written.
pub(crate) fn check(file: &File, path: &Path) -> Result<(), RunnerError> {
    let read = |source| RunnerError::Read { path: path.into(), source };
    let metadata = file.metadata().map_err(read)?;
    match distrust(&metadata, rustix::process::geteuid().as_raw()) {
        Some(reason) => Err(RunnerError::Untrusted { path: path.into(), reason }),
        None => Ok(()),
    }
}

fn distrust(metadata: &Metadata, user: u32) -> Option<String> {
    if !metadata.is_file() {
        return Some("not a regular file".into());
    }
    if ![user, ROOT].contains(&metadata.uid()) {
        return Some(format!("owned by user {}, not by you or root", metadata.uid()));
    }
    (metadata.mode() & GROUP_OR_OTHERS_WRITE != 0)
        .then(|| format!("others can write it (mode {:03o})", metadata.mode() & 0o777))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_files_that_nobody_else_can_write_are_trusted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let me = rustix::process::geteuid().as_raw();
        let verdict = |mode, user| {
            file.as_file().set_permissions(PermissionsExt::from_mode(mode)).unwrap();
            distrust(&file.as_file().metadata().unwrap(), user)
        };
        assert_eq!(verdict(0o600, me), None);
        assert_eq!(verdict(0o644, me), None);
        assert_eq!(verdict(0o664, me).unwrap(), "others can write it (mode 664)");
        assert_eq!(verdict(0o602, me).unwrap(), "others can write it (mode 602)");
        if me != ROOT {
            assert!(verdict(0o600, me + 1).unwrap().starts_with("owned by user"));
        }
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(distrust(&folder.path().metadata().unwrap(), me).unwrap(), "not a regular file");
    }
}
