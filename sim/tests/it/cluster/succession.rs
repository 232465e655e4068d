//! A leader whose process has ended is replaced at once; one that lives is not disturbed, and its lease holds.

use std::time::Duration;

use openraft::AsyncRuntime;
use openraft::type_config::TypeConfigExt;
use openraft_rt_sim::SimRuntime;
use rstmdb::replica::{Consistency, Replica};
use rstmdb_engine::{Query, Reply};
use rstmdb_sim::Sim;
use rstmdb_sim::settings::Settings;

use super::{Cluster, create, in_simulation, machine, set, submit};

/// A leader that is only silent is replaced after this time.
const ELECTION: Duration = Duration::from_secs(4);
/// A leader that has ended is replaced within this time.
const AT_ONCE: Duration = Duration::from_millis(300);

/// Three nodes, an instance, and the leader.
async fn form(seed: u64) -> (Cluster, u64) {
    let cluster = Cluster::form_with(Settings {
        election: ELECTION,
        leader_wait: ELECTION * 4,
        ..Settings::calm(seed, 3)
    });
    let cluster = cluster.await;
    let leader = cluster.leader().await;
    submit(cluster.node(leader), machine()).await.unwrap();
    submit(cluster.node(leader), create("a")).await.unwrap();
    cluster.converge().await;
    (cluster, leader)
}

/// How long the cluster takes to have another leader after its leader's process has ended.
async fn replaced_after(seed: u64, has_power: bool) -> Duration {
    let (mut cluster, leader) = form(seed).await;
    let begun = Sim::now();
    cluster.world.kill(leader, !has_power);
    cluster.nodes.remove(&leader);
    let is_other = |id: &u64| *id != leader;
    let led = || cluster.nodes.values().map(|node| node.status().leader);
    cluster
        .wait("other leader", || {
            led()
                .all(|led| led.as_ref().is_some_and(is_other))
                .then_some(())
        })
        .await;
    let took = Sim::now() - begun;
    let other = *cluster.nodes.keys().next().unwrap();
    submit(cluster.node(other), set("a", 1, true))
        .await
        .unwrap();
    took
}

#[test]
fn a_leader_whose_process_has_ended_is_replaced_at_once() {
    for seed in 1..=10 {
        let took = in_simulation(seed, replaced_after(seed, true));
        assert!(took < AT_ONCE, "seed {seed}: {took:?}");
    }
}

#[test]
fn a_leader_whose_machine_is_silent_is_replaced_after_the_election_timeout() {
    let took = in_simulation(1, replaced_after(1, false));
    assert!(took >= ELECTION, "{took:?}");
}

#[test]
fn a_follower_that_alone_is_cut_off_by_resets_does_not_disturb_the_leader() {
    in_simulation(2, async {
        let (cluster, leader) = form(2).await;
        let term = cluster.node(leader).status().term;
        let follower = *cluster.nodes.keys().find(|id| **id != leader).unwrap();
        cluster.network.reject(leader, follower);
        for n in 1..=20 {
            Sim::sleep(Duration::from_millis(100)).await;
            submit(cluster.node(leader), set("a", n, true))
                .await
                .unwrap();
        }
        assert_eq!(cluster.node(leader).status().term, term);
        cluster.network.ways.heal();
        cluster.converge().await;
    });
}

fn value(replica: &Replica<Sim>) -> u64 {
    let query = Query::GetInstance {
        instance_id: "a".to_owned(),
    };
    let Ok(Reply::Instance(view)) = replica.query(&query, None) else {
        panic!("the instance is there");
    };
    let ctx: serde_json::Value = serde_json::from_slice(&view.ctx).unwrap();
    ctx["n"].as_u64().unwrap()
}

/// The connections of a leader that lives are reset and refused, as by a firewall. The others replace it soon. Until it
/// learns that, it must not answer a `lease` read that misses what its successor has acknowledged.
async fn read_where_connections_are_reset(seed: u64) {
    let (cluster, leader) = form(seed).await;
    let old = cluster.node(leader);
    let others: Vec<u64> = cluster.nodes.keys().copied().collect();
    let others: Vec<u64> = others.into_iter().filter(|id| *id != leader).collect();
    for other in &others {
        cluster.network.reject(leader, *other);
    }
    let begun = Sim::now();
    let successor = cluster.node(others[0]);
    let written = submit(successor, set("a", 1, true));
    let mut written = std::pin::pin!(written);
    let mut acknowledged = 0;
    let mut trusted = 0;
    while Sim::now() < begun + ELECTION {
        if acknowledged == 0 {
            let tried = SimRuntime::timeout(Duration::from_millis(1), written.as_mut()).await;
            acknowledged = u64::from(tried.is_ok_and(|done| done.is_ok()));
        }
        let read = old.barrier(Consistency::Lease, None);
        let read = SimRuntime::timeout(Duration::from_millis(1), read).await;
        if read.is_ok_and(|read| read.is_ok()) {
            trusted += 1;
            assert!(value(old) >= acknowledged, "a stale lease read");
        }
    }
    assert_eq!(acknowledged, 1, "no successor");
    assert!(trusted > 0, "no lease read was answered at all");
    cluster.network.ways.heal();
    cluster.converge().await;
}

#[test]
fn a_lease_read_is_not_stale_where_the_connections_of_a_live_leader_are_reset() {
    for seed in 1..=5 {
        in_simulation(seed, read_where_connections_are_reset(seed));
    }
}

/// A leader that trusts openraft's lease, which is as long as an election timeout, answers stale reads.
#[cfg(feature = "planted-bugs")]
#[test]
#[ignore = "plants a bug in the whole process: run it alone"]
#[should_panic(expected = "a stale lease read")]
fn a_lease_that_outlives_the_voters_promise_is_found_out() {
    rstmdb::planted::set(rstmdb::planted::Bug::LeaseOutlivesThePromise);
    in_simulation(1, read_where_connections_are_reset(1));
}
