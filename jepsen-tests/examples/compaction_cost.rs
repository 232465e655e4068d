//! What snapshots, compaction and retention cost a node under load: the longest pause of a writer, the
//! peak of its memory, and how many bytes it writes to the disk for each byte of log.
//!
//! `cargo run --release -p rstmdb-jepsen --example compaction_cost [-- INSTANCES [SECONDS]]`
//! (defaults 1,000,000 and 30)

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rstmdb_jepsen::Error;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::{admin, crowd};

const SAMPLE_EVERY: Duration = Duration::from_millis(20);

fn main() -> Result<(), Error> {
    let mut given = std::env::args().skip(1);
    let instances = given
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1_000_000);
    let secs = given.next().and_then(|n| n.parse().ok()).unwrap_or(30);
    println!("{instances} instances, {secs} s of load each");
    let product = NodeConfig::default().with("storage.min_free_mb", "16");
    let cases = [
        (
            "no compaction",
            product.clone().with("compaction.enabled", "false"),
        ),
        (
            "a snapshot each second if due, 64 MiB of history",
            product
                .with("compaction.min_interval_secs", "1")
                .with("compaction.retain_mb", "64"),
        ),
    ];
    for (name, config) in cases {
        println!("{name}:");
        measure(&config, instances, Duration::from_secs(secs))?;
    }
    Ok(())
}

fn measure(config: &NodeConfig, instances: usize, time: Duration) -> Result<(), Error> {
    let node = Node::start(config)?;
    crowd::create(&node, instances)?;
    let metric =
        |name: &str| admin::metric(node.admin_addr(), name).map_err(Error::io("the metrics"));
    let before = (
        node.resident_bytes()?,
        node.disk_bytes_written()?,
        metric("rstmdb_wal_bytes_written_total")?,
        metric("rstmdb_snapshots_total")?,
    );
    let done = AtomicBool::new(false);
    let (pause, moved, peak) = thread::scope(|scope| {
        let load =
            scope.spawn(|| crowd::move_about(&node, instances, || !done.load(Ordering::Relaxed)));
        let peak = scope.spawn(|| {
            let mut peak = 0;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(node.resident_bytes().unwrap_or_default());
                thread::sleep(SAMPLE_EVERY);
            }
            peak
        });
        let pause = crowd::longest_pause(&node, time);
        done.store(true, Ordering::Relaxed);
        (pause, load.join(), peak.join())
    });
    let (Ok(moved), Ok(peak)) = (moved, peak) else {
        return Err(Error::Closed);
    };
    let log = metric("rstmdb_wal_bytes_written_total")? - before.2;
    let disk = (node.disk_bytes_written()? - before.1) as f64;
    println!(
        "  {:.0} events/s beside the writer, whose longest pause was {:.1?}",
        moved? as f64 / time.as_secs_f64(),
        pause?
    );
    println!(
        "  memory {} MB before, {} MB at the peak",
        before.0 / 1_000_000,
        peak / 1_000_000
    );
    println!(
        "  {:.0} snapshots; {:.0} MB of log, {:.0} MB written to the disk: {:.2} bytes for each byte of log",
        metric("rstmdb_snapshots_total")? - before.3,
        log / 1e6,
        disk / 1e6,
        disk / log
    );
    println!(
        "  {:.0} segments at the end, {:.0} MB",
        metric("rstmdb_wal_segments")?,
        metric("rstmdb_wal_size_bytes")? / 1e6
    );
    Ok(())
}
