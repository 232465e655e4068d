//! Faults by chance, one after the other and upon each other: kills of any number of nodes, hanging nodes,
//! changes of the leader, snapshots. Whatever happens, what was acknowledged is there, once, everywhere.
#![allow(clippy::unwrap_used)]

use std::thread;
use std::time::{Duration, Instant};

use rstmdb_jepsen::audit;
use rstmdb_jepsen::cluster::Cluster;
use rstmdb_jepsen::config::Config;
use rstmdb_jepsen::ledger::Ledger;
use rstmdb_jepsen::rng::{self, Rng};
use rstmdb_jepsen::steady::Steady;
use rstmdb_jepsen::watchers::Watchers;
use rstmdb_jepsen::workload::Workload;
use serde_json::json;

const FAULTS: usize = 25;
/// Names another number of faults.
const FAULTS_VARIABLE: &str = "RSTMDB_FAULTS";
const CONNECTIONS: usize = 4;
const WRITERS: usize = 3;

#[test]
fn faults_by_chance_lose_nothing_repeat_nothing_and_leave_all_nodes_alike() {
    let begun = Instant::now();
    let mut rng = Rng::new(rng::seed("cluster_chaos"));
    let config = Config::for_tests()
        .with("compaction.events_threshold", "1500")
        .with("compaction.min_interval_secs", "0");
    let mut cluster = Cluster::start(3, &config).unwrap();
    let addrs = cluster.addrs_from(1);
    let workload = Workload::prepare(&addrs).unwrap();
    let load = workload.start(CONNECTIONS, &mut rng);
    let steady = Steady::start(&addrs, WRITERS);
    let mut watchers = Watchers::default();
    watchers.add_plain("plain", cluster.addrs_from(2));
    watchers.add_library("of the library", &cluster.addrs_from(3));
    let faults = hurt_repeatedly(&mut cluster, &steady, &mut rng);

    let mut ledgers = load.finish();
    ledgers.push(workload.preparation);
    let written = steady.finish().unwrap();
    ledgers.extend(written.ledgers.iter().cloned());
    let audit = audit::cluster(&cluster, &ledgers).unwrap();
    assert_eq!(audit.violations, [""; 0], "after {faults:?}");
    let wrong = watchers.finish(&audit.verdict.events);
    assert_eq!(wrong, [""; 0], "the watchers, after {faults:?}");
    println!(
        "cluster_chaos: {}; {} acknowledged and {} unanswered writes, {} events, {} calls of the library \
         that gave up meanwhile; {:.1?} in total",
        faults.join(", "),
        ledgers.iter().map(Ledger::acknowledged).sum::<usize>(),
        ledgers.iter().map(Ledger::unanswered).sum::<usize>(),
        audit.verdict.events.len(),
        written.errors.len(),
        begun.elapsed(),
    );
}

/// Every fault is healed before the next one, but only in most cases is its healing waited for.
fn hurt_repeatedly(cluster: &mut Cluster, steady: &Steady, rng: &mut Rng) -> Vec<String> {
    let asked = std::env::var(FAULTS_VARIABLE).ok();
    let count = asked.map_or(FAULTS, |text| text.parse().unwrap());
    let mut faults = Vec::new();
    for _ in 0..count {
        pause(rng, 50, 500);
        faults.push(match rng.below(10) {
            0..6 => kill_some(cluster, rng),
            6..8 => hang_one(cluster, rng),
            8 => transfer(cluster, rng),
            _ => compact(cluster, rng),
        });
        if rng.percent(70) {
            for id in cluster.ids() {
                cluster.wait_ready(id).unwrap();
            }
            steady.next_success(Instant::now()).unwrap();
        }
    }
    for id in cluster.ids() {
        cluster.wait_ready(id).unwrap();
    }
    faults
}

/// Kills one, two or all, one right after the other, and starts them in another order.
fn kill_some(cluster: &mut Cluster, rng: &mut Rng) -> String {
    let mut victims = shuffled(cluster.ids(), rng);
    victims.truncate(rng.index(victims.len()) + 1);
    for id in &victims {
        cluster.kill(*id).unwrap();
        if rng.percent(30) {
            pause(rng, 0, 800);
        }
    }
    for id in shuffled(victims.clone(), rng) {
        pause(rng, 0, 800);
        cluster.launch(id).unwrap();
    }
    format!("killed {victims:?}")
}

fn hang_one(cluster: &mut Cluster, rng: &mut Rng) -> String {
    let id = *rng.pick(&cluster.ids());
    cluster.pause(id).unwrap();
    pause(rng, 100, 2000);
    cluster.resume(id).unwrap();
    format!("{id} hung")
}

fn transfer(cluster: &Cluster, rng: &mut Rng) -> String {
    let (via, to) = (*rng.pick(&cluster.ids()), *rng.pick(&cluster.ids()));
    let asked = cluster.connect(via).and_then(|mut connection| {
        connection.call("CLUSTER_TRANSFER_LEADER", &json!({"node_id": to}))
    });
    // It may have nobody to ask just now.
    format!("transfer to {to}: {}", asked.is_ok())
}

/// Asks for a snapshot without waiting for it: the next fault is to come in between.
fn compact(cluster: &Cluster, rng: &mut Rng) -> String {
    let id = *rng.pick(&cluster.ids());
    if let Ok(mut connection) = cluster.connect(id) {
        thread::spawn(move || connection.call("COMPACT", &json!({"force_snapshot": true})));
    }
    format!("{id} takes a snapshot")
}

fn shuffled(mut ids: Vec<u64>, rng: &mut Rng) -> Vec<u64> {
    for last in (1..ids.len()).rev() {
        ids.swap(last, rng.index(last + 1));
    }
    ids
}

fn pause(rng: &mut Rng, min_ms: u64, max_ms: u64) {
    thread::sleep(Duration::from_millis(rng.between(min_ms, max_ms)));
}
