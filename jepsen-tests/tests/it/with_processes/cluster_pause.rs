//! A node that hangs (SIGSTOP: its sockets stay open, nothing answers) holds up no other node and no client. When a
//! former leader goes on, it neither serves old state nor loses or repeats a write.

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

const ROUNDS: usize = 3;
const CONNECTIONS: usize = 3;
const WRITERS: usize = 6;

#[test]
fn a_node_that_hangs_holds_up_nobody_and_goes_on_without_harm() {
    let _turn = turns::heavy();
    let mut rng = Rng::new(rng::seed("cluster_pause"));
    let mut cluster = Cluster::start(3, &NodeConfig::for_tests()).unwrap();
    let addrs = cluster.addrs_from(1);
    let load = UnderLoad::start(&addrs, CONNECTIONS, WRITERS, &mut rng);
    let mut watchers = RcpWatchers::default();
    for id in cluster.ids() {
        watchers.add_plain(&format!("beginning at node {id}"), cluster.addrs_from(id));
    }
    let (mut leaders, mut followers) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let leader = cluster.leader().unwrap();
        leaders.push(hang(&mut cluster, leader, &load.steady, &mut rng));
        let follower = *rng.pick(&cluster.followers().unwrap());
        followers.push(hang(&mut cluster, follower, &load.steady, &mut rng));
    }
    let (ledgers, written) = load.finish();
    let audit = audited(&cluster, &ledgers);
    let wrong = watchers.finish(&audit.verdict.events);
    assert_eq!(wrong, [""; 0], "the watchers");
    assert_eq!(written.errors, [""; 0], "keyed calls of the client library");
    println!(
        "cluster_pause: from the stop to the next successful write: leaders {leaders:.2?}, followers \
         {followers:.2?}; {} acknowledged and {} unanswered writes, slowest keyed call {:.2?}",
        ledgers.iter().map(Ledger::acknowledged).sum::<usize>(),
        ledgers.iter().map(Ledger::unanswered).sum::<usize>(),
        written.slowest(),
    );
}

/// Stops a node for one to three seconds. Returns the time until the next write succeeded.
fn hang(cluster: &mut Cluster, id: u64, steady: &Steady, rng: &mut Rng) -> Duration {
    let at = Instant::now();
    cluster.pause(id).unwrap();
    let stopped = Instant::now();
    let recovery = steady.next_success(stopped).unwrap() + (stopped - at);
    let length = Duration::from_millis(rng.between(1000, 3000));
    thread::sleep(length.saturating_sub(at.elapsed()));
    cluster.resume(id).unwrap();
    steady.next_success(Instant::now()).unwrap();
    recovery
}
