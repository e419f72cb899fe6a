//! Bytes as a sequence of choices; when they are used up, each choice is the first.

/// Reads choices from the fuzzer's bytes.
#[derive(Debug)]
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// Choices that `bytes` make.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left to choose by.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `count`, which is at most 256.
    pub fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    /// Up to 65,535 bytes of a simple pattern, so that short inputs make long files.
    pub fn data(&mut self) -> Vec<u8> {
        let (seed, low, high) = (self.byte(), self.byte(), self.byte());
        let len = usize::from(low) | usize::from(high) << 8;
        (0..len).map(|at| seed.wrapping_mul((at / 7) as u8 | 1)).collect()
    }
}
