//! Every node stopped and started, one after the other, under load: no client notices.

use std::thread;
use std::time::{Duration, Instant};

use super::under_load::{UnderLoad, audited};
use crate::turns;
use rstmdb_jepsen::cluster::Cluster;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::process::node::SHUTDOWN_TIMEOUT;
use rstmdb_jepsen::rng::{self, Rng};

const CONNECTIONS: usize = 3;
const WRITERS: usize = 6;

#[test]
fn a_rolling_restart_fails_no_keyed_request() {
    let _turn = turns::heavy();
    let mut rng = Rng::new(rng::seed("cluster_rolling"));
    let mut cluster = Cluster::start(3, &NodeConfig::for_tests()).unwrap();
    let addrs = cluster.addrs_from(1);
    let load = UnderLoad::start(&addrs, CONNECTIONS, WRITERS, &mut rng);
    let begun = Instant::now();
    load.steady.next_success(begun).unwrap();

    // The followers first, and the present leader last.
    let leader = cluster.leader().unwrap();
    let order = [cluster.followers().unwrap(), vec![leader]].concat();
    let mut stops = Vec::new();
    for id in order {
        let led = cluster.leader().unwrap() == id;
        let (status, took) = cluster.stop(id).unwrap();
        let log = cluster.node(id).unwrap().log_tail();
        assert!(status.success(), "node {id}: {status}: {log}");
        assert!(took < SHUTDOWN_TIMEOUT, "node {id}: {took:?}");
        thread::sleep(Duration::from_millis(rng.between(0, 500)));
        let up = cluster.restart(id).unwrap();
        stops.push(format!(
            "node {id} (led: {led}) down in {took:.2?}, up in {up:.2?}"
        ));
    }
    let ended = Instant::now();
    load.steady.next_success(ended).unwrap();

    let (ledgers, written) = load.finish();
    audited(&cluster, &ledgers);
    assert_eq!(
        written.errors, [""; 0],
        "keyed requests of the client library"
    );
    println!(
        "cluster_rolling: {}; {} keyed requests, none failed, slowest {:.2?}, longest time without a \
         success {:.2?}",
        stops.join(", "),
        written.calls.len(),
        written.slowest(),
        written.longest_pause(begun, ended),
    );
}
