//! Dockerfile and context to OCI layers and image config.
//!
//! [`build`] runs the whole pipeline, whose parts are modules of their own: `parser` (bytes to a located
//! tree) → `instruction` (typed) → `plan` (stage graph) → `exec` (files, configuration, layers). Words are
//! expanded by `expand`, `.dockerignore` is read by `ignore`, `context` and `source_tree` are where
//! files come from, and `machine` is where RUN's commands are executed.
//!
//! Invariants:
//! - Dockerfiles, contexts and archives are hostile: nothing outside the context is read, nothing outside
//!   the image's root is written, and time and memory are bounded by named caps.
//! - Equal input gives equal bytes: no clock, no host owner, no order of a directory enters the image.
//!   Times are clamped to [`Options::source_date_epoch`]. (A RUN command sees the host's clock and
//!   randomness; what it makes of them is its own.)
//! - Errors say what failed and where; [`Error::render`] shows the lines. Nothing is printed here.

mod cache;
mod cancel;
mod context;
mod dockerfile;
mod error;
mod exec;
mod expand;
mod export;
mod ignore;
mod images;
mod instruction;
mod machine;
mod options;
mod parser;
mod plan;
mod progress;
mod remote;
mod schedule;
mod secret;
mod source;
mod source_tree;

use std::sync::Arc;

use lithify_image::{ImageConfig, Layer, Store};
use lithify_rootfs::Tree;

pub use cache::{CacheExport, CacheMode, CacheOptions};
pub use cancel::Cancel;
pub use context::ContextError;
pub use dockerfile::{Dockerfile, Step};
pub use error::{Error, ErrorKind, Hint};
pub use exec::{ExecError, MountProblem};
pub use expand::ExpandError;
pub use export::{UnpackError, unpack, write_tar};
pub use ignore::IgnoreError;
pub use images::ImageSource;
pub use instruction::{
    ArgDeclaration, CommandLine, From, HealthCheck, Inline, Instruction, InstructionError, Mount,
    MountKind, NetworkMode, OnBuild, Pairs, Run, SecurityMode, Sharing, Transfer, TransferKind,
};
pub use machine::{MachineError, RunMachine};
pub use options::{DockerfileInput, Entitlements, Options};
pub use parser::{Directives, Heredoc, Pair, ParseError};
pub use plan::PlanError;
pub use progress::{Event, Progress, StepId, Warning};
pub use remote::RemoteFiles;
pub use secret::Secret;
pub use source::{SourceFile, Span};

/// What a build made.
#[derive(Debug)]
pub struct Built {
    /// The image's configuration, naming the layers below.
    pub config: ImageConfig,
    /// All warnings, in the order of their lines: those about how the file is written first.
    pub warnings: Vec<Warning>,
    /// The Dockerfile, for showing the lines of warnings.
    pub source: Arc<SourceFile>,
    files: Arc<exec::Files>,
}

impl Built {
    /// The layers, lowest first; those that the build made are in the store, uncompressed.
    #[must_use]
    pub fn layers(&self) -> Vec<Layer> {
        self.files.layers()
    }

    /// The layers merged. With everything cached this is when they are first read.
    ///
    /// # Errors
    /// A layer is damaged, or hostile.
    pub fn tree(&self) -> Result<&Tree, Error> {
        self.files.tree()
    }
}

/// The files of an archive, plain or compressed; `None` if `content` is none. For contexts that come as one.
///
/// # Errors
/// The archive is damaged or hostile.
pub fn read_archive(
    content: &lithify_rootfs::Content,
    name: &std::path::Path,
    store: &Store,
) -> Result<Option<Tree>, Error> {
    exec::read_archive(content, name, store)
}

/// Builds the target of a Dockerfile.
///
/// # Errors
/// [`Error`] at the first thing that fails; what was made until then stays cached in the store.
pub fn build(options: &Options, store: &Store, progress: &dyn Progress) -> Result<Built, Error> {
    let machine = options.machine.clone();
    let executor = machine.map(|machine| Box::new(machine) as Box<dyn exec::Executor>);
    build_with(executor, options, store, progress)
}

fn build_with(
    executor: Option<Box<dyn exec::Executor>>,
    options: &Options,
    store: &Store,
    progress: &dyn Progress,
) -> Result<Built, Error> {
    let file = context::DockerfileBytes::read(options)?;
    let ignore = file.ignore(&options.context)?;
    let context = context::LocalContext::open(&options.context, &ignore)?;
    let mut plan = plan::plan(Dockerfile::parse(&file.name, file.bytes)?, options, &ignore)?;
    let mut warnings = std::mem::take(&mut plan.warnings);
    for warning in &warnings {
        progress.event(Event::Warning(warning));
    }
    let applier = exec::Applier::new(&plan, options, store, &context, executor, progress)?;
    let (state, found) = applier.run()?;
    warnings.extend(found);
    let source = Arc::clone(&plan.source);
    Ok(Built { config: state.config, warnings, source, files: state.files })
}
