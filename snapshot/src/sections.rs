//! The custom sections of an artifact.

use crate::census::MachineSizes;
use lithify_translate::Translation;
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
    /// What was translated ahead of time, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub translation: Option<TranslationReport>,
    /// Where the frozen machine's bytes are, in one that the build has frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineSizes>,
}

/// Guest code that an artifact holds as WebAssembly, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranslationReport {
    /// Different pages with such code.
    pub pages: u32,
    /// Functions that were made of it.
    pub functions: u32,
    /// Bytes of guest code.
    pub guest_bytes: u64,
    /// Bytes of the functions.
    pub wasm_bytes: u64,
    /// Executed instructions of the profile that are translated, in thousandths of all.
    pub covered_permille: u32,
}

impl TranslationReport {
    pub(crate) fn of(translation: &Translation) -> Self {
        let pages = translation.entries.chunk_by(|a, b| a.page == b.page).count();
        let covered =
            u128::from(translation.covered) * 1000 / u128::from(translation.counted.max(1));
        Self {
            pages: pages as u32,
            functions: translation.functions.len() as u32,
            guest_bytes: translation.guest_bytes as u64,
            wasm_bytes: translation
                .functions
                .iter()
                .map(|function| function.body.len() as u64)
                .sum(),
            covered_permille: covered as u32,
        }
    }
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
