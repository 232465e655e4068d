//! Compares nodes with two other servers under the same load, in turns, and prints the ratios: a bare server, which does
//! nothing but frame, checksum, JSON, group commit and answer; and etcd, if it is installed (Debian: `etcd-server`).
//!
//! `cargo run --release -p rstmdb-jepsen --example compare [-- ROUNDS [SECONDS]]` (default 3 rounds of 5 s)
//!
//! `rstmdb-cli bench` is the load of nodes and of the bare server. The load of etcd is [`etcd::Load`]: as many connections,
//! as many calls in flight on each, values of the same length. All servers and the load share the machine.

mod bare;
mod etcd;
mod figures;

use std::net::SocketAddr;
use std::time::Duration;

use rstmdb_jepsen::Error;
use rstmdb_jepsen::cluster::Cluster;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::process::node::Node;

use bare::Bare;
use etcd::Etcd;
use figures::{Comparison, Figures, bench};

/// A load: which operation, how many connections, and how many calls in flight on each.
#[derive(Clone, Copy)]
struct Load {
    op: &'static str,
    connections: usize,
    in_flight: usize,
}

const BUSY_WRITES: Load = Load {
    op: "apply",
    connections: 63,
    in_flight: 16,
};
const BUSY_READS: Load = Load {
    op: "get",
    ..BUSY_WRITES
};
const ONE_WRITE: Load = Load {
    op: "apply",
    connections: 1,
    in_flight: 1,
};

fn main() -> Result<(), Error> {
    let mut given = std::env::args().skip(1);
    if let Some(listen) = bare::asked_for() {
        return bare::serve(listen);
    }
    let rounds: usize = given.next().and_then(|n| n.parse().ok()).unwrap_or(3);
    let secs = given.next().and_then(|n| n.parse().ok()).unwrap_or(5);
    let time = Duration::from_secs(secs);
    println!("{rounds} rounds of {secs} s each; ratios are medians of the rounds");
    with_bare(rounds, time)?;
    if let Err(why) = etcd::installed() {
        println!("etcd: skipped: {why}");
        return Ok(());
    }
    for nodes in [1, 3] {
        with_etcd(nodes, rounds, time)?;
    }
    Ok(())
}

fn product() -> NodeConfig {
    NodeConfig::default().with("storage.min_free_mb", "16")
}

fn with_bare(rounds: usize, time: Duration) -> Result<(), Error> {
    let node = Node::start(&product())?;
    let bare = Bare::start()?;
    let ours = |load| bench(&[node.addr()], load, time);
    let theirs = |load| bench(&[bare.addr], load, time);
    for load in [BUSY_WRITES, BUSY_READS, ONE_WRITE] {
        println!(
            "{}",
            compare("bare server", 1, load, rounds, &ours, &theirs)?
        );
    }
    Ok(())
}

fn with_etcd(nodes: u64, rounds: usize, time: Duration) -> Result<(), Error> {
    let cluster = Cluster::start(nodes, &product())?;
    let addrs: Vec<SocketAddr> = cluster.addrs_from(1);
    let etcd = Etcd::start(nodes)?;
    let ours = |load| bench(&addrs, load, time);
    let theirs = |load| etcd.load(load, time);
    for load in [BUSY_WRITES, BUSY_READS, ONE_WRITE] {
        println!("{}", compare("etcd", nodes, load, rounds, &ours, &theirs)?);
    }
    Ok(())
}

/// Measures both in turns.
fn compare(
    other: &'static str,
    nodes: u64,
    load: Load,
    rounds: usize,
    ours: &dyn Fn(Load) -> Result<Figures, Error>,
    theirs: &dyn Fn(Load) -> Result<Figures, Error>,
) -> Result<Comparison, Error> {
    let mut turns = Vec::new();
    for _ in 0..rounds {
        turns.push((ours(load)?, theirs(load)?));
    }
    Ok(Comparison {
        other,
        nodes,
        load,
        turns,
    })
}
