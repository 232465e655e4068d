//! SIGKILL to the leader, over and over, under load: nothing acknowledged is lost, nothing takes effect
//! twice, watchers see every event once and in order, and applications of the client library see no
//! error.

use std::thread;
use std::time::{Duration, Instant};

use super::under_load::{UnderLoad, audited};
use crate::turns;
use rstmdb_jepsen::cluster::Cluster;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::ledger::Ledger;
use rstmdb_jepsen::rng::{self, Rng};
use rstmdb_jepsen::steady::Steady;
use rstmdb_jepsen::watchers::RcpWatchers;

const KILLS: usize = 20;
/// Names another number of kills.
const KILLS_VARIABLE: &str = "RSTMDB_KILLS";
const CONNECTIONS: usize = 3;
const WRITERS: usize = 6;

/// What the kills have shown.
#[derive(Default)]
struct Kills {
    /// From each kill to the next write that succeeded.
    recoveries: Vec<Duration>,
    moments: Vec<Instant>,
}

#[test]
fn killing_the_leader_again_and_again_loses_nothing_and_repeats_nothing() {
    let _turn = turns::heavy();
    let begun = Instant::now();
    let mut rng = Rng::new(rng::seed("cluster_kill9"));
    // Snapshots now and then, so that some kills fall into a snapshot.
    let config = NodeConfig::for_tests()
        .with("compaction.events_threshold", "1000")
        .with("compaction.min_interval_secs", "0");
    let mut cluster = Cluster::start(3, &config).unwrap();
    let addrs = cluster.addrs_from(1);
    let load = UnderLoad::start(&addrs, CONNECTIONS, WRITERS, &mut rng);
    let watchers = watch(&cluster);
    let kills = kill_leaders(&mut cluster, &load.steady, &mut rng);

    let (ledgers, written) = load.finish();
    assert_eq!(written.errors, [""; 0], "keyed calls of the client library");
    let audit = audited(&cluster, &ledgers);
    let wrong = watchers.finish(&audit.verdict.events);
    assert_eq!(wrong, [""; 0], "the watchers");

    let across = kills.moments.iter().map(|at| written.across(*at));
    let across: usize = across.sum();
    assert!(across > 0, "no kill ever hit a call of the client library");
    let mut recoveries = kills.recoveries;
    recoveries.sort_unstable();
    println!(
        "cluster_kill9: {} kills of the leader; from the kill to the next successful write: median \
         {:.2?}, worst {:.2?}; {} acknowledged and {} unanswered writes, {} events; client library: {} \
         calls, {across} carried over a kill, 0 errors, slowest {:.2?}; {:.1?} in total",
        recoveries.len(),
        recoveries[recoveries.len() / 2],
        recoveries[recoveries.len() - 1],
        ledgers.iter().map(Ledger::acknowledged).sum::<usize>(),
        ledgers.iter().map(Ledger::unanswered).sum::<usize>(),
        audit.verdict.events.len(),
        written.calls.len(),
        written.slowest(),
        begun.elapsed(),
    );
}

fn watch(cluster: &Cluster) -> RcpWatchers {
    let mut watchers = RcpWatchers::default();
    for id in cluster.ids() {
        watchers.add_plain(&format!("beginning at node {id}"), cluster.addrs_from(id));
    }
    watchers.add_library("of the library", &cluster.addrs_from(2));
    watchers
}

fn kill_leaders(cluster: &mut Cluster, steady: &Steady, rng: &mut Rng) -> Kills {
    let asked = std::env::var(KILLS_VARIABLE).ok();
    let count = asked.map_or(KILLS, |text| text.parse().unwrap());
    let mut kills = Kills::default();
    for _ in 0..count {
        thread::sleep(Duration::from_millis(rng.between(50, 600)));
        let leader = cluster.leader().unwrap();
        let at = Instant::now();
        cluster.kill(leader).unwrap();
        let dead = Instant::now();
        let recovery = steady.next_success(dead).unwrap() + (dead - at);
        kills.recoveries.push(recovery);
        kills.moments.push(at);
        cluster.restart(leader).unwrap();
    }
    kills
}
