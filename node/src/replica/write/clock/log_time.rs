//! The clock of the log, as arithmetic: it advances with the monotonic clock, and the wall clock only makes it a little
//! faster or slower.
//!
//! People and time servers set a wall clock, and it may be wrong by years for a moment. Deadlines, expiry and retention
//! by the log's time must not follow it there: in one such moment the cluster would forget every idempotency key.

use std::time::Duration;

/// The log's time may be faster or slower than the time that passes by one part in this many.
const SLEW_PART: u32 = 10;

/// A clock that never goes back and follows the wall clock slowly. All times of the log and of wall clocks are since the Unix epoch, all
/// monotonic ones since some moment of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogClock {
    shows: Duration,
    read_at: Duration,
}

impl LogClock {
    /// A clock that shows `anchor` at the monotonic time `now`.
    pub(crate) fn new(anchor: Duration, now: Duration) -> Self {
        Self {
            shows: anchor,
            read_at: now,
        }
    }

    /// What it shows at the monotonic time `now`. It approaches `wall` by at most a tenth of the time that has passed,
    /// and it never goes back.
    pub(crate) fn read(&mut self, wall: Duration, now: Duration) -> Duration {
        let passed = now.saturating_sub(self.read_at);
        let slew_max = passed / SLEW_PART;
        let expected = self.shows + passed;
        self.shows = wall.clamp(expected - slew_max, expected + slew_max);
        self.read_at = now.max(self.read_at);
        self.shows
    }

    /// Puts it forward to `floor` if it shows less: no time in the log is ever ahead of it.
    pub(crate) fn raise(&mut self, floor: Duration) {
        self.shows = self.shows.max(floor);
    }
}

/// The reading in the middle; the earlier of the two for an even number.
pub(crate) fn lower_median(mut readings: Vec<Duration>) -> Option<Duration> {
    readings.sort_unstable();
    let middle = readings.len().checked_sub(1)? / 2;
    readings.get(middle).copied()
}

/// The milliseconds by which a wall clock has moved more than the monotonic one between two readings of both. This is
/// near zero unless the wall clock was set or the machine was suspended.
pub(crate) fn step_ms(before: (Duration, Duration), after: (Duration, Duration)) -> i64 {
    let passed = |(wall, monotonic): (Duration, Duration)| millis(wall) - millis(monotonic);
    passed(after) - passed(before)
}

/// How far `reading` is ahead of `other`, in milliseconds; negative behind it.
pub(crate) fn ahead_ms(reading: Duration, other: Duration) -> i64 {
    millis(reading) - millis(other)
}

fn millis(time: Duration) -> i64 {
    // Half of the range, so that a difference never overflows: no clock is beyond 146 million years.
    i64::try_from(time.as_millis()).map_or(i64::MAX / 2, |ms| ms.min(i64::MAX / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }
    const START: u64 = 1_700_000_000;
    const DAY: u64 = 86_400;
    const YEAR: u64 = 365 * DAY;

    /// Each row: monotonic seconds, the wall clock, what the log's clock must show.
    #[test]
    fn the_wall_clock_only_slews_it_by_a_tenth_of_what_passed() {
        let table = [
            ("as the wall clock", 10, START + 10, START + 10),
            ("half a minute ahead", 20, START + 50, START + 21),
            ("right again", 30, START + 30, START + 30),
            ("a year ahead", 40, START + YEAR, START + 41),
            ("the same moment", 40, START + 2 * YEAR, START + 41),
            ("a day back", 50, START - DAY, START + 50),
            ("before 1970", 60, 0, START + 59),
            ("a little ahead: all of it", 70, START + 70, START + 70),
            ("a time that goes back", 65, START + 70, START + 70),
        ];
        let mut clock = LogClock::new(secs(START), secs(0));
        for (what, monotonic, wall, expected) in table {
            let shown = clock.read(secs(wall), secs(monotonic));
            assert_eq!(shown, secs(expected), "{what}");
        }
    }

    #[test]
    fn an_hour_is_made_up_in_ten() {
        for (wall_begins, hours) in [(START + 3600, 10), (START - 3600, 10)] {
            let mut clock = LogClock::new(secs(START), secs(0));
            for second in 1..hours * 3600 {
                let wall = secs(wall_begins + second);
                let shown = clock.read(wall, secs(second));
                assert_ne!(shown, wall, "too early, at {second} s");
            }
            let end = hours * 3600;
            let shown = clock.read(secs(wall_begins + end), secs(end));
            assert_eq!(shown, secs(wall_begins + end));
        }
    }

    #[test]
    fn a_million_readings_a_second_slew_it_no_faster() {
        let mut clock = LogClock::new(secs(START), secs(0));
        for micro in 1..=1_000_000 {
            clock.read(secs(START + DAY), Duration::from_micros(micro));
        }
        let shown = clock.read(secs(START + DAY), secs(1));
        assert_eq!(shown, secs(START) + Duration::from_millis(1_100));
    }

    #[test]
    fn it_is_put_forward_to_what_is_in_the_log_and_never_back() {
        let mut clock = LogClock::new(secs(START), secs(0));
        clock.raise(secs(START + DAY));
        clock.raise(secs(START));
        assert_eq!(clock.read(secs(START), secs(10)), secs(START + DAY + 9));
    }

    #[test]
    fn one_wrong_clock_of_three_is_not_the_median() {
        let right = secs(START);
        for wrong in [secs(0), secs(START + YEAR)] {
            let median = lower_median(vec![right, wrong, right + secs(1)]);
            let median = median.expect("three readings have one in the middle");
            assert!(median == right || median == right + secs(1), "{median:?}");
        }
        // Of two the earlier one: a clock that is ahead alone never pulls the log's time along.
        assert_eq!(lower_median(vec![secs(START + YEAR), right]), Some(right));
        assert_eq!(lower_median(Vec::new()), None);
    }

    #[test]
    fn a_step_is_what_the_monotonic_clock_does_not_explain() {
        let at = |wall, monotonic| (secs(wall), secs(monotonic));
        assert_eq!(step_ms(at(START, 5), at(START + 7, 12)), 0);
        assert_eq!(step_ms(at(START, 5), at(START + 3607, 12)), 3_600_000);
        assert_eq!(step_ms(at(START, 5), at(START - 3593, 12)), -3_600_000);
        assert_eq!(step_ms(at(0, 0), (Duration::MAX, secs(0))), i64::MAX / 2);
    }
}
