//! Values on wasm's stack on the way to a local and back.

use super::Emitter;

/// A `local.set`.
#[derive(Debug, Clone, Copy)]
pub(super) struct LocalSet {
    local: u32,
    /// Where in the code it is.
    start: usize,
    end: usize,
}

impl Emitter<'_> {
    /// Pops the value of `local`.
    pub(super) fn pop(&mut self, local: u32) {
        let start = self.code.len();
        self.w().local_set(local);
        self.last_set = Some(LocalSet { local, start, end: self.code.len() });
    }

    /// Pushes the value of `local`, where it stays if it was popped a moment ago.
    pub(super) fn push(&mut self, local: u32) {
        let last = self.last_set.take();
        match last.filter(|set| set.local == local && set.end == self.code.len()) {
            Some(set) => {
                self.code.truncate(set.start);
                self.w().local_tee(local);
            }
            None => {
                self.w().local_get(local);
            }
        }
    }
}
