//! Heartbeats get through and entries do not.

use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::type_config::TypeConfigExt;
use rstmdb_engine::Command;
use rstmdb_sim::Sim;

use super::{Cluster, create, in_simulation, machine, set, submit, values_in_log};

/// The stall timeout, with room for an election and a few looks.
const HELPED_WITHIN: Duration = Duration::from_secs(8);

/// The calls that heartbeats are.
const HEARTBEATS: &str = "/Append";

/// A cluster that has one instance, and its leader.
async fn cluster(seed: u64, count: u64) -> (Cluster, u64) {
    let cluster = Cluster::form(seed, count).await;
    let leader = cluster.leader().await;
    submit(cluster.node(leader), machine()).await.unwrap();
    submit(cluster.node(leader), create("a")).await.unwrap();
    cluster.converge().await;
    // After a change of the leader no node hands over for a while.
    Sim::sleep(Duration::from_secs(31)).await;
    (cluster, leader)
}

fn stalls(cluster: &Cluster, id: u64) -> u64 {
    cluster.node(id).counters().replication_stalls.load()
}

fn others(count: u64, id: u64) -> impl Iterator<Item = u64> {
    (1..=count).filter(move |other| *other != id)
}

/// Submits a write, whatever comes of it.
fn begin(cluster: &Cluster, through: u64, n: u64) {
    let node = cluster.node(through).clone();
    drop(Sim::spawn(async move {
        let _ = submit(&node, set("a", n, true)).await;
    }));
}

/// Waits until another node leads, which must not take long.
async fn another_leads(cluster: &Cluster, before: u64) -> u64 {
    let began = Sim::now();
    let leads = |id: &u64| *id != before && cluster.node(*id).is_leader();
    let next = cluster
        .wait("another leader", || {
            cluster.nodes.keys().copied().find(leads)
        })
        .await;
    assert!(Sim::now() - began < HELPED_WITHIN, "too late");
    next
}

#[test]
fn a_leader_whose_entries_reach_nobody_lets_another_one_lead() {
    in_simulation(21, async {
        let (cluster, first) = cluster(21, 3).await;
        for other in others(3, first) {
            cluster.network.ways.lose_entries(first, other);
        }
        begin(&cluster, first, 5);
        let next = another_leads(&cluster, first).await;
        assert_eq!(stalls(&cluster, first), 1);
        submit(cluster.node(next), set("a", 6, true)).await.unwrap();
        assert_eq!(stalls(&cluster, next), 0);
        cluster.network.ways.heal();
        cluster.converge().await;
        assert_eq!(values_in_log(cluster.node(first))["a"].last(), Some(&6));
    });
}

#[test]
fn a_voter_that_has_everything_is_the_one_that_leads_next() {
    in_simulation(22, async {
        let (cluster, first) = cluster(22, 4).await;
        let mut followers = others(4, first);
        let has_all = followers.next().unwrap();
        for other in followers {
            cluster.network.ways.lose_entries(first, other);
        }
        begin(&cluster, first, 5);
        assert_eq!(another_leads(&cluster, first).await, has_all);
        cluster.converge().await;
        assert_eq!(values_in_log(cluster.node(has_all))["a"], [5]);
    });
}

#[test]
fn leadership_does_not_go_around_where_no_change_helps() {
    in_simulation(23, async {
        let (cluster, first) = cluster(23, 3).await;
        for from in 1..=3 {
            for to in others(3, from) {
                cluster.network.ways.lose_entries(from, to);
            }
        }
        begin(&cluster, first, 5);
        let before = changes(&cluster);
        Sim::sleep(Duration::from_secs(60)).await;
        let changed = changes(&cluster) - before;
        assert!(
            changed <= 10,
            "{changed} changes of the leader or the term in a minute"
        );
        cluster.network.ways.heal();
        cluster.converge().await;
    });
}

fn changes(cluster: &Cluster) -> u64 {
    cluster.node(1).counters().leader_changes.load()
}

/// Submits a write of 3 MB, and ignores its outcome.
fn begin_large(cluster: &Cluster, through: u64, n: u64) {
    let node = cluster.node(through).clone();
    let Command::ApplyEvent(mut apply) = set("a", n, true) else {
        panic!("an event");
    };
    let padding = "x".repeat(3_000_000);
    apply.payload = Some(Bytes::from(format!(r#"{{"n":{n},"padding":"{padding}"}}"#)));
    drop(Sim::spawn(async move {
        let _ = submit(&node, Command::ApplyEvent(apply)).await;
    }));
}

/// Bytes a second that a large write needs a quarter of a minute for.
const NARROW: u64 = 200_000;

#[test]
fn a_follower_that_takes_bytes_is_slow_and_no_stall() {
    in_simulation(24, async {
        let (cluster, first) = cluster(24, 3).await;
        for other in others(3, first) {
            cluster.network.ways.narrow(first, other, NARROW);
        }
        let before = cluster.node(first).status().last_applied;
        begin_large(&cluster, first, 5);
        Sim::sleep(Duration::from_secs(12)).await;
        assert_eq!(cluster.node(first).status().last_applied, before);
        assert!(cluster.node(first).is_leader());
        Sim::sleep(Duration::from_secs(8)).await;
        assert!(cluster.node(first).is_leader());
        assert_eq!(stalls(&cluster, first), 0);
        cluster.network.ways.heal();
        cluster.converge().await;
        assert_eq!(values_in_log(cluster.node(first))["a"], [5]);
    });
}

#[test]
fn a_leader_whose_heartbeats_are_lost_leads_on_while_a_majority_takes_bytes() {
    in_simulation(25, async {
        let (cluster, first) = cluster(25, 5).await;
        let stepped_down = || cluster.node(first).counters().stepped_down.load();
        // Its followers hear it, and it does not hear them.
        for other in others(5, first) {
            cluster.network.ways.mute(other, first, HEARTBEATS);
        }
        let taking: Vec<u64> = others(5, first).take(2).collect();
        for other in others(5, first) {
            match taking.contains(&other) {
                true => cluster.network.ways.narrow(first, other, NARROW),
                false => cluster.network.ways.lose_entries(first, other),
            }
        }
        begin_large(&cluster, first, 5);
        Sim::sleep(Duration::from_secs(10)).await;
        assert_eq!(stepped_down(), 0);
        // One of them is no majority. Its bytes are the last answer that the leader gets, so it gets the leader's vote.
        cluster.network.ways.lose_entries(first, taking[1]);
        let begun = Sim::now();
        while stepped_down() == 0 && Sim::now() - begun < Duration::from_secs(4) {
            Sim::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(stepped_down(), 1);
        let metrics = cluster.node(first).raft().server_metrics();
        assert_eq!(metrics.borrow_watched().vote.leader_id.voted_for, taking[0]);
        cluster.network.ways.heal();
        cluster.converge().await;
    });
}
