//! Caps on what a registry may make us hold, follow or wait for.

use std::time::Duration;

/// Largest manifest or index in bytes; distribution-spec 1.1 has registries accept 4 MiB.
pub const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// Most layers of a manifest, which stops manifests that name one blob a hundred thousand times.
pub const MAX_LAYERS: usize = 1000;

/// Most entries of an index.
pub const MAX_INDEX_ENTRIES: usize = 1000;

/// Deepest nesting of indexes, which stops cycles.
pub const MAX_INDEX_DEPTH: usize = 4;

/// Largest page of a tag list in bytes: 10^5 short tags fit.
pub(crate) const MAX_TAGS_BYTES: u64 = 4 << 20;

/// Most tags that are looked at for a hint.
pub const MAX_TAGS: usize = 10_000;

/// Most pages of a tag list, which stops a list that links to itself.
pub(crate) const MAX_TAG_PAGES: usize = 20;

/// Largest reply of a token service in bytes: tokens that list many grants are tens of kilobytes.
pub(crate) const MAX_TOKEN_BYTES: u64 = 256 << 10;

/// Bytes of an error reply that are read for the message.
pub(crate) const MAX_ERROR_BYTES: u64 = 16 << 10;

/// Longest text of a registry that is shown, in characters.
pub(crate) const MAX_SHOWN: usize = 300;

/// Most redirects of one request.
pub(crate) const MAX_REDIRECTS: usize = 5;

/// A transfer that is cut short goes on at once as long as every connection brings this many
/// bytes; others count as failed attempts. Together with the blob's size it bounds their number.
pub(crate) const MIN_PROGRESS: u64 = 64 << 10;

/// Fewest bytes that a body must bring in the time that a stall may last. Stops a server that
/// keeps connections open with a byte a minute.
pub(crate) const MIN_WINDOW_BYTES: u64 = 16 << 10;

/// Longest wait that a registry may ask for with `Retry-After`.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Largest file of credentials or certificates in bytes.
pub(crate) const MAX_CONFIG_BYTES: u64 = 4 << 20;

/// Bytes of one PATCH of an upload. A lost connection costs half of it on average.
pub(crate) const CHUNK_BYTES: u64 = 16 << 20;

/// Largest chunk that a registry may ask for with `OCI-Chunk-Min-Length`.
pub(crate) const MAX_CHUNK_BYTES: u64 = 1 << 30;

/// Bytes moved per read.
pub(crate) const COPY_BYTES: usize = 256 << 10;
