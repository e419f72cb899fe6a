//! What a word on the command line means: a file, or a name in the store or a registry.
//!
//! A file wins, as `./NAME` would; a word that can only be a path is never looked up elsewhere.

use crate::args::{Pull, RegistryArgs};
use crate::error::CliError;
use crate::progress::Progress;
use crate::registry::{cancel_on_signals, failed, open_store};
use crate::signals::Listening;
use lithify_image::{Artifact, Descriptor, Digest, Platform, Reference, Store};
use lithify_registry::{Registry, listed_compiled, nearest};
use lithify_runner::Engine;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// A word's meaning.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    File(PathBuf),
    Name(Reference),
}

impl Target {
    pub(crate) fn of(word: &OsStr) -> Result<Self, CliError> {
        let path = Path::new(word);
        if path.exists() || must_be_path(path) {
            return Ok(Self::File(path.to_owned()));
        }
        let shown = path.display();
        let text = word
            .to_str()
            .ok_or_else(|| CliError::own(format!("{shown}: no such file, and not a name")))?;
        text.parse().map(Self::Name).map_err(|error| {
            CliError::own(format!("{shown}: no such file, and not a name: {error}"))
        })
    }
}

fn must_be_path(path: &Path) -> bool {
    let starts = path.is_absolute() || path.starts_with(".") || path.starts_with("..");
    let ends = path.extension().is_some_and(|suffix| suffix == "wasm" || suffix == "cwasm");
    starts || ends
}

/// What a name means in the store, or the error that says what is near.
pub(crate) fn in_store(store: &Store, reference: &Reference) -> Result<Descriptor, CliError> {
    match store.resolve(reference).map_err(CliError::own)? {
        Some(descriptor) => Ok(descriptor),
        None => Err(unknown(store, reference)),
    }
}

pub(crate) fn unknown(store: &Store, reference: &Reference) -> CliError {
    let written = reference.familiar();
    let names = store.names().unwrap_or_default();
    let names: Vec<String> = names.iter().map(|named| named.reference.familiar()).collect();
    let hint = nearest(&written, names.iter().map(String::as_str));
    let hint = hint.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
    CliError::own(format!("{written}: not in the local store{hint}"))
}

/// What `pull` and `run` take from an index, best first: a module, else an image to build from.
pub(crate) fn platforms(wanted: Option<&Platform>) -> Vec<Platform> {
    let module = |os: &str| Platform { os: os.into(), architecture: "wasm".into(), variant: None };
    match wanted {
        Some(platform) => vec![platform.clone()],
        None => {
            vec![module("wasip1"), module("wasi"), Platform::linux(crate::boot_files::ARCHITECTURE)]
        }
    }
}

/// An artifact on this machine, to be turned into something else.
pub(crate) struct LocalArtifact {
    pub(crate) file: PathBuf,
    /// Whose file it is, open until the file is.
    store: Option<Store>,
}

impl LocalArtifact {
    /// What a word of the command line means.
    pub(crate) fn find(word: &OsStr) -> Result<Self, CliError> {
        let reference = match Target::of(word)? {
            Target::File(file) => return Ok(Self { file, store: None }),
            Target::Name(reference) => reference,
        };
        let store = open_store()?;
        let descriptor = in_store(&store, &reference)?;
        let artifact = artifact(&store, &reference, &descriptor)?;
        let module = store.get(&artifact.module.digest).map_err(CliError::own)?;
        Ok(Self { file: module.name().into(), store: Some(store) })
    }

    /// Where the result goes: as the user says, else beside the artifact's file with this suffix.
    pub(crate) fn output(&self, wanted: Option<&Path>, suffix: &str) -> Result<PathBuf, CliError> {
        match (wanted, &self.store) {
            (Some(path), _) => Ok(path.to_owned()),
            (None, None) => Ok(self.file.with_extension(suffix)),
            (None, Some(_)) => Err(CliError::usage("the artifact is no file, say where with -o")),
        }
    }
}

/// An artifact in the store, and the store, which must stay open until the file is.
pub(crate) struct Located {
    pub(crate) store: Store,
    pub(crate) file: PathBuf,
    pub(crate) reference: Reference,
    pub(crate) descriptor: Descriptor,
}

