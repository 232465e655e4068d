//! What compression and encryption cost and save, on the incidents file: the size of the log, the rate of
//! the load and the node's processor time, with and without, in turns on one machine.
//!
//! `cargo run --release -p rstmdb-jepsen --example storage_options` (`RSTMDB_INCIDENTS` names the file)

use std::time::{Duration, Instant};

use rstmdb_jepsen::Error;
use rstmdb_jepsen::cli::Cli;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::incidents::Incidents;
use rstmdb_jepsen::process::node::Node;

/// Each is measured this often; the machine's noise shows.
const ROUNDS: usize = 3;
const KEY: &str = "1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn main() -> Result<(), Error> {
    let Some(incidents) = Incidents::find()? else {
        return Ok(());
    };
    let plain = NodeConfig::for_tests().with("storage.wal_segment_size_mb", "64");
    let lz4 = plain.clone().with("storage.compression", "lz4");
    let cases = [
        ("none", plain.with("storage.compression", "none")),
        ("lz4", lz4.clone()),
        ("lz4, encrypted", lz4.with("storage.encryption_keys", KEY)),
    ];
    println!(
        "{:>15} {:>9} {:>9} {:>9} {:>9}",
        "", "log MB", "seconds", "ops/s", "CPU s"
    );
    for _ in 0..ROUNDS {
        for (name, config) in &cases {
            let (bytes, operations, took, cpu) = measure(config, &incidents)?;
            println!(
                "{name:>15} {:>9.1} {:>9.2} {:>9.0} {:>9.2}",
                bytes as f64 / 1e6,
                took.as_secs_f64(),
                operations as f64 / took.as_secs_f64(),
                cpu.as_secs_f64()
            );
        }
    }
    Ok(())
}

fn measure(
    config: &NodeConfig,
    incidents: &Incidents,
) -> Result<(u64, u64, Duration, Duration), Error> {
    let node = Node::start(config)?;
    let cli = Cli::new(node.addr());
    let begun = (Instant::now(), node.cpu_time()?);
    let loaded = cli.json(&["load", &incidents.path()])?;
    let took = begun.0.elapsed();
    let cpu = node.cpu_time()?.saturating_sub(begun.1);
    let stats = cli.json(&["wal-stats"])?;
    let number = |value: &serde_json::Value| value.as_u64().unwrap_or_default();
    Ok((
        number(&stats["total_size_bytes"]),
        number(&loaded["ops"]),
        took,
        cpu,
    ))
}
