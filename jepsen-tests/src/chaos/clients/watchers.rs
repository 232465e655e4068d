//! Watchers over a whole run. They resume on the nodes that exist at that time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use rstmdb_rcp::client::{Client, ClientOptions};
use rstmdb_rcp::message::watch::WatchAll;
use serde_json::json;

use super::client::NodeDirectory;
use crate::Error;
use crate::rcp::wal::ReadRecord;
use crate::rcp::watcher::{self, SeenEvent, WantedWatch, WatcherPosition, WatcherRecord};

/// How long a watcher may take to see the last event once the log has it.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
/// A client of the library looks for a node itself. After this time, another client begins.
const LIBRARY_PATIENCE: Duration = Duration::from_secs(5);

/// The machine of a watch with a filter: about one in ten entries of the log is about it.
const FILTERED_MACHINE: &str = "account";
/// How long a connection of that watch lasts. By then it has mostly seen a notice of progress since its last
/// event, and resumes after that.
const FILTERED_LASTS: Duration = Duration::from_millis(800);

/// Watchers at work.
#[derive(Debug, Default)]
pub struct ChaosWatchers {
    ends: BTreeMap<Sees, Arc<OnceLock<WatcherPosition>>>,
    watchers: Vec<ChaosWatcher>,
}

/// What a watcher is to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sees {
    /// Every event.
    All,
    /// The events of one machine.
    Filtered,
    /// Every event, creation and deletion.
    Lives,
}

/// What the log tells watchers.
#[derive(Debug, Default)]
pub struct WatchedEvents {
    /// All of them.
    pub all: Vec<SeenEvent>,
    /// The events that a watch with a filter must see.
    pub filtered: Vec<SeenEvent>,
    /// All of them, and the creations and deletions.
    lives: Vec<SeenEvent>,
}

impl WatchedEvents {
    /// Adds the event that a record of the log shows to watchers.
    pub fn take(&mut self, record: &ReadRecord) {
        self.lives.extend(record.seen_or_lived());
        let Some(seen) = record.seen() else {
            return;
        };
        self.all.push(seen);
        if record.text("machine") == FILTERED_MACHINE {
            self.filtered.push(seen);
        }
    }

    fn of(&self, sees: Sees) -> &[SeenEvent] {
        match sees {
            Sees::All => &self.all,
            Sees::Filtered => &self.filtered,
            Sees::Lives => &self.lives,
        }
    }
}

#[derive(Debug)]
struct ChaosWatcher {
    name: String,
    sees: Sees,
    thread: JoinHandle<Result<WatcherRecord, Error>>,
}

/// What the watchers saw.
#[derive(Debug, Default)]
pub struct WatchersRecord {
    /// What is wrong.
    pub violations: Vec<String>,
    /// How often they began or resumed.
    pub connections: u32,
    /// How many events each of them saw.
    pub events: Vec<usize>,
}

impl ChaosWatchers {
    /// Adds a watcher that resumes by hand, each time on the next node.
    pub fn add_plain(&mut self, name: &str, directory: &NodeDirectory) {
        self.add_by_hand(name, Sees::All, directory, WantedWatch::default());
    }

    /// Adds a watcher with a filter that closes its connection again and again. So it mostly resumes after a
    /// notice of progress.
    pub fn add_filtered(&mut self, name: &str, directory: &NodeDirectory) {
        let wanted = WantedWatch {
            filter: json!({"machines": [FILTERED_MACHINE]}),
            lasts: Some(FILTERED_LASTS),
        };
        self.add_by_hand(name, Sees::Filtered, directory, wanted);
    }

    /// Adds a watcher that receives creations and deletions too. Each event names the client that wrote it.
    pub fn add_including(&mut self, name: &str, directory: &NodeDirectory) {
        let wanted = WantedWatch {
            filter: json!({"include": ["created", "deleted"], "include_meta": true}),
            lasts: None,
        };
        self.add_by_hand(name, Sees::Lives, directory, wanted);
    }

