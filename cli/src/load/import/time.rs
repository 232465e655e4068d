//! Times as databases write them.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Before this number of milliseconds, in 1973, no database has rows. It is probably a number of seconds.
const PROBABLY_SECONDS: u64 = 100_000_000_000;

/// Unix milliseconds; the error says what is wrong.
pub(super) fn unix_ms(text: &str, seconds: bool) -> Result<u64, String> {
    let text = text.trim();
    let ms = match text.parse::<u64>() {
        Ok(number) if seconds => number.checked_mul(1000).ok_or("is too large")?,
        Ok(number) if number < PROBABLY_SECONDS => {
            return Err(
                "is a time in milliseconds before 1973; if it counts seconds, say --unix-seconds"
                    .to_owned(),
            );
        }
        Ok(number) => number,
        Err(_) => dated(text).ok_or("is neither a date with a time nor a number")?,
    };
    match ms {
        0 => Err("is not after 1970".to_owned()),
        ms => Ok(ms),
    }
}

fn dated(text: &str) -> Option<u64> {
    let at = text.parse::<Timestamp>().ok();
    let utc = |civil: DateTime| civil.to_zoned(TimeZone::UTC).ok();
    let at = at
        .or_else(|| text.parse::<Zoned>().ok().map(|zoned| zoned.timestamp()))
        .or_else(|| utc(text.parse().ok()?).map(|zoned| zoned.timestamp()))
        .or_else(|| {
            let date: Date = text.parse().ok()?;
            utc(date.to_datetime(jiff::civil::Time::midnight())).map(|zoned| zoned.timestamp())
        })?;
    u64::try_from(at.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_time_is_read_as_databases_write_it() {
        for (text, ms) in [
            ("2026-11-29T10:00:00Z", 1_795_946_400_000),
            ("2026-11-29T11:00:00.25+01:00", 1_795_946_400_250),
            ("2026-11-29 10:00:00.123456+00", 1_795_946_400_123),
            ("2026-11-29 10:00:00", 1_795_946_400_000),
            ("2026-11-29", 1_795_910_400_000),
            ("1795946400000", 1_795_946_400_000),
        ] {
            assert_eq!(unix_ms(text, false), Ok(ms), "{text}");
        }
        assert_eq!(unix_ms("1795946400", true), Ok(1_795_946_400_000));
    }

    #[test]
    fn what_is_no_time_is_refused_and_seconds_are_not_taken_for_milliseconds() {
        for text in [
            "",
            "yesterday",
            "0",
            "1795946400",
            "-5",
            "1969-12-31",
            "10:00",
        ] {
            assert!(unix_ms(text, false).is_err(), "{text:?} was taken");
        }
        let said = unix_ms("1795946400", false).unwrap_err();
        assert!(said.contains("--unix-seconds"), "{said}");
    }
}
