//! Parsers of single values.

use std::time::Duration;

/// A duration as people type it: `5` and `5s` are seconds, `500ms`, `1m`; fractions are allowed.
pub fn duration(text: &str) -> Result<Duration, String> {
    const ALLOWED: &str = "expected a positive time such as 5, 5s, 500ms or 1m";
    let text = text.trim();
    let number_end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let seconds_per_unit = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(ALLOWED.to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| ALLOWED.to_owned())?;
    match Duration::try_from_secs_f64(number * seconds_per_unit) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(ALLOWED.to_owned()),
    }
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
        for text in ["", "s", "0", "-1", "1d", "1e99h", "nan", "1.2.3s"] {
            assert!(duration(text).is_err(), "{text:?} was taken");
        }
    }
}
