//! Caps on what layers may make a tree hold. Each says which abuse it stops.

/// Nodes of a tree, removed ones included: stops layers that add and remove forever. A big
/// desktop image has 500,000.
pub const MAX_NODES: usize = 4 << 20;

/// Directories above one another: walking is iterative here, but not in every consumer, and no
/// guest program can name a path that deep.
pub const MAX_DEPTH: usize = 512;

/// Bytes of a path or of a symbolic link's target: Linux' `PATH_MAX`.
pub const MAX_PATH_BYTES: usize = 4096;

/// Bytes of a name: Linux' `NAME_MAX`; squashfs allows one more.
pub const MAX_NAME_BYTES: usize = 255;

/// Symbolic links followed in one lookup: Linux' own limit stops loops the same way.
pub const MAX_SYMLINK_HOPS: usize = 40;

/// Bytes of an extended attribute's name: Linux' `XATTR_NAME_MAX`.
pub const MAX_XATTR_NAME_BYTES: usize = 255;

/// Bytes of an extended attribute's value: Linux' `XATTR_SIZE_MAX`.
pub const MAX_XATTR_VALUE_BYTES: usize = 64 << 10;

/// Largest major device number: Linux and squashfs keep 12 bits.
pub const MAX_DEVICE_MAJOR: u32 = (1 << 12) - 1;

/// Largest minor device number: Linux and squashfs keep 20 bits.
pub const MAX_DEVICE_MINOR: u32 = (1 << 20) - 1;

/// Blocks of 64 KiB in all files of a squashfs image, holes included, which makes 1 TiB: stops
/// sparse files, which cost nothing in a layer, from filling memory with lists of blocks.
pub const MAX_DATA_BLOCKS: u64 = 1 << 24;
