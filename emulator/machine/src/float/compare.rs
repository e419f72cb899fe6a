//! Comparisons, minimum, maximum, classification.

use super::Flags;
use super::format::Format;

/// `a == b`; quiet: only a signaling NaN is invalid.
#[inline]
pub fn eq<F: Format>(a: F, b: F, flags: &mut Flags) -> bool {
    raise_if_signaling(a, b, flags);
    a.native() == b.native()
}

/// `a < b`; signaling: any NaN is invalid.
#[inline]
pub fn lt<F: Format>(a: F, b: F, flags: &mut Flags) -> bool {
    raise_if_nan(a, b, flags);
    a.native() < b.native()
}

/// `a <= b`; signaling: any NaN is invalid.
#[inline]
pub fn le<F: Format>(a: F, b: F, flags: &mut Flags) -> bool {
    raise_if_nan(a, b, flags);
    a.native() <= b.native()
}

/// The smaller (IEEE 754-2019 minimumNumber): -0 is below +0, a number wins over a NaN, and a
/// signaling NaN is invalid all the same.
#[inline]
pub fn min<F: Format>(a: F, b: F, flags: &mut Flags) -> F {
    let a_is_smaller = a.native() < b.native() || a.native() == b.native() && a.is_negative();
    select(a, b, a_is_smaller, flags)
}

/// The larger (IEEE 754-2019 maximumNumber); see [`min`].
#[inline]
pub fn max<F: Format>(a: F, b: F, flags: &mut Flags) -> F {
    let a_is_larger = a.native() > b.native() || a.native() == b.native() && b.is_negative();
    select(a, b, a_is_larger, flags)
}

/// The class as one set bit of RISC-V's FCLASS: negative infinity, normal, subnormal, zero (bits
/// 0 to 3), positive zero, subnormal, normal, infinity (4 to 7), signaling NaN (8), quiet NaN (9).
#[inline]
pub fn classify<F: Format>(a: F) -> u32 {
    let smallest_normal = 1 << (F::PRECISION - 1);
    let from_zero = match a.magnitude() {
        _ if a.is_nan() => return if a.is_signaling() { 1 << 8 } else { 1 << 9 },
        0 => 0,
        magnitude if magnitude < smallest_normal => 1,
        magnitude if magnitude < F::INFINITY => 2,
        _ => 3,
    };
    if a.is_negative() { 1 << (3 - from_zero) } else { 1 << (4 + from_zero) }
}

#[inline]
fn select<F: Format>(a: F, b: F, a_wins: bool, flags: &mut Flags) -> F {
    raise_if_signaling(a, b, flags);
    if a.is_nan() && b.is_nan() {
        F::from_raw(F::QUIET_NAN)
    } else if a_wins || b.is_nan() {
        a
    } else {
        b
    }
}

#[inline]
fn raise_if_signaling<F: Format>(a: F, b: F, flags: &mut Flags) {
    if a.is_signaling() || b.is_signaling() {
        flags.raise(Flags::NV);
    }
}

#[inline]
fn raise_if_nan<F: Format>(a: F, b: F, flags: &mut Flags) {
    if a.is_nan() || b.is_nan() {
        flags.raise(Flags::NV);
    }
}
