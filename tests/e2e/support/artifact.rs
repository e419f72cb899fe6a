//! Artifacts, each built and compiled once for all tests.

use super::{Lab, run};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

/// What can be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Image {
    /// A target of `images/shell`.
    Shell(&'static str),
    /// The base image as it is.
    Debian,
    /// `images/warm`, whose targets are built with options of their own.
    Warm,
}

impl Image {
    fn name(self) -> &'static str {
        match self {
            Self::Shell(target) => target,
            Self::Debian => "debian",
            Self::Warm => "warm",
        }
    }

    /// Its build context.
    pub(crate) fn context(self) -> PathBuf {
        let folder = match self {
            Self::Shell(_) => "shell",
            Self::Debian => "debian",
            Self::Warm => "warm",
        };
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/e2e/images").join(folder)
    }
}

/// An artifact and its compiled forms.
#[derive(Debug)]
pub(crate) struct Artifact {
    lab: &'static Lab,
    wasm: PathBuf,
    ours: OnceLock<PathBuf>,
    stock: OnceLock<PathBuf>,
    component: OnceLock<PathBuf>,
}

impl Artifact {
    /// The artifact of `image`, built if no other test did.
    pub(crate) fn of(lab: &'static Lab, image: Image) -> Arc<Self> {
        static BUILT: Mutex<Option<HashMap<Image, Slot>>> = Mutex::new(None);
        type Slot = Arc<OnceLock<Arc<Artifact>>>;
        let slot = {
            let mut built = BUILT.lock().expect("no test fails while it holds the table");
            Arc::clone(built.get_or_insert_default().entry(image).or_default())
        };
        Arc::clone(slot.get_or_init(|| Arc::new(Self::build(lab, image))))
    }

    fn build(lab: &'static Lab, image: Image) -> Self {
        let wasm = lab.folder().join(image.name()).with_extension("wasm");
        let mut command = lab.build(&image.context(), &wasm);
        if let Image::Shell(target) = image {
            command.args(["--target", target]);
        }
        run(&mut command).expect_code(0);
        Self::at(lab, wasm)
    }

    /// An artifact that a test built itself.
    pub(crate) fn at(lab: &'static Lab, wasm: PathBuf) -> Self {
        Self {
            lab,
            wasm,
            ours: OnceLock::new(),
            stock: OnceLock::new(),
            component: OnceLock::new(),
        }
    }

    pub(crate) fn lab(&self) -> &'static Lab {
        self.lab
    }

    /// The artifact.
    pub(crate) fn wasm(&self) -> &Path {
        &self.wasm
    }

    /// What `lithify compile` makes of it.
    pub(crate) fn ours(&self) -> &Path {
        self.ours.get_or_init(|| {
            let output = self.wasm.with_extension("cwasm");
            let mut command = self.lab.lithify();
            run(command.arg("compile").arg(&self.wasm).arg("-o").arg(&output)).expect_code(0);
            output
        })
    }

    /// What `wasmtime compile` makes of it.
    pub(crate) fn stock(&self) -> &Path {
        self.stock.get_or_init(|| self.compiled_by_wasmtime(&self.wasm, "stock.cwasm"))
    }

    /// What `wasmtime compile` makes of its form as a component.
    pub(crate) fn component(&self) -> &Path {
        self.component.get_or_init(|| {
            let component = self.wasm.with_extension("component.wasm");
            run(self.lab.lithify().arg("component").arg(&self.wasm)).expect_code(0);
            self.compiled_by_wasmtime(&component, "component.cwasm")
        })
    }

    fn compiled_by_wasmtime(&self, wasm: &Path, suffix: &str) -> PathBuf {
        let output = self.wasm.with_extension(suffix);
        let mut command = self.lab.wasmtime();
        run(command.arg("compile").arg("-o").arg(&output).arg(wasm)).expect_code(0);
        output
    }
}
