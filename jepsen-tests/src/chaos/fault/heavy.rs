//! Legal requests with large effects, all at once and through one node: events on a large context, sent without waiting,
//! whose guards have very many paths; listings; watches with very many names; a definition of a mebibyte. Their
//! machines and instances have names of their own, so that no workload uses them.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::burden::{Burden, Hand};
use super::{BegunFault, Scene};
use crate::Error;
use crate::rcp::raw::{RawConnection, RawMessage};

/// The machine of the instances with a large context. The name of every machine and instance begins like this.
const MACHINE: &str = "heavy";
/// About how many bytes the events of one fault write: each writes the whole context.
const WRITTEN_BYTES: usize = 16 << 20;
/// Paths of the guard of each event.
const GUARD_PATHS: usize = 100;
/// The largest text of a definition.
const DEFINITION_BYTES: usize = 1 << 20;
/// The most that a definition takes besides its transitions.
const DEFINITION_FRAME_BYTES: usize = 100;
/// The most operations of a batch.
const BATCH_OPS: usize = 100;
/// Watches, and the machines that each names.
const WATCHES: usize = 40;
const WATCHED_MACHINES: usize = 1000;
/// Longer than a node keeps a request waiting.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// How long the clean-up may take. The fault is over by then, and other faults wait for the clean-up.
const CLEAR_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a watcher waits before it checks whether the fault is over.
const WATCH_TIMEOUT: Duration = Duration::from_millis(100);
/// How many times a part retries, as long as its fault lasts.
const TRIES: u32 = 1000;
/// How many times a part retries a request that writes much.
const WRITE_TRIES: u32 = 3;

/// Sends all these requests to one node.
pub fn load(scene: &mut Scene<'_>) -> Result<Option<BegunFault>, Error> {
    let Some(via) = scene.one() else {
        return Ok(None);
    };
    let addr = scene.nodes.addr(via)?;
    let mib = scene.rng.between(1, 3);
    let instance = format!("{MACHINE}-{:x}", scene.rng.number());
    let version = scene.rng.between(1, u64::from(u32::MAX));
    let mut burden = Burden::on(vec![via]);
    burden.add(
        format!("events on a context of {mib} MiB"),
        1,
        move |hand| {
            hand.attempt(WRITE_TRIES, || pile(addr, &instance, mib << 20, hand));
            clear(addr, &instance);
        },
    )?;
    burden.add("listings", 1, move |hand| {
        hand.attempt(TRIES, || list(addr, hand));
    })?;
    burden.add("watches", WATCHES as u64, move |hand| {
        hand.attempt(TRIES, || watch(addr, hand));
    })?;
    burden.add("definitions", 1, move |hand| {
        hand.attempt(WRITE_TRIES, || define(addr, version, hand));
    })?;
    let what = format!("heavy requests through {via}");
    Ok(burden.begin(&what, &scene.findings))
}

/// Makes an instance with a large context and sends it events without waiting.
fn pile(addr: SocketAddr, instance: &str, bytes: u64, hand: &Hand) -> Result<(), Error> {
    let mut connection = RawConnection::connect_within(addr, ANSWER_TIMEOUT)?;
    let put = json!({"machine": MACHINE, "version": 1, "definition": guarded()});
    connection.call("PUT_MACHINE", &put)?;
    let bytes = usize::try_from(bytes).unwrap_or(WRITTEN_BYTES);
    let create = json!({
        "machine": MACHINE, "version": 1, "instance_id": instance,
        "initial_ctx": {"k": 1, "pad": "x".repeat(bytes)},
    });
    match connection.call("CREATE_INSTANCE", &create) {
        // An earlier attempt has created it.
        Err(error) if error.code() != Some("INSTANCE_EXISTS") => return Err(error),
        Ok(_) | Err(_) => {}
    }
    let events = WRITTEN_BYTES / bytes.max(1);
    for number in 0..events {
        let event = json!({"instance_id": instance, "event": "GO", "payload": {"n": number}});
        connection.queue("APPLY_EVENT", &event);
    }
    connection.flush()?;
    for _ in 0..events {
        if hand.is_over() {
            break;
        }
        if let RawMessage::Response { outcome: Ok(_), .. } = connection.receive()? {
            hand.add(1);
        }
    }
    Ok(())
}

