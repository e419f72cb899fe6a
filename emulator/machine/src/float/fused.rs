//! Fused multiply-add, and with it the software side of addition and multiplication.

use super::arithmetic::{add, sum_error};
use super::format::{F32, F64, Format, Layout};
use super::round::{invalid, round, shift_right_sticky, signed};
use super::unpack::{Number, Unpacked};
use super::{Flags, RoundingMode};

/// `a * b + c`, rounded once. The variants with other signs negate `a` or `c` first.
///
/// Infinity times zero is invalid even if `c` is a quiet NaN.
#[inline]
pub fn mul_add<F: Format>(a: F, b: F, c: F, rm: RoundingMode, flags: &mut Flags) -> F {
    if rm == RoundingMode::Rne {
        match F::native_mul_add(a, b, c) {
            Some((result, exact)) if exact || flags.contains(Flags::NX) => return result,
            _ if (a.is_zero() || b.is_zero()) && a.is_finite() && b.is_finite() => {
                return add(F::from_native(a.native() * b.native()), c, rm, flags);
            }
            _ => {}
        }
    }
    mul_add_soft(a, b, c, rm, flags)
}

/// Binary64 holds any product of two binary32 numbers. Its sum with the third, rounded to odd,
/// has more than two bits to spare, so that rounding it again to binary32 is innocuous (Boldo and
/// Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
#[inline]
pub(super) fn by_widening(a: F32, b: F32, c: F32) -> Option<(F32, bool)> {
    let (product, addend) = (a.widened() * b.widened(), c.widened());
    let (sum, exact_sum) = sum_to_odd(product, addend);
    let result = F32::narrowed(sum);
    let usable = result.is_safely_normal() || sum == 0.0;
    usable.then(|| (result, exact_sum && result.widened() == sum))
}

/// The same authors' algorithm for the widest host type: product and sums as pairs of a rounded
/// value and its error, the last correction rounded to odd.
#[inline]
pub(super) fn by_error_terms(a: F64, b: F64, c: F64) -> Option<(F64, bool)> {
    // With these exponents neither the error terms underflow nor the sums overflow.
    let in_range = exponent_within(a, 300)
        && exponent_within(b, 300)
        && (c.is_zero() || exponent_within(c, 700));
    if !in_range {
        return None;
    }
    let (a, b, c) = (a.native(), b.native(), c.native());
    let product = a * b;
    let product_error = product_error(a, b, product);
    let (low, low_error) = two_sum(c, product_error);
    let (high, high_error) = two_sum(product, low);
    let (correction, exact_correction) = sum_to_odd(low_error, high_error);
    let result = high + correction;
    let exact = exact_correction && sum_error(high, correction, result) == 0.0;
    Some((F64::from_native(result), exact))
}

#[inline]
fn exponent_within(number: F64, limit: u64) -> bool {
    let biased = number.magnitude() >> (F64::PRECISION - 1);
    biased.wrapping_sub(F64::EMAX as u64 - limit) <= 2 * limit
}

#[inline]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    (sum, sum_error(a, b, sum))
}

/// What rounding to nearest took from `product` of `a` and `b` (Dekker's two-product).
#[inline]
fn product_error(a: f64, b: f64, product: f64) -> f64 {
    let ((a_high, a_low), (b_high, b_low)) = (halves(a), halves(b));
    a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)
}

/// Two numbers of at most 26 significant bits whose sum is `a` (Veltkamp's splitting).
#[inline]
fn halves(a: f64) -> (f64, f64) {
    let scaled = a * 134_217_729.0; // 2^27 + 1
    let high = scaled - (scaled - a);
    (high, a - high)
}

/// The sum rounded to odd, and whether it is exact. Of the two numbers around an inexact sum that
/// is the one with an odd significand: it can stand for the exact sum in a later rounding.
#[inline]
fn sum_to_odd(a: f64, b: f64) -> (f64, bool) {
    let (sum, error) = two_sum(a, b);
    if error == 0.0 || sum.to_bits() & 1 != 0 {
        return (sum, error == 0.0);
    }
    let outwards = (error > 0.0) == (sum > 0.0);
    let odd = if outwards { sum.to_bits() + 1 } else { sum.to_bits() - 1 };
    (f64::from_bits(odd), false)
}