/// How to find a named artifact.
pub(crate) struct Finder<'a> {
    pub(crate) registry: &'a RegistryArgs,
    pub(crate) pull: Pull,
    pub(crate) progress: &'a Progress,
}

impl Finder<'_> {
    /// The artifact that `reference` names, pulled if it has to be.
    pub(crate) fn artifact(&self, reference: Reference) -> Result<Located, CliError> {
        let store = open_store()?;
        let known = store.resolve(&reference).map_err(CliError::own)?;
        let descriptor = match (known, self.pull) {
            (Some(descriptor), Pull::Missing | Pull::Never) => descriptor,
            (None, Pull::Never) => return Err(unknown(&store, &reference)),
            (None, Pull::Missing) if is_bare(&reference) => self.pull_bare(&store, &reference)?,
            _ => {
                let (_listening, registry) = self.connect(&reference)?;
                registry.pull(&reference, &platforms(None), &store).map_err(failed)?.manifest
            }
        };
        let artifact = artifact(&store, &reference, &descriptor)?;
        let module = store.get(&artifact.module.digest).map_err(CliError::own)?;
        let file = PathBuf::from(module.name());
        Ok(Located { store, file, reference, descriptor })
    }

    /// A name without a registry is more likely a slip than something of Docker Hub's: if that
    /// does not help either, both are told.
    fn pull_bare(&self, store: &Store, reference: &Reference) -> Result<Descriptor, CliError> {
        let pulled = self.connect(reference).and_then(|(_listening, registry)| {
            registry.pull(reference, &platforms(None), store).map_err(failed)
        });
        pulled.map(|pulled| pulled.manifest).map_err(|error| {
            if error.is_interruption() {
                error
            } else {
                error.about(unknown(store, reference).text())
            }
        })
    }

    pub(crate) fn connect(&self, reference: &Reference) -> Result<(Listening, Registry), CliError> {
        let (listening, cancel) = cancel_on_signals()?;
        let registry = self.registry.connect(reference.registry(), cancel, self.progress);
        Ok((listening, registry.map_err(failed)?))
    }

    /// The native code for `engine` that the artifact lists, if it is here or at its registry.
    pub(crate) fn compiled(
        &self,
        located: &Located,
        engine: &Engine,
    ) -> Result<Option<PathBuf>, CliError> {
        let Located { store, reference, descriptor, .. } = located;
        let about = artifact(store, reference, descriptor)?;
        let engine = engine.fingerprint();
        let Some(listed) = listed_compiled(&about.annotations, &engine) else { return Ok(None) };
        if !store.contains(&listed) {
            let (_listening, registry) = self.connect(reference)?;
            let fetched =
                registry.fetch_compiled(reference, &descriptor.digest, &engine, &listed, store);
            if self.pull == Pull::Never || !fetched.map_err(failed)? {
                return Ok(None);
            }
        }
        compiled_file(store, &listed).map(Some)
    }
}

fn compiled_file(store: &Store, listed: &Digest) -> Result<PathBuf, CliError> {
    Ok(PathBuf::from(store.get_reading_all(listed).map_err(CliError::own)?.name()))
}

fn is_bare(reference: &Reference) -> bool {
    reference.registry() == "docker.io"
}

/// What a name in the store means as an artifact, or the error that says what it is.
pub(crate) fn artifact(
    store: &Store,
    reference: &Reference,
    descriptor: &Descriptor,
) -> Result<Artifact, CliError> {
    store.artifact(descriptor).map_err(CliError::own)?.ok_or_else(|| {
        let name = reference.familiar();
        CliError::own(format!(
            "{name} is an image, not an artifact\nhint: lithify convert {name} -o FILE.wasm"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_wins_over_a_name_and_a_path_is_no_name() {
        let is_file = |word: &str| matches!(Target::of(OsStr::new(word)), Ok(Target::File(_)));
        for word in ["Cargo.toml", "./app", "../app:1", "/app", "missing.wasm", "x/y.cwasm"] {
            assert!(is_file(word), "{word}");
        }
        for word in ["app", "app:1", "127.0.0.1:5000/app", "team/app"] {
            assert_eq!(Target::of(OsStr::new(word)).unwrap(), Target::Name(word.parse().unwrap()));
        }
        let message = Target::of(OsStr::new("App:")).unwrap_err().to_string();
        assert!(message.contains("App:: no such file, and not a name"), "{message}");
    }
}
