//! Forming a cluster in any order, all nodes killed at once, and what a node refuses to start with.

use std::thread;
use std::time::{Duration, Instant};

use super::under_load::{UnderLoad, audited};
use crate::turns;
use rstmdb_jepsen::cluster::Cluster;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::ledger::Ledger;
use rstmdb_jepsen::process::program;
use rstmdb_jepsen::rng::{self, Rng};

const CONNECTIONS: usize = 3;
const WRITERS: usize = 3;
const KILLS_OF_ALL: usize = 3;
/// Between the starts of two nodes.
const STAGGER: Duration = Duration::from_millis(1500);

#[test]
fn a_cluster_forms_in_any_order_survives_the_kill_of_all_and_refuses_foreign_folders() {
    let _turn = turns::heavy();
    let mut rng = Rng::new(rng::seed("cluster_restart"));
    let mut cluster = Cluster::prepare(3, &NodeConfig::for_tests()).unwrap();
    let formed = form(&mut cluster, [3, 1, 2]);
    let addrs = cluster.addrs_from(1);
    let load = UnderLoad::start(&addrs, CONNECTIONS, WRITERS, &mut rng);
    let mut served = Vec::new();
    for order in [[2, 3, 1], [3, 2, 1], [1, 3, 2]].iter().take(KILLS_OF_ALL) {
        thread::sleep(Duration::from_millis(rng.between(300, 1500)));
        served.push(kill_all_and_restart(&mut cluster, *order, &mut rng));
        load.steady.next_success(Instant::now()).unwrap();
    }
    let (ledgers, written) = load.finish();
    audited(&cluster, &ledgers);
    refuses_foreign_folders(&mut cluster);
    println!(
        "cluster_restart: formed {formed:.1?} after the last start; all killed {KILLS_OF_ALL} times, all \
         serving again after {served:.1?}; {} acknowledged writes, {} calls of the library that gave up \
         meanwhile",
        ledgers.iter().map(Ledger::acknowledged).sum::<usize>(),
        written.errors.len(),
    );
}

/// The leader's successor ends too. So the leader must not wait for it, and no node may hand messages to a Raft core
/// that has ended.
#[test]
fn nodes_that_are_all_stopped_at_once_end_without_an_error() {
    let _turn = turns::light();
    let mut cluster = Cluster::start(3, &NodeConfig::for_tests()).unwrap();
    for (id, status) in cluster.stop_all().unwrap() {
        let log = cluster.node(id).unwrap().log_text();
        assert!(status.success(), "node {id}: {status}: {log}");
        for fault in ["\"ERROR\"", "not handed over in time"] {
            assert!(!log.contains(fault), "node {id}: {fault}: {log}");
        }
    }
}

/// Gives how long the last node took to serve.
fn form(cluster: &mut Cluster, order: [u64; 3]) -> Duration {
    for id in order {
        cluster.launch(id).unwrap();
        if id != order[2] {
            thread::sleep(STAGGER);
        }
    }
    let begun = Instant::now();
    for id in order {
        cluster.wait_ready(id).unwrap();
    }
    let status = cluster.status(order[0]).unwrap();
    assert_eq!(status.cluster_name, "tests");
    assert!(status.nodes.iter().all(|node| node.voter), "{status:?}");
    begun.elapsed()
}

fn kill_all_and_restart(cluster: &mut Cluster, order: [u64; 3], rng: &mut Rng) -> Duration {
    for id in cluster.ids() {
        cluster.kill(id).unwrap();
    }
    let begun = Instant::now();
    for id in order {
        cluster.launch(id).unwrap();
        thread::sleep(Duration::from_millis(rng.between(0, 1000)));
    }
    for id in order {
        cluster.wait_ready(id).unwrap();
    }
    begun.elapsed()
}

/// The folder of node 3 under another cluster's name and under another id; then as it was.
fn refuses_foreign_folders(cluster: &mut Cluster) {
    assert!(cluster.stop(3).unwrap().0.success());
    let node = cluster.node(3).unwrap();
    for (variable, value, says) in [
        ("RSTMDB_CLUSTER_NAME", "others", ["tests", "others"]),
        ("RSTMDB_NODE_ID", "2", ["3", "2"]),
    ] {
        let mut command = node.command().unwrap();
        let refused = program::run(command.env(variable, value)).unwrap();
        assert_eq!(refused.as_refusal(&says), Ok(()), "{variable}={value}");
    }
    cluster.restart(3).unwrap();
    cluster.wait_converged().unwrap();
}
