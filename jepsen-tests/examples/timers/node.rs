//! Ten million armed timers on one node.

use std::time::{Duration, Instant};

use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::raw::RawConnection;
use rstmdb_jepsen::{Error, admin};
use serde_json::json;

use super::arm;

/// The instances without timers that are measured for comparison: so many times fewer.
const COMPARED: u64 = 10;
/// A snapshot of ten million instances, or a start, may take this long.
const LONG: Duration = Duration::from_secs(900);
/// The timers are due in 2100.
const DUE_MS: u64 = 4_102_444_800_000;
const IDLE: Duration = Duration::from_secs(10);

pub fn run(timers: u64) -> Result<(), Error> {
    let plain = measure("plain", (timers / COMPARED).max(1))?;
    let armed = measure("deadline", timers)?;
    println!(
        "so a timer takes {:.0} bytes of memory and {:.0} bytes of a snapshot",
        armed.0 - plain.0,
        armed.1 - plain.1
    );
    Ok(())
}

/// Bytes of memory and of a snapshot for each instance.
fn measure(machine: &str, instances: u64) -> Result<(f64, f64), Error> {
    let config = NodeConfig::default()
        .with("storage.min_free_mb", "16")
        .with("compaction.enabled", "false");
    let mut node = Node::start(&config)?;
    let empty = node.resident_bytes()?;
    let mut connection = RawConnection::connect(node.addr())?;
    arm::define(&mut connection)?;
    let began = Instant::now();
    arm::create(&mut connection, machine, instances, DUE_MS)?;
    let took = began.elapsed().as_secs_f64();
    let each = |bytes: u64| bytes as f64 / instances as f64;
    println!("{instances} instances of machine {machine}:");
    println!(
        "  created one by one, durably: {took:.1} s, {:.0}/s",
        instances as f64 / took
    );
    let live = each(node.resident_bytes()?.saturating_sub(empty));
    println!("  memory: {live:.0} bytes each");
    arm::report_idle(&mut connection, IDLE)?;

    connection.set_timeout(LONG)?;
    let began = Instant::now();
    connection.call("COMPACT", &json!({ "force_snapshot": true }))?;
    let took = began.elapsed();
    let metric = admin::metric(node.admin_addr(), "rstmdb_snapshot_size_bytes");
    let snapshot = metric.map_err(Error::io("the metrics"))? / instances as f64;
    println!("  snapshot: {snapshot:.0} bytes each, written in {took:.1?}");
    drop(connection);

    node.kill()?;
    let began = Instant::now();
    node.launch()?;
    wait(&mut node)?;
    println!(
        "  start from the snapshot, after kill -9: {:.1?}",
        began.elapsed()
    );
    let loaded = each(node.resident_bytes()?.saturating_sub(empty));
    println!("  memory after that start: {loaded:.0} bytes each");
    Ok((loaded, snapshot))
}

/// Waits until the node serves, which takes longer than with the data of a test.
fn wait(node: &mut Node) -> Result<(), Error> {
    let began = Instant::now();
    loop {
        match node.wait_ready() {
            Err(_) if began.elapsed() < LONG && !node.has_ended() => {}
            result => return result,
        }
    }
}
