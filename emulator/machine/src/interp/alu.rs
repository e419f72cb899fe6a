//! Integer results that are more than one host operation.
#![expect(clippy::manual_checked_ops, reason = "the results for zero divisors are spelled out")]

/// Sign-extends the low 32 bits.
#[inline(always)]
pub(super) const fn word(value: u64) -> u64 {
    value as i32 as u64
}

#[inline(always)]
pub(super) const fn low(value: u64) -> u64 {
    value as u32 as u64
}

pub(super) const fn mulh(a: u64, b: u64) -> u64 {
    ((a as i64 as i128 * b as i64 as i128) >> 64) as u64
}

pub(super) const fn mulhu(a: u64, b: u64) -> u64 {
    ((a as u128 * b as u128) >> 64) as u64
}

pub(super) const fn mulhsu(a: u64, b: u64) -> u64 {
    ((a as i64 as i128 * b as i128) >> 64) as u64
}

/// Division by zero gives all ones, the overflow case the dividend (volume I, table 12).
pub(super) const fn div(a: u64, b: u64) -> u64 {
    if b == 0 { u64::MAX } else { (a as i64).wrapping_div(b as i64) as u64 }
}

pub(super) const fn divu(a: u64, b: u64) -> u64 {
    if b == 0 { u64::MAX } else { a / b }
}

/// Division by zero leaves the dividend, the overflow case zero.
pub(super) const fn rem(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { (a as i64).wrapping_rem(b as i64) as u64 }
}

pub(super) const fn remu(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { a % b }
}

pub(super) const fn divw(a: u64, b: u64) -> u64 {
    let (a, b) = (a as i32, b as i32);
    if b == 0 { u64::MAX } else { a.wrapping_div(b) as u64 }
}

pub(super) const fn divuw(a: u64, b: u64) -> u64 {
    let (a, b) = (a as u32, b as u32);
    if b == 0 { u64::MAX } else { (a / b) as i32 as u64 }
}

pub(super) const fn remw(a: u64, b: u64) -> u64 {
    let (a, b) = (a as i32, b as i32);
    if b == 0 { a as u64 } else { a.wrapping_rem(b) as u64 }
}

pub(super) const fn remuw(a: u64, b: u64) -> u64 {
    let (a, b) = (a as u32, b as u32);
    if b == 0 { a as i32 as u64 } else { (a % b) as i32 as u64 }
}

/// All ones in each byte that is not zero.
pub(super) const fn orc_b(a: u64) -> u64 {
    const LOW_BITS: u64 = 0x0101_0101_0101_0101;
    const SEVEN: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    // Bit 7 of each byte: set unless the byte is zero; no carry leaves a byte.
    let set = (((a & SEVEN) + SEVEN) | a) >> 7 & LOW_BITS;
    set * 0xff
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: u64 = i64::MIN as u64;
    const MINUS_1: u64 = u64::MAX;

    #[test]
    fn division_has_no_traps() {
        assert_eq!(div(7, 0), MINUS_1);
        assert_eq!(div(MIN, MINUS_1), MIN);
        assert_eq!(rem(MIN, MINUS_1), 0);
        assert_eq!(rem(7, 0), 7);
        assert_eq!(divw(0x8000_0000, MINUS_1), 0xffff_ffff_8000_0000);
        assert_eq!(remw(0xffff_ffff_8000_0001, 0), 0xffff_ffff_8000_0001);
        assert_eq!(divuw(MINUS_1, 1), MINUS_1);
        assert_eq!(remuw(0x1_8000_0000, 0), 0xffff_ffff_8000_0000);
    }

    #[test]
    fn high_products_follow_the_signs() {
        assert_eq!(mulh(MINUS_1, MINUS_1), 0);
        assert_eq!(mulhu(MINUS_1, MINUS_1), MINUS_1 - 1);
        assert_eq!(mulhsu(MINUS_1, MINUS_1), MINUS_1);
    }

    #[test]
    fn orc_b_fills_bytes() {
        assert_eq!(orc_b(0x0100_8000_ff00_0010), 0xff00_ff00_ff00_00ff);
        assert_eq!(orc_b(0), 0);
        assert_eq!(orc_b(MINUS_1), MINUS_1);
    }
}