/// A machine of one state and one event. The event takes effect where the context's `k` is 1; its guard repeats this
/// condition very often.
fn guarded() -> Value {
    let guard = vec!["ctx.k == 1"; GUARD_PATHS].join(" && ");
    json!({
        "states": ["on"], "initial": "on",
        "transitions": [{"from": "on", "event": "GO", "to": "on", "guard": guard}],
    })
}

/// Deletes the instance, so that it does not burden the rest of the run. If this fails, the instance stays.
fn clear(addr: SocketAddr, instance: &str) {
    let connection = RawConnection::connect_within(addr, CLEAR_TIMEOUT);
    let delete = json!({"instance_id": instance});
    let _ = connection.and_then(|mut connection| connection.call("DELETE_INSTANCE", &delete));
}

/// Lists by a state that no instance has, so that the node checks every instance: alone, and in a batch.
fn list(addr: SocketAddr, hand: &Hand) -> Result<(), Error> {
    let mut connection = RawConnection::connect_within(addr, ANSWER_TIMEOUT)?;
    let listing = json!({"machine": "item", "state": "none", "limit": 1000});
    let op = json!({"op": "LIST_INSTANCES", "params": listing.clone()});
    let batch = json!({"mode": "atomic", "ops": vec![op; BATCH_OPS]});
    while !hand.is_over() {
        connection.call("LIST_INSTANCES", &listing)?;
        connection.call("BATCH", &batch)?;
        hand.add(1);
    }
    Ok(())
}

/// Watches very many machines that are not there, and one that is; reads what comes.
fn watch(addr: SocketAddr, hand: &Hand) -> Result<(), Error> {
    let mut connection = RawConnection::connect_within(addr, ANSWER_TIMEOUT)?;
    for number in 0..WATCHES {
        if hand.is_over() {
            return Ok(());
        }
        connection.call("WATCH_ALL", &json!({"machines": watched(number)}))?;
        hand.add(1);
    }
    connection.set_timeout(WATCH_TIMEOUT)?;
    while !hand.is_over() {
        match connection.receive() {
            Ok(RawMessage::End(_)) => return Err(Error::Closed),
            Ok(_) | Err(Error::Silent) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The machines that one of the watches names.
fn watched(number: usize) -> Vec<String> {
    let absent = (1..WATCHED_MACHINES).map(|machine| format!("{MACHINE}-{number}-{machine}"));
    absent.chain(["order".to_owned()]).collect()
}

fn define(addr: SocketAddr, version: u64, hand: &Hand) -> Result<(), Error> {
    let mut connection = RawConnection::connect_within(addr, ANSWER_TIMEOUT)?;
    let put = json!({
        "machine": format!("{MACHINE}-definition"), "version": version, "definition": definition(),
    });
    connection.call("PUT_MACHINE", &put)?;
    hand.add(1);
    Ok(())
}

/// A definition of nearly a mebibyte.
fn definition() -> Value {
    let mut transitions = Vec::new();
    let mut left = DEFINITION_BYTES - DEFINITION_FRAME_BYTES;
    loop {
        let transition = json!({
            "from": "s", "event": format!("E{}", transitions.len()), "to": "s",
            "guard": "ctx.a > 1 && ctx.b != \"something longer\"",
        });
        let bytes = transition.to_string().len() + 1;
        if bytes > left {
            break;
        }
        left -= bytes;
        transitions.push(transition);
    }
    json!({"states": ["s"], "initial": "s", "transitions": transitions})
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rstmdb_engine::definition::Definition;

    use super::*;

    #[test]
    fn what_is_asked_for_is_as_large_as_it_may_be() {
        let text = definition().to_string();
        assert!(text.len() <= DEFINITION_BYTES);
        assert!(text.len() > DEFINITION_BYTES - 1000, "{}", text.len());
        Definition::parse(text.as_bytes()).unwrap();
        Definition::parse(guarded().to_string().as_bytes()).unwrap();
        for number in [0, WATCHES - 1] {
            let names = watched(number);
            assert_eq!(names.len(), WATCHED_MACHINES);
            // Of one watch, and of all watches of a connection with 64 bytes for each name.
            let bytes: usize = names.iter().map(String::len).sum();
            assert!(bytes <= 65_536, "{bytes}");
            assert!(WATCHES * (bytes + 64 * names.len()) <= 4 << 20);
        }
    }
}
