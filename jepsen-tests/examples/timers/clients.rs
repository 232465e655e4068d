//! Clients that write now and then all the time, and how long their writes take.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rstmdb_jepsen::Error;
use rstmdb_jepsen::harness::latencies::Latencies;
use rstmdb_jepsen::raw::RawConnection;
use serde_json::json;

const CLIENTS: usize = 4;
/// Interval between the writes of one client.
const INTERVAL: Duration = Duration::from_millis(10);
/// Pause after an error, and the longest wait for an answer.
const ERROR_PAUSE: Duration = Duration::from_millis(20);
const TIMEOUT: Duration = Duration::from_secs(5);

/// When a write was sent, and how long its answer took.
type Sample = (Instant, Duration);

/// Clients at work.
pub struct Clients {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Sample>>>,
}

/// What clients noticed.
pub struct Noticed(Vec<Sample>);

impl Clients {
    /// Creates the clients' instances by this connection, and starts the clients.
    pub fn start(connection: &mut RawConnection, addrs: &[SocketAddr]) -> Result<Self, Error> {
        let definition = json!({"states": ["A", "B"], "initial": "A", "transitions": [
            {"from": "A", "event": "GO", "to": "B"}, {"from": "B", "event": "GO", "to": "A"}]});
        let machine = json!({"machine": "client", "version": 1, "definition": definition});
        connection.call("PUT_MACHINE", &machine)?;
        for client in 0..CLIENTS {
            let create = json!({"instance_id": format!("client-{client}"), "machine": "client", "version": 1});
            connection.call("CREATE_INSTANCE", &create)?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..CLIENTS).map(|client| {
            let (stop, addrs) = (stop.clone(), addrs.to_vec());
            thread::spawn(move || write(client, &addrs, &stop))
        });
        Ok(Self {
            threads: threads.collect(),
            stop,
        })
    }

    /// Ends the clients.
    pub fn stop(self) -> Result<Noticed, Error> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for thread in self.threads {
            all.extend(thread.join().map_err(|_| Error::Closed)?);
        }
        Ok(Noticed(all))
    }
}

impl Noticed {
    /// The writes that were sent in this time.
    pub fn between(&self, from: Instant, to: Instant) -> Latencies {
        let sent = self.0.iter().filter(|(at, _)| (from..to).contains(at));
        Latencies::of(sent.map(|(_, took)| *took).collect())
    }
}

/// Sends a write each interval, to the next node after an error.
fn write(client: usize, addrs: &[SocketAddr], stop: &AtomicBool) -> Vec<Sample> {
    let event = json!({"instance_id": format!("client-{client}"), "event": "GO"});
    let mut samples = Vec::new();
    for addr in addrs.iter().cycle() {
        let mut connection = RawConnection::connect_within(*addr, TIMEOUT);
        while let Ok(open) = &mut connection {
            if stop.load(Ordering::Relaxed) {
                return samples;
            }
            let sent = Instant::now();
            if open.call("APPLY_EVENT", &event).is_err() {
                break;
            }
            let took = sent.elapsed();
            samples.push((sent, took));
            thread::sleep(INTERVAL.saturating_sub(took));
        }
        if stop.load(Ordering::Relaxed) {
            return samples;
        }
        thread::sleep(ERROR_PAUSE);
    }
    samples
}
