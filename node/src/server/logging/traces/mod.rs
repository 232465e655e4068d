//! Traces for a collector that speaks OTLP over gRPC.
//!
//! Nothing here exists while `tracing.otlp_endpoint` is not set. While it is set, only requests that are sampled have a
//! record. Their spans are made from it when it is dropped: nothing on the way of a request waits for the collector.
//!
//! | module | subject |
//! |---|---|
//! | `context` | `traceparent` of W3C Trace Context |
//! | `record` | what is recorded of one request, and its spans |
//! | `export` | spans on their way to the collector, which may be slow or gone |

mod context;
mod export;
mod record;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use opentelemetry_otlp::ExporterBuildError;

use crate::server::config::TracingConfig;
pub(crate) use context::TraceParent;
use export::Exporter;
pub(crate) use record::{Record, Subject};

/// At its end the node waits this long for its last spans.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Decides which requests are recorded, and sends what was recorded.
pub(crate) struct Traces {
    exporter: Exporter,
    /// A draw below this samples the request; `None`: every draw does.
    sampled_below: Option<u64>,
    draws: AtomicU64,
    node_id: u64,
}

impl Traces {
    /// Starts to send to the collector, which need not be there. `None`: there is to be no trace.
    ///
    /// # Errors
    /// When the variables `OTEL_EXPORTER_OTLP_…` say something that the client for OTLP does not understand.
    pub(crate) fn start(
        config: &TracingConfig,
        node_id: u64,
    ) -> Result<Option<Arc<Self>>, ExporterBuildError> {
        let Some(endpoint) = &config.otlp_endpoint else {
            return Ok(None);
        };
        let exporter = Exporter::start(endpoint, node_id)?;
        tracing::info!(endpoint, sample = config.sample, "sending traces");
        Ok(Some(Arc::new(Self {
            exporter,
            sampled_below: bound(config.sample),
            draws: AtomicU64::new(random()),
            node_id,
        })))
    }

    /// Begins the record of a request, if it is to have one: if the request says what it belongs to, the caller has decided
    /// that.
    pub(crate) fn begin(
        self: &Arc<Self>,
        op: &'static str,
        parent: Option<&TraceParent>,
        began: Instant,
        subject: impl FnOnce() -> Subject,
    ) -> Option<Arc<Record>> {
        let is_sampled = match parent {
            Some(parent) => parent.is_sampled(),
            None => self.draw(),
        };
        is_sampled.then(|| Arc::new(Record::new(self.clone(), op, parent, began, subject())))
    }

    /// Begins the record of a request that another node has forwarded to this one.
    pub(crate) fn begin_forwarded(
        self: &Arc<Self>,
        op: &'static str,
        parent: &TraceParent,
    ) -> Arc<Record> {
        let subject = Subject::default();
        let record = Record::new(self.clone(), op, Some(parent), Instant::now(), subject);
        Arc::new(record.forwarded())
    }

    /// Spans that were given to the collector.
    pub(crate) fn sent(&self) -> u64 {
        self.exporter.sent()
    }

    /// Spans that the collector did not take, and those for which the queue had no room.
    pub(crate) fn dropped(&self) -> u64 {
        self.exporter.dropped()
    }

    /// Sends what is left, for a second at most.
    pub(crate) async fn end(&self) {
        self.exporter.end(FLUSH_TIMEOUT).await;
    }

    fn draw(&self) -> bool {
        match self.sampled_below {
            None => true,
            Some(0) => false,
            // Steps of an odd number reach all values, and mixing spreads them (SplitMix64).
            Some(bound) => mixed(self.draws.fetch_add(STEP, Ordering::Relaxed)) < bound,
        }
    }
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The draws below which a request is sampled, so that this share of them is.
fn bound(share: f64) -> Option<u64> {
    // The cast saturates, and loses nothing that a share of requests could show.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    (share < 1.0).then_some((share * u64::MAX as f64) as u64)
}

/// A number that nobody need be unable to guess.
fn random() -> u64 {
    RandomState::new().hash_one(SystemTime::now())
}
