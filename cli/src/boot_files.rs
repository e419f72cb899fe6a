//! Where the kernel, the initramfs and the emulator are, what was counted of them, and the program of components.

use crate::error::CliError;
use lithify_image::Digest;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The one guest architecture of this version, as OCI names it.
pub(crate) const ARCHITECTURE: &str = "riscv64";

/// What every artifact boots from.
pub(crate) struct BootFiles {
    pub(crate) kernel: Vec<u8>,
    pub(crate) initramfs: Vec<u8>,
    pub(crate) emulator: Vec<u8>,
    /// How often what was executed of the kernel and init in a training run. The build that makes this file
    /// has none.
    pub(crate) profile: Option<Vec<u8>>,
}

impl BootFiles {
    /// Digests of kernel, initramfs and emulator.
    pub(crate) fn digests(&self) -> [Digest; 3] {
        [&self.kernel, &self.initramfs, &self.emulator].map(|bytes| Digest::of(bytes))
    }

    /// Reads the files from `folder`, or from where they are beside this program: `../boot` in a
    /// build folder, `../share/lithify` in an installation.
    pub(crate) fn read(folder: Option<&Path>) -> Result<Self, CliError> {
        let folder = located(folder)?;
        let read = |name: String| read(&folder.join(name));
        Ok(Self {
            kernel: read(format!("kernel-{ARCHITECTURE}"))?,
            initramfs: read(format!("initramfs-{ARCHITECTURE}.cpio"))?,
            emulator: read(format!("emulator-{ARCHITECTURE}.wasm"))?,
            profile: read_if_there(&folder.join(Self::profile_name()))?,
        })
    }

    pub(crate) fn profile_name() -> String {
        format!("profile-{ARCHITECTURE}")
    }
}

/// Reads the program around an artifact in a component, from the same folder.
pub(crate) fn component_program(folder: Option<&Path>) -> Result<Vec<u8>, CliError> {
    read(&located(folder)?.join("component.wasm"))
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    fs::read(path).map_err(|error| unreadable(path, &error))
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, CliError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(|error| unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    let path = path.display();
    CliError::build(format!("boot file {path}: {error}; `make boot-files` builds it"))
}

fn located(folder: Option<&Path>) -> Result<PathBuf, CliError> {
    folder.map_or_else(find, |folder| Ok(folder.to_owned()))
}

fn find() -> Result<PathBuf, CliError> {
    let program = std::env::current_exe()
        .map_err(|error| CliError::build(format!("cannot tell where this program is: {error}")))?;
    let beside = program.parent().unwrap_or(Path::new("/"));
    let places = ["../boot", "../share/lithify"].map(|place| beside.join(place));
    places.iter().find(|place| place.is_dir()).cloned().ok_or_else(|| {
        CliError::build(format!(
            "no boot files in {} or {}; `make boot-files` builds them, --boot-files names another \
             folder",
            places[0].display(),
            places[1].display()
        ))
    })
}
