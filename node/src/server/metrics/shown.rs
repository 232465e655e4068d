//! Series that show what other parts of the node have counted.

use prometheus::{IntCounter, IntGauge};

/// Shows this value from now on.
pub(super) fn gauge(gauge: &IntGauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

/// Shows this value from now on. The other counter only grows: the difference to the last time is what to add.
pub(super) fn counter(counter: &IntCounter, value: u64) {
    counter.inc_by(value.saturating_sub(counter.get()));
}
