//! Counts and percentiles.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use rstmdb_rcp::text::counted;
use serde::Serialize;

use super::guard;
use super::load::BenchLoad;
use super::plan::BenchPlan;
use crate::Error;
use crate::args::MixedOp;
use crate::render::output::Paint;

/// The longest latency told apart from longer ones.
const LATENCY_NS_MAX: u64 = 600_000_000_000;

/// Latencies, with a relative error below 0.1 %.
#[derive(Default)]
pub struct Latencies(Option<Histogram<u64>>);

impl Latencies {
    /// Counts one.
    ///
    /// # Errors
    /// Never with the bounds that this module has.
    pub fn record(&mut self, latency: Duration) -> Result<(), Error> {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(LATENCY_NS_MAX);
        self.histogram()?.saturating_record(nanos.max(1));
        Ok(())
    }

    /// Adds those of another thread.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub fn add(&mut self, other: &Latencies) -> Result<(), Error> {
        match &other.0 {
            Some(other) => self.histogram()?.add(other).map_err(faulty),
            None => Ok(()),
        }
    }

    fn histogram(&mut self) -> Result<&mut Histogram<u64>, Error> {
        let new = || Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).map_err(faulty);
        match &mut self.0 {
            Some(histogram) => Ok(histogram),
            empty => Ok(empty.insert(new()?)),
        }
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// The usual percentiles; all 0 if none was counted.
    pub fn summary(&self) -> Latency {
        let Some(histogram) = &self.0 else {
            return Latency::default();
        };
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let at = |quantile| micros(histogram.value_at_quantile(quantile));
        Latency {
            mean: (histogram.mean() / 10.0).round() / 100.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(histogram.max()),
        }
    }
}

fn faulty(error: impl std::fmt::Display) -> Error {
    Error::Failed(format!("histogram: {error}"))
}

/// What one thread has measured; then, merged, what all have.
#[derive(Default)]
pub struct MeasuredLoad {
    answered: BTreeMap<MixedOp, Latencies>,
    unsent: Latencies,
    /// By error code, or by the kind of failure if no server answered.
    errors: BTreeMap<String, u64>,
    time: Duration,
}

impl MeasuredLoad {
    /// Nothing yet.
    pub fn new() -> MeasuredLoad {
        MeasuredLoad::default()
    }

    /// Counts an answer.
    ///
    /// # Errors
    /// As [`Latencies::record`].
    pub fn answered(&mut self, kind: MixedOp, latency: Duration) -> Result<(), Error> {
        self.answered.entry(kind).or_default().record(latency)
    }

    /// Counts a request that was due and could not be sent, after it had waited for so long.
    ///
    /// # Errors
    /// As [`Latencies::record`].
    pub fn unsent(&mut self, waited: Duration) -> Result<(), Error> {
        self.unsent.record(waited)
    }

    /// Counts a failure.
    pub fn failed(&mut self, name: String) {
        *self.errors.entry(name).or_default() += 1;
    }

    /// How long it took to get all the answers that count.
    pub fn lasted(&mut self, time: Duration) {
        self.time = self.time.max(time);
    }

    /// Adds what another thread has measured.
    ///
    /// # Errors
    /// As [`Latencies::record`].
    pub fn merge(&mut self, other: MeasuredLoad) -> Result<(), Error> {
        for (kind, latencies) in &other.answered {
            self.answered.entry(*kind).or_default().add(latencies)?;
        }
        self.unsent.add(&other.unsent)?;
        for (name, count) in other.errors {
            *self.errors.entry(name).or_default() += count;
        }
        self.lasted(other.time);
        Ok(())
    }

    /// How many answers of one operation were counted.
    pub fn count(&self, kind: MixedOp) -> u64 {
        self.answered.get(&kind).map_or(0, Latencies::count)
    }

