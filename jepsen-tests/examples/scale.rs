//! What a million instances cost: memory, start-up from the log and from a snapshot, and how long a
//! snapshot holds up writes.
//!
//! `cargo run --release -p rstmdb-jepsen --example scale [-- INSTANCES]` (default 1,000,000)

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rstmdb_jepsen::Error;
use rstmdb_jepsen::config::Config;
use rstmdb_jepsen::process::Node;
use rstmdb_jepsen::raw::Connection;
use serde_json::{Value, json};

/// Requests pipelined before their answers are read.
const WINDOW: usize = 512;
/// A snapshot of a million instances may take this long.
const COMPACT_TIMEOUT: Duration = Duration::from_secs(120);

fn main() -> Result<(), Error> {
    let given = std::env::args().nth(1);
    let instances: usize = given.and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let config = Config::for_tests().with("compaction.enabled", "false");
    let mut node = Node::start(&config)?;
    let empty = node.resident_bytes()?;
    let began = Instant::now();
    create(&node, instances)?;
    let created = began.elapsed();
    println!("{instances} instances with a 100-byte context");
    println!(
        "created one by one, durably: {:.1} s, {:.0}/s",
        created.as_secs_f64(),
        instances as f64 / created.as_secs_f64()
    );
    report_memory(&node, "after creating them", empty)?;

    node.kill()?;
    let took = node.restart()?;
    println!("start from the log alone, after kill -9: {took:.2?}");
    report_memory(&node, "after that start", empty)?;

    let pause = longest_pause(&node, Duration::from_secs(3))?;
    println!("longest pause of a writer, without a snapshot: {pause:.2?}");
    let (pause, took) = snapshot_under_load(&node)?;
    println!("longest pause of a writer, during a snapshot of {took:.2?}: {pause:.2?}");

    node.kill()?;
    let took = node.restart()?;
    println!("start from a snapshot, after kill -9: {took:.2?}");
    report_memory(&node, "after that start", empty)
}

fn report_memory(node: &Node, when: &str, empty: u64) -> Result<(), Error> {
    let bytes = node.resident_bytes()?;
    println!(
        "memory {when}: {} MB, {} MB more than an empty node",
        bytes / 1_000_000,
        bytes.saturating_sub(empty) / 1_000_000
    );
    Ok(())
}

fn create(node: &Node, instances: usize) -> Result<(), Error> {
    let mut connection = Connection::connect(node.addr())?;
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
    let mut unanswered = 0;
    for n in 0..instances {
        let id = format!("order-{n:012}");
        connection.queue(
            "CREATE_INSTANCE",
            &json!({ "instance_id": id, "machine": "scale", "version": 1, "initial_ctx": context }),
        );
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

fn write_once(connection: &mut Connection, n: u64) -> Result<Duration, Error> {
    let event: Value = json!({ "instance_id": format!("order-{:012}", n % 1000), "event": "GO" });
    let began = Instant::now();
    connection.call("APPLY_EVENT", &event)?;
    Ok(began.elapsed())
}

/// The slowest of the writes that one client makes, one after the other, during `time`.
fn longest_pause(node: &Node, time: Duration) -> Result<Duration, Error> {
    let mut connection = Connection::connect(node.addr())?;
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

fn snapshot_under_load(node: &Node) -> Result<(Duration, Duration), Error> {
    let done = Arc::new(AtomicBool::new(false));
    let longest_us = Arc::new(AtomicU64::new(0));
    let writer = thread::spawn({
        let (done, longest_us) = (done.clone(), longest_us.clone());
        let mut connection = Connection::connect(node.addr())?;
        move || -> Result<(), Error> {
            let mut n = 0;
            while !done.load(Ordering::Relaxed) {
                let took = write_once(&mut connection, n)?;
                longest_us.fetch_max(took.as_micros() as u64, Ordering::Relaxed);
                n += 1;
            }
            Ok(())
        }
    });
    let mut connection = Connection::connect(node.addr())?;
    connection.set_timeout(COMPACT_TIMEOUT)?;
    let began = Instant::now();
    connection.call("COMPACT", &json!({ "force_snapshot": true }))?;
    let took = began.elapsed();
    done.store(true, Ordering::Relaxed);
    match writer.join() {
        Ok(result) => result?,
        Err(panic) => std::panic::resume_unwind(panic),
    }
    let pause = Duration::from_micros(longest_us.load(Ordering::Relaxed));
    Ok((pause, took))
}
