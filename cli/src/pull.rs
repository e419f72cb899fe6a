//! `lithify pull`.

use crate::args::{Pull, PullArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::progress::Progress;
use crate::reference::{Finder, Located, platforms};
use crate::registry::{failed, open_store};
use lithify_runner::Engine;
use std::path::PathBuf;

/// Brings an artifact or image into the store, and prints its name with its digest.
pub(crate) fn pull(args: &PullArgs) -> Result<Exit, CliError> {
    let progress = Progress::new(args.show.progress, args.show.quiet);
    let finder = Finder { registry: &args.registry, pull: Pull::Always, progress: &progress };
    let store = open_store()?;
    let (_listening, registry) = finder.connect(&args.name)?;
    let pulled =
        registry.pull(&args.name, &platforms(args.platform.as_ref()), &store).map_err(|error| {
            progress.fail();
            failed(error)
        })?;
    let digest = pulled.manifest.digest;
    if args.trust_compiled {
        let (reference, descriptor) = (args.name.clone(), pulled.manifest);
        let located = Located { store, file: PathBuf::new(), reference, descriptor };
        if finder.compiled(&located, &Engine::new()?)?.is_none() {
            progress.warn("NoCompiledForm", "the artifact lists none for this engine", None);
        }
    }
    let name = args.name.familiar();
    let name = name.split('@').next().unwrap_or_default();
    crate::print(format!("{name}@{digest}\n").as_bytes())
}
