//! Timers on a cluster: they fire once, not early, and are not lost, whichever node leads and whatever the clocks show.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::type_config::TypeConfigExt;
use rstmdb::replica::LogItem;
use rstmdb_engine::command::SetAutomation;
use rstmdb_engine::fact::Body;
use rstmdb_engine::{Command, CreateInstance};
use rstmdb_sim::Sim;
use rstmdb_sim::machines::TestMachine;

use super::{Cluster, define, in_simulation, submit};

const IDS: [&str; 3] = ["x", "y", "z"];

fn gate(id: &str) -> Command {
    Command::CreateInstance(CreateInstance {
        instance_id: id.into(),
        id_given: true,
        machine: "gate".into(),
        version: 1,
        initial_ctx: None,
        idempotency_key: None,
        import: None,
    })
}

async fn begun(seed: u64) -> Cluster {
    let cluster = Cluster::form(seed, 3).await;
    cluster.leader().await;
    submit(cluster.node(1), define(TestMachine::Gate))
        .await
        .unwrap();
    for id in IDS {
        submit(cluster.node(1), gate(id)).await.unwrap();
    }
    cluster
}

/// How late each firing was, and how many there were of each kind, as a node's log shows it.
fn firings(cluster: &Cluster, node: u64) -> (BTreeMap<String, u64>, u64) {
    let (mut counts, mut latest_ms, mut from) = (BTreeMap::new(), 0, 0);
    loop {
        let page = cluster.node(node).log_read(from, 1000).unwrap();
        for (_, item) in &page.items {
            let LogItem::Facts(entry) = item else {
                continue;
            };
            for fact in &entry.facts {
                let (fired, kind) = match &fact.body {
                    Some(Body::ApplyEvent(apply)) => (&apply.fired, apply.event.clone()),
                    Some(Body::TimerSpent(spent)) => (&spent.fired, spent.code.clone()),
                    _ => continue,
                };
                if let Some(fired) = fired {
                    *counts.entry(kind).or_default() += 1;
                    assert!(fired.due_ms <= entry.time_ms, "{entry}");
                    latest_ms = latest_ms.max(entry.time_ms - fired.due_ms);
                }
            }
        }
        if page.items.is_empty() {
            return (counts, latest_ms);
        }
        from = page.next_offset;
    }
}

/// The checks of the log follow every entry meanwhile: see `rstmdb_sim::check::timers`.
#[test]
fn timers_fire_in_time_on_a_calm_cluster() {
    in_simulation(71, async {
        let cluster = begun(71).await;
        Sim::sleep(Duration::from_secs(51)).await;
        cluster.converge().await;
        let (counts, latest_ms) = firings(&cluster, 2);
        // A round takes five seconds.
        let rounds = 10 * IDS.len() as u64;
        for kind in ["CLOSE", "NUDGE", "GUARD_FAILED", "OPEN"] {
            let count = counts[kind];
            assert!((rounds - 3..=rounds + 3).contains(&count), "{counts:?}");
        }
        assert!(latest_ms < 100, "{latest_ms} ms late");
    });
}

#[test]
fn timers_survive_leaders_that_are_killed_and_fire_once() {
    for seed in 72..78 {
        in_simulation(seed, async {
            let mut cluster = begun(seed).await;
            for _ in 0..4 {
                Sim::sleep(Duration::from_millis(2_300)).await;
                let leader = cluster.leader().await;
                cluster.world.kill(leader, false);
                cluster.nodes.remove(&leader);
                Sim::sleep(Duration::from_millis(900)).await;
                cluster.start(leader).await;
            }
            Sim::sleep(Duration::from_secs(4)).await;
            cluster.leader().await;
            let (counts, _) = firings(&cluster, 1);
            assert!(counts["OPEN"] >= 3, "{counts:?}");
            // What is due is fired, and nothing waits for ever.
            for node in cluster.nodes.values() {
                assert!(node.timers().lag_ms < 1_000, "{:?}", node.timers());
                assert!(node.timers().armed > 0);
            }
        });
    }
}

#[test]
fn a_leader_whose_clock_jumps_by_a_day_fires_neither_early_nor_late() {
    for (seed, jump_ms) in [(81, 28 * 3_600_000_i64), (82, -28 * 3_600_000)] {
        in_simulation(seed, async {
            let cluster = begun(seed).await;
            Sim::sleep(Duration::from_millis(500)).await;
            let leader = cluster.leader().await;
            cluster.clocks[&leader].fetch_add(jump_ms, Ordering::SeqCst);
            let before = firings(&cluster, leader).0.values().sum::<u64>();
            Sim::sleep(Duration::from_secs(10)).await;
            let after = firings(&cluster, leader).0.values().sum::<u64>();
            // Four firings of each instance in five seconds.
            let fired = after - before;
            assert!((18..=30).contains(&fired), "{fired} in ten seconds");
        });
    }
}

#[test]
fn paused_timers_and_armed_ones_write_nothing() {
    in_simulation(83, async {
        let cluster = begun(83).await;
        let pause = |paused| {
            Command::SetAutomation(SetAutomation {
                paused,
                ..SetAutomation::default()
            })
        };
        submit(cluster.node(2), pause(true)).await.unwrap();
        cluster.converge().await;
        let end = cluster.node(1).log_end();
        Sim::sleep(Duration::from_secs(60)).await;
        assert_eq!(cluster.node(1).log_end(), end);
        submit(cluster.node(3), pause(false)).await.unwrap();
        Sim::sleep(Duration::from_secs(1)).await;
        let (counts, _) = firings(&cluster, 1);
        // Each overdue timer fired once, and the chain goes on from there.
        assert_eq!(counts["CLOSE"], IDS.len() as u64, "{counts:?}");
        assert_eq!(counts.get("OPEN"), None);
    });
}
