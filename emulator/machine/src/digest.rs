//! The state of a machine as one number, to compare machines by.

use crate::arena::PAGE_SIZE;
use crate::machine::Machine;

/// Registers of either kind; what is behind them in their arrays is the interpreter's.
const REGISTERS: usize = 32;

/// Odd, and its bits as good as random: the golden ratio's.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

struct Digest(u64);

impl Digest {
    fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(FACTOR).rotate_left(29);
    }

    /// A page of zeros is as one that was never touched.
    fn add_page(&mut self, index: usize, page: &[u8; PAGE_SIZE]) {
        if *page == [0; PAGE_SIZE] {
            return;
        }
        self.add(index as u64);
        for word in page.as_chunks().0 {
            self.add(u64::from_le_bytes(*word));
        }
    }
}

impl Machine {
    /// A number for registers and RAM: those of two machines in the same state are equal. It keeps nobody
    /// from making two states with the same one.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let core = &self.core;
        let mut digest = Digest(0);
        let registers = core.x[1..REGISTERS].iter().chain(&core.f[..REGISTERS]);
        registers.for_each(|register| digest.add(*register));
        digest.add(core.pc);
        for index in 0..core.ram.len_pages() {
            core.ram.with_page(index, |page| {
                if let Some(page) = page {
                    digest.add_page(index, page);
                }
            });
        }
        digest.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_depend_on_every_byte_and_its_place_but_not_on_touched_zeros() {
        let of = |pages: &[(usize, usize, u8)]| {
            let mut digest = Digest(0);
            for (index, at, byte) in pages {
                let mut page = [0; PAGE_SIZE];
                page[*at] = *byte;
                digest.add_page(*index, &page);
            }
            digest.0
        };
        let one = of(&[(3, 100, 7)]);
        assert_eq!(one, of(&[(1, 0, 0), (3, 100, 7), (4, 0, 0)]));
        for other in [(3, 100, 8), (3, 101, 7), (3, 4000, 7), (4, 100, 7)] {
            assert_ne!(one, of(&[other]), "{other:?}");
        }
    }
}
