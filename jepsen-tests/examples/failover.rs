//! How long three nodes with default timeouts do no write after a fault of their leader, with keyed writes of the client
//! library through all nodes. Of each fault: the median and the longest of some rounds.
//!
//! `cargo run --release -p rstmdb-jepsen --example failover [-- ROUNDS]` (default 20)

use std::thread;
use std::time::{Duration, Instant};

use rstmdb_jepsen::Error;
use rstmdb_jepsen::cluster::Cluster;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::load::pipelines::Pipelines;
use rstmdb_jepsen::rng::Rng;
use rstmdb_jepsen::steady::Steady;

const WRITERS: usize = 6;
/// A paused leader goes on after this time. By then the others have another one.
const PAUSE: Duration = Duration::from_secs(3);

fn main() -> Result<(), Error> {
    let given = std::env::args().nth(1);
    let rounds: usize = given.and_then(|n| n.parse().ok()).unwrap_or(20);
    let config = NodeConfig::default().with("storage.min_free_mb", "16");
    let mut cluster = Cluster::start(3, &config)?;
    let addrs = cluster.addrs_from(1);
    drop(Pipelines::prepare(&addrs)?);
    let steady = Steady::start(&addrs, WRITERS);
    let mut rng = Rng::new(1);
    println!("until the next write succeeds, {rounds} rounds each:");
    let killed = measure(rounds, &mut rng, &mut cluster, |cluster, leader| {
        let at = Instant::now();
        cluster.kill(leader)?;
        let took = steady.next_success(at)?;
        cluster.restart(leader)?;
        Ok(took)
    })?;
    println!("  SIGKILL of the leader: {killed}");
    let stopped = measure(rounds, &mut rng, &mut cluster, |cluster, leader| {
        let at = Instant::now();
        cluster.pause(leader)?;
        let took = steady.next_success(at)?;
        thread::sleep(PAUSE.saturating_sub(at.elapsed()));
        cluster.resume(leader)?;
        Ok(took)
    })?;
    println!("  SIGSTOP of the leader: {stopped}");
    let errors = steady.finish()?.errors;
    println!("writes that failed: {}", errors.len());
    Ok(())
}

/// Runs the rounds, each at a random moment.
fn measure(
    rounds: usize,
    rng: &mut Rng,
    cluster: &mut Cluster,
    mut round: impl FnMut(&mut Cluster, u64) -> Result<Duration, Error>,
) -> Result<String, Error> {
    let mut times = Vec::new();
    for _ in 0..rounds {
        thread::sleep(Duration::from_millis(rng.between(300, 900)));
        let leader = cluster.leader()?;
        times.push(round(cluster, leader)?);
    }
    times.sort_unstable();
    let longest = times.last().copied().unwrap_or_default();
    Ok(format!(
        "median {:.2?}, longest {longest:.2?}",
        times.get(times.len() / 2).copied().unwrap_or_default()
    ))
}
