//! Wall clocks that jump: no node forgets an idempotency key because of it, and the log's time stays near the right
//! one.

use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::type_config::TypeConfigExt;
use rstmdb::replica::LeaderChange;
use rstmdb_sim::Sim;
use rstmdb_sim::world::right_ms;

use super::{Cluster, create, in_simulation, machine, set, submit};

const YEAR_MS: i64 = 365 * 86_400_000;
/// By how much a leader's own clock may be wrong before the log no longer follows it, plus the time that the test
/// takes.
const TOLERANCE_MS: i64 = 10_000 + 1_000;

impl Cluster {
    /// Makes a node's wall clock wrong by so much.
    fn set_clock(&self, id: u64, wrong_ms: i64) {
        self.clocks[&id].store(wrong_ms, Ordering::Relaxed);
    }

    /// How far the last time in the log is ahead of the right time.
    fn log_ahead_ms(&self, id: u64) -> i64 {
        let last = self.node(id).with_state(|state| state.last_time_ms());
        i64::try_from(last).unwrap() - right_ms()
    }

    /// Writes something new, and repeats the first write, whose key the nodes must still know.
    async fn repeat(&self, node: u64, new: u64, first: u64) {
        submit(self.node(node), set("a", new, true)).await.unwrap();
        let again = submit(self.node(node), set("a", 1, true)).await.unwrap();
        assert_eq!(again.offset, Some(first), "the key was forgotten");
        let ahead = self.log_ahead_ms(node);
        assert!(ahead.abs() < TOLERANCE_MS, "the log is {ahead} ms ahead");
    }
}

#[test]
fn a_clock_that_jumps_by_a_year_forgets_no_key_on_the_leader_or_on_the_next() {
    in_simulation(31, async {
        let cluster = Cluster::form(31, 3).await;
        let leader = cluster.leader().await;
        submit(cluster.node(1), machine()).await.unwrap();
        submit(cluster.node(1), create("a")).await.unwrap();
        let first = submit(cluster.node(1), set("a", 1, true)).await.unwrap();
        let first = first.offset.unwrap();
        let mut new = 2;
        for wrong_ms in [YEAR_MS, -2 * YEAR_MS, YEAR_MS] {
            cluster.set_clock(leader, wrong_ms);
            for _ in 0..8 {
                cluster.repeat(leader, new, first).await;
                new += 1;
                Sim::sleep(Duration::from_secs(1)).await;
            }
            let skew_ms = cluster.node(leader).clock_skews_ms()[&leader];
            assert!((skew_ms - wrong_ms).abs() < 1_000, "{skew_ms} ms");
            cluster.set_clock(leader, 0);
        }
        // The next leader's clock is the wrong one from the beginning.
        let next = 1 + leader % 3;
        cluster.set_clock(next, YEAR_MS);
        let change = LeaderChange::TransferLeader { to: Some(next) };
        cluster.node(leader).change(&change).await.unwrap();
        assert_eq!(cluster.leader().await, next);
        cluster.repeat(next, new, first).await;
        assert!(cluster.node(leader).counters().clock_steps.load() >= 3);
    });
}

#[test]
fn a_log_that_was_dated_ahead_comes_back_to_the_right_time_without_going_back() {
    in_simulation(32, async {
        let cluster = Cluster::form(32, 3).await;
        for id in 1..=3 {
            cluster.set_clock(id, 3_000);
        }
        let leader = cluster.leader().await;
        submit(cluster.node(leader), machine()).await.unwrap();
        submit(cluster.node(leader), create("a")).await.unwrap();
        for id in 1..=3 {
            cluster.set_clock(id, 0);
        }
        let mut before = i64::MAX;
        for n in 1..=7 {
            Sim::sleep(Duration::from_secs(5)).await;
            submit(cluster.node(leader), set("a", n, false))
                .await
                .unwrap();
            let ahead = cluster.log_ahead_ms(leader);
            let is_nearer = ahead < before || ahead.abs() < 100;
            assert!(is_nearer, "{ahead} ms after {before}");
            before = ahead;
        }
        assert!(before.abs() < 100, "still {before} ms ahead");
    });
}

#[test]
fn a_backup_reaches_up_to_the_time_of_the_log_whatever_wall_clocks_show() {
    in_simulation(33, async {
        let cluster = Cluster::form(33, 3).await;
        let leader = cluster.leader().await;
        submit(cluster.node(1), machine()).await.unwrap();
        submit(cluster.node(1), create("a")).await.unwrap();
        let mut n = 0;
        for wrong_ms in [YEAR_MS, -YEAR_MS] {
            for id in 1..=3 {
                // While nothing is written, too.
                Sim::sleep(Duration::from_secs(60)).await;
                cluster.set_clock(id, wrong_ms);
                let reached = cluster.node(id).log_time_ms().await;
                let ahead = i64::try_from(reached).unwrap() - right_ms();
                assert!(ahead.abs() < TOLERANCE_MS, "node {id}: {ahead} ms ahead");
                n += 1;
                submit(cluster.node(id), set("a", n, false)).await.unwrap();
                cluster.converge().await;
                let last = cluster.node(id).with_state(|state| state.last_time_ms());
                assert!(last > reached, "node {id}: {last} after {reached}");
                cluster.set_clock(id, 0);
            }
        }
        // Without a leader nothing is known beyond the last fact.
        let alone = 1 + leader % 3;
        cluster.network.isolate(alone);
        Sim::sleep(Duration::from_secs(10)).await;
        let node = cluster.node(alone);
        let last = node.with_state(|state| state.last_time_ms());
        assert_eq!(node.log_time_ms().await, last);
    });
}

#[test]
fn a_backup_does_not_reach_the_time_of_a_write_that_is_in_flight() {
    in_simulation(34, async {
        let cluster = Cluster::form(34, 3).await;
        let leader = cluster.leader().await;
        submit(cluster.node(leader), machine()).await.unwrap();
        submit(cluster.node(leader), create("a")).await.unwrap();
        cluster.converge().await;
        let before = cluster
            .node(leader)
            .with_state(|state| state.last_time_ms());
        Sim::sleep(Duration::from_secs(1)).await;
        for follower in (1..=3).filter(|id| *id != leader) {
            cluster.network.ways.lose_entries(leader, follower);
        }
        let looks = async {
            Sim::sleep(Duration::from_millis(300)).await;
            let mut reached = Vec::new();
            for id in 1..=3 {
                reached.push(cluster.node(id).log_time_ms().await);
            }
            cluster.network.ways.heal();
            reached
        };
        let write = submit(cluster.node(leader), set("a", 1, true));
        let (written, reached) = futures_util::future::join(write, looks).await;
        written.unwrap();
        cluster.converge().await;
        let last = cluster
            .node(leader)
            .with_state(|state| state.last_time_ms());
        for reached in reached {
            assert!(
                reached > before && reached < last,
                "{before}, {reached}, {last}"
            );
        }
        // Once its outcome is known, time goes on.
        Sim::sleep(Duration::from_secs(1)).await;
        for id in 1..=3 {
            let reached = cluster.node(id).log_time_ms().await;
            assert!(reached > last, "node {id}: {reached} after {last}");
        }
    });
}
