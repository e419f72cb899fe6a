//! Caps on what an image may make us hold, read or write. Each says which abuse it stops.

/// Bytes of a manifest, index, image config or `manifest.json`: they are parsed in memory, so a
/// huge one would exhaust it. Registries cap manifests at 4 MiB.
pub const MAX_JSON_BYTES: u64 = 4 << 20;

/// Entries of one index: stops a fan-out of descriptors. Real indexes list tens.
pub const MAX_INDEX_ENTRIES: usize = 1024;

/// Nesting of indexes in indexes: stops an endless chain (a cycle needs a hash collision).
pub const MAX_INDEX_DEPTH: usize = 4;

/// Layers of one image: stops a manifest that names one layer a million times. Docker stops at 127.
pub const MAX_LAYERS: usize = 1024;

/// Bytes of one uncompressed layer: stops a decompression bomb from filling the disk.
pub const MAX_LAYER_BYTES: u64 = 64 << 30;

/// Expansion that is always allowed: small archives of zeros are harmless and common in tests.
pub const EXPANSION_FLOOR_BYTES: u64 = 1 << 30;

/// Uncompressed bytes per compressed byte above [`EXPANSION_FLOOR_BYTES`]: stops a bomb early.
/// Real layers reach 20; gzip's own limit is 1032.
pub const MAX_EXPANSION_RATIO: u64 = 200;

/// Members of an image archive or entries of a layer: stops a tar of headers only, which would
/// fill memory with names (512 bytes on disk make some 300 in memory).
pub const MAX_TAR_ENTRIES: u64 = 1 << 20;

/// Bytes of one PAX header or GNU long name: they are held in memory. Linux allows 64 KiB of
/// extended attributes a file and 4 KiB of path.
pub const MAX_TAR_META_BYTES: u64 = 1 << 20;

/// Extents of one sparse file: stops a map that outgrows the file it describes.
pub const MAX_SPARSE_EXTENTS: usize = 1 << 16;

/// Logical bytes of one file: a sparse map can claim 8 EiB, and holes cost time downstream.
pub const MAX_FILE_BYTES: u64 = 64 << 30;
