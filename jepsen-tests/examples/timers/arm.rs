//! Creates the instances: each waits in a state with one timer, or in one without.

use std::time::Duration;

use rstmdb_jepsen::Error;
use rstmdb_jepsen::raw::{RawConnection, RawMessage};
use serde_json::{Value, json};

/// Requests pipelined before their answers are read.
const WINDOW: u64 = 512;
/// How long an answer may take: a node that takes a snapshot of millions of instances beside others may be slow.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The machine whose first state has a timer at `ctx.at`, and the one without.
pub fn define(connection: &mut RawConnection) -> Result<(), Error> {
    let transitions = json!([{"from": "waiting", "event": "EXPIRE", "to": "expired"}]);
    let timers = json!([{"event": "EXPIRE", "at": "ctx.at"}]);
    for (machine, timers) in [("deadline", timers), ("plain", json!([]))] {
        let states =
            json!([{"name": "waiting", "timers": timers}, {"name": "expired", "final": true}]);
        let definition = json!({"format": 2, "initial": "waiting", "states": states, "transitions": transitions});
        let machine = json!({"machine": machine, "version": 1, "definition": definition});
        connection.call("PUT_MACHINE", &machine)?;
    }
    Ok(())
}

/// The id of an instance.
pub fn id(machine: &str, number: u64) -> String {
    format!("{machine}-{number:09}")
}

/// The number in an id of this machine.
pub fn number(machine: &str, id: &str) -> Option<u64> {
    id.strip_prefix(machine)?.strip_prefix('-')?.parse().ok()
}

/// Creates so many instances of a machine, many in flight, whose timers are due at this time.
pub fn create(
    connection: &mut RawConnection,
    machine: &str,
    count: u64,
    due_ms: u64,
) -> Result<(), Error> {
    connection.set_timeout(TIMEOUT)?;
    let ctx = json!({ "at": due_ms });
    let mut unanswered = 0;
    for number in 0..count {
        let params = json!({"instance_id": id(machine, number), "machine": machine, "version": 1,
            "initial_ctx": ctx});
        connection.queue("CREATE_INSTANCE", &params);
        unanswered += 1;
        if unanswered == WINDOW {
            connection.flush()?;
            receive(connection, WINDOW / 2)?;
            unanswered -= WINDOW / 2;
        }
    }
    connection.flush()?;
    receive(connection, unanswered)
}

fn receive(connection: &mut RawConnection, count: u64) -> Result<(), Error> {
    for _ in 0..count {
        if let RawMessage::Response {
            outcome: Err(body), ..
        } = connection.receive()?
        {
            return Err(Error::refused("CREATE_INSTANCE", body));
        }
    }
    Ok(())
}

/// The offset of the last entry that a node has applied.
pub fn last_applied(connection: &mut RawConnection) -> Result<u64, Error> {
    let info: Value = connection.call("INFO", &json!({}))?;
    let offset = info["last_applied"].as_u64();
    offset.ok_or_else(|| Error::Protocol(format!("INFO without last_applied: {info}")))
}

/// Says whether the log grows although no client writes and no timer is due.
pub fn report_idle(connection: &mut RawConnection, time: Duration) -> Result<(), Error> {
    let before = last_applied(connection)?;
    std::thread::sleep(time);
    let grown = last_applied(connection)? - before;
    println!("entries written in {time:.0?} without clients: {grown}");
    match grown {
        0 => Ok(()),
        _ => Err(Error::Protocol(
            "armed timers must write nothing before they are due".to_owned(),
        )),
    }
}
