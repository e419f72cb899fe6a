//! The wish to stop a build.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Says that a build shall stop; clones say the same.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    own: Arc<AtomicBool>,
    above: Option<Arc<AtomicBool>>,
}

impl Cancel {
    /// Makes the build end with an error soon, also in the middle of a command.
    pub fn cancel(&self) {
        self.own.store(true, Ordering::Relaxed);
    }

    /// Whether the build shall stop.
    #[must_use]
    pub fn is_canceled(&self) -> bool {
        let is_set = |flag: &Arc<AtomicBool>| flag.load(Ordering::Relaxed);
        is_set(&self.own) || self.above.as_ref().is_some_and(is_set)
    }

    /// A wish of its own that the wish of this one includes. It goes one level deep.
    pub(crate) fn below(&self) -> Self {
        Self { own: Arc::default(), above: Some(Arc::clone(&self.own)) }
    }
}
