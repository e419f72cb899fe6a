//! Why the machine could not execute a command.

use std::io;
use std::path::PathBuf;

use lithify_control::wire::WireError;
use lithify_machine::{BootError, Halt};

/// What is wrong with the machine that RUN executes in, not with the command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// The machine cannot be powered on.
    #[error("the machine for RUN: {0}")]
    Boot(#[from] BootError),
    /// The stage's files cannot become the machine's root disk.
    #[error("the root disk for RUN: {0}")]
    RootDisk(#[source] lithify_rootfs::Error),
    /// A layer's bytes cannot be read.
    #[error("read the disk for RUN: {0}")]
    Layers(#[source] io::Error),
    /// More file systems than the machine has numbers for.
    #[error("a step has more than {limit} mounts of files")]
    TooManyVolumes {
        /// The cap.
        limit: usize,
    },
    /// More sockets of the host than the machine has ports for.
    #[error("a step has more than {limit} sockets of the host")]
    TooManySockets {
        /// The cap.
        limit: usize,
    },
    /// More uses of one private cache than anybody has steps.
    #[error("more than {limit} steps use the same private cache at a time")]
    TooManyPrivateCaches {
        /// The cap.
        limit: usize,
    },
    /// A file of the host cannot be used.
    #[error("{action} {}: {source}", path.display())]
    Host {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The guest ended by itself.
    #[error("the machine for RUN stopped ({halt:?}); its kernel said:\n{log}")]
    Halted {
        /// How.
        halt: Halt,
        /// The kernel's last messages.
        log: String,
    },
    /// The guest waits for nothing before it is ready.
    #[error("the machine for RUN sleeps for ever while it boots")]
    StuckBoot,
    /// The build was canceled.
    #[error("canceled")]
    Canceled,
    /// The guest is not ready.
    #[error("the machine for RUN was not ready after {limit} instructions")]
    SlowBoot {
        /// The cap.
        limit: u64,
    },
    /// The guest says what is no frame.
    #[error("the machine for RUN breaks the protocol: {0}")]
    Protocol(#[from] WireError),
    /// The guest says the wrong thing.
    #[error("the machine for RUN said `{0}`, which was not expected")]
    Unexpected(String),
    /// The host's list of name servers cannot be read.
    #[error("the network for RUN: name servers: {0}")]
    NameServers(#[source] io::Error),
    /// The host has no network for the machine.
    #[error("the network for RUN: {0}")]
    Network(#[source] io::Error),
    /// The guest ended without a layer.
    #[error("the machine for RUN sent no layer")]
    NoLayer,
    /// The guest's archive of changes has no end.
    #[error("the step's layer is cut off after {len} bytes")]
    CutOff {
        /// Its length.
        len: u64,
    },
    /// The guest's archive of changes is larger than any layer may be.
    #[error("the step's layer has more than {limit} bytes")]
    LayerTooLarge {
        /// The cap.
        limit: u64,
    },
}
