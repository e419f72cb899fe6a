//! IEEE 754-2008 binary32 and binary64 arithmetic with every rounding mode and exact flags.
//!
//! Operands and results are bit patterns ([`F32`], [`F64`]), exceptions accumulate in [`Flags`].
//! Where IEEE 754 leaves a choice, the answer is RISC-V's (unprivileged specification, chapters
//! F and D): every NaN result is the canonical quiet NaN, tininess is detected after rounding,
//! conversions to integers saturate.
//!
//! Two implementations stand behind each arithmetic function:
//!
//! - The host's own f32/f64 instructions, which wasm has for round-to-nearest-even only and
//!   which report no flags. Their result stands if it cannot have raised anything new: it is
//!   finite, clearly normal, and exact or [`Flags::NX`] is set already. Programs set NX with
//!   their first inexact operation and seldom clear it, so nearly all operations end here.
//! - Integer arithmetic on unpacked significands for everything else; marked cold. Addition
//!   and multiplication are cases of the fused multiply-add there.
//!
//! NaN operands never reach a returned host result, since their payload would be the host's.

mod arithmetic;
mod compare;
mod convert;
mod format;
mod fused;
mod integer;
mod round;
mod unpack;

pub use arithmetic::{add, div, mul, sqrt, sub};
pub use compare::{classify, eq, le, lt, max, min};
pub use convert::{from_int, to_format, to_int};
pub use format::{F32, F64, Format};
pub use fused::mul_add;
pub use integer::Integer;

/// How a result that lies between two representable numbers is rounded. The discriminants are
/// RISC-V's `frm` values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RoundingMode {
    /// To the nearest, ties to even.
    Rne = 0,
    /// Towards zero.
    Rtz = 1,
    /// Down, towards negative infinity.
    Rdn = 2,
    /// Up, towards positive infinity.
    Rup = 3,
    /// To the nearest, ties away from zero (max magnitude).
    Rmm = 4,
}

impl RoundingMode {
    /// The mode that RISC-V's `frm` value names; `None` for the reserved ones (5 to 7).
    #[inline]
    pub fn from_frm(frm: u8) -> Option<Self> {
        match frm {
            0 => Some(Self::Rne),
            1 => Some(Self::Rtz),
            2 => Some(Self::Rdn),
            3 => Some(Self::Rup),
            4 => Some(Self::Rmm),
            _ => None,
        }
    }
}

/// Accrued exceptions, in the bit order of RISC-V's `fflags`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Flags(u8);

impl Flags {
    /// Inexact.
    pub const NX: Self = Self(1);
    /// Underflow: tiny after rounding, and inexact.
    pub const UF: Self = Self(2);
    /// Overflow.
    pub const OF: Self = Self(4);
    /// Division of a non-zero number by zero.
    pub const DZ: Self = Self(8);
    /// Invalid operation.
    pub const NV: Self = Self(16);

    /// The flags that are set in an `fflags` value; bits above the fifth are ignored.
    #[inline]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 0x1f)
    }

    /// The `fflags` value.
    #[inline]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of `other` are set.
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Sets `other`; flags are sticky.
    #[inline]
    pub fn raise(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl std::ops::BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_values_are_read_only_from_nan_boxes() {
        assert_eq!(F32::from_register(0xffff_ffff_3f80_0000), F32(0x3f80_0000));
        assert_eq!(F32::from_register(0xffff_fffe_3f80_0000), F32(0x7fc0_0000));
        assert_eq!(F32(0x3f80_0000).to_register(), 0xffff_ffff_3f80_0000);
    }

    #[test]
    fn rounding_modes_beyond_rmm_are_reserved() {
        let modes = (0..8).map(RoundingMode::from_frm).collect::<Vec<_>>();
        assert_eq!(modes[4], Some(RoundingMode::Rmm));
        assert_eq!(modes[5..], [None; 3]);
    }

    #[test]
    fn exact_results_raise_nothing_and_inexact_ones_raise_nx() {
        let (one, three) = (F64(0x3ff0_0000_0000_0000), F64(0x4008_0000_0000_0000));
        let mut flags = Flags::default();
        assert_eq!(mul(three, three, RoundingMode::Rne, &mut flags), F64(0x4022_0000_0000_0000));
        assert_eq!(flags, Flags::default());
        assert_eq!(div(one, three, RoundingMode::Rne, &mut flags), F64(0x3fd5_5555_5555_5555));
        assert_eq!(flags, Flags::NX);
    }

    #[test]
    fn tininess_is_detected_after_rounding() {
        // (1 - 2^-24) * 2^-126 is below the normal range, but at unbounded exponent range 24
        // bits hold it; one more bit rounds up to 2^-126, and that is not tiny.
        let (below_one, smallest_normal) = (F32(0x3f7f_ffff), F32(0x0080_0000));
        let mut flags = Flags::default();
        assert_eq!(mul(below_one, smallest_normal, RoundingMode::Rne, &mut flags), smallest_normal);
        assert_eq!(flags, Flags::NX | Flags::UF);

        let just_below = F64(0x3fef_ffff_ffff_ffff);
        let scaled = F64(just_below.0 - (126 << 52));
        let mut flags = Flags::default();
        let narrowed: F32 = to_format(scaled, RoundingMode::Rne, &mut flags);
        assert_eq!(narrowed, smallest_normal);
        assert_eq!(flags, Flags::NX);
    }

    #[test]
    fn infinity_times_zero_is_invalid_even_with_a_quiet_nan_addend() {
        let (infinity, nan) = (F64(0x7ff0_0000_0000_0000), F64(0x7ff8_0000_0000_0001));
        let mut flags = Flags::default();
        let result = mul_add(infinity, F64(0), nan, RoundingMode::Rne, &mut flags);
        assert_eq!((result, flags), (F64(0x7ff8_0000_0000_0000), Flags::NV));
    }

    #[test]
    fn conversions_to_integers_saturate() {
        let table: [(u64, i32, u32); 4] = [
            (0x7ff8_0000_0000_0000, i32::MAX, u32::MAX), // NaN
            (0xfff0_0000_0000_0000, i32::MIN, 0),        // -infinity
            (0x4330_0000_0000_0000, i32::MAX, u32::MAX), // 2^52
            (0xc330_0000_0000_0000, i32::MIN, 0),        // -2^52
        ];
        for (bits, signed, unsigned) in table {
            let mut flags = Flags::default();
            assert_eq!(to_int::<_, i32>(F64(bits), RoundingMode::Rtz, &mut flags), signed);
            assert_eq!(to_int::<_, u32>(F64(bits), RoundingMode::Rtz, &mut flags), unsigned);
            assert_eq!(flags, Flags::NV);
        }
    }
}
