//! Counts and percentiles.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use rstmdb_rcp::text::counted;
use serde::Serialize;

use super::plan::Plan;
use crate::Error;
use crate::render::output::Paint;

/// The longest latency told apart from longer ones.
const LATENCY_NS_MAX: u64 = 600_000_000_000;

/// What one thread has measured; then, merged, what all have.
pub struct Measured {
    latencies_ns: Histogram<u64>,
    /// By error code, or by the kind of failure if no server answered.
    errors: BTreeMap<String, u64>,
    /// How many instances each worker has made.
    pub created: Vec<(u32, u64)>,
}

impl Measured {
    /// Nothing yet.
    pub fn new() -> Result<Measured, Error> {
        let latencies_ns = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)
            .map_err(|error| Error::Failed(format!("histogram: {error}")))?;
        Ok(Measured {
            latencies_ns,
            errors: BTreeMap::new(),
            created: Vec::new(),
        })
    }

    /// Counts an answer.
    pub fn answered(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(LATENCY_NS_MAX);
        self.latencies_ns.saturating_record(nanos.max(1));
    }

    /// Counts a failure.
    pub fn failed(&mut self, error: &rstmdb_rcp::client::Error) {
        use rstmdb_rcp::client::Error as ClientError;
        let name = match error {
            ClientError::Refused(body) => body.code.to_string(),
            other => other.to_string(),
        };
        *self.errors.entry(name).or_default() += 1;
    }

    /// Adds what another thread has measured.
    pub fn merge(&mut self, other: Measured) -> Result<(), Error> {
        self.latencies_ns
            .add(&other.latencies_ns)
            .map_err(|error| Error::Failed(format!("histogram: {error}")))?;
        for (name, count) in other.errors {
            *self.errors.entry(name).or_default() += count;
        }
        self.created.extend(other.created);
        Ok(())
    }

    /// The result of the whole run.
    pub fn report(self, plan: &Plan) -> Report {
        let count = self.latencies_ns.len();
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let at = |quantile| micros(self.latencies_ns.value_at_quantile(quantile));
        Report {
            op: plan.op.name(),
            connections: plan.connections,
            in_flight: plan.in_flight,
            payload_bytes: plan.payload,
            seconds: plan.duration.as_secs_f64(),
            ops: count,
            ops_per_second: (count as f64 / plan.duration.as_secs_f64()).round() as u64,
            latency_us: Latency {
                mean: (self.latencies_ns.mean() / 10.0).round() / 100.0,
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: micros(self.latencies_ns.max()),
            },
            errors: self.errors,
        }
    }
}

/// What `bench` prints.
#[derive(Debug, Serialize)]
pub struct Report {
    op: &'static str,
    connections: u32,
    in_flight: u32,
    payload_bytes: u32,
    seconds: f64,
    ops: u64,
    ops_per_second: u64,
    latency_us: Latency,
    errors: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
struct Latency {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl Report {
    /// For people.
    pub fn render(&self, paint: Paint) -> String {
        let title = format!(
            "{}, {} × {} in flight, {} of payload, {:.1} s",
            self.op,
            counted(self.connections.into(), "connection", "connections"),
            self.in_flight,
            counted(self.payload_bytes.into(), "byte", "bytes"),
            self.seconds
        );
        let latency = &self.latency_us;
        let mut text = format!(
            "{}\n\nthroughput  {}\nlatency     p50 {}  p90 {}  p99 {}  p99.9 {}  max {}\n",
            paint.bold(&title),
            paint.highlight(&format!("{}/s", self.ops_per_second)),
            micros(latency.p50),
            micros(latency.p90),
            micros(latency.p99),
            micros(latency.p999),
            micros(latency.max),
        );
        for (name, count) in &self.errors {
            text.push_str(&format!("errors      {count} × {name}\n"));
        }
        text
    }
}

/// Microseconds in the unit they are best read in.
fn micros(micros: f64) -> String {
    if micros < 1e3 {
        format!("{micros:.0} µs")
    } else if micros < 1e6 {
        format!("{:.2} ms", micros / 1e3)
    } else {
        format!("{:.2} s", micros / 1e6)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn times_are_shown_in_their_unit() {
        assert_eq!(micros(84.4), "84 µs");
        assert_eq!(micros(1_234.0), "1.23 ms");
        assert_eq!(micros(2_500_000.0), "2.50 s");
    }

    #[test]
    fn what_threads_have_measured_adds_up() {
        let mut all = Measured::new().unwrap();
        for thread in 1..=2 {
            let mut one = Measured::new().unwrap();
            for millis in 1..=100 {
                one.answered(Duration::from_millis(millis));
            }
            one.failed(&rstmdb_rcp::client::Error::Closed);
            one.created.push((thread, 7));
            all.merge(one).unwrap();
        }
        assert_eq!(all.latencies_ns.len(), 200);
        let p50_ms = all.latencies_ns.value_at_quantile(0.5) as f64 / 1e6;
        assert!((49.9..=50.2).contains(&p50_ms), "{p50_ms}");
        assert_eq!(all.errors.values().sum::<u64>(), 2);
        assert_eq!(all.created, [(1, 7), (2, 7)]);
    }
}
