//! What is asked of whatever executes commands, and what it answers.

use std::path::PathBuf;

use lithify_hostnet::ExtraHost;
use lithify_image::Blob;
use lithify_rootfs::Tree;

use crate::cancel::Cancel;
use crate::machine::MachineError;

/// A command and its circumstances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    /// Program and arguments.
    pub(crate) argv: Vec<String>,
    /// `NAME=VALUE`.
    pub(crate) env: Vec<String>,
    /// Working directory; empty means `/`. It is made if it is missing.
    pub(crate) cwd: String,
    /// `user[:group]`, names or numbers of the tree; empty means root.
    pub(crate) user: String,
}

/// A command to execute, and where.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    /// The root.
    pub(crate) tree: &'a Tree,
    /// The command; its standard input is empty.
    pub(crate) command: &'a Command,
    /// What is mounted in the root, in this order, and is no part of it.
    pub(crate) mounts: &'a [JobMount],
    /// What the command reaches.
    pub(crate) network: JobNetwork,
    /// Names that the command finds in its `/etc/hosts`.
    pub(crate) hosts: &'a [ExtraHost],
    /// Root keeps all capabilities.
    pub(crate) is_privileged: bool,
    /// Ends the job early.
    pub(crate) cancel: &'a Cancel,
}

/// Something at a path of the root for the time of a job.
#[derive(Clone)]
pub(crate) struct JobMount {
    /// Absolute path. What is missing of it is made for the time of the job.
    pub(crate) target: String,
    /// What is there.
    pub(crate) kind: JobMountKind,
}

/// Content of a [`JobMount`].
#[derive(Clone)]
pub(crate) enum JobMountKind {
    /// Files.
    Bind {
        /// The files.
        tree: Tree,
        /// One of them, at the tree's root, in place of all.
        file: Option<String>,
        /// Changes are possible, and lost; otherwise they are refused.
        is_writable: bool,
    },
    /// Files whose changes are given back.
    Cache {
        /// The files so far.
        tree: Tree,
    },
    /// An empty directory in memory, which holds this many bytes.
    Tmpfs {
        /// `None`: as much as the memory allows.
        size: Option<u64>,
    },
    /// A file in memory; it may be secret.
    File {
        /// Its bytes.
        content: Vec<u8>,
        /// Permission bits.
        mode: u32,
        /// Owner and group.
        owner: (u32, u32),
    },
    /// A socket that leads to one of the host's. Only with a network.
    Socket {
        /// Path of the host's.
        host: PathBuf,
        /// Permission bits.
        mode: u32,
        /// Owner and group.
        owner: (u32, u32),
    },
}

/// Contents can be secret, so they are not shown.
impl std::fmt::Debug for JobMount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobMount").field("target", &self.target).finish_non_exhaustive()
    }
}

/// What a command reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobNetwork {
    /// Itself.
    None,
    /// Other hosts.
    Default,
    /// Other hosts, and this one's loopback interface.
    Host,
}

impl JobNetwork {
    /// As in the Dockerfile.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Default => "default",
            Self::Host => "host",
        }
    }
}

/// Where output comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// The end of a job.
#[derive(Debug)]
pub(crate) struct Finished {
    /// How the command ended.
    pub(crate) ended: Ended,
    /// What it changed in each cache, in the order of the mounts, as an OCI layer; nothing if it
    /// did not start.
    pub(crate) caches: Vec<Blob>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With code 0; the tar holds what it changed, as an OCI layer.
    Changed(Blob),
    /// With this code.
    Failed { code: u32 },
    /// It did not even start.
    NotStarted { message: String },
}

/// Executes commands, several at a time.
pub(crate) trait Executor: Send + Sync {
    /// Does one job. Gives `output` as it comes.
    ///
    /// # Errors
    /// [`MachineError::Canceled`] soon after the job was canceled.
    fn execute(
        &self,
        job: &Job<'_>,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Finished, MachineError>;
}
