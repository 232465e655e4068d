//! What a million instances cost: memory, start-up from the log and from a snapshot, and how long a
//! snapshot holds up writes.
//!
//! `cargo run --release -p rstmdb-jepsen --example scale [-- INSTANCES]` (default 1,000,000)

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rstmdb_jepsen::Error;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::crowd::{self, longest_pause};
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::raw::RawConnection;
use serde_json::json;

/// A snapshot of a million instances may take this long.
const COMPACT_TIMEOUT: Duration = Duration::from_secs(120);

fn main() -> Result<(), Error> {
    let given = std::env::args().nth(1);
    let instances: usize = given.and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let config = NodeConfig::for_tests().with("compaction.enabled", "false");
    let mut node = Node::start(&config)?;
    let empty = node.resident_bytes()?;
    let began = Instant::now();
    crowd::create(&node, instances)?;
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

fn snapshot_under_load(node: &Node) -> Result<(Duration, Duration), Error> {
    let done = Arc::new(AtomicBool::new(false));
    let longest_us = Arc::new(AtomicU64::new(0));
    let writer = thread::spawn({
        let (done, longest_us) = (done.clone(), longest_us.clone());
        let mut connection = RawConnection::connect(node.addr())?;
        move || -> Result<(), Error> {
            let mut n = 0;
            while !done.load(Ordering::Relaxed) {
                let took = crowd::write_once(&mut connection, n)?;
                longest_us.fetch_max(took.as_micros() as u64, Ordering::Relaxed);
                n += 1;
            }
            Ok(())
        }
    });
    let mut connection = RawConnection::connect(node.addr())?;
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
