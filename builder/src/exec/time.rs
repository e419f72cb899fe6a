//! The time of a build: a number from outside, never a clock.

use super::ExecError;
use crate::Options;

/// The build argument `SOURCE_DATE_EPOCH`, or else the option.
pub(super) fn epoch(options: &Options) -> Result<u32, ExecError> {
    match options.build_args.get("SOURCE_DATE_EPOCH") {
        Some(value) => value.parse().map_err(|_| ExecError::BadEpoch { value: value.clone() }),
        None => Ok(options.source_date_epoch),
    }
}

/// RFC 3339 in UTC.
pub(super) fn rfc3339(epoch: u32) -> String {
    let (days, seconds) = (epoch / 86_400, epoch % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a day counted from 1970-01-01, in years that begin in March, so that the
/// leap day is a year's last.
fn civil(days: u32) -> (u32, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + u32::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_date_prints_them() {
        // From `date -u -d @N +%FT%TZ`.
        let table = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_294_967_295, "2106-02-07T06:28:15Z"),
        ];
        for (epoch, expected) in table {
            assert_eq!(rfc3339(epoch), expected);
        }
    }

    #[test]
    fn the_build_argument_wins() {
        let mut options = Options::new("/");
        options.source_date_epoch = 5;
        assert_eq!(epoch(&options), Ok(5));
        options.build_args.insert("SOURCE_DATE_EPOCH".into(), "7".into());
        assert_eq!(epoch(&options), Ok(7));
        options.build_args.insert("SOURCE_DATE_EPOCH".into(), "today".into());
        assert!(epoch(&options).is_err());
    }
}
