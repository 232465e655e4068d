//! Spans on their way to the collector.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Requests whose spans wait; the spans of further ones are dropped.
const QUEUE_REQUESTS_MAX: usize = 2048;
/// Spans in one message to the collector, about: those of the last request may exceed it.
const BATCH_SPANS_MAX: usize = 512;
/// The first span of a message waits this long for others.
const BATCH_PAUSE: Duration = Duration::from_secs(1);
/// The collector has this long to take a message.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// The least time between two lines of the log about a collector that does not take spans.
const WARN_PAUSE: Duration = Duration::from_secs(60);

/// A bounded queue of spans, and the task that sends them.
pub(super) struct Exporter {
    queue: mpsc::Sender<Vec<SpanData>>,
    counts: Arc<Counts>,
    closing: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl Exporter {
    /// Must be called inside the runtime. The connection is made when there is something to send.
    pub(super) fn start(endpoint: &str, node_id: u64) -> Result<Self, ExporterBuildError> {
        let mut client = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(SEND_TIMEOUT)
            .build()?;
        let node_id = i64::try_from(node_id).unwrap_or(i64::MAX);
        let resource = Resource::builder_empty().with_attributes([
            KeyValue::new("service.name", "rstmdb"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", node_id.to_string()),
        ]);
        client.set_resource(&resource.build());
        let (queue, incoming) = mpsc::channel(QUEUE_REQUESTS_MAX);
        let (counts, closing) = (Arc::<Counts>::default(), CancellationToken::new());
        let sending = Sending {
            client,
            incoming,
            counts: counts.clone(),
            closing: closing.clone(),
            warned: None,
        };
        Ok(Self {
            queue,
            counts,
            closing,
            task: Mutex::new(Some(tokio::spawn(sending.run()))),
        })
    }

    /// Takes the spans of a request. Never waits: without room they are dropped.
    pub(super) fn take(&self, spans: Vec<SpanData>) {
        let count = spans.len() as u64;
        if self.queue.try_send(spans).is_err() {
            self.counts.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(super) fn sent(&self) -> u64 {
        self.counts.sent.load(Ordering::Relaxed)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Sends what is left, and nothing after that.
    pub(super) async fn end(&self, patience: Duration) {
        self.closing.cancel();
        let task = self.task.lock().take();
        if let Some(mut task) = task
            && tokio::time::timeout(patience, &mut task).await.is_err()
        {
            task.abort();
            tracing::debug!("the collector has not taken the last spans in time");
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// The task that sends.
struct Sending {
    client: SpanExporter,
    incoming: mpsc::Receiver<Vec<SpanData>>,
    counts: Arc<Counts>,
    closing: CancellationToken,
    warned: Option<Instant>,
}

impl Sending {
    async fn run(mut self) {
        loop {
            let is_last = self.closing.is_cancelled();
            let batch = self.next_batch().await;
            if !batch.is_empty() {
                self.send(batch).await;
            } else if is_last {
                return;
            }
        }
    }

    /// What has come, or what comes within a pause. Once the node ends, only what has come.
    async fn next_batch(&mut self) -> Vec<SpanData> {
        let mut batch = Vec::new();
        let pause = tokio::time::sleep(BATCH_PAUSE);
        tokio::pin!(pause);
        while batch.len() < BATCH_SPANS_MAX {
            tokio::select! {
                biased;
                spans = self.incoming.recv() => match spans {
                    Some(spans) => batch.extend(spans),
                    None => break,
                },
                () = self.closing.cancelled() => break,
                () = &mut pause, if !batch.is_empty() => break,
            }
        }
        batch
    }

    async fn send(&mut self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        let sending = self.client.export(batch);
        let failure = match tokio::time::timeout(SEND_TIMEOUT, sending).await {
            Ok(Ok(())) => {
                self.counts.sent.fetch_add(count, Ordering::Relaxed);
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it has not answered within {} s", SEND_TIMEOUT.as_secs()),
        };
        let dropped = self.counts.dropped.fetch_add(count, Ordering::Relaxed) + count;
        if self.warned.is_none_or(|at| at.elapsed() >= WARN_PAUSE) {
            self.warned = Some(Instant::now());
            tracing::warn!(
                error = failure,
                dropped,
                "the collector of tracing.otlp_endpoint does not take spans: they are dropped, and requests go on"
            );
        }
    }
}
