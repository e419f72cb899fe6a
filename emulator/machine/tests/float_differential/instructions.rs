//! The instructions under test: assembly for the oracle, ours beside it.

use lithify_machine::float::{self, F32, F64, Flags, Format, Integer, RoundingMode};

/// What the operand registers hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operands {
    Single,
    Double,
    Integer,
}

pub(crate) struct Instruction {
    /// Operands in ft0, ft1, ft2 or t0, result in ft3 or t1.
    pub(crate) assembly: String,
    pub(crate) operands: Operands,
    pub(crate) ours: fn([u64; 3], RoundingMode, &mut Flags) -> u64,
}

impl Instruction {
    pub(crate) fn has_integer_result(&self) -> bool {
        self.assembly.contains(" t1,")
    }
}

pub(crate) fn instructions() -> Vec<Instruction> {
    let mut all = of_format::<F32>("s", Operands::Single);
    all.extend(of_format::<F64>("d", Operands::Double));
    all.extend([
        one("fcvt.s.d ft3, ft0", Operands::Double, |r, rm, f| {
            float::to_format::<F64, F32>(F64(r[0]), rm, f).to_register()
        }),
        one("fcvt.d.s ft3, ft0", Operands::Single, |r, rm, f| {
            float::to_format::<F32, F64>(F32::from_register(r[0]), rm, f).to_register()
        }),
    ]);
    all
}

fn one(
    assembly: &str,
    operands: Operands,
    ours: fn([u64; 3], RoundingMode, &mut Flags) -> u64,
) -> Instruction {
    Instruction { assembly: assembly.to_owned(), operands, ours }
}

fn of_format<F: Format>(suffix: &str, operands: Operands) -> Vec<Instruction> {
    let float =
        |mnemonic: &str, rest, ours| one(&format!("{mnemonic}.{suffix} {rest}"), operands, ours);
    let mut all = vec![
        float("fadd", "ft3, ft0, ft1", |r, rm, f| two::<F>(r, |a, b| float::add(a, b, rm, f))),
        float("fsub", "ft3, ft0, ft1", |r, rm, f| two::<F>(r, |a, b| float::sub(a, b, rm, f))),
        float("fmul", "ft3, ft0, ft1", |r, rm, f| two::<F>(r, |a, b| float::mul(a, b, rm, f))),
        float("fdiv", "ft3, ft0, ft1", |r, rm, f| two::<F>(r, |a, b| float::div(a, b, rm, f))),
        float("fsqrt", "ft3, ft0", |r, rm, f| two::<F>(r, |a, _| float::sqrt(a, rm, f))),
        float("fmin", "ft3, ft0, ft1", |r, _, f| two::<F>(r, |a, b| float::min(a, b, f))),
        float("fmax", "ft3, ft0, ft1", |r, _, f| two::<F>(r, |a, b| float::max(a, b, f))),
        float("fmadd", "ft3, ft0, ft1, ft2", |r, rm, f| {
            three::<F>(r, |a, b, c| float::mul_add(a, b, c, rm, f))
        }),
        float("fmsub", "ft3, ft0, ft1, ft2", |r, rm, f| {
            three::<F>(r, |a, b, c| float::mul_add(a, b, c.negated(), rm, f))
        }),
        float("fnmsub", "ft3, ft0, ft1, ft2", |r, rm, f| {
            three::<F>(r, |a, b, c| float::mul_add(a.negated(), b, c, rm, f))
        }),
        float("fnmadd", "ft3, ft0, ft1, ft2", |r, rm, f| {
            three::<F>(r, |a, b, c| float::mul_add(a.negated(), b, c.negated(), rm, f))
        }),
        float("fsgnjn", "ft3, ft0, ft1", |r, _, _| {
            two::<F>(r, |a, b| a.with_sign(!b.is_negative()))
        }),
        float("feq", "t1, ft0, ft1", |r, _, f| test::<F>(r, |a, b| float::eq(a, b, f))),
        float("flt", "t1, ft0, ft1", |r, _, f| test::<F>(r, |a, b| float::lt(a, b, f))),
        float("fle", "t1, ft0, ft1", |r, _, f| test::<F>(r, |a, b| float::le(a, b, f))),
        float("fclass", "t1, ft0", |r, _, _| u64::from(float::classify(F::from_register(r[0])))),
    ];
    all.extend(integer_conversions::<F>(suffix, operands));
    all
}

fn integer_conversions<F: Format>(suffix: &str, operands: Operands) -> [Instruction; 8] {
    let to = |kind, ours| one(&format!("fcvt.{kind}.{suffix} t1, ft0"), operands, ours);
    // Conversions that are always exact take no rounding mode in assembly.
    let from = |kind, ours| one(&format!("fcvt.{suffix}.{kind} ft3, t0"), Operands::Integer, ours);
    [
        to("w", |r, rm, f| to_int::<F, i32>(r, rm, f) as u64),
        to("wu", |r, rm, f| i64::from(to_int::<F, u32>(r, rm, f) as i32) as u64),
        to("l", |r, rm, f| to_int::<F, i64>(r, rm, f) as u64),
        to("lu", to_int::<F, u64>),
        from("w", |r, rm, f| from_int::<F, i32>(r[0] as i32, rm, f)),
        from("wu", |r, rm, f| from_int::<F, u32>(r[0] as u32, rm, f)),
        from("l", |r, rm, f| from_int::<F, i64>(r[0] as i64, rm, f)),
        from("lu", |r, rm, f| from_int::<F, u64>(r[0], rm, f)),
    ]
}

fn two<F: Format>(r: [u64; 3], operation: impl FnOnce(F, F) -> F) -> u64 {
    operation(F::from_register(r[0]), F::from_register(r[1])).to_register()
}

fn three<F: Format>(r: [u64; 3], operation: impl FnOnce(F, F, F) -> F) -> u64 {
    let [a, b, c] = r.map(F::from_register);
    operation(a, b, c).to_register()
}

fn test<F: Format>(r: [u64; 3], predicate: impl FnOnce(F, F) -> bool) -> u64 {
    u64::from(predicate(F::from_register(r[0]), F::from_register(r[1])))
}

fn to_int<F: Format, I: Integer>(r: [u64; 3], rm: RoundingMode, flags: &mut Flags) -> I {
    float::to_int(F::from_register(r[0]), rm, flags)
}

fn from_int<F: Format, I: Integer>(value: I, rm: RoundingMode, flags: &mut Flags) -> u64 {
    float::from_int::<I, F>(value, rm, flags).to_register()
}