    /// The result of the whole load.
    ///
    /// # Errors
    /// As [`Latencies::record`].
    pub fn summary(self) -> Result<BenchSummary, Error> {
        let mut all = Latencies::default();
        for latencies in self.answered.values() {
            all.add(latencies)?;
        }
        let ops = all.count();
        all.add(&self.unsent)?;
        let by_op = self.answered.iter().map(|(kind, latencies)| {
            let by_op = ByOp {
                ops: latencies.count(),
                latency_us: latencies.summary(),
            };
            (kind.name(), by_op)
        });
        let seconds = self.time.as_secs_f64();
        let per_second = if seconds > 0.0 {
            ops as f64 / seconds
        } else {
            0.0
        };
        Ok(BenchSummary {
            ops,
            ops_per_second: per_second.round() as u64,
            latency_us: all.summary(),
            by_op: by_op.collect(),
            unsent: self.unsent.count(),
            errors: self.errors,
        })
    }
}

/// Percentiles in microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Latency {
    /// The mean.
    pub mean: f64,
    /// Half are at most this.
    pub p50: f64,
    /// 90 of 100 are at most this.
    pub p90: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
    /// 999 of 1,000 are at most this.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// What a load has measured.
#[derive(Debug, Clone, Serialize)]
pub struct BenchSummary {
    /// Requests answered without an error.
    pub ops: u64,
    /// The same in each second.
    pub ops_per_second: u64,
    /// The latencies of these, and how long the unsent ones have waited.
    pub latency_us: Latency,
    /// By operation.
    pub by_op: BTreeMap<&'static str, ByOp>,
    /// Requests of an open loop whose moment came, and for which no worker became free.
    pub unsent: u64,
    /// By error code, or by the kind of failure if no server answered.
    pub errors: BTreeMap<String, u64>,
}

/// One operation's part.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ByOp {
    /// Requests answered without an error.
    pub ops: u64,
    /// Their latencies.
    pub latency_us: Latency,
}

/// What `bench` prints. docs/performance.md describes the fields.
#[derive(Debug, Serialize)]
pub struct BenchReport {
    op: &'static str,
    mix: BTreeMap<&'static str, u32>,
    #[serde(rename = "loop")]
    loop_kind: &'static str,
    rate: Option<u32>,
    connections: u32,
    in_flight: u32,
    keys: String,
    instances: u32,
    payload_bytes: u32,
    context_bytes: u32,
    seconds: f64,
    #[serde(flatten)]
    summary: BenchSummary,
    watches: Option<Delivered>,
    guard_cost: Option<f64>,
}

/// What the watches beside the load have delivered.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Delivered {
    /// How many watches.
    pub count: u32,
    /// What they were to deliver.
    pub kind: &'static str,
    /// Events they delivered.
    pub events: u64,
    /// Events they should have delivered and had not, some time after the load.
    pub missing: u64,
    /// From sending an event (or from its moment in an open loop) to its delivery.
    pub latency_us: Latency,
}

impl BenchReport {
    /// Of this run.
    pub fn new(
        plan: &BenchPlan,
        load: &BenchLoad,
        summary: BenchSummary,
        watches: Option<Delivered>,
    ) -> BenchReport {
        let shares = plan.mix.shares().iter();
        let ops = |kind: MixedOp| summary.by_op.get(kind.name()).map_or(0, |it| it.ops);
        let cost = || guard::cost(ops(MixedOp::Apply), ops(MixedOp::Guarded));
        let guard_cost = plan.guard.then(cost).flatten();
        BenchReport {
            op: plan.op_name(),
            mix: shares.map(|(kind, share)| (kind.name(), *share)).collect(),
            loop_kind: if load.rate.is_some() {
                "open"
            } else {
                "closed"
            },
            rate: load.rate,
            connections: load.connections,
            in_flight: load.in_flight,
            keys: plan.keys.to_string(),
            instances: plan.instances(),
            payload_bytes: plan.payload,
            context_bytes: plan.context,
            seconds: load.duration.as_secs_f64(),
            summary,
            watches,
            guard_cost,
        }
    }

