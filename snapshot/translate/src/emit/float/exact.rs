//! Whether a result was rounded.

use lithify_isa::OpCode;
use wasm_encoder::InstructionSink;

use super::{f32_value, f64_value, local};

/// The lowest magnitude that nothing tiny is rounded to, twice the smallest normal number.
const NORMAL_F64: f64 = 2.0 * f64::MIN_POSITIVE;

/// Pushes whether a result that is not normal is an exact zero; `locals` are the result's and the operands'.
pub(super) fn exact_zero(
    w: &mut InstructionSink<'_>,
    code: OpCode,
    [result, a, b]: [u32; 3],
    mut is_zero: impl FnMut(&mut InstructionSink<'_>),
) {
    use OpCode as C;
    w.local_get(result);
    is_zero(w);
    match code {
        C::FMulD | C::FMulS => {
            w.local_get(a);
            is_zero(w);
            w.local_get(b);
            is_zero(w);
            w.i32_or().i32_and();
        }
        C::FDivD | C::FDivS => {
            w.local_get(a);
            is_zero(w);
            w.i32_and();
        }
        _ => {}
    }
}

/// Pushes whether rounding took anything from the finite sum `sum` of `a` and `b` (Knuth's two-sum).
pub(super) fn sum_error_double(w: &mut InstructionSink<'_>, a: u32, b: u32, sum: u32) {
    w.local_get(a).local_get(sum).local_get(sum).local_get(a).f64_sub();
    // a - (sum - (sum - a))
    w.f64_sub().f64_sub();
    // b - (sum - a)
    w.local_get(b).local_get(sum).local_get(a).f64_sub().f64_sub();
    w.f64_add().f64_const(f64_value(0.0)).f64_ne();
}

/// The same for [`local::SR`], the sum or difference of [`local::SA`] and [`local::SB`].
pub(super) fn sum_error_single(w: &mut InstructionSink<'_>, difference: bool) {
    use local::{SA, SB, SR};
    w.local_get(SA).local_get(SR).local_get(SR).local_get(SA).f32_sub().f32_sub().f32_sub();
    w.local_get(SB);
    if difference {
        w.f32_neg();
    }
    w.local_get(SR).local_get(SA).f32_sub().f32_sub();
    w.f32_add().f32_const(f32_value(0.0)).f32_ne();
}

/// Pushes whether the product of two numbers, which is clearly normal or zero, may need more than the 53 bits
/// of a significand.
pub(super) fn inexact_product(w: &mut InstructionSink<'_>, a: u32, b: u32) {
    const HIDDEN: i64 = 1 << 52;
    const PRECISION: i64 = 53;
    for factor in [a, b] {
        w.local_get(factor).i64_reinterpret_f64().i64_const(HIDDEN).i64_or().i64_ctz();
    }
    w.i64_add().i64_const(PRECISION).i64_lt_s();
    for factor in [a, b] {
        w.local_get(factor).f64_const(f64_value(0.0)).f64_ne().i32_and();
    }
}

/// Pushes whether the multiply-add of [`local::FA`], [`local::FB`] and [`local::FC`] may have been rounded:
/// whether its product or the sum of that and the third would be.
pub(super) fn inexact_multiply_add(w: &mut InstructionSink<'_>, minus: bool) {
    use local::{FA, FB, FC, FR};
    const PRODUCT: u32 = local::FP;
    w.local_get(FA).local_get(FB).f64_mul();
    if minus {
        w.f64_neg();
    }
    w.local_set(PRODUCT);
    inexact_product(w, FA, FB);
    sum_error_double(w, PRODUCT, FC, FR);
    w.i32_or();
    // A product that is tiny was rounded, unless a factor is zero.
    w.local_get(PRODUCT).f64_abs().f64_const(f64_value(NORMAL_F64)).f64_lt();
    for factor in [FA, FB] {
        w.local_get(factor).f64_const(f64_value(0.0)).f64_ne().i32_and();
    }
    w.i32_or();
}
