//! Partitions of every shape: where a majority can talk, there is a leader within five seconds.
//!
//! That is: among all voters there is a set of the size of a majority in which each reaches each other, both
//! ways. Then what is submitted through at least one node of it is done. (Not through every one: a leader from
//! outside of the set may have a majority of its own, whose votes keep a new one from being elected for a node
//! that it does not reach.)

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use openraft::AsyncRuntime;
use openraft::type_config::TypeConfigExt;
use openraft_rt_sim::SimRuntime;
use rstmdb_sim::Sim;
use rstmdb_sim::rng::Rng;

use super::{Cluster, create, in_simulation, machine, set, submit};

/// How long a majority that can talk may be without a leader.
const LEADER_WITHIN: Duration = Duration::from_secs(5);
/// How long an old leader could disturb.
const HEALED_FOR: Duration = Duration::from_millis(2_500);

/// Whether the way from one place to another is cut. The leader of that moment is at place 0.
type IsCut = fn(usize, usize) -> bool;

fn tethered(a: usize, b: usize) -> bool {
    a.min(b) == 0 && a.max(b) > 1
}

/// Shapes for as many voters each.
const SHAPES: &[(&str, usize, IsCut)] = &[
    ("the leader alone", 3, |a, b| a == 0 || b == 0),
    ("the leader hears nobody", 3, |_, b| b == 0),
    ("nobody hears the leader", 3, |a, _| a == 0),
    ("the leader sees one other", 3, tethered),
    ("the leader is heard by one and hears nobody", 3, |a, b| {
        b == 0 || (a, b) == (0, 2)
    }),
    ("the leader sees one of a majority", 4, tethered),
    ("the leader is heard by one of a majority", 4, |a, b| {
        tethered(a, b) || (a, b) == (1, 0)
    }),
    ("the leader is heard by all and hears one", 4, |a, b| {
        b == 0 && a > 1
    }),
    ("the leader hears all and is heard by one", 4, |a, b| {
        a == 0 && b > 1
    }),
    ("all hear the leader, which hears nobody", 4, |_, b| b == 0),
    (
        "the leader sees one of a majority, one is away",
        5,
        |a, b| tethered(a, b) || a == 4 || b == 4,
    ),
    (
        "the leader is heard by a majority, one is away",
        5,
        |a, b| b == 0 || a == 4 || b == 4,
    ),
    ("the leader in the smaller half", 5, |a, b| {
        (a == 0 || a == 4) != (b == 0 || b == 4)
    }),
    ("two halves and the leader in between", 5, |a, b| {
        a.min(b) > 0 && (a < 3) != (b < 3)
    }),
];

/// A set of a majority's size whose members reach each other both ways.
fn majority(cut: &BTreeSet<(u64, u64)>, ids: &[u64]) -> Option<Vec<u64>> {
    let sets = 1_usize..1 << ids.len();
    let sets = sets.map(|set| {
        let members = ids.iter().enumerate();
        let members = members.filter(|(place, _)| set & (1 << place) != 0);
        members.map(|(_, id)| *id).collect::<Vec<_>>()
    });
    let talks = |set: &Vec<u64>| {
        let ways = set.iter().flat_map(|a| set.iter().map(move |b| (*a, *b)));
        ways.into_iter().all(|way| !cut.contains(&way))
    };
    sets.filter(|set| set.len() == ids.len() / 2 + 1)
        .find(talks)
}

impl Cluster {
    /// Submits through all of these nodes until one of them succeeds.
    async fn write_through_any(&self, ids: &[u64], n: u64) -> bool {
        let until = Sim::now() + LEADER_WITHIN;
        let tries: FuturesUnordered<_> = ids
            .iter()
            .map(|id| async move {
                while Sim::now() < until {
                    if submit(self.node(*id), set("a", n, true)).await.is_ok() {
                        return;
                    }
                }
                std::future::pending::<()>().await;
            })
            .collect();
        let mut tries = tries;
        SimRuntime::timeout(LEADER_WITHIN, tries.next())
            .await
            .is_ok()
    }

