//! What the node counts itself, in the format of the crate `prometheus`.

use std::time::Duration;

use prometheus::proto::{
    Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType, Summary,
};
use prometheus::{IntCounter, IntGauge};

use crate::replica::counters::{self, LATENCY_BUCKETS_US};

/// Shows this value from now on.
pub(super) fn set_gauge(gauge: &IntGauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

/// Shows this value from now on. The other counter only grows: the difference to the last time is what to add.
pub(super) fn raise_counter(counter: &IntCounter, value: u64) {
    counter.inc_by(value.saturating_sub(counter.get()));
}

/// The series of one metric.
pub(super) fn family(
    name: &str,
    help: &str,
    kind: MetricType,
    series: Vec<Metric>,
) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(series);
    family
}

/// A series with one label.
pub(super) fn labelled(name: &str, value: &str) -> Metric {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    Metric::from_label(vec![label])
}

/// A number that only rises.
pub(super) fn counter(count: u64) -> Counter {
    let mut counter = Counter::default();
    // Exact up to 2^53.
    #[allow(clippy::cast_precision_loss)]
    counter.set_value(count as f64);
    counter
}

/// Latencies in buckets.
pub(super) fn histogram(took: &counters::Histogram) -> Histogram {
    let mut total = 0;
    let counts = took.counts();
    let buckets = LATENCY_BUCKETS_US.iter().zip(&counts).map(|(us, count)| {
        total += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(secs(*us));
        bucket.set_cumulative_count(total);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(counts.iter().sum());
    histogram.set_sample_sum(secs(took.sum_us()));
    histogram
}

/// The sum and the count of latencies.
pub(super) fn summary(sum_us: u64, count: u64) -> Summary {
    let mut summary = Summary::default();
    summary.set_sample_sum(secs(sum_us));
    summary.set_sample_count(count);
    summary
}

/// Seconds, as Prometheus wants them.
pub(super) fn secs(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use prometheus::TextEncoder;

    use super::*;

    fn written(mut series: Metric, took: &counters::Histogram) -> String {
        series.set_histogram(histogram(took));
        let family = family("x_seconds", "Help.", MetricType::HISTOGRAM, vec![series]);
        TextEncoder::new().encode_to_string(&[family]).unwrap()
    }

    #[test]
    fn a_histogram_is_cumulative_and_ends_with_everything() {
        let took = counters::Histogram::default();
        for us in [40, 60, 9_000_000] {
            took.observe(Duration::from_micros(us));
        }
        let out = written(labelled("op", "PING"), &took);
        for line in [
            "# HELP x_seconds Help.\n# TYPE x_seconds histogram\n",
            "x_seconds_bucket{op=\"PING\",le=\"0.00005\"} 1\n",
            "x_seconds_bucket{op=\"PING\",le=\"0.0001\"} 2\n",
            "x_seconds_bucket{op=\"PING\",le=\"+Inf\"} 3\n",
            "x_seconds_sum{op=\"PING\"} 9.0001\n",
            "x_seconds_count{op=\"PING\"} 3\n",
        ] {
            assert!(out.contains(line), "{line} is missing in:\n{out}");
        }
        let out = written(Metric::default(), &took);
        assert!(
            out.contains("\nx_seconds_bucket{le=\"0.00005\"} 1\n"),
            "{out}"
        );
        assert!(
            out.ends_with("x_seconds_sum 9.0001\nx_seconds_count 3\n"),
            "{out}"
        );
    }

    #[test]
    fn a_counter_and_a_summary_are_written_as_whole_numbers_and_seconds() {
        let (mut counted, mut took) = (labelled("op", "PING"), Metric::default());
        counted.set_counter(counter(7));
        took.set_summary(summary(1_500_000, 2));
        let families = [
            family("x_total", "Help.", MetricType::COUNTER, vec![counted]),
            family("y_seconds", "Help.", MetricType::SUMMARY, vec![took]),
        ];
        let out = TextEncoder::new().encode_to_string(&families).unwrap();
        assert!(out.contains("x_total{op=\"PING\"} 7\n"), "{out}");
        assert!(
            out.ends_with("y_seconds_sum 1.5\ny_seconds_count 2\n"),
            "{out}"
        );
    }
}
