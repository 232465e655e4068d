//! Parsers of single values.

use std::time::Duration;

use jiff::fmt::friendly::SpanParser;

/// Longest time that people wait, in milliseconds: no time of the server is later than the year 9999.
const MILLIS_MAX: u128 = 253_402_300_799_999;

/// A duration: all that the server takes (`90d`, `1h30m`, `PT30M`), and what people also type: `5` is seconds, `1.5h` has
/// a fraction.
pub fn duration(text: &str) -> Result<Duration, String> {
    const ALLOWED: &str = "expected a positive time such as 5, 5s, 500ms, 1h30m, 90d or PT30M";
    let text = text.trim();
    let as_server = rstmdb_engine::span::parse(text).map(Duration::from_millis);
    match as_server.or_else(|| as_typed(text)) {
        Some(duration) if duration.is_zero() => {
            Err("0 is too short: expected a positive time such as 5s or 500ms".to_owned())
        }
        Some(duration) if duration.as_millis() > MILLIS_MAX => Err(TOO_LONG.to_owned()),
        Some(duration) => Ok(duration),
        None if is_too_long(text) => Err(TOO_LONG.to_owned()),
        None => Err(ALLOWED.to_owned()),
    }
}

const TOO_LONG: &str = "this is too long: nothing can be due after the year 9999";

/// Whether it would be a duration if its digits were fewer.
fn is_too_long(text: &str) -> bool {
    const DIGITS: usize = 6;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    digits > DIGITS
        && text.get(digits - 1..).is_some_and(|rest| {
            rstmdb_engine::span::parse(rest).is_some() || as_typed(rest).is_some()
        })
}

/// A duration that the server is to read, checked here.
pub(crate) fn span(text: &str) -> Result<String, String> {
    match rstmdb_engine::span::parse(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err(format!("expected {}", rstmdb_engine::span::expected(text))),
    }
}

/// A point in time that the server is to read, checked here: RFC 3339, or Unix milliseconds.
pub(crate) fn time(text: &str) -> Result<String, String> {
    let is_time = text.parse::<u64>().is_ok() || text.parse::<jiff::Timestamp>().is_ok();
    match is_time {
        true => Ok(text.to_owned()),
        false => Err(
            "expected a time such as 2027-01-31T12:00:00Z, with its offset, or Unix milliseconds"
                .to_owned(),
        ),
    }
}

fn as_typed(text: &str) -> Option<Duration> {
    let is_number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let unit = if is_number { "s" } else { "" };
    let parsed = SpanParser::new().parse_unsigned_duration(format!("{text}{unit}"));
    parsed.ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_duration_reads_every_unit() {
        for (text, millis) in [
            ("5", 5_000),
            ("5s", 5_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            (" 10 s ", 10_000),
            ("90d", 7_776_000_000),
            ("1w", 604_800_000),
            ("PT30M", 1_800_000),
            ("P1DT2H", 93_600_000),
        ] {
            assert_eq!(
                duration(text),
                Ok(Duration::from_millis(millis)),
                "for {text:?}"
            );
        }
    }

    #[test]
    fn what_is_too_long_or_too_short_is_told_from_what_is_no_duration() {
        for text in ["99999999999999999999h", "9999999999w", "9999999999999999"] {
            assert_eq!(duration(text), Err(TOO_LONG.to_owned()), "{text}");
        }
        assert!(duration("0s").unwrap_err().starts_with("0 is too short"));
        assert!(
            duration("soon")
                .unwrap_err()
                .starts_with("expected a positive time")
        );
    }

    #[test]
    fn what_the_server_is_to_read_is_checked_before_it_is_sent() {
        assert_eq!(span("1h30m"), Ok("1h30m".to_owned()));
        for text in ["abc", "5", "1.5h", ""] {
            assert!(
                span(text).unwrap_err().starts_with("expected a duration"),
                "{text}"
            );
        }
        assert!(span("9999999999w").unwrap_err().contains("shorter"));
        for text in [
            "1767229200000",
            "2027-01-31T12:00:00Z",
            "2027-01-31T12:00:00+02:00",
        ] {
            assert_eq!(time(text), Ok(text.to_owned()));
        }
        for text in ["tomorrow", "2027-01-31T12:00:00", "-1"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_that_is_no_positive_time_is_refused() {
        for text in [
            "",
            "s",
            "0",
            "-1",
            "0s",
            "PT0S",
            "P1M",
            "1y",
            "1e99h",
            "nan",
            "1.2.3s",
            "1h30",
            "-5s",
            "5s ago",
            "99999999999999999999h",
        ] {
            assert!(duration(text).is_err(), "{text:?} was taken");
        }
    }
}
