//! What a node knows of the clocks: that of its own leadership, and those of the voters that it is compared with.

use std::collections::BTreeMap;
use std::time::Duration;

use super::log_time::LogClock;

/// The clock of this leadership, and the median of the other voters.
#[derive(Default)]
pub(super) struct KnownClocks {
    /// The term in which this node led last, and its clock.
    pub(super) led: Option<(u64, LogClock)>,
    /// The median of the clocks, and the monotonic time at which they showed it.
    pub(super) median: Option<(Duration, Duration)>,
    /// By how many milliseconds each voter that answered is ahead of the median.
    pub(super) skews: BTreeMap<u64, i64>,
    /// The log's time of the oldest decision here whose outcome is not known yet.
    pub(super) in_flight_since_ms: Option<u64>,
}

impl KnownClocks {
    pub(super) fn leads_in(&self, term: u64) -> bool {
        matches!(self.led, Some((led, _)) if led == term)
    }

    /// The wall clock that the log's time is slewed towards.
    pub(super) fn target(&self, wall: Duration, now: Duration, skew_max: Duration) -> Duration {
        match self.median {
            Some((shown, at)) => {
                let median = shown + now.saturating_sub(at);
                match wall.abs_diff(median) > skew_max {
                    true => median,
                    false => wall,
                }
            }
            None => wall,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_too_far_from_the_median_is_not_followed() {
        let secs = Duration::from_secs;
        let mut known = KnownClocks::default();
        let target = |known: &KnownClocks, wall| known.target(secs(wall), secs(7), secs(10));
        assert_eq!(
            target(&known, 5_000),
            secs(5_000),
            "no other clock to compare with"
        );
        // The median was 1,000 s two seconds ago.
        known.median = Some((secs(1_000), secs(5)));
        for (wall, followed) in [
            (1_002, 1_002),
            (1_012, 1_012),
            (1_013, 1_002),
            (992, 992),
            (991, 1_002),
            (90_000, 1_002),
            (0, 1_002),
        ] {
            assert_eq!(target(&known, wall), secs(followed), "{wall}");
        }
    }
}
