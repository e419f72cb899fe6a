//! Plain OCI values and the local content-addressed store.
//!
//! An [`Image`] is an [`ImageConfig`] and its [`Layer`]s. It comes from an OCI layout, an OCI
//! archive or a docker archive ([`open_image`]); nothing here speaks to a network and nothing is
//! unpacked: a layer, wherever it is, is a [`Blob`], a range of an open file.
//!
//! Invariants:
//! - What an image says is hostile. Documents are parsed within the caps of [`limits`], and bytes
//!   are trusted only after their digest was computed.
//! - A [`Store`] never shows a partial blob, and any number of builds may use it at once.
//! - Equal values serialise to equal bytes.

mod archive;
mod archive_writer;
mod artifact;
mod blob;
mod compression;
mod config;
mod digest;
mod error;
mod image;
mod layer;
mod layout;
mod layout_writer;
pub mod limits;
mod manifest;
mod platform;
mod reference;
mod run_hints;
mod store;
mod tarball;

pub use archive::open_archive;
pub use archive_writer::{ArchiveFormat, ImageArchive};
pub use artifact::{
    Artifact, ArtifactDocuments, ArtifactInfo, CREATED, TITLE, WASM_CONFIG, WASM_LAYER, WasmConfig,
};
pub use blob::{Blob, BlobReader};
pub use config::{HealthCheck, History, ImageConfig, RootFs, RunConfig};
pub use digest::{Digest, Hasher};
pub use error::Error;
pub use image::{Image, ImageChoice, Selection, open_image};
pub use layer::Layer;
pub use layout::open_oci_layout;
pub use layout_writer::LayoutWriter;
pub use manifest::{
    DOCKER_CONFIG, DOCKER_INDEX, DOCKER_MANIFEST, Descriptor, Index, Manifest, OCI_CONFIG,
    OCI_INDEX, OCI_MANIFEST,
};
pub use platform::Platform;
pub use reference::Reference;
pub use run_hints::{RUN_HINT, run_hints};
pub use store::{
    BlobWriter, ExclusiveStore, Named, PruneOptions, Pruned, Record, RecordEntry, Records, Store,
};
pub use tarball::{DeviceNumber, Extent, TarData, TarEntries, TarEntry, TarKind};
