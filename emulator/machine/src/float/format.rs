//! The two formats: bit layout, register form, and the host's arithmetic on them.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// A binary32 bit pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct F32(pub u32);

/// A binary64 bit pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct F64(pub u64);

/// Host float type of a format.
pub trait Native:
    Copy
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// Positive zero.
    const ZERO: Self;
    /// Square root, rounded to nearest even.
    fn sqrt(self) -> Self;
}

impl Native for f32 {
    const ZERO: Self = 0.0;

    #[inline]
    fn sqrt(self) -> Self {
        self.sqrt()
    }
}

impl Native for f64 {
    const ZERO: Self = 0.0;

    #[inline]
    fn sqrt(self) -> Self {
        self.sqrt()
    }
}

/// A format as the algorithms see it: parameters, raw bits, host value. Its module is private,
/// which keeps [`Format`] to the two types here.
pub trait Layout: Copy {
    /// Significand bits, the hidden one included.
    const PRECISION: u32;
    /// Largest exponent of a finite number, equal to the exponent bias.
    const EMAX: i32;
    /// Smallest exponent of a normal number.
    const EMIN: i32 = 1 - Self::EMAX;
    /// Bit pattern of positive infinity.
    const INFINITY: u64 = ((2 * Self::EMAX as u64) + 1) << (Self::PRECISION - 1);
    /// Bit pattern of the canonical NaN.
    const QUIET_NAN: u64 = Self::INFINITY | Self::QUIET_BIT;
    /// Bit pattern of 1.
    const ONE: u64 = (Self::EMAX as u64) << (Self::PRECISION - 1);
    /// Bit that tells a quiet NaN from a signaling one.
    const QUIET_BIT: u64 = 1 << (Self::PRECISION - 2);
    /// Sign bit.
    const SIGN: u64 = (2 * Self::EMAX as u64 + 2) << (Self::PRECISION - 1);

    /// The host's type for this format.
    type Native: Native;

    /// Zero-extended bit pattern.
    fn raw(self) -> u64;
    /// The number with this bit pattern; higher bits are cut off.
    fn from_raw(bits: u64) -> Self;
    /// The host's value.
    fn native(self) -> Self::Native;
    /// Bits of a host value.
    fn from_native(value: Self::Native) -> Self;
    /// Exact value as the wider host type.
    fn widened(self) -> f64;
    /// Nearest number to an integer, ties to even.
    fn nearest(magnitude: u64) -> Self;
    /// Nearest number to a host value, ties to even.
    fn narrowed(value: f64) -> Self;

    /// Fused multiply-add in round-to-nearest-even from host arithmetic: the result and whether
    /// it is exact. `None` if operands or result are not clearly normal.
    fn native_mul_add(a: Self, b: Self, c: Self) -> Option<(Self, bool)>;

    /// Bits without the sign.
    #[inline]
    fn magnitude(self) -> u64 {
        self.raw() & !Self::SIGN
    }

    /// Whether this is neither infinite nor NaN.
    #[inline]
    fn is_finite(self) -> bool {
        self.magnitude() < Self::INFINITY
    }

    /// Whether this is a zero of either sign.
    #[inline]
    fn is_zero(self) -> bool {
        self.magnitude() == 0
    }

    /// Whether this is a NaN.
    #[inline]
    fn is_nan(self) -> bool {
        self.magnitude() > Self::INFINITY
    }

    /// Whether this is a NaN that raises invalid when used.
    #[inline]
    fn is_signaling(self) -> bool {
        self.is_nan() && self.raw() & Self::QUIET_BIT == 0
    }

    /// Whether this is finite and so far above the subnormals that the exact value it was
    /// rounded from cannot have been tiny.
    #[inline]
    fn is_safely_normal(self) -> bool {
        let lowest = 2 << (Self::PRECISION - 1);
        self.magnitude().wrapping_sub(lowest) < Self::INFINITY - lowest
    }