#[cold]
#[inline(never)]
pub(super) fn mul_add_soft<F: Format>(a: F, b: F, c: F, rm: RoundingMode, flags: &mut Flags) -> F {
    let operands @ [x, y, addend] = [a, b, c].map(Unpacked::of);
    let negative = a.is_negative() != b.is_negative();
    let product = match (x, y) {
        (Unpacked::Infinity { .. }, Unpacked::Zero { .. })
        | (Unpacked::Zero { .. }, Unpacked::Infinity { .. }) => return invalid(flags),
        _ if operands.iter().any(|o| matches!(o, Unpacked::Nan { .. })) => {
            if operands.iter().any(|o| o.is_signaling()) {
                flags.raise(Flags::NV);
            }
            return F::from_raw(F::QUIET_NAN);
        }
        (Unpacked::Number(x), Unpacked::Number(y)) => Wide::product(negative, x, y),
        (Unpacked::Zero { .. }, _) | (_, Unpacked::Zero { .. }) => {
            return add_to_zero(negative, c, rm);
        }
        _ => return add_to_infinity(negative, addend, flags),
    };
    let sum = match addend {
        Unpacked::Number(addend) => product.plus(addend.into()),
        Unpacked::Zero { .. } => Some(product),
        _ => return c,
    };
    match sum {
        Some(sum) => round(sum.into(), rm, flags),
        None => signed(rm == RoundingMode::Rdn, 0),
    }
}

fn add_to_zero<F: Format>(negative: bool, addend: F, rm: RoundingMode) -> F {
    if addend.is_zero() && addend.is_negative() != negative {
        signed(rm == RoundingMode::Rdn, 0)
    } else {
        addend
    }
}

fn add_to_infinity<F: Layout>(negative: bool, addend: Unpacked, flags: &mut Flags) -> F {
    match addend {
        Unpacked::Infinity { negative: other } if other != negative => invalid(flags),
        _ => signed(negative, F::INFINITY),
    }
}

/// An intermediate result: `significand * 2^(exponent - 126)`, bit 126 set. The bit above has
/// room for a carry. Products are exact; 126 bits are so many more than a format's precision
/// that the sticky bit 0 of a shifted addend never decides a rounding wrongly.
#[derive(Clone, Copy)]
struct Wide {
    negative: bool,
    exponent: i32,
    significand: u128,
}

impl Wide {
    /// `significand * 2^(exponent - 126)`, for any significand but 0.
    fn normalized(negative: bool, exponent: i32, significand: u128) -> Self {
        match significand.leading_zeros() {
            0 => Self {
                negative,
                exponent: exponent + 1,
                significand: shift_right_sticky(significand, 1),
            },
            zeros => Self {
                negative,
                exponent: exponent - (zeros as i32 - 1),
                significand: significand << (zeros - 1),
            },
        }
    }

    fn product(negative: bool, x: Number, y: Number) -> Self {
        let significand = u128::from(x.significand) * u128::from(y.significand);
        Self::normalized(negative, x.exponent + y.exponent, significand)
    }

    /// The sum; `None` if it is exactly zero.
    fn plus(self, other: Self) -> Option<Self> {
        let self_is_larger =
            (self.exponent, self.significand) >= (other.exponent, other.significand);
        let (large, small) = if self_is_larger { (self, other) } else { (other, self) };
        let distance = (large.exponent - small.exponent) as u32;
        let aligned = shift_right_sticky(small.significand, distance);
        let significand = if large.negative == small.negative {
            large.significand + aligned
        } else {
            large.significand - aligned
        };
        (significand != 0).then(|| Self::normalized(large.negative, large.exponent, significand))
    }
}

impl From<Number> for Wide {
    fn from(number: Number) -> Self {
        let Number { negative, exponent, significand } = number;
        Self { negative, exponent, significand: u128::from(significand) << 63 }
    }
}

impl From<Wide> for Number {
    fn from(wide: Wide) -> Self {
        let Wide { negative, exponent, significand } = wide;
        Self { negative, exponent, significand: shift_right_sticky(significand, 63) as u64 }
    }
}
