//! What a watch shows if its node was away and then got a snapshot instead of the log.

use std::time::Duration;

use futures_util::future::join_all;
use openraft::type_config::TypeConfigExt;
use rstmdb::replica::{Replica, WatchFilter};
use rstmdb_sim::Sim;

use super::{Cluster, create, in_simulation, machine, set, submit, values_in_log};

/// What follows an event on the instance "a".
const LAST: u64 = 4_000;

/// Every value that "a" was set to, as a watch of a node shows them, until the last one.
async fn watched(node: Replica<Sim>) -> Vec<u64> {
    let mut watch = node.watch(WatchFilter::default(), Some(0)).unwrap();
    let mut values: Vec<u64> = Vec::new();
    while values.last() != Some(&LAST) {
        let events = watch.next(1 << 20).await.unwrap();
        values.extend(events.iter().map(|event| {
            let ctx: serde_json::Value =
                serde_json::from_slice(&event.event().unwrap().ctx).unwrap();
            ctx["n"].as_u64().unwrap()
        }));
    }
    values
}

/// Sets "a" to 1 and so on to [`LAST`] through a node, in portions, so that snapshots are taken and the log
/// before them is purged.
async fn write_all(node: &Replica<Sim>) {
    for portion in (1..=LAST).collect::<Vec<_>>().chunks(500) {
        let burst = portion.iter().map(|n| submit(node, set("a", *n, true)));
        for outcome in join_all(burst).await {
            outcome.unwrap();
        }
        Sim::sleep(Duration::from_millis(100)).await;
    }
    Sim::sleep(Duration::from_secs(5)).await;
}

/// The node that is away is a follower without entries of its own, or the leader. The leader's log then ends in entries
/// that no other node ever had.
fn comes_back(seed: u64, leader_goes: bool) {
    in_simulation(seed, async move {
        let cluster = Cluster::form(seed, 3).await;
        let leader = cluster.leader().await;
        submit(cluster.node(leader), machine()).await.unwrap();
        submit(cluster.node(leader), create("a")).await.unwrap();
        cluster.converge().await;
        let away = if leader_goes { leader } else { 1 + leader % 3 };
        let watching = Sim::spawn(watched(cluster.node(away).clone()));
        cluster.network.isolate(away);
        let confirmed = cluster.node(away).log_end();
        let lost = (0..300).filter(|_| leader_goes).map(|n| {
            let command = set("a", 900_000 + n, false);
            cluster.node(away).submit(command, "test".into())
        });
        // The clients that submit them wait for an answer that does not come.
        let _lost: Vec<_> = lost.collect();
        Sim::sleep(Duration::from_secs(3)).await;
        let appended = cluster.node(away).log_end() - confirmed;
        assert_eq!(appended > 0, leader_goes, "{appended} entries of its own");
        let writes = 1 + away % 3;
        write_all(cluster.node(writes)).await;
        let before = cluster.node(away).log_end();
        cluster.network.ways.heal();
        cluster.converge().await;
        assert!(cluster.node(away).status().snapshot_offset > before);
        let expected: Vec<u64> = (1..=LAST).collect();
        assert_eq!(watching.await.unwrap(), expected);
        cluster.node(away).wait_for_history(0).await;
        assert_eq!(values_in_log(cluster.node(away))["a"], expected);
    });
}

#[test]
fn a_watch_below_an_installed_snapshot_misses_nothing() {
    (20..24).for_each(|seed| comes_back(seed, false));
}

#[test]
fn a_watch_never_shows_what_a_snapshot_has_replaced() {
    (30..34).for_each(|seed| comes_back(seed, true));
}
