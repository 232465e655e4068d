//! A client with a light load that measures its latencies while other clients load the node.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Error;
use crate::harness::latencies::Latencies;
use crate::rcp::raw::RawConnection;

/// How long it rests between two requests.
const PAUSE: Duration = Duration::from_millis(4);

/// Reads and writes one instance of the machine `counter`, one request at a time, until `stop`.
///
/// # Errors
/// When any request is refused or lost.
pub fn measure(addr: SocketAddr, instance: &str, stop: &AtomicBool) -> Result<Latencies, Error> {
    let mut connection = RawConnection::connect(addr)?;
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
