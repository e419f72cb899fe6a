//! How to speak to registries: what the user may set.

use std::path::PathBuf;
use std::time::Duration;

use crate::credentials::Credentials;
use crate::{Cancel, RetryPolicy};

/// How long to wait for a registry.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the next bytes, in either direction, and for a body to bring a few kilobytes.
    pub stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        // Registries hash an upload before they confirm it, which takes seconds per gigabyte.
        Self { connect: Duration::from_secs(30), stall: Duration::from_secs(90) }
    }
}

/// Settings of a [`Registry`](crate::Registry).
#[derive(Clone, Debug)]
pub struct Options {
    /// Speak `http` only.
    pub plain_http: bool,
    /// Accept any certificate, and plain `http` where there is no `https`.
    pub insecure: bool,
    /// Certificates to trust besides the system's, in PEM.
    pub ca_file: Option<PathBuf>,
    /// Folders with a folder `HOST[:PORT]` for each registry that has certificates of its own.
    pub certs_dirs: Vec<PathBuf>,
    /// How many blobs move at once.
    pub concurrency: usize,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// How to repeat what failed.
    pub retry: RetryPolicy,
    /// Where user names and passwords come from.
    pub credentials: Credentials,
    /// Ends transfers.
    pub cancel: Cancel,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            plain_http: false,
            insecure: false,
            ca_file: None,
            certs_dirs: default_certs_dirs(),
            concurrency: 4,
            timeouts: Timeouts::default(),
            retry: RetryPolicy::default(),
            credentials: Credentials::of_user(),
            cancel: Cancel::default(),
        }
    }
}

/// Where docker and podman look.
fn default_certs_dirs() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> =
        ["/etc/docker/certs.d", "/etc/containers/certs.d"].map(PathBuf::from).into();
    if let Some(home) = std::env::var_os("HOME").map(PathBuf::from).filter(|p| p.is_absolute()) {
        dirs.extend(
            [".config/docker/certs.d", ".config/containers/certs.d"].map(|dir| home.join(dir)),
        );
    }
    dirs
}
