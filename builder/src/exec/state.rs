//! What a stage is after some of its instructions.

use std::collections::BTreeMap;

use std::sync::Arc;

use lithify_image::{History, Image, ImageConfig, Layer, Platform, Store};

use super::files::Files;
use super::{ExecError, time};
use crate::error::Error;

/// What Docker gives images that set no PATH.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Linux gives a process at most a quarter of its stack for arguments and environment; doubling
/// variables line by line must not fill memory before that shows.
const MAX_ENVIRONMENT_BYTES: usize = 2 << 20;

/// A stage under construction.
#[derive(Debug, Clone)]
pub(crate) struct StageState {
    pub(crate) files: Arc<Files>,
    pub(crate) config: ImageConfig,
    /// ARG values; ENV values of the same names hide them.
    args: BTreeMap<String, String>,
    /// CMD was given in this stage: an ENTRYPOINT does not drop it.
    pub(super) own_cmd: bool,
}

impl StageState {
    /// `FROM scratch`.
    pub(super) fn scratch(platform: &Platform, store: &Store) -> Self {
        let mut config = ImageConfig::new(platform);
        config.config.env.push(DEFAULT_PATH.to_owned());
        Self::new(config, Files::new(store, Vec::new()))
    }

    pub(super) fn from_image(image: Image, store: &Store) -> Self {
        let mut config = image.config;
        if !config.config.env.iter().any(|entry| entry.starts_with("PATH=")) {
            config.config.env.push(DEFAULT_PATH.to_owned());
        }
        Self::new(config, Files::new(store, image.layers))
    }

    fn new(config: ImageConfig, files: Files) -> Self {
        Self { files: Arc::new(files), config, args: BTreeMap::new(), own_cmd: false }
    }

    /// The start of a stage that is based on this one; it keeps the arguments, as in BuildKit.
    pub(super) fn derived(&self) -> Self {
        Self { own_cmd: false, files: Arc::new(Files::on(&self.files)), ..self.clone() }
    }

    /// ENV beats ARG.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let value = |entry: &String| {
            let (key, value) = entry.split_once('=')?;
            (key == name).then(|| value.to_owned())
        };
        self.config.config.env.iter().find_map(value).or_else(|| self.args.get(name).cloned())
    }

    pub(super) fn variable_names(&self) -> impl Iterator<Item = &str> {
        let env = self.config.config.env.iter().filter_map(|entry| entry.split_once('='));
        env.map(|(name, _)| name).chain(self.args.keys().map(String::as_str))
    }

    pub(super) fn set_arg(&mut self, name: &str, value: String) -> Result<(), ExecError> {
        self.args.insert(name.to_owned(), value);
        let bytes = self.args.iter().map(|(name, value)| name.len() + value.len()).sum();
        check_environment(bytes)
    }

    pub(super) fn set_env(&mut self, name: &str, value: &str) -> Result<(), ExecError> {
        let env = &mut self.config.config.env;
        let entry = format!("{name}={value}");
        let same = |entry: &&mut String| entry.split_once('=').is_some_and(|(key, _)| key == name);
        match env.iter_mut().find(same) {
            Some(existing) => *existing = entry,
            None => env.push(entry),
        }
        check_environment(env.iter().map(String::len).sum())
    }

    /// What a command gets: ENV, then what it does not hide of ARG, then of `further`.
    pub(super) fn environment<'a>(
        &'a self,
        further: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Vec<String> {
        let mut env = self.config.config.env.clone();
        let args = self.args.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in args.chain(further) {
            let hides =
                |entry: &String| entry.split_once('=').is_some_and(|(known, _)| known == name);
            if !env.iter().any(hides) {
                env.push(format!("{name}={value}"));
            }
        }
        env
    }

    pub(super) fn shell(&self) -> Vec<String> {
        let default = || DEFAULT_SHELL.map(str::to_owned).to_vec();
        self.config.config.shell.clone().unwrap_or_else(default)
    }

    /// Takes what one instruction made: a layer, or nothing.
    pub(super) fn take(
        &mut self,
        layer: Option<Layer>,
        text: &str,
        epoch: u32,
    ) -> Result<(), Error> {
        let empty_layer = layer.is_none();
        if let Some(layer) = layer {
            self.config.rootfs.diff_ids.push(layer.diff_id);
            // Copied only if another stage holds them, which is then one that is built on these.
            Arc::make_mut(&mut self.files).push(layer)?;
        }
        self.record(text, epoch, empty_layer);
        Ok(())
    }

    /// Adds to the image's history.
    pub(super) fn record(&mut self, text: &str, epoch: u32, empty_layer: bool) {
        let created = time::rfc3339(epoch);
        self.config.created = Some(created.clone());
        self.config.history.push(History {
            created: Some(created),
            created_by: Some(text.to_owned()),
            comment: Some("lithify".to_owned()),
            empty_layer,
            ..History::default()
        });
    }
}

fn check_environment(bytes: usize) -> Result<(), ExecError> {
    if bytes > MAX_ENVIRONMENT_BYTES {
        return Err(ExecError::EnvironmentTooLarge { limit: MAX_ENVIRONMENT_BYTES });
    }
    Ok(())
}
