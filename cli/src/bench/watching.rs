//! Watches beside a load, and the time until events reach them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use rstmdb_rcp::client::{Client, ClientOptions, Watch};
use rstmdb_rcp::message::watch::{Event, WatchAll};
use serde::Deserialize;
use tokio::sync::watch;

use super::plan::{BenchPlan, MACHINE};
use super::report::{Delivered, Latencies};
use crate::Error;
use crate::args::WatchKind;
use crate::session::from_client;

/// Watches that are opened at the same time.
const OPENING: usize = 64;
/// How long after the load the last events may take to arrive.
const ARRIVAL_MAX: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Watches at work, on a thread of their own.
pub(super) struct BenchWatching {
    count: u32,
    kind: WatchKind,
    seen: Arc<DeliveredEvents>,
    end: watch::Sender<bool>,
    thread: JoinHandle<Result<(), Error>>,
}

/// What all watches together have delivered.
#[derive(Default)]
struct DeliveredEvents {
    events: AtomicU64,
    latencies: Mutex<Latencies>,
}

/// Which events count: those of this run that were sent while it was measured, which carry their moment.
#[derive(Clone)]
struct CountedEvents {
    /// The moments are counted from here.
    epoch: Instant,
    prefix: Arc<str>,
}

/// The part of a payload that says when it was sent.
#[derive(Deserialize)]
struct Stamp {
    at: u64,
}

impl BenchWatching {
    /// Opens the watches, blocking until all are there.
    pub fn start(plan: &BenchPlan, count: u32, kind: WatchKind) -> Result<BenchWatching, Error> {
        let seen = Arc::new(DeliveredEvents::default());
        let (end, ended) = watch::channel(false);
        let (ready, is_ready) = mpsc::channel();
        let thread = thread::spawn({
            let (options, seen) = (plan.options.clone(), seen.clone());
            let filter = CountedEvents {
                epoch: plan.epoch,
                prefix: plan.prefix().into(),
            };
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(|error| Error::Failed(format!("cannot start a runtime: {error}")))?;
                runtime.block_on(async {
                    let watches = open(options, count, kind).await?;
                    // The receiver waits for this.
                    let _ = ready.send(());
                    follow_all(watches, filter, &seen, ended).await
                })
            }
        });
        let watching = BenchWatching {
            count,
            kind,
            seen,
            end,
            thread,
        };
        match is_ready.recv() {
            Ok(()) => Ok(watching),
            Err(_) => Err(watching
                .join()
                .err()
                .unwrap_or(Error::Failed("the watches have ended".to_owned()))),
        }
    }

    /// Waits until the watches have delivered so many events each, and ends them.
    pub fn finish(self, events: u64) -> Result<Delivered, Error> {
        let expected = match self.kind {
            WatchKind::Idle => 0,
            WatchKind::Matching => events * u64::from(self.count),
        };
        let begun = Instant::now();
        let delivered = || self.seen.events.load(Ordering::Relaxed);
        while delivered() < expected && begun.elapsed() < ARRIVAL_MAX && !self.thread.is_finished()
        {
            thread::sleep(POLL_INTERVAL);
        }
        let (count, kind, seen) = (self.count, self.kind.name(), self.seen.clone());
        self.end.send_replace(true);
        self.join()?;
        let events = seen.events.load(Ordering::Relaxed);
        let latencies = seen
            .latencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(Delivered {
            count,
            kind,
            events,
            missing: expected.saturating_sub(events),
            latency_us: latencies.summary(),
        })
    }

    fn join(self) -> Result<(), Error> {
        drop(self.end);
        let panicked = |_| Error::Failed("the thread of the watches panicked".to_owned());
        self.thread.join().map_err(panicked)?
    }
}

/// Opens all watches. Each has a connection of its own, spread over the addresses.
async fn open(options: ClientOptions, count: u32, kind: WatchKind) -> Result<Vec<Watch>, Error> {
    let mut clients = Vec::new();
    for first in 0..options.addrs.len() {
        let mut options = options.clone();
        options.addrs.rotate_left(first);
        clients.push(Client::connect(options).await.map_err(from_client)?);
    }
    let events = match kind {
        // No event of the benchmark has this name.
        WatchKind::Idle => vec!["NEVER".into()],
        WatchKind::Matching => Vec::new(),
    };
    let params = WatchAll {
        machines: vec![MACHINE.into()],
        events,
        ..WatchAll::default()
    };
    let opened = clients.iter().cycle().take(count as usize);
    let opened = stream::iter(opened.map(|client| client.watch_all(&params)));
    let watches = opened.buffer_unordered(OPENING).try_collect().await;
    watches.map_err(from_client)
}

async fn follow_all(
    watches: Vec<Watch>,
    filter: CountedEvents,
    seen: &Arc<DeliveredEvents>,
    mut ended: watch::Receiver<bool>,
) -> Result<(), Error> {
    let mut following = tokio::task::JoinSet::new();
    for watch in watches {
        following.spawn(follow(watch, filter.clone(), seen.clone()));
    }
    // The sender drops when the run fails, which ends the watches too.
    tokio::select! {
        _ = ended.wait_for(|ended| *ended) => Ok(()),
        Some(first) = following.join_next() => {
            first.map_err(|_| Error::Failed("a watch panicked".to_owned()))?
        }
    }
}

/// Counts what one watch delivers; returns when it ends.
async fn follow(
    mut watch: Watch,
    filter: CountedEvents,
    seen: Arc<DeliveredEvents>,
) -> Result<(), Error> {
    while let Some(event) = watch.next().await {
        seen.count(&filter, &event.map_err(from_client)?)?;
    }
    Err(Error::NoConnection("a watch has ended".to_owned()))
}

impl DeliveredEvents {
    fn count(&self, filter: &CountedEvents, event: &Event<'_>) -> Result<(), Error> {
        let payload = event
            .payload
            .as_ref()
            .map_or("null", |payload| payload.get());
        let stamp = serde_json::from_str(payload).ok();
        let stamp = stamp.filter(|_| event.instance_id.starts_with(&*filter.prefix));
        let Some(Stamp { at }) = stamp else {
            return Ok(());
        };
        let latency = filter
            .epoch
            .elapsed()
            .saturating_sub(Duration::from_nanos(at));
        let mut latencies = self
            .latencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        latencies.record(latency)?;
        self.events.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
