//! How values of options are written.

use lithify_control::MAX_MEMORY_BYTES;
use std::time::Duration;

/// `until=` and a duration.
pub(super) fn until(text: &str) -> Result<Duration, String> {
    let expected = "expected until=TIME, as in until=24h or until=1h30m";
    text.strip_prefix("until=").and_then(|time| duration(time).ok()).ok_or_else(|| expected.into())
}

/// Numbers with the units of Go's durations.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a time, as in 90s or 1h30m".to_owned();
    let mut rest = text;
    if rest.is_empty() {
        return Err(expected());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let unit_len = rest[digits..].chars().take_while(char::is_ascii_alphabetic).count();
        let number: u64 = rest[..digits].parse().map_err(|_| expected())?;
        let unit = match &rest[digits..digits + unit_len] {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return Err(expected()),
        };
        let seconds = number.checked_mul(unit).map(Duration::from_secs).ok_or_else(expected)?;
        total = total.checked_add(seconds).ok_or_else(expected)?;
        rest = &rest[digits + unit_len..];
    }
    Ok(total)
}

pub(super) fn name_and_source(written: &str) -> Result<(String, String), String> {
    name_and_value(written).map_err(|_| "expected NAME=SOURCE".into())
}

pub(super) fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".into()),
    }
}

/// Docker's size syntax: a number and b, k, m or g (powers of 1024), in whole pages.
pub(crate) fn memory_size(text: &str) -> Result<u64, String> {
    const PAGE: u64 = 4096;
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &lower[digits.len()..] {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        unit => return Err(format!("unknown unit `{unit}`, expected b, k, m or g")),
    };
    let number: u64 = digits.parse().map_err(|_| "expected a number, as in 256m".to_owned())?;
    let bytes = number.checked_mul(1 << shift).ok_or("the size is over 64 bits")?;
    if bytes == 0 || bytes % PAGE != 0 {
        return Err(format!("expected a multiple of {PAGE} bytes"));
    }
    Ok(bytes)
}

/// A size that an artifact's machine can have.
pub(super) fn guest_memory_size(text: &str) -> Result<u64, String> {
    let bytes = memory_size(text)?;
    if bytes > MAX_MEMORY_BYTES {
        return Err(format!(
            "expected at most {}g: guest and emulator share the 4 GiB of 32-bit WebAssembly",
            MAX_MEMORY_BYTES >> 30
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_docker_s() {
        for (text, expected) in [
            ("256m", Some(256 << 20)),
            ("1G", Some(1 << 30)),
            ("8192k", Some(8 << 20)),
            ("4096", Some(4096)),
            ("4096b", Some(4096)),
            ("64MB", Some(64 << 20)),
            ("0", None),
            ("100", None),
            ("m", None),
            ("-1m", None),
            ("1t", None),
            ("99999999999g", None),
        ] {
            assert_eq!(memory_size(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_machine_has_as_much_memory_as_wasm_can_address() {
        assert_eq!(guest_memory_size("3g"), Ok(3 << 30));
        for text in ["3145732k", "3073m", "4g", "99g"] {
            assert!(guest_memory_size(text).is_err(), "{text}");
        }
        assert!(guest_memory_size("4g").unwrap_err().contains("at most 3g"));
    }

    #[test]
    fn times_are_go_s() {
        let seconds = |text: &str| until(text).ok().map(|time| time.as_secs());
        assert_eq!(seconds("until=24h"), Some(86_400));
        assert_eq!(seconds("until=1h30m5s"), Some(5405));
        for wrong in ["24h", "until=", "until=h", "until=5", "until=5d", "until=-1h", "label=x"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
