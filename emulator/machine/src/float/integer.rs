//! The integer types that floats convert from and to.

/// `i32`, `u32`, `i64` or `u64`.
pub trait Integer: Sized + Copy {
    /// Smallest value.
    const LOWEST: Self;
    /// Largest value.
    const HIGHEST: Self;

    /// Sign and absolute value.
    fn to_parts(self) -> (bool, u64);

    /// The integer of this sign and absolute value, if the type has it.
    fn from_parts(negative: bool, magnitude: u64) -> Option<Self>;
}

macro_rules! integer {
    ($type:ty, $wide:ty, $magnitude:expr) => {
        impl Integer for $type {
            const LOWEST: Self = Self::MIN;
            const HIGHEST: Self = Self::MAX;

            #[inline]
            fn to_parts(self) -> (bool, u64) {
                let wide = <$wide>::from(self);
                #[allow(unused_comparisons, reason = "the unsigned types share the code")]
                let negative = wide < 0;
                (negative, $magnitude(wide))
            }

            #[inline]
            fn from_parts(negative: bool, magnitude: u64) -> Option<Self> {
                let value: $wide = if negative {
                    <$wide>::try_from(0i128.checked_sub_unsigned(u128::from(magnitude))?).ok()?
                } else {
                    <$wide>::try_from(magnitude).ok()?
                };
                Self::try_from(value).ok()
            }
        }
    };
}

integer!(i32, i64, i64::unsigned_abs);
integer!(i64, i64, i64::unsigned_abs);
integer!(u32, u64, std::convert::identity);
integer!(u64, u64, std::convert::identity);
