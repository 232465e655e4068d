//! Spans of time as definitions and clients write them: `30m`, `1h30m`, `90d`, and as in ISO 8601: `PT30M`.

/// The last millisecond of the year 9999: no time that is used is later.
pub(crate) const TIME_MS_MAX: u64 = 253_402_300_799_999;

/// What is expected where a text is no span.
pub(crate) const EXPECTED: &str = "a duration such as \"30m\", \"1h30m\" or \"90d\" (units: w, d, h, m, s, ms), or as in ISO 8601, \"PT30M\"";

/// What is expected where a text is a duration that is too long.
const EXPECTED_SHORTER: &str = "a shorter duration: nothing can be due after the year 9999";

/// What is expected instead of a text that cannot be used as a duration.
#[must_use]
pub fn expected(text: &str) -> &'static str {
    match read(text) {
        Some(ms) if ms > u128::from(TIME_MS_MAX) => EXPECTED_SHORTER,
        _ => EXPECTED,
    }
}

/// What is expected where a text is no point in time.
pub(crate) const TIME_EXPECTED: &str =
    "a time as in RFC 3339 from 1970 on, with its offset, such as \"2027-01-31T12:00:00Z\"";

/// The units, each in milliseconds.
const UNITS: [(&str, u64); 6] = [
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The units of ISO 8601 before and behind its `T`. A month and a year have no length of their own.
const ISO_DATE: [(&str, u64); 2] = [("W", 7 * 86_400_000), ("D", 86_400_000)];
const ISO_TIME: [(&str, u64); 3] = [("H", 3_600_000), ("M", 60_000), ("S", 1_000)];

/// The milliseconds of a span: whole numbers with units, the largest unit first. `None` if the text is none, or too long
/// for any time.
pub fn parse(text: &str) -> Option<u64> {
    let ms = read(text).and_then(|ms| u64::try_from(ms).ok());
    ms.filter(|ms| *ms <= TIME_MS_MAX)
}

/// The same without a bound. A number that no integer holds counts as the largest.
fn read(text: &str) -> Option<u128> {
    match text.strip_prefix('P') {
        Some(iso) => match iso.split_once('T') {
            Some(("", time)) => sum(time, &ISO_TIME),
            Some((date, time)) => Some(sum(date, &ISO_DATE)?.saturating_add(sum(time, &ISO_TIME)?)),
            None => sum(iso, &ISO_DATE),
        },
        None => sum(text, &UNITS),
    }
}

/// At least one number with one of these units, which get smaller.
fn sum(text: &str, units: &[(&str, u64)]) -> Option<u128> {
    let mut rest = text;
    let mut sum: u128 = 0;
    let mut before = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = rest.split_at(digits);
        let letters = unit.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = unit.split_at(letters);
        let (_, ms) = units.iter().find(|(name, _)| *name == unit)?;
        if *ms >= before || number.is_empty() {
            return None;
        }
        before = *ms;
        let number = number.parse().unwrap_or(u64::MAX);
        sum = sum.saturating_add(u128::from(number) * u128::from(*ms));
        rest = after;
    }
    (!text.is_empty()).then_some(sum)
}

/// A span as it is written: the largest units first, and none that is not needed. Weeks are written as days.
pub fn written(ms: u64) -> String {
    let mut rest = ms;
    let mut text = String::new();
    for (unit, size) in &UNITS[1..] {
        if rest >= *size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    match text.is_empty() {
        true => "0s".to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_whole_numbers_with_units_the_largest_first() {
        let table = [
            ("30m", Some(1_800_000)),
            ("1h30m", Some(5_400_000)),
            ("90d", Some(7_776_000_000)),
            ("2w1d", Some(1_296_000_000)),
            ("1s500ms", Some(1_500)),
            ("0s", Some(0)),
            ("PT30M", Some(1_800_000)),
            ("P1DT2H3M4S", Some(93_784_000)),
            ("P2W", Some(1_209_600_000)),
            ("P90D", Some(7_776_000_000)),
            ("P", None),
            ("PT", None),
            ("P1DT", None),
            ("P1M", None),
            ("P1Y", None),
            ("PT1D", None),
            ("PT1M1H", None),
            ("PT1.5S", None),
            ("PT30M ", None),
            ("", None),
            ("m", None),
            ("30", None),
            ("30m1h", None),
            ("1h1h", None),
            ("1.5h", None),
            ("-1h", None),
            ("1 h", None),
            ("1y", None),
            ("99999999999999999999d", None),
            ("9999999999w", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_told_from_what_is_no_duration() {
        for text in ["9999999999w", "99999999999999999999d", "P99999999999W"] {
            assert_eq!(expected(text), EXPECTED_SHORTER, "{text}");
        }
        for text in ["", "soon", "1y", "30m", "99999999999999999999"] {
            assert_eq!(expected(text), EXPECTED, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for ms in [
            0,
            1,
            999,
            1_000,
            61_001,
            86_399_999,
            90 * 86_400_000,
            TIME_MS_MAX,
        ] {
            assert_eq!(parse(&written(ms)), Some(ms), "{}", written(ms));
        }
        assert_eq!(written(30 * 86_400_000 + 5_400_000), "30d1h30m");
    }
}
