//! Registries on the command line: options, credentials, progress, Ctrl-C, and where images of a
//! build come from.

use crate::args::{Pull, RegistryArgs};
use crate::error::CliError;
use crate::progress::{Progress, StepId};
use crate::signals::{Listening, on_interrupt};
use indicatif::BinaryBytes;
use lithify_builder::ImageSource;
use lithify_image::{Digest, Image, ImageChoice, Platform, Reference, Selection, Store};
use lithify_registry::{Cancel, Credentials, Error, Options, Outcome, Registry};
use lithify_runner::user_cache;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The store that all commands share.
pub(crate) fn open_store() -> Result<Store, CliError> {
    let root = user_cache().map_err(CliError::own)?.join("store");
    Store::open(root).map_err(CliError::own)
}

impl RegistryArgs {
    pub(crate) fn options(&self, cancel: Cancel) -> Options {
        let credentials = match &self.registry_config {
            Some(path) => Credentials::Files(vec![path.clone()]),
            None => Credentials::of_user(),
        };
        Options {
            plain_http: self.plain_http,
            insecure: self.insecure,
            ca_file: self.ca_file.clone(),
            concurrency: self.concurrency.into(),
            credentials,
            cancel,
            ..Options::default()
        }
    }

    pub(crate) fn connect(
        &self,
        name: &str,
        cancel: Cancel,
        progress: &Progress,
    ) -> Result<Registry, Error> {
        Registry::connect(name, &self.options(cancel), Arc::new(Transfers::new(progress.clone())))
    }
}

/// What ends transfers at Ctrl-C.
pub(crate) fn cancel_on_signals() -> Result<(Listening, Cancel), CliError> {
    let cancel = Cancel::default();
    let canceled = cancel.clone();
    let listening = on_interrupt(move || canceled.cancel())?;
    Ok((listening, cancel))
}

/// An error of a registry as the user reads it.
pub(crate) fn failed(error: Error) -> CliError {
    match error {
        Error::Canceled => CliError::interrupted(),
        error => CliError::own(error),
    }
}

/// Transfers as steps.
struct Transfers {
    progress: Progress,
    steps: Mutex<HashMap<Digest, StepId>>,
}

impl Transfers {
    fn new(progress: Progress) -> Self {
        Self { progress, steps: Mutex::default() }
    }

    fn step(&self, blob: &Digest) -> Option<StepId> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).get(blob).copied()
    }
}

impl lithify_registry::Progress for Transfers {
    fn begin(&self, blob: &Digest, media_type: &str, size: u64) {
        let kind = media_type.rsplit('.').next().unwrap_or(media_type);
        let hex = blob.hex();
        let name = format!("{} {kind} {}", &hex[..12], BinaryBytes(size));
        let id = self.progress.begin_transfer(&name, size);
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).insert(*blob, id);
    }

    fn position(&self, blob: &Digest, bytes: u64) {
        if let Some(id) = self.step(blob) {
            self.progress.transferred(id, bytes);
        }
    }

    fn end(&self, blob: &Digest, outcome: Outcome) {
        if let Some(id) = self.step(blob) {
            self.progress.end_transfer(id, outcome);
        }
    }

    fn retrying(&self, why: &str, wait: Duration) {
        let message = format!("{why}; trying again in {:.1} s", wait.as_secs_f64());
        self.progress.warn("Retry", &message, None);
    }
}

/// Images of a build that no context stands in for: the store's, or else a registry's.
pub(crate) struct RegistryImages {
    pub(crate) args: RegistryArgs,
    pub(crate) pull: Pull,
    pub(crate) progress: Progress,
    pub(crate) cancel: Cancel,
}

impl std::fmt::Debug for RegistryImages {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "RegistryImages({:?})", self.pull)
    }
}

impl RegistryImages {
    /// The image if the store has it.
    fn local(&self, reference: &Reference, platform: &Platform, store: &Store) -> Option<Image> {
        let found = store.resolve(reference).ok()??;
        let image = Some(ImageChoice::Digest(found.digest));
        store.image(&Selection { image, platform: platform.clone() }).ok()
    }
}

impl ImageSource for RegistryImages {
    fn image(
        &self,
        reference: &Reference,
        platform: &Platform,
        store: &Store,
    ) -> Result<Image, Box<dyn std::error::Error + Send + Sync>> {
        if self.pull != Pull::Always
            && let Some(image) = self.local(reference, platform, store)
        {
            return Ok(image);
        }
        if self.pull == Pull::Never {
            return Err(format!("not in the local store for {platform}, and --pull never").into());
        }
        let registry =
            self.args.connect(reference.registry(), self.cancel.clone(), &self.progress)?;
        let pulled = registry.pull(reference, std::slice::from_ref(platform), store)?;
        let image = Some(ImageChoice::Digest(pulled.manifest.digest));
        Ok(store.image(&Selection { image, platform: platform.clone() })?)
    }
}
