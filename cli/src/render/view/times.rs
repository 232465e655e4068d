//! Times as people say them.

use jiff::Timestamp;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// How long ago a time was, or how far off it is; a date if that is far. Both in Unix milliseconds.
pub(super) fn since(millis: i64, now: i64) -> String {
    let distance = now.saturating_sub(millis);
    let said = match distance.saturating_abs() {
        0..SECOND => return "now".to_owned(),
        near @ SECOND..MINUTE => format!("{} s", near / SECOND),
        near @ MINUTE..HOUR => format!("{} min", near / MINUTE),
        near if near < 2 * DAY => format!("{} h", near / HOUR),
        near if near < 60 * DAY => format!("{} days", near / DAY),
        _ => {
            let time = Timestamp::from_millisecond(millis);
            return time.map_or_else(
                |_| String::new(),
                |time| time.strftime("%Y-%m-%d").to_string(),
            );
        }
    };
    match distance > 0 {
        true => format!("{said} ago"),
        false => format!("in {said}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_times_are_told_by_their_distance_and_far_ones_by_their_date() {
        let now = 1_700_000_000_000;
        for (distance, said) in [
            (0, "now"),
            (999, "now"),
            (-10, "now"),
            (12_345, "12 s ago"),
            (3 * MINUTE + 1, "3 min ago"),
            (47 * HOUR, "47 h ago"),
            (2 * DAY, "2 days ago"),
            (90 * DAY, "2023-08-16"),
            (-5 * MINUTE, "in 5 min"),
            (-3 * DAY, "in 3 days"),
        ] {
            assert_eq!(since(now - distance, now), said);
        }
        assert_eq!(since(i64::MIN, i64::MAX), "");
    }
}
