//! Requests as numbers for each interval of a run.

use std::time::Duration;

use serde::Serialize;

use crate::chaos::history::{HistoryEntry, RequestOutcome};
use crate::harness::latencies::Latencies;

/// More intervals than this cannot be told apart in a picture.
const INTERVALS_MAX: u64 = 500;
const SECOND_US: u64 = 1_000_000;

/// Latencies of the successful requests of one interval, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct IntervalLatency {
    /// Half were faster.
    pub p50: f64,
    /// One in a hundred was slower.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

/// How many requests of one interval had each kind of end, per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Rates {
    /// Done.
    pub ok: f64,
    /// Refused.
    pub refused: f64,
    /// Without an answer.
    pub unknown: f64,
}

/// A run in intervals of equal length.
#[derive(Debug, Serialize)]
pub(super) struct Series {
    /// The length of an interval.
    pub interval_us: u64,
    /// Latencies of reads; `None` where none was done.
    pub reads: Vec<Option<IntervalLatency>>,
    /// Latencies of writes.
    pub writes: Vec<Option<IntervalLatency>>,
    /// What became of all requests.
    pub rates: Vec<Rates>,
}

impl Series {
    /// The series of a run of this length.
    pub fn new(entries: &[HistoryEntry], duration_us: u64) -> Self {
        let seconds = duration_us.div_ceil(SECOND_US).max(1);
        let interval_us = seconds.div_ceil(INTERVALS_MAX) * SECOND_US;
        let count = usize::try_from(duration_us.div_ceil(interval_us).max(1)).unwrap_or(1);
        let mut latencies = [vec![Vec::new(); count], vec![Vec::new(); count]];
        let mut rates = vec![Rates::default(); count];
        let each = SECOND_US as f64 / interval_us as f64;
        for entry in entries {
            let at = usize::try_from(entry.ended / interval_us).unwrap_or(count);
            let at = at.min(count - 1);
            match entry.outcome {
                RequestOutcome::Ok(_) => {
                    rates[at].ok += each;
                    let us = entry.ended.saturating_sub(entry.begun);
                    latencies[usize::from(!is_read(entry))][at].push(Duration::from_micros(us));
                }
                RequestOutcome::Refused { .. } => rates[at].refused += each,
                RequestOutcome::Unknown { .. } => rates[at].unknown += each,
            }
        }
        let [reads, writes] = latencies.map(|all| all.into_iter().map(summary).collect());
        Self {
            interval_us,
            reads,
            writes,
            rates,
        }
    }
}

fn is_read(entry: &HistoryEntry) -> bool {
    let reads = |op: &str| op.starts_with("GET_") || op.starts_with("LIST_");
    match entry.params["ops"].as_array() {
        Some(ops) => ops
            .iter()
            .all(|part| part["op"].as_str().is_some_and(reads)),
        None => reads(&entry.op),
    }
}

fn summary(taken: Vec<Duration>) -> Option<IntervalLatency> {
    let latencies = Latencies::of(taken);
    let ms = |duration: Duration| duration.as_micros() as f64 / 1000.0;
    (latencies.count > 0).then(|| IntervalLatency {
        p50: ms(latencies.p50),
        p99: ms(latencies.p99),
        max: ms(latencies.max),
    })
}
