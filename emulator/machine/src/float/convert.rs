//! Conversions between the formats, and between formats and integers.

use super::format::{Format, Layout};
use super::integer::Integer;
use super::round::{round, rounds_away, shift_right_sticky, signed};
use super::unpack::{Number, Unpacked};
use super::{Flags, RoundingMode};

/// The number in the other format.
#[inline]
pub fn to_format<F: Format, G: Format>(a: F, rm: RoundingMode, flags: &mut Flags) -> G {
    let widening = G::PRECISION >= F::PRECISION;
    if widening || rm == RoundingMode::Rne {
        let result = G::narrowed(a.widened());
        let exact = || result.widened() == a.widened();
        if result.is_safely_normal() && (flags.contains(Flags::NX) || exact()) || a.is_zero() {
            return result;
        }
    }
    to_format_soft(a, rm, flags)
}

#[cold]
#[inline(never)]
fn to_format_soft<F: Format, G: Format>(a: F, rm: RoundingMode, flags: &mut Flags) -> G {
    match Unpacked::of(a) {
        Unpacked::Nan { signaling } => {
            if signaling {
                flags.raise(Flags::NV);
            }
            G::from_raw(G::QUIET_NAN)
        }
        Unpacked::Infinity { negative } => signed(negative, G::INFINITY),
        Unpacked::Zero { negative } => signed(negative, 0),
        Unpacked::Number(number) => round(number, rm, flags),
    }
}

/// The float nearest to an integer in the direction of `rm`.
#[inline]
pub fn from_int<I: Integer, F: Format>(value: I, rm: RoundingMode, flags: &mut Flags) -> F {
    let (negative, magnitude) = value.to_parts();
    let exact = magnitude >> F::PRECISION == 0;
    if exact || rm == RoundingMode::Rne && flags.contains(Flags::NX) {
        return signed(negative, F::nearest(magnitude).raw());
    }
    round_int(negative, magnitude, rm, flags)
}

#[cold]
#[inline(never)]
fn round_int<F: Layout>(negative: bool, magnitude: u64, rm: RoundingMode, flags: &mut Flags) -> F {
    round(Number::normalized(negative, 63, magnitude), rm, flags)
}

/// The integer nearest to a float in the direction of `rm`. Whatever the type lacks is invalid
/// and gives its bound on that side, NaN the upper one; invalid excludes inexact.
#[inline]
pub fn to_int<F: Format, I: Integer>(a: F, rm: RoundingMode, flags: &mut Flags) -> I {
    // Powers of two well inside i64, where the host's conversion neither saturates nor rounds.
    const LIMIT: f64 = (1u64 << 62) as f64;
    let value = a.widened();
    if value.abs() < LIMIT {
        let truncated = value as i64;
        let exact = truncated as f64 == value;
        let settled = exact || rm == RoundingMode::Rtz && flags.contains(Flags::NX);
        if let (true, Some(result)) =
            (settled, I::from_parts(truncated < 0, truncated.unsigned_abs()))
        {
            return result;
        }
    }
    to_int_soft(a, rm, flags)
}

#[cold]
#[inline(never)]
fn to_int_soft<F: Format, I: Integer>(a: F, rm: RoundingMode, flags: &mut Flags) -> I {
    let (negative, rounded) = match Unpacked::of(a) {
        Unpacked::Nan { .. } => (false, None),
        Unpacked::Infinity { negative } => (negative, None),
        Unpacked::Zero { negative } => (negative, Some((0, false))),
        Unpacked::Number(number) => (number.negative, round_to_int(number, rm)),
    };
    let fitting = rounded
        .and_then(|(magnitude, inexact)| Some((I::from_parts(negative, magnitude)?, inexact)));
    match fitting {
        Some((result, inexact)) => {
            if inexact {
                flags.raise(Flags::NX);
            }
            result
        }
        None => {
            flags.raise(Flags::NV);
            if negative { I::LOWEST } else { I::HIGHEST }
        }
    }
}

/// Magnitude rounded to an integer and whether that is inexact; `None` from 2^64 up.
fn round_to_int(number: Number, rm: RoundingMode) -> Option<(u64, bool)> {
    let shift = u32::try_from(63 - number.exponent).ok()?;
    let fixed_point = shift_right_sticky(u128::from(number.significand) << 64, shift);
    let (integer, fraction) = ((fixed_point >> 64) as u64, fixed_point as u64);
    let away = rounds_away(rm, number.negative, integer & 1 != 0, fraction);
    Some((integer.checked_add(u64::from(away))?, fraction != 0))
}
