//! A client with a light load that measures its latencies while other clients load the node.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Error;
use crate::rcp::raw::Connection;

/// How long it rests between two requests.
const PAUSE: Duration = Duration::from_millis(4);

/// What the requests of one client took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latencies {
    /// How many there were.
    pub count: usize,
    /// Half of them were faster.
    pub p50: Duration,
    /// 99 of 100 were faster.
    pub p99: Duration,
    /// The slowest.
    pub max: Duration,
}

/// Reads and writes one instance of the machine `counter`, one request at a time, until `stop`.
///
/// # Errors
/// When any request is refused or lost.
pub fn measure(addr: SocketAddr, instance: &str, stop: &AtomicBool) -> Result<Latencies, Error> {
    let mut connection = Connection::connect(addr)?;
    let apply = json!({"instance_id": instance, "event": "SET", "payload": {"n": 1}});
    let mut taken = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        connection.call("GET_INSTANCE", &json!({"instance_id": instance}))?;
        taken.push(begun.elapsed());
        let begun = Instant::now();
        connection.call("APPLY_EVENT", &apply)?;
        taken.push(begun.elapsed());
        std::thread::sleep(PAUSE);
    }
    Ok(Latencies::of(taken))
}

impl Latencies {
    /// Of these requests.
    pub fn of(mut taken: Vec<Duration>) -> Self {
        taken.sort_unstable();
        let at = |percent: usize| {
            let index = taken.len() * percent / 100;
            taken
                .get(index.min(taken.len().saturating_sub(1)))
                .copied()
                .unwrap_or_default()
        };
        Self {
            count: taken.len(),
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_list() {
        let latencies = Latencies::of((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!(latencies.p50, Duration::from_millis(101));
        assert_eq!(latencies.p99, Duration::from_millis(199));
        assert_eq!(latencies.max, Duration::from_millis(200));
        assert_eq!(Latencies::of(Vec::new()).count, 0);
    }
}