    /// Cuts these ways, checks the promise, and heals them.
    async fn endure(&self, what: &str, leader: u64, cut: &BTreeSet<(u64, u64)>, n: u64) {
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        // Entries that are under way when the ways are cut are sent again and again.
        for k in 1..=3 {
            let replica = self.node(leader).clone();
            drop(Sim::spawn(async move {
                submit(&replica, set("a", n + k, true)).await
            }));
        }
        Sim::sleep(Duration::from_millis(1)).await;
        for (from, to) in cut {
            self.network.ways.cut(*from, *to);
        }
        let talking = majority(cut, &ids).unwrap();
        let done = self.write_through_any(&talking, n).await;
        let stands: Vec<_> = self.nodes.values().map(|node| node.report()).collect();
        assert!(
            done,
            "{what}: no leader for {talking:?} with {cut:?}: {stands:#?}"
        );
        let leads = |id: &&u64| self.node(**id).is_leader();
        let before: Vec<_> = ids
            .iter()
            .filter(leads)
            .map(|id| (*id, self.term(*id)))
            .collect();
        self.network.ways.heal();
        Sim::sleep(HEALED_FOR).await;
        let after = self.leader().await;
        if let [one] = before.as_slice() {
            let after = (after, self.term(after));
            assert_eq!(after, *one, "{what}: who comes back has disturbed; {cut:?}");
        }
    }

    fn term(&self, id: u64) -> u64 {
        self.node(id).status().term
    }
}

fn in_cluster(seed: u64, count: u64, run: impl AsyncFnOnce(&Cluster)) {
    in_simulation(seed, async {
        let cluster = Cluster::form(seed, count).await;
        cluster.leader().await;
        submit(cluster.node(1), machine()).await.unwrap();
        submit(cluster.node(1), create("a")).await.unwrap();
        run(&cluster).await;
        cluster.converge().await;
    });
}

#[test]
fn a_majority_that_can_talk_has_a_leader_in_every_shape() {
    for count in [3, 4, 5] {
        let shapes = SHAPES.iter().filter(|(_, voters, _)| *voters == count);
        in_cluster(41, count as u64, async |cluster| {
            for ((what, _, is_cut), round) in shapes.zip(1..) {
                let leader = cluster.leader().await;
                let others = cluster.nodes.keys().copied().filter(|id| *id != leader);
                let places: Vec<u64> = [leader].into_iter().chain(others).collect();
                let ways = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
                let cut = ways.filter(|(a, b)| a != b && is_cut(*a, *b));
                let cut = cut.map(|(a, b)| (places[a], places[b])).collect();
                cluster.endure(what, leader, &cut, round * 100).await;
            }
        });
    }
}

/// Cuts each way or not, at random, so that a majority can still talk.
fn drawn(random: &mut Rng, ids: &[u64]) -> BTreeSet<(u64, u64)> {
    loop {
        let percent = 15 + random.below(40);
        let ways = ids.iter().flat_map(|a| ids.iter().map(move |b| (*a, *b)));
        let cut = ways.filter(|(a, b)| a != b && random.below(100) < percent);
        let cut = cut.collect();
        if majority(&cut, ids).is_some() {
            return cut;
        }
    }
}

#[test]
fn a_majority_that_can_talk_has_a_leader_whatever_ways_are_cut() {
    const DRAWS: u64 = 5;
    for count in [3, 4, 5] {
        in_cluster(42, count, async |cluster| {
            let mut random = Rng::new(count);
            let ids: Vec<u64> = cluster.nodes.keys().copied().collect();
            for round in 1..=DRAWS {
                let leader = cluster.leader().await;
                let cut = drawn(&mut random, &ids);
                let what = format!("draw {round} of {count}");
                cluster.endure(&what, leader, &cut, round * 100).await;
            }
        });
    }
}