    /// For people.
    pub fn render(&self, paint: Paint) -> String {
        let rate = self.rate.map(|rate| format!(", {rate}/s asked for"));
        let title = format!(
            "{}, {} × {} in flight, {} of payload, {:.1} s{}",
            self.op,
            counted(self.connections.into(), "connection", "connections"),
            self.in_flight,
            counted(self.payload_bytes.into(), "byte", "bytes"),
            self.seconds,
            rate.unwrap_or_default(),
        );
        let summary = &self.summary;
        let mut text = format!(
            "{}\n\nthroughput  {}\n{}",
            paint.bold(&title),
            paint.highlight(&format!("{}/s", summary.ops_per_second)),
            line("latency", &summary.latency_us),
        );
        if summary.by_op.len() > 1 {
            for (name, by_op) in &summary.by_op {
                text.push_str(&line(name, &by_op.latency_us));
            }
        }
        if let Some(cost) = self.guard_cost {
            text.push_str(&format!(
                "guard       an event with it costs {cost:.2} × one without, contexts of {} bytes\n",
                self.context_bytes
            ));
        }
        if let Some(watches) = self.watches {
            let count = counted(watches.count.into(), "watch", "watches");
            let kind = watches.kind;
            text.push_str(&format!(
                "watches     {count}, {kind}, {} events",
                watches.events
            ));
            if watches.missing > 0 {
                text.push_str(&format!(", {} missing", watches.missing));
            }
            text.push('\n');
            if watches.events > 0 {
                text.push_str(&line("delivery", &watches.latency_us));
            }
        }
        if summary.unsent > 0 {
            let unsent = summary.unsent;
            text.push_str(&format!(
                "unsent      {unsent}: the server is too slow for this rate\n"
            ));
        }
        for (name, count) in &summary.errors {
            text.push_str(&format!("errors      {count} × {name}\n"));
        }
        text
    }
}

fn line(name: &str, latency: &Latency) -> String {
    format!(
        "{name:<11} p50 {}  p90 {}  p99 {}  p99.9 {}  max {}\n",
        micros(latency.p50),
        micros(latency.p90),
        micros(latency.p99),
        micros(latency.p999),
        micros(latency.max),
    )
}

/// Microseconds in the unit they are best read in.
pub fn micros(micros: f64) -> String {
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
        let mut all = MeasuredLoad::new();
        for _ in 0..2 {
            let mut one = MeasuredLoad::new();
            for millis in 1..=100 {
                let latency = Duration::from_millis(millis);
                one.answered(MixedOp::Apply, latency).unwrap();
                one.answered(MixedOp::Get, latency * 10).unwrap();
            }
            one.failed("the connection is closed".to_owned());
            one.lasted(Duration::from_secs(4));
            all.merge(one).unwrap();
        }
        let summary = all.summary().unwrap();
        assert_eq!((summary.ops, summary.ops_per_second), (400, 100));
        let p50_ms = summary.by_op["apply"].latency_us.p50 / 1e3;
        assert!((49.9..=50.2).contains(&p50_ms), "{p50_ms}");
        assert!((999.0..1_001.0).contains(&(summary.latency_us.max / 1e3)));
        assert_eq!(summary.errors.values().sum::<u64>(), 2);
    }

    #[test]
    fn unsent_requests_count_in_the_latencies_and_not_in_the_throughput() {
        let mut measured = MeasuredLoad::new();
        measured
            .answered(MixedOp::Get, Duration::from_millis(1))
            .unwrap();
        for _ in 0..9 {
            measured.unsent(Duration::from_secs(1)).unwrap();
        }
        measured.lasted(Duration::from_secs(1));
        let summary = measured.summary().unwrap();
        assert_eq!((summary.ops, summary.unsent), (1, 9));
        assert!(summary.latency_us.p50 > 999_000.0);
    }
}
