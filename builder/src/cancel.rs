//! The wish to stop a build.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Says that a build shall stop; clones say the same.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Makes the build end with an error soon, also in the middle of a command.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the build shall stop.
    #[must_use]
    pub fn is_canceled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
