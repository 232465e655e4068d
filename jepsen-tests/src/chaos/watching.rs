//! Watchers over a whole run, who resume on whatever nodes there are by then.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use rstmdb_rcp::client::{Client, ClientOptions};
use rstmdb_rcp::message::watch::WatchAll;

use super::client::Directory;
use crate::Error;
use crate::observer::{self, Observed, Position, Seen};

/// How long a watcher may take to see the last event once the log has it.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
/// A client of the library looks for a node by itself; this is when another one begins.
const LIBRARY_PATIENCE: Duration = Duration::from_secs(5);

/// Watchers at work.
#[derive(Debug, Default)]
pub struct Watching {
    end: Arc<OnceLock<Position>>,
    watchers: Vec<Watcher>,
}

#[derive(Debug)]
struct Watcher {
    name: String,
    thread: JoinHandle<Result<Observed, Error>>,
}

/// What the watchers have to show.
#[derive(Debug, Default)]
pub struct Watched {
    /// What is wrong.
    pub violations: Vec<String>,
    /// How often they began or resumed.
    pub connections: u32,
    /// How many events each of them saw.
    pub events: Vec<usize>,
}

impl Watching {
    /// Adds a watcher that resumes by hand, each time on the next node.
    pub fn add_plain(&mut self, name: &str, directory: &Directory) {
        let (end, directory) = (Arc::clone(&self.end), Arc::clone(directory));
        self.add(name, move || {
            let mut turn = 0;
            let next = || {
                let nodes = directory.read();
                turn += 1;
                nodes[turn % nodes.len()].1
            };
            observer::watch_until_at(next, &end)
        });
    }

    /// Adds a watcher of the client library.
    pub fn add_library(&mut self, name: &str, directory: &Directory) {
        let (end, directory) = (Arc::clone(&self.end), Arc::clone(directory));
        self.add(name, move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(Error::io("a runtime"))?;
            runtime.block_on(watch_with_the_library(&directory, &end))
        });
    }

    fn add(
        &mut self,
        name: &str,
        watch: impl FnOnce() -> Result<Observed, Error> + Send + 'static,
    ) {
        self.watchers.push(Watcher {
            name: name.to_owned(),
            thread: thread::spawn(watch),
        });
    }

    /// Lets all reach the log's last event and compares what they saw with it.
    pub fn finish(self, events: &[Seen]) -> Watched {
        let end = *self.end.get_or_init(|| observer::position(events));
        let begun = Instant::now();
        let mut watched = Watched::default();
        for Watcher { name, thread } in self.watchers {
            while !thread.is_finished() && begun.elapsed() < CATCH_UP_TIMEOUT {
                thread::sleep(POLL);
            }
            if !thread.is_finished() {
                watched
                    .violations
                    .push(format!("{name}: it never came to {end:?}"));
                continue;
            }
            let problem = match thread.join() {
                Err(_) => Some("it panicked".to_owned()),
                Ok(Err(error)) => Some(error.to_string()),
                Ok(Ok(observed)) => {
                    watched.connections += observed.connections;
                    watched.events.push(observed.seen.len());
                    observer::difference(events, &observed.seen)
                }
            };
            watched
                .violations
                .extend(problem.map(|problem| format!("{name}: {problem}")));
        }
        watched
    }
}

/// The library resumes by itself as long as one of the nodes it knows lives; after that another client goes on.
async fn watch_with_the_library(
    directory: &Directory,
    end: &OnceLock<Position>,
) -> Result<Observed, Error> {
    let mut observed = Observed::default();
    while !observer::has_reached(&observed.seen, end) {
        let addrs: Vec<SocketAddr> = directory.read().iter().map(|(_, addr)| *addr).collect();
        let options = ClientOptions {
            addrs: addrs.iter().map(SocketAddr::to_string).collect(),
            ..ClientOptions::default()
        };
        let connected = tokio::time::timeout(LIBRARY_PATIENCE, Client::connect(options)).await;
        let Ok(Ok(client)) = connected else {
            tokio::time::sleep(POLL).await;
            continue;
        };
        follow(&client, directory, end, &mut observed).await?;
    }
    Ok(observed)
}

/// Until the end, until the watch ends, or until none of its nodes is one any more.
async fn follow(
    client: &Client,
    directory: &Directory,
    end: &OnceLock<Position>,
    observed: &mut Observed,
) -> Result<(), Error> {
    let (from, mut repeats) = observer::position(&observed.seen);
    let filter = WatchAll {
        from_offset: Some(from),
        ..WatchAll::default()
    };
    let Ok(Ok(mut watch)) = tokio::time::timeout(LIBRARY_PATIENCE, client.watch_all(&filter)).await
    else {
        return Ok(());
    };
    observed.connections += 1;
    let mut heard = Instant::now();
    let began_with = directory.read().clone();
    while !observer::has_reached(&observed.seen, end) {
        match tokio::time::timeout(POLL, watch.next()).await {
            Err(_) => {
                let has_moved = *directory.read() != began_with;
                if has_moved && heard.elapsed() > LIBRARY_PATIENCE {
                    return Ok(());
                }
            }
            Ok(None | Some(Err(_))) => return Ok(()),
            Ok(Some(Ok(event))) => {
                heard = Instant::now();
                if repeats > 0 && event.wal_offset == from {
                    repeats -= 1;
                    continue;
                }
                let as_sent = rstmdb_rcp::json::to_value(&event);
                let as_sent = as_sent.map_err(|error| Error::Protocol(error.to_string()))?;
                observed.seen.push(Seen::new(event.wal_offset, &as_sent));
            }
        }
    }
    Ok(())
}
