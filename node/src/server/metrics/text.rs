//! Prometheus's text format, for what is not counted with its crate.

use std::fmt::Write as _;
use std::time::Duration;

use crate::replica::counters::{Histogram, LATENCY_BUCKETS_US};

/// Begins a metric. Writing to a `String` cannot fail, here and below.
pub(super) fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

/// One series of a histogram. `label` is empty, or one label as it is to be written.
pub(super) fn histogram(out: &mut String, name: &str, label: &str, histogram: &Histogram) {
    let comma = if label.is_empty() { "" } else { "," };
    let mut total = 0;
    let bounds = LATENCY_BUCKETS_US.iter().map(|us| secs(*us).to_string());
    for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(histogram.counts()) {
        total += count;
        let _ = writeln!(out, "{name}_bucket{{{label}{comma}le=\"{bound}\"}} {total}");
    }
    sum_and_count(out, name, label, histogram.sum_us(), total);
}

/// The sum and the count of a histogram or a summary.
pub(super) fn sum_and_count(out: &mut String, name: &str, label: &str, sum_us: u64, count: u64) {
    let labels = if label.is_empty() {
        String::new()
    } else {
        format!("{{{label}}}")
    };
    let sum = secs(sum_us);
    let _ = writeln!(
        out,
        "{name}_sum{labels} {sum}\n{name}_count{labels} {count}"
    );
}

/// Seconds, as Prometheus wants them.
pub(super) fn secs(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_cumulative_and_ends_with_everything() {
        let took = Histogram::default();
        for us in [40, 60, 9_000_000] {
            took.observe(Duration::from_micros(us));
        }
        let mut out = String::new();
        histogram(&mut out, "x_seconds", "op=\"PING\"", &took);
        for line in [
            "x_seconds_bucket{op=\"PING\",le=\"0.00005\"} 1\n",
            "x_seconds_bucket{op=\"PING\",le=\"0.0001\"} 2\n",
            "x_seconds_bucket{op=\"PING\",le=\"+Inf\"} 3\n",
            "x_seconds_sum{op=\"PING\"} 9.0001\n",
            "x_seconds_count{op=\"PING\"} 3\n",
        ] {
            assert!(out.contains(line), "{line} is missing in:\n{out}");
        }
        out.clear();
        histogram(&mut out, "x_seconds", "", &took);
        assert!(
            out.starts_with("x_seconds_bucket{le=\"0.00005\"} 1\n"),
            "{out}"
        );
        assert!(
            out.ends_with("x_seconds_sum 9.0001\nx_seconds_count 3\n"),
            "{out}"
        );
    }
}