    fn add_by_hand(
        &mut self,
        name: &str,
        sees: Sees,
        directory: &NodeDirectory,
        wanted: WantedWatch,
    ) {
        let (end, directory) = (self.end(sees), Arc::clone(directory));
        self.add(name, sees, move || {
            let mut turn = 0;
            let next = || {
                let nodes = directory.read();
                turn += 1;
                nodes[turn % nodes.len()].1
            };
            watcher::watch_until_at(next, &wanted, &end)
        });
    }

    /// Adds a watcher of the client library.
    pub fn add_library(&mut self, name: &str, directory: &NodeDirectory) {
        let (end, directory) = (self.end(Sees::All), Arc::clone(directory));
        self.add(name, Sees::All, move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(Error::io("a runtime"))?;
            runtime.block_on(watch_with_the_library(&directory, &end))
        });
    }

    fn end(&mut self, sees: Sees) -> Arc<OnceLock<WatcherPosition>> {
        Arc::clone(self.ends.entry(sees).or_default())
    }

    fn add(
        &mut self,
        name: &str,
        sees: Sees,
        watch: impl FnOnce() -> Result<WatcherRecord, Error> + Send + 'static,
    ) {
        self.watchers.push(ChaosWatcher {
            name: name.to_owned(),
            sees,
            thread: thread::spawn(watch),
        });
    }

    /// Waits until all watchers reach the log's last event, and compares their events with the log.
    pub fn finish(self, events: &WatchedEvents) -> WatchersRecord {
        for (sees, end) in &self.ends {
            end.get_or_init(|| watcher::position(events.of(*sees)));
        }
        let begun = Instant::now();
        let mut watched = WatchersRecord::default();
        for watcher in self.watchers {
            let (name, thread) = (watcher.name, watcher.thread);
            let events = events.of(watcher.sees);
            let end = watcher::position(events);
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
                    watcher::difference(events, &observed.seen)
                }
            };
            watched
                .violations
                .extend(problem.map(|problem| format!("{name}: {problem}")));
        }
        watched
    }
}

/// The library resumes as long as one of its known nodes runs. After that another client continues.
async fn watch_with_the_library(
    directory: &NodeDirectory,
    end: &OnceLock<WatcherPosition>,
) -> Result<WatcherRecord, Error> {
    let mut observed = WatcherRecord::default();
    while !watcher::has_reached(&observed.seen, end) {
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

/// Runs until the end, until the watch ends, or until none of its nodes exists any more.
async fn follow(
    client: &Client,
    directory: &NodeDirectory,
    end: &OnceLock<WatcherPosition>,
    observed: &mut WatcherRecord,
) -> Result<(), Error> {
    let (from, mut repeats) = watcher::position(&observed.seen);
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
    while !watcher::has_reached(&observed.seen, end) {
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
                observed
                    .seen
                    .push(SeenEvent::new(event.wal_offset, &as_sent));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_with_a_filter_is_to_see_events_of_its_machine_alone() {
        let mut events = WatchedEvents::default();
        for (offset, kind, machine) in [
            (1, "create_instance", FILTERED_MACHINE),
            (2, "apply_event", FILTERED_MACHINE),
            (3, "apply_event", "register"),
            (4, "apply_event", FILTERED_MACHINE),
            (5, "delete_instance", FILTERED_MACHINE),
        ] {
            let entry = json!({"type": kind, "machine": machine, "instance_id": "a"});
            events.take(&ReadRecord { offset, entry });
        }
        assert_eq!(watcher::position(&events.all), (4, 1));
        let offsets = |seen: &[SeenEvent]| seen.iter().map(|seen| seen.offset).collect::<Vec<_>>();
        assert_eq!(offsets(&events.all), [2, 3, 4]);
        assert_eq!(offsets(&events.filtered), [2, 4]);
        assert_eq!(offsets(&events.lives), [1, 2, 3, 4, 5]);
    }
}
