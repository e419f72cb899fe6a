//! Random numbers, and register contents that hit the edges.

/// A splitmix64 generator.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// Small numbers of either sign, neighbours of powers of two, or anything.
    pub(crate) fn integer(&mut self) -> u64 {
        let magnitude = self.next() >> self.below(64);
        match self.below(5) {
            0 => magnitude,
            1 => magnitude.wrapping_neg(),
            2 => i64::from(self.next() as i32) as u64,
            3 => self.next(),
            _ => (1u64 << self.below(64)).wrapping_add(self.below(5)).wrapping_sub(2),
        }
    }

    /// A float register: binary64, NaN-boxed binary32, or a box that is broken.
    pub(crate) fn float(&mut self) -> u64 {
        match self.below(16) {
            0 => self.next(),
            1 => self.next() << 32 | u64::from(self.single()),
            2..=8 => 0xffff_ffff << 32 | u64::from(self.single()),
            _ => self.double(),
        }
    }

    fn single(&mut self) -> u32 {
        let sign = (self.below(2) as u32) << 31;
        let exponent = self.exponent(0xff) as u32;
        sign | exponent << 23 | (self.fraction(23) as u32)
    }

    fn double(&mut self) -> u64 {
        self.below(2) << 63 | self.exponent(0x7ff) << 52 | self.fraction(52)
    }

    /// Zero and subnormal, infinity and NaN, close to one (where sums cancel), or anything.
    fn exponent(&mut self, largest: u64) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => largest,
            2 => 1 + self.below(2),
            3 => largest - 1 - self.below(2),
            4 => self.below(largest),
            _ => largest / 2 + self.below(12) - 6,
        }
    }

    fn fraction(&mut self, bits: u64) -> u64 {
        let mask = (1 << bits) - 1;
        match self.below(6) {
            0 => 0,
            1 => mask,
            2 => 1 << self.below(bits),
            3 => mask << self.below(bits) & mask,
            _ => self.next() & mask,
        }
    }
}
