//! 73,088 real operations, loaded by the command line through a follower while the leader is killed.

use std::thread;
use std::time::{Duration, Instant};

use crate::turns;
use rstmdb_jepsen::cli;
use rstmdb_jepsen::cluster::Cluster;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::harness::wait::within;
use rstmdb_jepsen::incidents::Incidents;
use rstmdb_jepsen::rng::{self, Rng};

/// The test kills the leader when this much of the load is done.
const KILLS_AT: [u64; 2] = [10_000, 40_000];
/// How long the load may take to get there.
const LOAD_TIMEOUT: Duration = Duration::from_secs(60);

#[test]
fn a_load_through_a_follower_ends_right_on_every_node_though_the_leader_is_killed_twice() {
    let _turn = turns::heavy();
    let Some(incidents) = Incidents::find().unwrap() else {
        return;
    };
    let mut rng = Rng::new(rng::seed("cluster_incidents"));
    let mut cluster = Cluster::start(3, &NodeConfig::for_tests()).unwrap();
    let through = *rng.pick(&cluster.followers().unwrap());
    let begun = Instant::now();
    let mut load = cluster
        .cli(through)
        .unwrap()
        .spawn(&["load", &incidents.path(), "--retry-for", "60s"])
        .unwrap();
    let mut kills = Vec::new();
    for at_least in KILLS_AT {
        let leader = wait_loaded(&cluster, at_least);
        assert!(load.try_wait().unwrap().is_none(), "over before {at_least}");
        cluster.kill(leader).unwrap();
        kills.push(leader);
        thread::sleep(Duration::from_millis(rng.between(0, 1500)));
        cluster.restart(leader).unwrap();
    }
    let ended = cli::wait(load).unwrap();
    let took = begun.elapsed();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let converged = cluster.wait_converged().unwrap();
    for id in cluster.ids() {
        let wrong = incidents.wrong_states(cluster.addr(id).unwrap(), "local");
        assert_eq!(wrong.unwrap(), [""; 0], "node {id}");
    }
    println!(
        "cluster_incidents: through node {through} in {took:.1?}, leaders {kills:?} killed meanwhile; \
         every node at {converged:?}"
    );
}

/// Gives the leader that has applied this much.
fn wait_loaded(cluster: &Cluster, at_least: u64) -> u64 {
    within(LOAD_TIMEOUT, || {
        let leader = cluster.leader().map_err(|error| error.to_string())?;
        let info = cluster.info(leader).map_err(|error| error.to_string())?;
        match info["last_applied"].as_u64() {
            Some(applied) if applied >= at_least => Ok(leader),
            applied => Err(format!("only {applied:?} of {at_least} entries")),
        }
    })
    .unwrap()
}
