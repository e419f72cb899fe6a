//! Guest instruction sets: bytes to architecture-neutral ops.
