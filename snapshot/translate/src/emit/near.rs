//! Pages that a function remembers in locals, so that an access to the same page again asks no table.
//!
//! While translated code runs, no entry of the TLB becomes wrong: whatever could make one so is the
//! interpreter's to execute, and leaving for it ends the function. So what a function has found in the
//! TLB holds until it returns, over all of its own calls too. A local begins with zero, which is no
//! page's tag, and gets it again where the view of the memory changes.
//!
//! Remembered is one page for each register that addresses are made of, in tight loops, and only where that register
//! is likely to stay on a page for a while: elsewhere the look costs more than it saves.

use wasm_encoder::ValType;

use super::Emitter;

/// Pages that one function remembers at most.
const MAX_PAGES: usize = 12;

/// A remembered page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Near {
    base: u8,
    store: bool,
    /// The local with its tag, as in the TLB.
    pub(super) tag: u32,
    /// The local with what to add to an address in it.
    pub(super) addend: u32,
}

impl Emitter<'_> {
    /// The page to remember for accesses through the register `base`, if that is worth it.
    pub(super) fn near_page(&mut self, base: u8, store: bool) -> Option<Near> {
        if self.path.tight.is_none() || !self.path.values.is_near(base) {
            return None;
        }
        if let Some(near) = self.near.iter().find(|near| near.base == base && near.store == store) {
            return Some(*near);
        }
        if self.near.len() == MAX_PAGES {
            return None;
        }
        let (tag, addend) = match &self.views {
            Some(views) => views.near(self.near.len())?,
            None => (self.new_local(ValType::I64), self.new_local(ValType::I32)),
        };
        self.near.push(Near { base, store, tag, addend });
        self.near.last().copied()
    }
}
