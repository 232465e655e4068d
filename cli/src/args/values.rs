//! Parsers of single values.

use std::time::Duration;

use jiff::fmt::friendly::SpanParser;

/// A duration as people type it: `5` and `5s` are seconds, `500ms`, `1m`; fractions are allowed.
pub fn duration(text: &str) -> Result<Duration, String> {
    const ALLOWED: &str = "expected a positive time such as 5, 5s, 500ms or 1m";
    let text = text.trim();
    let is_number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let unit = if is_number { "s" } else { "" };
    let parsed = SpanParser::new().parse_unsigned_duration(format!("{text}{unit}"));
    parsed
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| ALLOWED.to_owned())
}

#[cfg(test)]
mod tests {
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
        ] {
            assert_eq!(
                duration(text),
                Ok(Duration::from_millis(millis)),
                "for {text:?}"
            );
        }
    }

    #[test]
    fn a_duration_that_is_no_positive_time_is_refused() {
        for text in [
            "",
            "s",
            "0",
            "-1",
            "1d",
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
