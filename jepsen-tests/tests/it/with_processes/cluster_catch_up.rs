//! A follower that was away for longer than the others keep their log comes back by a snapshot, under
//! load, and then has the history below it as well.

use std::time::{Duration, Instant};

use super::under_load::{UnderLoad, audited};
use crate::turns;
use rstmdb_jepsen::cluster::Cluster;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::harness::wait::within;
use rstmdb_jepsen::rng::{self, Rng};
use rstmdb_jepsen::watchers::RcpWatchers;
use rstmdb_jepsen::{admin, wal};

const CONNECTIONS: usize = 3;
const WRITERS: usize = 3;
const MISSED_TIMEOUT: Duration = Duration::from_secs(90);
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(30);
const HISTORY_TIMEOUT: Duration = Duration::from_secs(60);

#[test]
fn a_follower_comes_back_by_snapshot_under_load_and_fetches_the_history_below_it() {
    let _turn = turns::heavy();
    let mut rng = Rng::new(rng::seed("cluster_catch_up"));
    let config = NodeConfig::for_tests()
        .with("compaction.events_threshold", "2000")
        .with("compaction.min_interval_secs", "0");
    let mut cluster = Cluster::start(3, &config).unwrap();
    let away = cluster.followers().unwrap()[0];
    // The clients know only the other nodes, so they would notice more than the absence of one node.
    let addrs: Vec<_> = cluster.addrs_from(away)[1..].to_vec();
    let load = UnderLoad::start(&addrs, CONNECTIONS, WRITERS, &mut rng);
    wait_applied(&cluster, 500);

    let left_at = applied(&cluster);
    assert!(cluster.stop(away).unwrap().0.success());
    let begun = Instant::now();
    wait_purged(&cluster, left_at);
    let usual = (begun, Instant::now());
    let begun = Instant::now();
    cluster.launch(away).unwrap();
    wait_caught_up(&cluster, away);
    let caught_up = Instant::now();
    load.steady.next_success(caught_up).unwrap();

    let (ledgers, written) = load.finish();
    assert_eq!(written.errors, [""; 0], "keyed calls of the client library");
    let history = wait_history(&cluster, away);
    let by_snapshot = has_fetched_history(&cluster, away);
    assert!(by_snapshot, "node {away} came back by the log alone");
    let audit = audited(&cluster, &ledgers);
    let mut watchers = RcpWatchers::default();
    let only = vec![cluster.addr(away).unwrap()];
    watchers.add_plain("from the beginning", only.clone());
    watchers.add_library("of the library", &only);
    assert_eq!(watchers.finish(&audit.verdict.events), [""; 0]);
    println!(
        "cluster_catch_up: {} entries missed; caught up in {:.1?}, history in {history:.1?} more; longest \
         time without a successful write meanwhile {:.2?} (before it {:.2?})",
        applied(&cluster) - left_at,
        caught_up - begun,
        written.longest_pause(begun, caught_up),
        written.longest_pause(usual.0, usual.1),
    );
}

/// What the leader has applied.
fn applied(cluster: &Cluster) -> u64 {
    let leader = cluster.leader().unwrap();
    let info = cluster.info(leader).unwrap();
    info["last_applied"].as_u64().unwrap()
}

fn wait_applied(cluster: &Cluster, offset: u64) {
    within(MISSED_TIMEOUT, || match applied(cluster) {
        reached if reached >= offset => Ok(()),
        reached => Err(format!("only {reached} of {offset} entries")),
    })
    .unwrap();
}

/// Waits until none of the running nodes has the entry `offset` in its Raft log any more.
fn wait_purged(cluster: &Cluster, offset: u64) {
    within(MISSED_TIMEOUT, || {
        for id in cluster.running() {
            let addr = cluster.node(id).unwrap().admin_addr();
            let purged = admin::metric(addr, "rstmdb_raft_purged_index").unwrap();
            if purged <= offset as f64 {
                return Err(format!("node {id} has purged up to {purged} of {offset}"));
            }
        }
        Ok(())
    })
    .unwrap();
}

/// It has what the leader had a moment ago.
fn wait_caught_up(cluster: &Cluster, id: u64) {
    within(CATCH_UP_TIMEOUT, || {
        let leader = applied(cluster);
        let own = cluster.info(id).map_err(|error| error.to_string())?;
        match own["last_applied"].as_u64() {
            Some(reached) if reached + 500 >= leader => Ok(()),
            reached => Err(format!("it has applied {reached:?} of {leader}")),
        }
    })
    .unwrap();
}

/// History from before a snapshot that another node sent is in a folder of its own.
fn has_fetched_history(cluster: &Cluster, id: u64) -> bool {
    let folder = cluster.node(id).unwrap().data_dir().join("history");
    std::fs::read_dir(folder).unwrap().next().is_some()
}

/// Waits until the node can read as far back as the leader. Returns how long that took.
fn wait_history(cluster: &Cluster, id: u64) -> Duration {
    let begun = Instant::now();
    let leader = cluster.leader().unwrap();
    let whole = wal::earliest(&mut cluster.connect(leader).unwrap()).unwrap();
    within(HISTORY_TIMEOUT, || {
        let earliest = wal::earliest(&mut cluster.connect(id).unwrap()).unwrap();
        let missing = || format!("its history begins at {earliest}, the leader's at {whole}");
        (earliest <= whole.max(1)).then_some(()).ok_or_else(missing)
    })
    .unwrap();
    begun.elapsed()
}
