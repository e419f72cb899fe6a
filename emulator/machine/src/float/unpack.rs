//! Operands taken apart.

use super::format::Layout;

/// A non-zero finite number: `significand * 2^(exponent - 63)`, bit 63 set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number {
    pub(super) negative: bool,
    pub(super) exponent: i32,
    /// After inexact operations bit 0 is sticky: set if anything non-zero was cut off.
    pub(super) significand: u64,
}

impl Number {
    /// `significand * 2^(exponent - 63)`, for any significand but 0.
    pub(super) fn normalized(negative: bool, exponent: i32, significand: u64) -> Self {
        let shift = significand.leading_zeros();
        Self { negative, exponent: exponent - shift as i32, significand: significand << shift }
    }
}

/// What an operand can be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unpacked {
    Nan { signaling: bool },
    Infinity { negative: bool },
    Zero { negative: bool },
    Number(Number),
}

impl Unpacked {
    pub(super) fn of<F: Layout>(operand: F) -> Self {
        let negative = operand.raw() & F::SIGN != 0;
        let magnitude = operand.magnitude();
        if operand.is_nan() {
            Self::Nan { signaling: operand.is_signaling() }
        } else if magnitude == F::INFINITY {
            Self::Infinity { negative }
        } else if magnitude == 0 {
            Self::Zero { negative }
        } else {
            Self::Number(number::<F>(negative, magnitude))
        }
    }

    pub(super) fn is_signaling(self) -> bool {
        matches!(self, Self::Nan { signaling: true })
    }
}

fn number<F: Layout>(negative: bool, magnitude: u64) -> Number {
    let hidden = 1 << (F::PRECISION - 1);
    let fraction = magnitude & (hidden - 1);
    let biased = (magnitude >> (F::PRECISION - 1)) as i32;
    let (exponent, significand) =
        if biased == 0 { (F::EMIN, fraction) } else { (biased - F::EMAX, fraction | hidden) };
    Number::normalized(negative, exponent, significand << (64 - F::PRECISION))
}
