//! `lithify build`: Dockerfile → image → artifact → what the user asked for.

pub(crate) mod artifact;
mod input;
pub(crate) mod options;
pub(crate) mod output;
mod report;
pub(crate) mod run_options;
mod system_profile;
pub(crate) mod translate;
pub(crate) mod warm;

use crate::args::BuildArgs;
use crate::boot_files::BootFiles;
use crate::error::CliError;
use crate::exit::Exit;
use crate::progress::Progress;
use crate::registry::RegistryImages;
use crate::signals::on_interrupt;
use artifact::{Artifact, Parts};
use input::Input;
use lithify_builder::{Built, Options};
use lithify_image::{
    ArtifactInfo, Descriptor, Digest, ImageArchive, ImageConfig, Store, run_hints,
};
use lithify_runner::user_cache;
use output::{Destination, Output, OutputKind, Results};
use report::Report;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Builds, and prints the paths of what was written, or with `--quiet` the digest.
pub(crate) fn build(args: &BuildArgs) -> Result<Exit, CliError> {
    Input::check(args)?;
    args.warm.check()?;
    let outputs = located_outputs(args)?;
    let boot = BootFiles::read(args.boot_files.as_deref())?;
    let cache = user_cache().map_err(CliError::build)?;
    let store = Store::open(cache.join("store")).map_err(CliError::build)?;
    let input = Input::of(args, &store)?;
    let mut options = options::options(args, &input)?;
    options.machine = Some(options::run_machine(args, &boot, &cache));
    let (build, transfers) = (options.cancel.clone(), lithify_registry::Cancel::default());
    let cancel = transfers.clone();
    let _listening = on_interrupt(move || {
        build.cancel();
        transfers.cancel();
    })?;
    let progress = Progress::new(args.progress, args.quiet);
    options.remote = Some(Arc::new(crate::remote::Web));
    options.images = Some(Arc::new(RegistryImages {
        args: args.registry.clone(),
        pull: args.pull,
        progress: progress.clone(),
        cancel,
    }));
    let result = Build { args, outputs, boot, store, options, progress: &progress }.run();
    result.inspect_err(|_| progress.fail())
}

struct Build<'a> {
    args: &'a BuildArgs,
    outputs: Vec<(OutputKind, Destination)>,
    boot: BootFiles,
    store: Store,
    options: Options,
    progress: &'a Progress,
}

