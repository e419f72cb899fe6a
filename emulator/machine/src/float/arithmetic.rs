//! Addition, subtraction, multiplication, division, square root.

use super::format::{Format, Layout, Native};
use super::fused::mul_add_soft;
use super::round::{invalid, round, signed};
use super::unpack::{Number, Unpacked};
use super::{Flags, RoundingMode};

/// `a + b`.
#[inline]
pub fn add<F: Format>(a: F, b: F, rm: RoundingMode, flags: &mut Flags) -> F {
    if rm == RoundingMode::Rne {
        let sum = a.native() + b.native();
        let result = F::from_native(sum);
        // A sum never underflows: below the normal range it is exact.
        if result.is_finite()
            && (flags.contains(Flags::NX) || sum_error(a.native(), b.native(), sum) == Native::ZERO)
        {
            return result;
        }
    }
    mul_add_soft(a, F::from_raw(F::ONE), b, rm, flags)
}

/// `a - b`.
#[inline]
pub fn sub<F: Format>(a: F, b: F, rm: RoundingMode, flags: &mut Flags) -> F {
    add(a, b.negated(), rm, flags)
}

/// `a * b`.
#[inline]
pub fn mul<F: Format>(a: F, b: F, rm: RoundingMode, flags: &mut Flags) -> F {
    if rm == RoundingMode::Rne {
        let result = F::from_native(a.native() * b.native());
        let exact = || a.significant_bits() + b.significant_bits() <= F::PRECISION;
        if result.is_safely_normal() && (flags.contains(Flags::NX) || exact())
            || result.is_zero() && (a.is_zero() || b.is_zero())
        {
            return result;
        }
    }
    // A zero of the product's sign changes neither its value nor its sign.
    let zero = F::from_raw(0).with_sign(a.is_negative() != b.is_negative());
    mul_add_soft(a, b, zero, rm, flags)
}

/// `a / b`.
#[inline]
pub fn div<F: Format>(a: F, b: F, rm: RoundingMode, flags: &mut Flags) -> F {
    if rm == RoundingMode::Rne {
        let result = F::from_native(a.native() / b.native());
        if result.is_safely_normal() && (flags.contains(Flags::NX) || is_product(a, result, b))
            || result.is_zero() && a.is_zero()
        {
            return result;
        }
    }
    div_soft(a, b, rm, flags)
}

/// Square root of `a`.
#[inline]
pub fn sqrt<F: Format>(a: F, rm: RoundingMode, flags: &mut Flags) -> F {
    if rm == RoundingMode::Rne {
        let result = F::from_native(a.native().sqrt());
        if result.is_safely_normal() && (flags.contains(Flags::NX) || is_product(a, result, result))
            || result.is_zero()
        {
            return result;
        }
    }
    sqrt_soft(a, rm, flags)
}

/// What rounding to nearest took from a finite `sum` of `a` and `b` (Knuth's two-sum). Not zero,
/// maybe NaN, if a step overflows.
#[inline]
pub(super) fn sum_error<N: Native>(a: N, b: N, sum: N) -> N {
    let b_part = sum - a;
    let a_part = sum - b_part;
    (a - a_part) + (b - b_part)
}

/// Whether `product` is certainly the exact product of two numbers, none of them tiny.
#[inline]
fn is_product<F: Layout>(product: F, a: F, b: F) -> bool {
    product.is_safely_normal()
        && a.significant_bits() + b.significant_bits() <= F::PRECISION
        && a.native() * b.native() == product.native()
}

#[cold]
#[inline(never)]
fn div_soft<F: Format>(a: F, b: F, rm: RoundingMode, flags: &mut Flags) -> F {
    let (x, y) = (Unpacked::of(a), Unpacked::of(b));
    let negative = a.is_negative() != b.is_negative();
    match (x, y) {
        (Unpacked::Nan { .. }, _) | (_, Unpacked::Nan { .. }) => {
            if x.is_signaling() || y.is_signaling() {
                flags.raise(Flags::NV);
            }
            F::from_raw(F::QUIET_NAN)
        }
        (Unpacked::Infinity { .. }, Unpacked::Infinity { .. })
        | (Unpacked::Zero { .. }, Unpacked::Zero { .. }) => invalid(flags),
        (Unpacked::Infinity { .. }, _) => signed(negative, F::INFINITY),
        (Unpacked::Zero { .. }, _) | (_, Unpacked::Infinity { .. }) => signed(negative, 0),
        (Unpacked::Number(_), Unpacked::Zero { .. }) => {
            flags.raise(Flags::DZ);
            signed(negative, F::INFINITY)
        }
        (Unpacked::Number(x), Unpacked::Number(y)) => round(quotient(negative, x, y), rm, flags),
    }
}

/// Long division, 11 bits a step: 53-bit remainders leave that much room in 64 bits, and one
/// integer bit plus five steps exceed the 54 bits that rounding needs.
fn quotient(negative: bool, x: Number, y: Number) -> Number {
    const STEP: u32 = 11;
    let (dividend, divisor) = (x.significand >> STEP, y.significand >> STEP);
    let mut quotient = dividend / divisor;
    let mut remainder = dividend % divisor;
    for _ in 0..5 {
        remainder <<= STEP;
        quotient = (quotient << STEP) | (remainder / divisor);
        remainder %= divisor;
    }
    let (integer_bit, sticky) = (63 - 5 * STEP, u64::from(remainder != 0));
    Number::normalized(negative, x.exponent - y.exponent, quotient << integer_bit | sticky)
}

#[cold]
#[inline(never)]
fn sqrt_soft<F: Format>(a: F, rm: RoundingMode, flags: &mut Flags) -> F {
    match Unpacked::of(a) {
        Unpacked::Nan { signaling: false } => F::from_raw(F::QUIET_NAN),
        Unpacked::Zero { .. } | Unpacked::Infinity { negative: false } => a,
        Unpacked::Number(x) if !x.negative => round(root(x), rm, flags),
        _ => invalid(flags),
    }
}

/// Square root by digits: 55 bits, one more than rounding needs, and the sticky remainder.
fn root(x: Number) -> Number {
    const TOP: u32 = 54;
    // An even exponent halves exactly; an odd one gives its extra factor of 2 to the radicand.
    let mut remainder = x.significand >> (63 - TOP) << (x.exponent & 1);
    let (mut root, mut twice_root) = (0, 0);
    for position in (0..=TOP).rev() {
        let digit = 1 << position;
        let trial = twice_root + digit;
        if trial <= remainder {
            remainder -= trial;
            twice_root = trial + digit;
            root |= digit;
        }
        remainder <<= 1;
    }
    let significand = root << (63 - TOP) | u64::from(remainder != 0);
    Number { negative: false, exponent: x.exponent >> 1, significand }
}
