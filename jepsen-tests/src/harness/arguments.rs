//! Parsers of the program's arguments.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The number of nodes. The tests support no other sizes.
///
/// # Errors
/// When it is neither 3 nor 5.
pub fn nodes(text: &str) -> Result<u64, String> {
    match text {
        "3" => Ok(3),
        "5" => Ok(5),
        _ => Err("must be 3 or 5".to_owned()),
    }
}

/// A seed.
///
/// # Errors
/// When it is not a valid seed.
pub fn seed(text: &str) -> Result<u64, String> {
    let refused = |_| format!("must be a whole number from 0 to {}", u64::MAX);
    text.parse().map_err(refused)
}

/// A time with its unit.
///
/// # Errors
/// When it is not a time.
pub fn time(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok();
    let positive = parsed.and_then(|parsed| Duration::try_from(parsed).ok());
    positive.ok_or_else(|| "must be a time with its unit, such as 90s, 6m or 8h".to_owned())
}

/// How long one run may have faults, in seconds. A run begins and ends without faults, and keeps all answers
/// to clients in memory.
const RUN_SECS: RangeInclusive<u64> = 10..=86_400;

/// The time of one run.
///
/// # Errors
/// When it is not a time, too short for a fault, or too long to keep in memory.
pub fn run_time(text: &str) -> Result<Duration, String> {
    let time = time(text)?;
    if RUN_SECS.contains(&time.as_secs()) {
        Ok(time)
    } else {
        Err("must be from 10s to 24h".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_is_not_negative() {
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(time("1h30m"), Ok(Duration::from_secs(5_400)));
        for wrong in ["", "20", "-5s", "1d", "abc"] {
            let error = time(wrong).expect_err(wrong);
            assert!(error.contains("90s, 6m or 8h"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_seed_that_is_none_is_refused_with_the_range() {
        assert_eq!(seed("18446744073709551615"), Ok(u64::MAX));
        for wrong in ["x", "", "-1", "1.5", "18446744073709551616"] {
            let error = seed(wrong).expect_err(wrong);
            assert_eq!(
                error,
                "must be a whole number from 0 to 18446744073709551615"
            );
        }
    }

    #[test]
    fn a_run_is_neither_without_faults_nor_without_end() {
        assert_eq!(run_time("10s"), Ok(Duration::from_secs(10)));
        for wrong in ["0s", "9s", "25h"] {
            assert!(run_time(wrong).expect_err(wrong).contains("10s to 24h"));
        }
    }
}
