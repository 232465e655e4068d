//! Links cut and healed at random under load: order, exactly once, definite refusals.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::type_config::TypeConfigExt;
use parking_lot::Mutex;
use rstmdb::replica::{Error, LeaderChange, Replica};
use rstmdb_sim::Sim;
use rstmdb_sim::rng::Rng;

use super::{Cluster, create, in_simulation, machine, set, submit, values_in_log};

/// How long the load runs, in virtual time.
const LOAD: Duration = Duration::from_secs(15);
/// Commands submitted without waiting.
const BURST: u64 = 8;

/// What a writer was told of each value.
#[derive(Default)]
struct Told {
    done: Vec<u64>,
    nothing_changed: Vec<u64>,
}

/// Sets one instance to rising values through one node, in bursts. Within a burst the client does not wait.
async fn write(replica: Replica<Sim>, id: String, keyed: bool, told: Arc<Mutex<Told>>) {
    let end = Sim::now() + LOAD;
    let mut n = 0;
    while Sim::now() < end {
        let burst: Vec<u64> = (n + 1..=n + BURST).collect();
        n += BURST;
        let outcomes = burst
            .iter()
            .map(|n| replica.submit(set(&id, *n, keyed), "test".into()));
        let outcomes: Vec<_> = outcomes.collect();
        for (n, outcome) in burst.into_iter().zip(join_all(outcomes).await) {
            match outcome {
                Ok(_) => told.lock().done.push(n),
                Err(Error::OutcomeUnknown) => {}
                Err(Error::NoLeader | Error::NotLeader) => told.lock().nothing_changed.push(n),
                Err(other) => panic!("{id}: {other}"),
            }
        }
        Sim::sleep(Duration::from_millis(20)).await;
    }
}

async fn cause_trouble(cluster: &Cluster, random: &mut Rng) {
    let end = Sim::now() + LOAD - Duration::from_secs(3);
    while Sim::now() < end {
        Sim::sleep(Duration::from_millis(200 + random.below(1500))).await;
        let victim = 1 + random.below(3);
        if random.below(4) == 0 {
            let change = LeaderChange::TransferLeader { to: Some(victim) };
            // The request may be refused or lost: the load goes on either way.
            let _ = cluster.node(victim).change(&change).await;
        } else {
            cluster.network.isolate(victim);
            Sim::sleep(Duration::from_millis(100 + random.below(2500))).await;
            cluster.network.ways.heal();
        }
    }
}

fn check(seed: u64, id: &str, told: &Told, values: &[u64]) {
    let rising = values.windows(2).all(|pair| pair[0] < pair[1]);
    assert!(
        rising,
        "seed {seed}: {id} out of order or doubled: {values:?}"
    );
    for n in &told.done {
        assert!(
            values.contains(n),
            "seed {seed}: {id}={n} was acknowledged and is lost"
        );
    }
    for n in &told.nothing_changed {
        assert!(
            !values.contains(n),
            "seed {seed}: {id}={n} was denied and took effect"
        );
    }
}

/// Runs one seed. Returns the number of acknowledged writes, and the content of the log.
fn run(seed: u64) -> (usize, BTreeMap<String, Vec<u64>>) {
    in_simulation(seed, async {
        let mut random = Rng::new(seed);
        let cluster = Cluster::form(seed, 3).await;
        cluster.leader().await;
        submit(cluster.node(1), machine()).await.unwrap();
        let mut writers = Vec::new();
        let mut tolds = BTreeMap::new();
        for (node, keyed) in [
            (1, true),
            (1, false),
            (2, true),
            (2, false),
            (3, true),
            (3, false),
        ] {
            let id = format!("{node}-{keyed}");
            submit(cluster.node(node), create(&id)).await.unwrap();
            let told = Arc::new(Mutex::new(Told::default()));
            let writer = write(cluster.node(node).clone(), id.clone(), keyed, told.clone());
            writers.push(Sim::spawn(writer));
            tolds.insert(id, told);
        }
        cause_trouble(&cluster, &mut random).await;
        cluster.network.ways.heal();
        for writer in writers {
            writer.await.unwrap();
        }
        cluster.converge().await;
        for node in cluster.nodes.values() {
            node.wait_for_history(0).await;
        }
        let values = values_in_log(cluster.node(1));
        for node in cluster.nodes.values() {
            let earliest = node.report().earliest_offset;
            assert!(
                values_in_log(node) == values,
                "seed {seed}: logs differ, one begins at {earliest}"
            );
            let (digest, recomputed) =
                node.with_state(|state| (state.digest(), state.recompute_digest()));
            assert_eq!(digest, recomputed, "seed {seed}");
        }
        let mut acknowledged = 0;
        for (id, told) in &tolds {
            let told = told.lock();
            acknowledged += told.done.len();
            check(seed, id, &told, values.get(id).map_or(&[], Vec::as_slice));
        }
        (acknowledged, values)
    })
}

#[test]
fn order_and_exactly_once_survive_every_change_of_the_leader() {
    for seed in 1..=12 {
        let (acknowledged, _) = run(seed);
        assert!(
            acknowledged > 1_000,
            "seed {seed}: only {acknowledged} writes"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert!(run(77) == run(77), "two runs of one seed differ");
}
