//! Watchers over a whole run: they resume after every lost connection, on another node where there is
//! one, and must have seen the log's events exactly once, in order.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use rstmdb_rcp::client::{Client, ClientOptions};
use rstmdb_rcp::message::watch::WatchAll;

use super::watcher::{self, SeenEvent, WatcherPosition};
use crate::Error;

/// How long a watcher may take to see the last event once the log has it.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a watcher waits for an event before it checks again whether it has reached the end.
const NEXT_TIMEOUT: Duration = Duration::from_millis(100);

/// Watchers at work.
#[derive(Debug, Default)]
pub struct RcpWatchers {
    end: Arc<OnceLock<WatcherPosition>>,
    watching: Vec<RcpWatcher>,
}

#[derive(Debug)]
struct RcpWatcher {
    name: String,
    thread: JoinHandle<Result<Vec<SeenEvent>, Error>>,
}

impl RcpWatchers {
    /// Adds a watcher that resumes by hand; it begins at the first of the nodes.
    pub fn add_plain(&mut self, name: &str, addrs: Vec<SocketAddr>) {
        let end = Arc::clone(&self.end);
        self.add(name, move || Ok(watcher::watch_until(&addrs, &end)?.seen));
    }

    /// Adds a watcher of the client library; it begins at the first of the nodes.
    pub fn add_library(&mut self, name: &str, addrs: &[SocketAddr]) {
        let end = Arc::clone(&self.end);
        let options = ClientOptions {
            addrs: addrs.iter().map(SocketAddr::to_string).collect(),
            ..ClientOptions::default()
        };
        self.add(name, move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(Error::io("a runtime"))?;
            runtime.block_on(watch_with_the_library(options, &end))
        });
    }

    fn add(
        &mut self,
        name: &str,
        watch: impl FnOnce() -> Result<Vec<SeenEvent>, Error> + Send + 'static,
    ) {
        self.watching.push(RcpWatcher {
            name: name.to_owned(),
            thread: thread::spawn(watch),
        });
    }

    /// Waits until all watchers reach the log's last event, and compares their events with the log. Returns the
    /// faults.
    pub fn finish(self, events: &[SeenEvent]) -> Vec<String> {
        let end = *self.end.get_or_init(|| watcher::position(events));
        let begun = Instant::now();
        let wrong = self.watching.into_iter().filter_map(|watcher| {
            let RcpWatcher { name, thread } = watcher;
            while !thread.is_finished() {
                if begun.elapsed() > CATCH_UP_TIMEOUT {
                    return Some(format!("{name}: it never came to {end:?}"));
                }
                std::thread::sleep(NEXT_TIMEOUT);
            }
            let problem = match thread.join() {
                Err(_) => Some("it panicked".to_owned()),
                Ok(Err(error)) => Some(error.to_string()),
                Ok(Ok(seen)) => watcher::difference(events, &seen),
            };
            problem.map(|problem| format!("{name}: {problem}"))
        });
        wrong.collect()
    }
}

async fn watch_with_the_library(
    options: ClientOptions,
    end: &OnceLock<WatcherPosition>,
) -> Result<Vec<SeenEvent>, Error> {
    let everything = WatchAll {
        from_offset: Some(0),
        ..WatchAll::default()
    };
    let mut watch = loop {
        // The node may be down now, and a watch resumes only after it has begun once.
        let Ok(client) = Client::connect(options.clone()).await else {
            continue;
        };
        if let Ok(watch) = client.watch_all(&everything).await {
            break watch;
        }
    };
    let mut seen: Vec<SeenEvent> = Vec::new();
    while !watcher::has_reached(&seen, end) {
        let next = tokio::time::timeout(NEXT_TIMEOUT, watch.next()).await;
        if let Ok(event) = next {
            let event = event.ok_or(Error::Closed)??;
            let as_sent = rstmdb_rcp::json::to_value(&event);
            let as_sent = as_sent.map_err(|error| Error::Protocol(error.to_string()))?;
            seen.push(SeenEvent::new(event.wal_offset, &as_sent));
        }
    }
    Ok(seen)
}