impl Build<'_> {
    fn run(&self) -> Result<Exit, CliError> {
        let built = lithify_builder::build(&self.options, &self.store, self.progress);
        let built = built.map_err(|error| match error.is_canceled() {
            true => CliError::canceled(),
            false => CliError::build(error.render()),
        })?;
        let mut config = built.config.clone();
        config.config.labels.extend(self.args.labels.iter().cloned());
        let artifact = self.artifact(&built, &config)?;
        let annotations: BTreeMap<String, String> = self.args.annotations.iter().cloned().collect();
        let layers = built.layers();
        let image = ImageArchive {
            config: &config,
            layers: &layers,
            names: &self.args.tags,
            annotations: &annotations,
        };
        let descriptor = match &artifact {
            Some(artifact) => self.described(artifact, &config, &annotations)?,
            None => image.manifest().1,
        };
        let results = Results {
            store: &self.store,
            built: &built,
            image,
            artifact: artifact.map(|artifact| artifact.digest),
            warn: &|path| {
                let message = format!("`{}` is a device and was left out", path.display());
                self.progress.warn("LocalOutput", &message, None);
            },
        };
        self.put(&results)?;
        self.report(&descriptor, artifact, &config)?;
        self.print(artifact.map_or(descriptor.digest, |artifact| artifact.digest))
    }

    fn artifact(&self, built: &Built, config: &ImageConfig) -> Result<Option<Artifact>, CliError> {
        if !self.outputs.iter().any(|(kind, _)| *kind == OutputKind::Wasm) {
            return Ok(None);
        }
        let parts = Parts {
            args: self.args,
            boot: &self.boot,
            built,
            config,
            epoch_seconds: self.options.source_date_epoch,
        };
        self.check_canceled()?;
        let artifact = parts.artifact(&self.store, self.progress)?;
        self.check_canceled()?;
        Ok(Some(artifact))
    }

    fn check_canceled(&self) -> Result<(), CliError> {
        if self.options.cancel.is_canceled() { Err(CliError::canceled()) } else { Ok(()) }
    }

    /// Describes the artifact as registries want it, and gives it its names.
    fn described(
        &self,
        artifact: &Artifact,
        config: &ImageConfig,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Descriptor, CliError> {
        let mut hints = run_hints(&config.config, self.args.memory);
        hints.extend(annotations.clone());
        let info = ArtifactInfo {
            title: self.title(),
            created: config.created.clone(),
            annotations: hints,
        };
        let described = self.store.put_artifact(artifact.digest, artifact.len, &info);
        let descriptor = described.map_err(CliError::build)?;
        for name in &self.args.tags {
            self.store.set_name(name, &descriptor).map_err(CliError::build)?;
        }
        Ok(descriptor)
    }

    /// The file name that the artifact has, or would have.
    fn title(&self) -> String {
        let files = self.outputs.iter().filter(|(kind, _)| *kind == OutputKind::Wasm);
        let mut names = files.filter_map(|(_, dest)| match dest {
            Destination::Path(path) => path.file_name(),
            Destination::Stdout => None,
        });
        names.next().map_or("app.wasm".into(), |name| name.to_string_lossy().into_owned())
    }

    fn put(&self, results: &Results<'_>) -> Result<(), CliError> {
        for (kind, dest) in &self.outputs {
            self.check_canceled()?;
            let shown = match dest {
                Destination::Stdout => "standard output".to_owned(),
                Destination::Path(path) => path.display().to_string(),
            };
            self.progress.step(&format!("write {shown}"), |_| results.put(*kind, dest))?;
        }
        Ok(())
    }

    fn report(
        &self,
        descriptor: &Descriptor,
        artifact: Option<Artifact>,
        config: &ImageConfig,
    ) -> Result<(), CliError> {
        let config = Digest::of(&config.to_json());
        let report = Report { descriptor, config, artifact, names: &self.args.tags };
        report.write(self.args.iidfile.as_deref(), self.args.metadata_file.as_deref())
    }

    fn print(&self, digest: Digest) -> Result<Exit, CliError> {
        let mut lines = String::new();
        let is_stdout = |(_, dest): &(OutputKind, Destination)| *dest == Destination::Stdout;
        if self.outputs.iter().any(is_stdout) {
            return Ok(Exit::Success);
        }
        if self.args.quiet {
            lines = format!("{digest}\n");
        } else {
            for (_, dest) in &self.outputs {
                if let Destination::Path(path) = dest {
                    lines.push_str(&format!("{}\n", path.display()));
                }
            }
        }
        crate::print(lines.as_bytes()).map_err(CliError::of_build)
    }
}

/// The outputs asked for, or else the artifact, each with its place.
fn located_outputs(args: &BuildArgs) -> Result<Vec<(OutputKind, Destination)>, CliError> {
    let default = [Output { kind: OutputKind::Wasm, dest: None }];
    let outputs = if args.output.is_empty() { &default[..] } else { &args.output };
    let mut located: Vec<(OutputKind, Destination)> = Vec::new();
    for output in outputs {
        let dest = match &output.dest {
            Some(dest) => dest.clone(),
            None => Destination::Path(default_path(args, output)?),
        };
        if located.iter().any(|(_, other)| *other == dest) {
            return Err(CliError::usage("two outputs have the same destination"));
        }
        located.push((output.kind, dest));
    }
    Ok(located)
}

/// Named after the first tag, or else the context.
fn default_path(args: &BuildArgs, output: &Output) -> Result<PathBuf, CliError> {
    let name = match args.tags.first() {
        Some(tag) => tag.repository().rsplit('/').next().map(str::to_owned),
        None if args.context == Path::new("-") => None,
        None => {
            let context = args.context.canonicalize().map_err(|error| {
                CliError::build(format!("build context {}: {error}", args.context.display()))
            })?;
            context.file_name().and_then(|name| name.to_str()).map(str::to_owned)
        }
    };
    name.map(|name| PathBuf::from(format!("{name}.{}", output.suffix())))
        .ok_or_else(|| CliError::usage("the build context has no name, say where with -o"))
}