    /// Upper bound, tight for normal numbers, of the bits between the highest and the lowest set
    /// bit of the significand.
    #[inline]
    fn significant_bits(self) -> u32 {
        let hidden = 1 << (Self::PRECISION - 1);
        Self::PRECISION - (self.raw() | hidden).trailing_zeros()
    }
}

/// [`F32`] or [`F64`].
pub trait Format: Layout + Eq + std::fmt::Debug {
    /// Reads a 64-bit float register. A binary32 that is not NaN-boxed reads as the canonical
    /// NaN (RISC-V D, "NaN Boxing of Narrower Values").
    fn from_register(register: u64) -> Self;

    /// What a 64-bit float register holds for this number: a binary32 is NaN-boxed.
    fn to_register(self) -> u64;

    /// Whether the sign bit is set.
    #[inline]
    fn is_negative(self) -> bool {
        self.raw() & Self::SIGN != 0
    }

    /// The same number with another sign bit. Never raises a flag, NaNs included.
    #[inline]
    fn with_sign(self, negative: bool) -> Self {
        Self::from_raw(self.magnitude() | if negative { Self::SIGN } else { 0 })
    }

    /// The same number with the sign bit flipped. Never raises a flag, NaNs included.
    #[inline]
    fn negated(self) -> Self {
        Self::from_raw(self.raw() ^ Self::SIGN)
    }
}

const BOX: u64 = 0xffff_ffff_0000_0000;

impl Format for F32 {
    #[inline]
    fn from_register(register: u64) -> Self {
        if register & BOX == BOX { Self(register as u32) } else { Self::from_raw(Self::QUIET_NAN) }
    }

    #[inline]
    fn to_register(self) -> u64 {
        BOX | u64::from(self.0)
    }
}

impl Format for F64 {
    #[inline]
    fn from_register(register: u64) -> Self {
        Self(register)
    }

    #[inline]
    fn to_register(self) -> u64 {
        self.0
    }
}

impl Layout for F32 {
    const PRECISION: u32 = 24;
    const EMAX: i32 = 127;
    type Native = f32;

    #[inline]
    fn raw(self) -> u64 {
        u64::from(self.0)
    }

    #[inline]
    fn from_raw(bits: u64) -> Self {
        Self(bits as u32)
    }

    #[inline]
    fn native(self) -> f32 {
        f32::from_bits(self.0)
    }

    #[inline]
    fn from_native(value: f32) -> Self {
        Self(value.to_bits())
    }

    #[inline]
    fn widened(self) -> f64 {
        f64::from(self.native())
    }

    #[inline]
    fn nearest(magnitude: u64) -> Self {
        Self::from_native(magnitude as f32)
    }

    #[inline]
    fn narrowed(value: f64) -> Self {
        Self::from_native(value as f32)
    }

    #[inline]
    fn native_mul_add(a: Self, b: Self, c: Self) -> Option<(Self, bool)> {
        super::fused::by_widening(a, b, c)
    }
}

impl Layout for F64 {
    const PRECISION: u32 = 53;
    const EMAX: i32 = 1023;
    type Native = f64;

    #[inline]
    fn raw(self) -> u64 {
        self.0
    }

    #[inline]
    fn from_raw(bits: u64) -> Self {
        Self(bits)
    }

    #[inline]
    fn native(self) -> f64 {
        f64::from_bits(self.0)
    }

    #[inline]
    fn from_native(value: f64) -> Self {
        Self(value.to_bits())
    }

    #[inline]
    fn widened(self) -> f64 {
        self.native()
    }

    #[inline]
    fn nearest(magnitude: u64) -> Self {
        Self::from_native(magnitude as f64)
    }

    #[inline]
    fn narrowed(value: f64) -> Self {
        Self::from_native(value)
    }

    #[inline]
    fn native_mul_add(a: Self, b: Self, c: Self) -> Option<(Self, bool)> {
        super::fused::by_error_terms(a, b, c)
    }
}
