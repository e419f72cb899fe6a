//! HEALTHCHECK.

use super::flags::{Flags, Takes};
use super::{CommandLine, InstructionError};
use crate::error::Hint;
use crate::parser::{Arguments, Node};

/// Shortest interval that is accepted, as in Docker: one millisecond.
const MIN_NANOSECONDS: i64 = 1_000_000;

/// HEALTHCHECK. Durations in nanoseconds; `None` means the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthCheck {
    /// No check, also none of the base.
    None,
    /// A command that checks.
    Command {
        /// The command.
        command: CommandLine,
        /// Between two checks.
        interval: Option<i64>,
        /// For one check.
        timeout: Option<i64>,
        /// Failures do not count for so long.
        start_period: Option<i64>,
        /// Between two checks in the start period.
        start_interval: Option<i64>,
        /// Failures in a row.
        retries: Option<i64>,
    },
}

pub(super) fn parse(node: &Node) -> Result<HealthCheck, InstructionError> {
    let (kind, rest) = node.rest.split_once(char::is_whitespace).unwrap_or((&node.rest, ""));
    match kind.to_ascii_uppercase().as_str() {
        // As in BuildKit, flags are looked at only where there is a command.
        "NONE" if rest.trim().is_empty() => Ok(HealthCheck::None),
        "NONE" => Err(InstructionError::Arguments {
            keyword: "HEALTHCHECK NONE",
            expected: "no arguments",
        }),
        "CMD" => command(node, rest.trim()),
        "" => Err(InstructionError::Arguments {
            keyword: "HEALTHCHECK",
            expected: "NONE or CMD with a command",
        }),
        other => Err(InstructionError::HealthKind {
            kind: kind.to_owned(),
            hint: Hint::nearest(other, ["CMD", "NONE"]),
        }),
    }
}

fn command(node: &Node, rest: &str) -> Result<HealthCheck, InstructionError> {
    let durations = ["interval", "timeout", "start-period", "start-interval"];
    let mut known = durations.map(|name| (name, Takes::Value)).to_vec();
    known.push(("retries", Takes::Value));
    let flags = Flags::parse(node, &known)?;
    let command = match Arguments::parse(rest)? {
        Arguments::Json(words) => CommandLine::Exec(words),
        Arguments::Text(text) => CommandLine::Shell(text),
    };
    if command.is_empty() {
        return Err(InstructionError::Arguments {
            keyword: "HEALTHCHECK CMD",
            expected: "a command",
        });
    }
    let [interval, timeout, start_period, start_interval] =
        durations.map(|name| duration_flag(&flags, name));
    Ok(HealthCheck::Command {
        command,
        interval: interval?,
        timeout: timeout?,
        start_period: start_period?,
        start_interval: start_interval?,
        retries: retries(&flags)?,
    })
}

fn duration_flag(flags: &Flags, flag: &'static str) -> Result<Option<i64>, InstructionError> {
    let Some(value) = flags.text(flag) else { return Ok(None) };
    match nanoseconds(&value) {
        Some(0) => Ok(None),
        Some(time) if time >= MIN_NANOSECONDS => Ok(Some(time)),
        _ => Err(InstructionError::FlagValue {
            flag,
            value,
            expected: "a duration of at least 1ms, as in 1m30s",
            hint: Hint::default(),
        }),
    }
}

fn retries(flags: &Flags) -> Result<Option<i64>, InstructionError> {
    let Some(value) = flags.text("retries") else { return Ok(None) };
    match value.parse::<i32>() {
        Ok(0) => Ok(None),
        Ok(count) if count > 0 => Ok(Some(count.into())),
        _ => Err(InstructionError::FlagValue {
            flag: "retries",
            value,
            expected: "a number of 0 or more",
            hint: Hint::default(),
        }),
    }
}

/// Go's duration syntax: numbers with a unit, one after another.
fn nanoseconds(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let scale = match unit {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * scale;
        rest = after;
    }
    // Beyond 2^63 ns, 292 years, the conversion saturates; such a value is a mistake.
    #[expect(clippy::cast_possible_truncation, reason = "checked against the range just before")]
    (total >= 0.0 && total < i64::MAX as f64).then_some(total as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_writes_them() {
        let table = [
            ("30s", Some(30_000_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("1.5h", Some(5_400_000_000_000)),
            ("250ms", Some(250_000_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("30", None),
            ("s", None),
            ("1x", None),
            ("-1s", None),
            ("99999999999h", None),
        ];
        for (text, expected) in table {
            assert_eq!(nanoseconds(text), expected, "{text}");
        }
    }
}
