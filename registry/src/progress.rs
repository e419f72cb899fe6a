//! Telling what goes on.

use std::time::Duration;

use lithify_image::Digest;

/// How a transfer of a blob ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its bytes moved.
    Moved,
    /// It was there already.
    Existed,
    /// The registry took it from another repository.
    Mounted,
    /// Not at all.
    Failed,
}

/// Hears of transfers, from several threads.
pub trait Progress: Send + Sync {
    /// The transfer of a blob of `size` bytes begins.
    fn begin(&self, _blob: &Digest, _media_type: &str, _size: u64) {}
    /// So many bytes of it moved so far. Less than before, where a part moves again.
    fn position(&self, _blob: &Digest, _bytes: u64) {}
    /// The transfer ended.
    fn end(&self, _blob: &Digest, _outcome: Outcome) {}
    /// Something failed and is tried again after `wait`.
    fn retrying(&self, _why: &str, _wait: Duration) {}
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {}
