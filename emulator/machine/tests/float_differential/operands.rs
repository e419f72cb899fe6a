//! Operands that hit the edges: special values, neighbours of powers of two, and operands whose
//! results cancel, come out exact, or sit halfway between two numbers.

use crate::instructions::Operands;

/// A splitmix64 generator.
pub(crate) struct Random(u64);

/// Width of a format's fields, for building bit patterns.
#[derive(Clone, Copy)]
struct Fields {
    fraction: u32,
    bias: u64,
}

const SINGLE: Fields = Fields { fraction: 23, bias: 127 };
const DOUBLE: Fields = Fields { fraction: 52, bias: 1023 };

impl Fields {
    fn sign(self) -> u64 {
        self.infinity() + (1 << self.fraction)
    }

    fn infinity(self) -> u64 {
        (2 * self.bias + 1) << self.fraction
    }

    fn fraction_mask(self) -> u64 {
        (1 << self.fraction) - 1
    }
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Contents of three operand registers.
    pub(crate) fn operands(&mut self, kind: Operands) -> [u64; 3] {
        match kind {
            Operands::Double => self.floats(DOUBLE),
            Operands::Single => self.floats(SINGLE).map(|bits| self.boxed(bits)),
            Operands::Integer => std::array::from_fn(|_| self.integer()),
        }
    }

    /// NaN-boxes, now and then wrongly.
    fn boxed(&mut self, bits: u64) -> u64 {
        let upper = if self.below(64) == 0 { self.next() } else { u64::MAX };
        upper << 32 | bits
    }

    fn integer(&mut self) -> u64 {
        let magnitude = self.next() >> self.below(64);
        match self.below(3) {
            0 => magnitude,
            1 => magnitude.wrapping_neg(),
            _ => (1u64 << self.below(64)).wrapping_add(self.below(5)).wrapping_sub(2),
        }
    }

    fn floats(&mut self, fields: Fields) -> [u64; 3] {
        let (a, b, c) = (self.float(fields), self.float(fields), self.float(fields));
        let narrow = fields.fraction == SINGLE.fraction;
        match self.below(7) {
            0 => [a, self.near(a, fields), self.near(a, fields)],
            // The addend cancels most of the product.
            1 => [a, b, self.near(arithmetic(narrow, a, b, |a, b| -(a * b)), fields)],
            // A dividend, or a radicand, that may be an exact product.
            2 => [arithmetic(narrow, a, b, |a, b| a * b), b, c],
            3 => [arithmetic(narrow, a, a, |a, b| a * b), a, c],
            4 => self.halfway_but_for_the_addend(fields),
            _ => [a, b, c],
        }
    }

    /// A product one bit longer than the format, and an addend far below that bit.
    fn halfway_but_for_the_addend(&mut self, fields: Fields) -> [u64; 3] {
        let upper_half =
            fields.fraction_mask() & !(fields.fraction_mask() >> (fields.fraction.div_ceil(2)));
        let lowest_of_half = upper_half & upper_half.wrapping_neg();
        let mut factor = || {
            let fraction = self.next() & upper_half | lowest_of_half;
            fields.bias << fields.fraction | fraction | self.sign(fields)
        };
        let (a, b) = (factor(), factor());
        let exponent =
            fields.bias - 1 - self.below(fields.bias / 4) - 2 * u64::from(fields.fraction);
        [a, b, exponent << fields.fraction | self.fraction(fields) | self.sign(fields)]
    }

    /// The same magnitude or a neighbour, with either sign.
    fn near(&mut self, bits: u64, fields: Fields) -> u64 {
        let magnitude = bits & (fields.sign() - 1);
        let moved = magnitude.wrapping_add(self.below(5)).wrapping_sub(2) & (fields.sign() - 1);
        moved | self.sign(fields)
    }

    fn sign(&mut self, fields: Fields) -> u64 {
        if self.below(2) == 0 { fields.sign() } else { 0 }
    }

    fn float(&mut self, fields: Fields) -> u64 {
        let exponent = match self.below(8) {
            0 => return self.special(fields) | self.sign(fields),
            1 => self.below(2 * fields.bias + 2),
            2 => self.below(4),
            3 => 2 * fields.bias - self.below(4),
            4 => (fields.bias / 2 + self.below(60)).wrapping_sub(30),
            _ => (fields.bias + self.below(140)).saturating_sub(70).min(2 * fields.bias),
        };
        exponent << fields.fraction | self.fraction(fields) | self.sign(fields)
    }

    /// Random, short (exact arithmetic, halfway cases), or next to a power of two.
    fn fraction(&mut self, fields: Fields) -> u64 {
        let mask = fields.fraction_mask();
        match self.below(4) {
            0 => self.next() & mask & !(mask >> self.below(u64::from(fields.fraction))),
            1 => self.below(5).wrapping_sub(2) & mask,
            2 => (1 << self.below(u64::from(fields.fraction))) - self.below(2),
            _ => self.next() & mask,
        }
    }

    fn special(&mut self, fields: Fields) -> u64 {
        let infinity = fields.infinity();
        let quiet = infinity | 1 << (fields.fraction - 1);
        match self.below(9) {
            0 => 0,
            1 => 1,
            2 => fields.fraction_mask(),
            3 => fields.fraction_mask() + 1,
            4 => infinity - 1,
            5 => infinity,
            6 => quiet | self.next() & fields.fraction_mask(),
            7 => infinity | 1,
            _ => fields.bias << fields.fraction,
        }
    }
}

fn arithmetic(narrow: bool, a: u64, b: u64, operation: fn(f64, f64) -> f64) -> u64 {
    if narrow {
        let widen = |bits: u64| f64::from(f32::from_bits(bits as u32));
        u64::from((operation(widen(a), widen(b)) as f32).to_bits())
    } else {
        operation(f64::from_bits(a), f64::from_bits(b)).to_bits()
    }
}
