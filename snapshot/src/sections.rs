//! The custom sections of an artifact.

use serde::{Deserialize, Serialize};

/// Name of the section with the [`Manifest`].
pub(crate) const MANIFEST: &str = "lithify.manifest";
/// Name of the section with the OCI image config.
pub(crate) const IMAGE_CONFIG: &str = "lithify.image-config";

/// What an artifact was made from. Digests are `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`Manifest::FORMAT`] of the tool that wrote it.
    pub format: u32,
    /// Name and version of the tool that wrote it.
    pub tool: String,
    /// Guest architecture as OCI names it.
    pub architecture: String,
    /// Guest RAM in bytes.
    pub memory_bytes: u64,
    /// Digest of the kernel `Image`.
    pub kernel: String,
    /// Digest of the initramfs.
    pub initramfs: String,
    /// Digest of the emulator before it booted.
    pub emulator: String,
    /// Digest of the root file system image.
    pub rootfs: String,
    /// The image's program runs in the frozen machine already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub running: bool,
}

impl Manifest {
    /// Raised when the meaning of a field changes or an artifact needs a newer runner.
    pub const FORMAT: u32 = 1;
}

/// What [`seal`](crate::seal) writes in front of the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sections {
    /// Goes to `lithify.manifest`.
    pub manifest: Manifest,
    /// The OCI image config as JSON, goes to `lithify.image-config`.
    pub image_config: Vec<u8>,
}

impl Sections {
    /// Name and contents in the order of the file.
    pub(crate) fn encode(&self) -> Result<[(&'static str, Vec<u8>); 2], serde_json::Error> {
        let manifest = serde_json::to_vec(&self.manifest)?;
        Ok([(MANIFEST, manifest), (IMAGE_CONFIG, self.image_config.clone())])
    }
}
