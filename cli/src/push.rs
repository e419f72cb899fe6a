//! `lithify push`.

use crate::args::{Form, PushArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::inspect::report_of;
use crate::progress::Progress;
use crate::reference::{artifact, in_store};
use crate::registry::{cancel_on_signals, failed, open_store};
use lithify_image::{Artifact, ArtifactInfo, CREATED, Descriptor, ImageConfig, Store, TITLE};
use lithify_registry::{Registry, compiled_annotation, put_image_form};
use lithify_runner::Engine;
use std::path::Path;

/// Sends what a name means to its registry, and prints the name with the digest.
pub(crate) fn push(args: &PushArgs) -> Result<Exit, CliError> {
    let progress = Progress::new(args.show.progress, args.show.quiet);
    let store = open_store()?;
    let named = in_store(&store, &args.name)?;
    let push = Push { args, store: &store, progress: &progress };
    let code = if args.compiled { Some(push.compiled(&named)?) } else { None };
    let descriptor = match (&code, args.form) {
        (Some(code), _) => push.listing(&named, code)?,
        (None, Form::Image) => push.image_form(&named)?,
        (None, Form::AsIs) => named,
    };
    let (_listening, cancel) = cancel_on_signals()?;
    let registry =
        args.registry.connect(args.name.registry(), cancel, &progress).map_err(failed)?;
    push.send(&registry, &descriptor, code.as_ref()).map_err(|error| {
        progress.fail();
        failed(error)
    })?;
    crate::print(format!("{}@{}\n", args.name.familiar(), descriptor.digest).as_bytes())
}

/// Native code of the artifact.
struct Code {
    engine: String,
    descriptor: Descriptor,
}

struct Push<'a> {
    args: &'a PushArgs,
    store: &'a Store,
    progress: &'a Progress,
}

impl Push<'_> {
    fn send(
        &self,
        registry: &Registry,
        descriptor: &Descriptor,
        code: Option<&Code>,
    ) -> Result<(), lithify_registry::Error> {
        registry.push(&self.args.name, descriptor, self.store)?;
        code.map_or(Ok(()), |code| {
            let (name, engine) = (&self.args.name, &code.engine);
            registry.attach_compiled(name, descriptor, engine, &code.descriptor, self.store)
        })
    }

    fn artifact(&self, named: &Descriptor) -> Result<Artifact, CliError> {
        artifact(self.store, &self.args.name, named)
    }

    /// The artifact's module as a file of a plain image.
    fn image_form(&self, named: &Descriptor) -> Result<Descriptor, CliError> {
        let artifact = self.artifact(named)?;
        let module = self.store.get(&artifact.module.digest).map_err(CliError::own)?;
        let report = report_of(Path::new(module.name()))?;
        let config = report.image_config.to_string();
        let config =
            ImageConfig::from_json(config.as_bytes(), "image config").map_err(CliError::own)?;
        self.progress
            .step("compress", |_| put_image_form(self.store, &module, &config).map_err(failed))
    }

    fn compiled(&self, named: &Descriptor) -> Result<Code, CliError> {
        let artifact = self.artifact(named)?;
        let module = self.store.get(&artifact.module.digest).map_err(CliError::own)?;
        let engine = Engine::new()?;
        let descriptor = self.progress.step("compile", |_| {
            let wasm = std::fs::read(module.name()).map_err(CliError::own)?;
            let code = engine.compile(&wasm)?;
            let (digest, len) = self.store.put(&code[..], None).map_err(CliError::own)?;
            Ok::<_, CliError>(Descriptor::of("", digest, len))
        })?;
        Ok(Code { engine: engine.fingerprint(), descriptor })
    }

    /// The artifact again, with its compiled form in the list; the name means that one then.
    fn listing(&self, named: &Descriptor, code: &Code) -> Result<Descriptor, CliError> {
        let artifact = self.artifact(named)?;
        let mut annotations = artifact.annotations;
        annotations.remove(CREATED);
        let (name, digest) = compiled_annotation(&code.engine, &code.descriptor.digest);
        annotations.insert(name, digest);
        let title = artifact.module.annotations.get(TITLE).cloned().unwrap_or_default();
        let info = ArtifactInfo { title, created: artifact.config.created, annotations };
        let module = &artifact.module;
        let listing = self.store.put_artifact(module.digest, module.size, &info);
        let descriptor = listing.map_err(CliError::own)?;
        self.store.set_name(&self.args.name, &descriptor).map_err(CliError::own)?;
        Ok(descriptor)
    }
}
