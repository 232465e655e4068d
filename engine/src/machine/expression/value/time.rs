//! Points in time and spans, by arithmetic alone.

mod text;

pub(crate) use text::{duration, offset_seconds, timestamp};

use std::fmt;

/// The first second of the year 1, and the last of the year 9999.
const SECONDS_MIN: i64 = -62_135_596_800;
const SECONDS_MAX: i64 = 253_402_300_799;
const NANOS: i128 = 1_000_000_000;
const DAY: i64 = 86_400;

/// Nanoseconds since 1970, within the years 1 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp {
    seconds: i64,
    nanos: u32,
}

/// Nanoseconds; 64 bits of them are 292 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Duration(pub(crate) i64);

/// A date and a time of day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    /// From 1.
    pub(crate) month: i64,
    /// From 1.
    pub(crate) day: i64,
    pub(crate) second_of_day: i64,
    /// 0 is Sunday.
    pub(crate) weekday: i64,
    /// From 0.
    pub(crate) day_of_year: i64,
}

impl Timestamp {
    pub(crate) fn new(seconds: i64, nanos: u32) -> Option<Self> {
        (SECONDS_MIN..=SECONDS_MAX)
            .contains(&seconds)
            .then_some(Self { seconds, nanos })
    }

    pub(crate) fn from_millis(millis: i64) -> Option<Self> {
        let nanos = millis.rem_euclid(1000) as u32 * 1_000_000;
        Self::new(millis.div_euclid(1000), nanos)
    }

    fn from_nanos(nanos: i128) -> Option<Self> {
        let seconds = i64::try_from(nanos.div_euclid(NANOS)).ok()?;
        Self::new(seconds, nanos.rem_euclid(NANOS) as u32)
    }

    fn nanos_since_epoch(self) -> i128 {
        i128::from(self.seconds) * NANOS + i128::from(self.nanos)
    }

    pub(crate) fn seconds(self) -> i64 {
        self.seconds
    }

    pub(crate) fn millis(self) -> i64 {
        self.seconds * 1000 + self.milliseconds()
    }

    /// Of the second.
    pub(crate) fn milliseconds(self) -> i64 {
        i64::from(self.nanos / 1_000_000)
    }

    pub(crate) fn add(self, span: Duration) -> Option<Self> {
        Self::from_nanos(self.nanos_since_epoch() + i128::from(span.0))
    }

    pub(crate) fn subtract(self, span: Duration) -> Option<Self> {
        Self::from_nanos(self.nanos_since_epoch() - i128::from(span.0))
    }

    pub(crate) fn since(self, other: Self) -> Option<Duration> {
        let nanos = self.nanos_since_epoch() - other.nanos_since_epoch();
        i64::try_from(nanos).ok().map(Duration)
    }

    /// The date and time in UTC, shifted by so many seconds.
    pub(crate) fn civil(self, offset: i64) -> Civil {
        let seconds = self.seconds + offset;
        let days = seconds.div_euclid(DAY);
        let (year, month, day) = civil_of_days(days);
        Civil {
            year,
            month,
            day,
            second_of_day: seconds.rem_euclid(DAY),
            // The first of January 1970 was a Thursday.
            weekday: (days + 4).rem_euclid(7),
            day_of_year: days - days_of_civil(year, 1, 1),
        }
    }
}

impl Duration {
    pub(crate) fn add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    pub(crate) fn subtract(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

/// Days since 1970 of a date in the Gregorian calendar. Years are counted from March, so that the leap day is the
/// last of a year.
fn days_of_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_of_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let leaps = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leaps) / 365;
    let before = 365 * year_of_era + year_of_era / 4 - year_of_era / 100;
    let day_of_year = day_of_era - before;
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let next = match month {
        12 => days_of_civil(year + 1, 1, 1),
        _ => days_of_civil(year, month + 1, 1),
    };
    next - days_of_civil(year, month, 1)
}

/// Digits behind the point, as few as say all; with the point.
fn fraction(f: &mut fmt::Formatter<'_>, nanos: u64) -> fmt::Result {
    match nanos {
        0 => Ok(()),
        _ => {
            let digits = format!("{nanos:09}");
            write!(f, ".{}", digits.trim_end_matches('0'))
        }
    }
}

/// As in RFC 3339.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = self.civil(0);
        let second = civil.second_of_day;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{:04}-{:02}-{:02}", civil.year, civil.month, civil.day)?;
        write!(f, "T{hour:02}:{minute:02}:{second:02}")?;
        fraction(f, u64::from(self.nanos))?;
        f.write_str("Z")
    }
}

/// In seconds: 90.5s.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let nanos = self.0.unsigned_abs();
        write!(f, "{}", nanos / 1_000_000_000)?;
        fraction(f, nanos % 1_000_000_000)?;
        f.write_str("s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("1969-12-31T23:59:59Z", -1),
            ("0001-01-01T00:00:00Z", SECONDS_MIN),
            ("9999-12-31T23:59:59Z", SECONDS_MAX),
        ] {
            let time = timestamp(text).expect(text);
            assert_eq!(time.seconds(), seconds, "{text}");
            assert_eq!(time.to_string(), text);
        }
        let shifted = timestamp("2026-11-28T17:20:55.120+05:30").expect("valid");
        assert_eq!(shifted.to_string(), "2026-11-28T11:50:55.12Z");
        assert_eq!(shifted.civil(0).weekday, 6, "a Saturday");
        assert_eq!(shifted.civil(0).day_of_year, 331);
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+24:00",
            "0000-01-01T00:00:00Z",
            "2026-01-01T00:00:00Zx",
            "2026-é1-01T00:00:00Z",
            "10000-01-01T00:00:00Z",
        ] {
            assert!(timestamp(text).is_none(), "{text}");
        }
    }

    #[test]
    fn spans_have_units() {
        for (text, nanos) in [
            ("0", 0),
            ("1h30m", 5_400_000_000_000),
            ("-1.5s", -1_500_000_000),
            ("250ms", 250_000_000),
            ("1us", 1000),
            ("1µs", 1000),
            ("7ns", 7),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
        ] {
            assert_eq!(duration(text), Some(Duration(nanos)), "{text}");
        }
        for text in [
            "", "1", "s", "1d", "-", "1h-5m", "h1", "9999999h", "1 s", ".s",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
        assert_eq!(Duration(-1_500_000_000).to_string(), "-1.5s");
    }

    proptest! {
        #[test]
        fn a_time_is_read_as_it_is_written(seconds in SECONDS_MIN..=SECONDS_MAX, nanos in 0_u32..1_000_000_000) {
            let time = Timestamp::new(seconds, nanos).expect("in range");
            prop_assert_eq!(timestamp(&time.to_string()), Some(time));
        }

        #[test]
        fn a_span_is_read_as_it_is_written(nanos in any::<i64>()) {
            let span = Duration(nanos);
            prop_assert_eq!(duration(&span.to_string()), Some(span));
        }
    }
}
