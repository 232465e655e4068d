//! Very many instances of one machine, and writes to them, for measurements of size.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Error;
use crate::process::node::Node;
use crate::rcp::raw::RawConnection;

/// Requests pipelined before their answers are read.
const WINDOW: usize = 512;

/// Creates this many instances, each with a 100-byte context.
///
/// # Errors
/// When the node refuses or is gone.
pub fn create(node: &Node, instances: usize) -> Result<(), Error> {
    let mut connection = RawConnection::connect(node.addr())?;
    let definition = json!({
        "states": ["A", "B"], "initial": "A",
        "transitions": [
            { "from": "A", "event": "GO", "to": "B" },
            { "from": "B", "event": "GO", "to": "A" },
        ],
    });
    let machine = json!({ "machine": "scale", "version": 1, "definition": definition });
    connection.call("PUT_MACHINE", &machine)?;
    let context = json!({ "customer": "c-000000000001", "note": "n".repeat(64) });
    let requests = (0..instances).map(|n| {
        json!({ "instance_id": id(n as u64), "machine": "scale", "version": 1, "initial_ctx": context })
    });
    pipelined(&mut connection, "CREATE_INSTANCE", requests)
}

fn id(n: u64) -> String {
    format!("order-{n:012}")
}

/// Sends all requests, many in flight, and reads their answers.
fn pipelined(
    connection: &mut RawConnection,
    op: &str,
    requests: impl Iterator<Item = Value>,
) -> Result<(), Error> {
    let mut unanswered = 0;
    for params in requests {
        connection.queue(op, &params);
        unanswered += 1;
        if unanswered == WINDOW {
            connection.flush()?;
            for _ in 0..WINDOW / 2 {
                connection.receive()?;
            }
            unanswered -= WINDOW / 2;
        }
    }
    connection.flush()?;
    for _ in 0..unanswered {
        connection.receive()?;
    }
    Ok(())
}

/// Moves instances in a scattered order, many in flight, as long as `go_on` returns true. Returns how many.
///
/// # Errors
/// When the node refuses or is gone.
pub fn move_about(node: &Node, instances: usize, go_on: impl Fn() -> bool) -> Result<u64, Error> {
    let mut connection = RawConnection::connect(node.addr())?;
    let mut moved = 0_u64;
    let requests = std::iter::from_fn(|| {
        moved += 1;
        // A prime far from the number of instances. So two events that follow each other in time concern instances far
        // apart in the state.
        let n = u64::wrapping_mul(moved, 982_451_653) % instances as u64;
        go_on().then(|| json!({ "instance_id": id(n), "event": "GO" }))
    });
    pipelined(&mut connection, "APPLY_EVENT", requests)?;
    Ok(moved - 1)
}

/// One write, and how long it took.
///
/// # Errors
/// When the node refuses or is gone.
pub fn write_once(connection: &mut RawConnection, n: u64) -> Result<Duration, Error> {
    let event = json!({ "instance_id": id(n % 1000), "event": "GO" });
    let began = Instant::now();
    connection.call("APPLY_EVENT", &event)?;
    Ok(began.elapsed())
}

/// The slowest of the writes that one client makes, one after the other, during `time`.
///
/// # Errors
/// When the node refuses or is gone.
pub fn longest_pause(node: &Node, time: Duration) -> Result<Duration, Error> {
    let mut connection = RawConnection::connect(node.addr())?;
    let mut longest = Duration::ZERO;
    let began = Instant::now();
    for n in 0.. {
        if began.elapsed() > time {
            break;
        }
        longest = longest.max(write_once(&mut connection, n)?);
    }
    Ok(longest)
}
