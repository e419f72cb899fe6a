//! What the tests stand on: boot files, the base image, the stock runtime, a folder to work in.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// The place where all tests of one run work.
#[derive(Debug)]
pub(crate) struct Lab {
    boot_files: PathBuf,
    base: PathBuf,
    wasmtime: PathBuf,
    folder: PathBuf,
}

impl Lab {
    /// The lab, or `None` after saying why the test is skipped.
    pub(crate) fn get() -> Option<&'static Self> {
        static LAB: OnceLock<Result<Lab, String>> = OnceLock::new();
        LAB.get_or_init(Self::open).as_ref().map_err(|why| println!("skipped: {why}")).ok()
    }

    fn open() -> Result<Self, String> {
        let lab = Self {
            boot_files: given("LITHIFY_BOOT_FILES")?,
            base: given("LITHIFY_TEST_BASE")?,
            wasmtime: given("LITHIFY_WASMTIME")?,
            folder: Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e"),
        };
        // What an earlier run left would hide that this one cannot make it.
        if lab.folder.exists() {
            std::fs::remove_dir_all(&lab.folder).expect("the last run's folder can be removed");
        }
        std::fs::create_dir_all(&lab.folder).expect("a folder to work in");
        Ok(lab)
    }

    /// The `lithify` under test, with a cache of this run's own.
    pub(crate) fn lithify(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lithify"));
        command.env("LITHIFY_BOOT_FILES", &self.boot_files);
        command.env("XDG_CACHE_HOME", self.folder.join("cache"));
        command.env_remove("SOURCE_DATE_EPOCH");
        command
    }

    /// `lithify build` that knows the base image as `debian:trixie-slim`.
    pub(crate) fn build(&self, context: &Path, output: &Path) -> Command {
        let mut command = self.lithify();
        let base = format!("debian:trixie-slim=oci-layout://{}", self.base.display());
        command.args(["build", "--build-context", &base, "-o"]).arg(output).arg(context);
        command
    }

    /// The stock runtime.
    pub(crate) fn wasmtime(&self) -> Command {
        Command::new(&self.wasmtime)
    }

    /// The folder of the boot files.
    pub(crate) fn boot_files(&self) -> &Path {
        &self.boot_files
    }

    /// The OCI layout of the base image.
    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// The build context that the base image is made of.
    pub(crate) fn base_context(&self) -> PathBuf {
        self.base.with_extension("context")
    }

    /// The folder of this run; it stays until the next one.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A folder that goes with the test.
    pub(crate) fn temporary(&self) -> TempDir {
        tempfile::tempdir_in(&self.folder).expect("a temporary folder")
    }
}

/// The path in a variable. One that leads nowhere fails the tests instead of skipping them.
fn given(variable: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os(variable).ok_or(format!("{variable} is not set (see Makefile)"))?;
    Ok(std::fs::canonicalize(&path).unwrap_or_else(|error| panic!("{variable}={path:?}: {error}")))
}
