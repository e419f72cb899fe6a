//! Messages that init, the vm, the snapshot stage and the runner exchange.
//!
//! Four programs that never link each other meet here: the snapshot stage hands the vm a
//! [`BootConfig`], the runner hands it [`Overrides`], and the vm and the guest's init talk over
//! the control port in [`Frame`]s. Every value is encoded with [`wire`]: little-endian integers
//! and length-prefixed byte strings, decoded with bounds checked against the bytes present, since
//! both the guest and the user of an artifact are hostile to the other side.

mod boot;
mod frame;
pub mod kernel_log;
mod mount;
mod network;
mod overrides;
mod process;
mod profile;
mod start;
mod statistics;
mod terminal;
mod trial;
mod warm;
pub mod wire;

pub use boot::{BootConfig, ENTROPY_SEED_LEN, MAX_MEMORY_BYTES};
pub use frame::{Frame, FrameReader, MAX_FRAME_LEN};
pub use mount::{Mount, MountKind, Volume};
pub use network::{PLAN, Plan};
pub use overrides::Overrides;
pub use process::ImageProcess;
pub use profile::{BlockProfile, PageProfile, Profile, ProfileError};
pub use start::{StartRequest, THAW_ENTROPY_LEN};
pub use statistics::Statistics;
pub use terminal::WindowSize;
pub use trial::{Trial, TrialError};
pub use warm::{Readiness, Renewal, Warm};

/// Word on the kernel's command line of a guest whose disk comes with the start request: init says
/// `Ready` without it, and makes the container afterwards.
pub const ROOT_AT_START: &str = "root_at_start=1";

/// Word on the kernel's command line of a guest whose container may say that it is ready: init gives
/// it a socket for that, as `sd_notify(3)` expects.
pub const LISTEN_FOR_NOTIFY: &str = "listen_for_notify=1";

/// Words on the kernel's command line, each with a value, which tell init what to have in the page
/// cache when the machine freezes.
pub mod prefetch {
    /// The image's program, as its config names it.
    pub const PROGRAM: &str = "prefetch";
    /// Folders to look for it in, as in `PATH`.
    pub const PATH: &str = "prefetch_path";
}

/// Names of the virtio-console ports, as the guest reads them in
/// `/sys/class/virtio-ports/*/name`, in port-number order.
pub mod port {
    /// Frames between init and the vm.
    pub const CONTROL: &str = "lithify.control";
    /// The container's standard input; host end closed means end of file.
    pub const STDIN: &str = "lithify.stdin";
    /// The container's standard output.
    pub const STDOUT: &str = "lithify.stdout";
    /// The container's standard error.
    pub const STDERR: &str = "lithify.stderr";
    /// Layers' tars from a guest whose start request asks for them.
    pub const EXPORT: &str = "lithify.export";
    /// All ports; the index is the virtio-console port number.
    pub const ALL: [&str; 5] = [CONTROL, STDIN, STDOUT, STDERR, EXPORT];
}

/// Exit codes that init reports for a container that never ran, as shells and docker use them.
pub mod exit_code {
    /// Lithify itself failed: bad working directory, unknown user, broken rootfs.
    pub const LITHIFY: u32 = 125;
    /// The entrypoint exists but cannot be executed.
    pub const CANNOT_EXECUTE: u32 = 126;
    /// The entrypoint was not found.
    pub const NOT_FOUND: u32 = 127;
    /// Added to the number of the signal that killed the container process.
    pub const SIGNAL_BASE: u32 = 128;
}
