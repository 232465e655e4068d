//! Spans for the collector of traces.

use prometheus::IntCounter;

use super::{Maker, Scrape};

pub(super) struct TraceMetrics {
    sent: IntCounter,
    dropped: IntCounter,
}

impl TraceMetrics {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            sent: make.counter(
                "rstmdb_trace_spans_sent_total",
                "Spans that the collector has taken.",
            )?,
            dropped: make.counter(
                "rstmdb_trace_spans_dropped_total",
                "Spans that the collector did not take.",
            )?,
        })
    }

    pub(super) fn set(&self, scrape: &Scrape<'_>) {
        let Some(traces) = scrape.traces else {
            return;
        };
        let counts = [
            (&self.sent, traces.sent()),
            (&self.dropped, traces.dropped()),
        ];
        for (counter, count) in counts {
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }
}
