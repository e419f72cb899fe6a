//! Results put together: the one place where numbers are rounded to a format.

use super::format::Layout;
use super::unpack::Number;
use super::{Flags, RoundingMode};

/// Whether to round away from zero, given whether the kept part is odd and what follows it, as a
/// fraction of 2^64 whose lowest bit is sticky.
pub(super) fn rounds_away(rm: RoundingMode, negative: bool, odd: bool, fraction: u64) -> bool {
    const HALF: u64 = 1 << 63;
    match rm {
        RoundingMode::Rne => fraction > HALF || fraction == HALF && odd,
        RoundingMode::Rtz => false,
        RoundingMode::Rdn => negative && fraction != 0,
        RoundingMode::Rup => !negative && fraction != 0,
        RoundingMode::Rmm => fraction >= HALF,
    }
}

/// Shifts right; bit 0 of the result is also set if a set bit was shifted out.
pub(super) fn shift_right_sticky(significand: u128, count: u32) -> u128 {
    match count {
        0 => significand,
        1..=127 => significand >> count | u128::from(significand << (128 - count) != 0),
        _ => u128::from(significand != 0),
    }
}

/// The canonical NaN, of an invalid operation.
pub(super) fn invalid<F: Layout>(flags: &mut Flags) -> F {
    flags.raise(Flags::NV);
    F::from_raw(F::QUIET_NAN)
}

pub(super) fn signed<F: Layout>(negative: bool, magnitude: u64) -> F {
    F::from_raw(magnitude | if negative { F::SIGN } else { 0 })
}

/// A significand cut to the format's precision.
struct Cut {
    kept: u64,
    away: bool,
    inexact: bool,
}

fn cut<F: Layout>(rm: RoundingMode, negative: bool, significand: u64) -> Cut {
    let kept = significand >> (64 - F::PRECISION);
    let fraction = significand << F::PRECISION;
    let away = rounds_away(rm, negative, kept & 1 != 0, fraction);
    Cut { kept, away, inexact: fraction != 0 }
}

/// Rounds a number to the format and raises overflow, underflow and inexact.
pub(super) fn round<F: Layout>(number: Number, rm: RoundingMode, flags: &mut Flags) -> F {
    let Number { negative, exponent, significand } = number;
    if exponent > F::EMAX {
        return overflow(negative, rm, flags);
    }
    if exponent < F::EMIN {
        return round_below_normal(number, rm, flags);
    }
    let Cut { kept, away, inexact } = cut::<F>(rm, negative, significand);
    // Adding the hidden bit to the exponent field below its value, and letting a carry out of
    // the significand run into it, gives the right exponent in every case.
    let field = (exponent - F::EMIN) as u64;
    let magnitude = (field << (F::PRECISION - 1)) + kept + u64::from(away);
    if magnitude >= F::INFINITY {
        return overflow(negative, rm, flags);
    }
    if inexact {
        flags.raise(Flags::NX);
    }
    signed(negative, magnitude)
}

fn round_below_normal<F: Layout>(number: Number, rm: RoundingMode, flags: &mut Flags) -> F {
    let Number { negative, exponent, significand } = number;
    let shift = (F::EMIN - exponent) as u32;
    let subnormal = shift_right_sticky(u128::from(significand), shift) as u64;
    let Cut { kept, away, inexact } = cut::<F>(rm, negative, subnormal);
    if inexact {
        flags.raise(Flags::NX);
        if is_tiny::<F>(number, rm) {
            flags.raise(Flags::UF);
        }
    }
    signed(negative, kept + u64::from(away))
}

/// Whether a number below the normal range stays there when rounded as if the exponent had no
/// lower bound: tininess after rounding.
fn is_tiny<F: Layout>(number: Number, rm: RoundingMode) -> bool {
    let Cut { kept, away, .. } = cut::<F>(rm, number.negative, number.significand);
    let carries = away && kept == (1 << F::PRECISION) - 1;
    number.exponent < F::EMIN - 1 || !carries
}

fn overflow<F: Layout>(negative: bool, rm: RoundingMode, flags: &mut Flags) -> F {
    flags.raise(Flags::OF | Flags::NX);
    let to_infinity = match rm {
        RoundingMode::Rne | RoundingMode::Rmm => true,
        RoundingMode::Rtz => false,
        RoundingMode::Rdn => negative,
        RoundingMode::Rup => !negative,
    };
    signed(negative, if to_infinity { F::INFINITY } else { F::INFINITY - 1 })
}
