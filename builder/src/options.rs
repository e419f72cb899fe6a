//! What to build.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use lithify_hostnet::ExtraHost;
use lithify_image::Platform;

use crate::cache::CacheOptions;
use crate::cancel::Cancel;
use crate::images::ImageSource;
use crate::instruction::NetworkMode;
use crate::machine::RunMachine;
use crate::remote::RemoteFiles;
use crate::secret::Secret;

/// Where the Dockerfile is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DockerfileInput {
    /// `Dockerfile` at the root of the context.
    #[default]
    InContext,
    /// This file.
    Path(PathBuf),
    /// These bytes, for example from standard input.
    Bytes(Vec<u8>),
}

/// What a Dockerfile may ask for only if whoever builds it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entitlements {
    /// `network.host`: RUN reaches all that the host does, its loopback interface too.
    pub network_host: bool,
    /// `security.insecure`: RUN's root keeps all capabilities.
    pub security_insecure: bool,
}

/// What to build.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory of the build context.
    pub context: PathBuf,
    /// The Dockerfile.
    pub dockerfile: DockerfileInput,
    /// Stage to build, by name or number; the last one by default.
    pub target: Option<String>,
    /// Values for ARG.
    pub build_args: BTreeMap<String, String>,
    /// Named contexts: a directory, `oci-layout://DIR[:TAG|@DIGEST]`, `oci-archive://FILE[:TAG]`,
    /// `docker-archive://FILE[:TAG]`. A name that is an image reference stands in for that image.
    pub contexts: BTreeMap<String, String>,
    /// What the image is for.
    pub platform: Platform,
    /// Seconds since the epoch: the image's creation time and the latest time of a file in its layers.
    ///
    /// 0 by default, so that equal input gives equal bytes. The build argument `SOURCE_DATE_EPOCH`
    /// takes precedence, as in BuildKit.
    pub source_date_epoch: u32,
    /// Where RUN's commands are executed; without it they are errors.
    pub machine: Option<RunMachine>,
    /// Where images come from that no context stands in for; without it they are errors.
    pub images: Option<Arc<dyn ImageSource>>,
    /// Secrets by their names.
    pub secrets: BTreeMap<String, Secret>,
    /// Sockets of ssh agents by their names.
    pub ssh: BTreeMap<String, PathBuf>,
    /// What RUN reaches where it does not say.
    pub network: NetworkMode,
    /// Names that RUN's commands find in `/etc/hosts`, in this order.
    pub hosts: Vec<ExtraHost>,
    /// What the Dockerfile may ask for.
    pub allow: Entitlements,
    /// Fetches what ADD takes from elsewhere; without it that is an error.
    pub remote: Option<Arc<dyn RemoteFiles>>,
    /// Stops the build.
    pub cancel: Cancel,
    /// What is taken from and given to caches.
    pub cache: CacheOptions,
    /// How many stages are built at a time, at most.
    pub threads: NonZeroUsize,
}

impl Options {
    /// Builds the last stage of `context`'s Dockerfile for riscv64.
    #[must_use]
    pub fn new(context: impl Into<PathBuf>) -> Self {
        Self {
            context: context.into(),
            dockerfile: DockerfileInput::InContext,
            target: None,
            build_args: BTreeMap::new(),
            contexts: BTreeMap::new(),
            platform: Platform::linux("riscv64"),
            source_date_epoch: 0,
            machine: None,
            images: None,
            secrets: BTreeMap::new(),
            ssh: BTreeMap::new(),
            network: NetworkMode::Default,
            hosts: Vec::new(),
            allow: Entitlements::default(),
            remote: None,
            cancel: Cancel::default(),
            cache: CacheOptions::default(),
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }
}
