//! Parsers of single values.

use std::time::Duration;

use jiff::fmt::friendly::SpanParser;

/// A duration: all that the server takes (`90d`, `1h30m`, `PT30M`), and what people also type: `5` is seconds, `1.5h` has
/// a fraction.
pub fn duration(text: &str) -> Result<Duration, String> {
    const ALLOWED: &str = "expected a positive time such as 5, 5s, 500ms, 1h30m, 90d or PT30M";
    let text = text.trim();
    let as_server = rstmdb_engine::span::parse(text).map(Duration::from_millis);
    as_server
        .or_else(|| as_typed(text))
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| ALLOWED.to_owned())
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
