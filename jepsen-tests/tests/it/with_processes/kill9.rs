//! SIGKILL at random moments under load: nothing acknowledged is lost, nothing takes effect twice, and
//! watchers that resume by offset have seen every event exactly once, in order.

use std::thread;
use std::time::{Duration, Instant};

use crate::turns;
use rstmdb_jepsen::audit;
use rstmdb_jepsen::audit::log::LogVerdict;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::ledger::Ledger;
use rstmdb_jepsen::load::pipelines::Pipelines;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::raw::RawConnection;
use rstmdb_jepsen::rng::{self, Rng};
use rstmdb_jepsen::watchers::RcpWatchers;
use serde_json::json;

const KILLS: usize = 52;
const CONNECTIONS: usize = 4;

#[test]
fn fifty_kills_under_load_lose_nothing_repeat_nothing_and_reorder_nothing() {
    let _turn = turns::heavy();
    let begun = Instant::now();
    let mut rng = Rng::new(rng::seed("kill9"));
    let mut node = Node::start(&config()).unwrap();
    let workload = Pipelines::prepare(&[node.addr()]).unwrap();
    let load = workload.start(CONNECTIONS, &mut rng);
    let mut watchers = RcpWatchers::default();
    watchers.add_plain("plain", vec![node.addr()]);
    watchers.add_library("library", &[node.addr()]);
    let restarts = kill_repeatedly(&mut node, &mut rng);
    let mut ledgers = load.finish();
    ledgers.push(workload.preparation);

    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let verdict = audit::read_log(&mut connection, &ledgers).unwrap();
    assert_eq!(verdict.violations, [""; 0], "the log and the ledgers");
    assert_eq!(watchers.finish(&verdict.events), [""; 0], "the watchers");
    let wrong = audit::wrong_instances(&mut connection, &verdict, "linearizable").unwrap();
    assert_eq!(wrong, [""; 0], "the instances");
    report(&node, &ledgers, &verdict, &restarts, begun.elapsed());
}

/// Segments of 1 MiB and a snapshot at every opportunity, so that kills hit rolls, snapshots and purges.
fn config() -> NodeConfig {
    NodeConfig::for_tests()
        .with("compaction.events_threshold", "300")
        .with("compaction.min_interval_secs", "0")
}

/// Kills and restarts the node. Returns the time of every restart that was not killed.
fn kill_repeatedly(node: &mut Node, rng: &mut Rng) -> Vec<Duration> {
    let mut restarts = Vec::new();
    for kill in 1..=KILLS {
        let moment = Duration::from_micros(rng.between(20_000, 900_000));
        let compact_at = rng.percent(50).then(|| moment.mul_f64(0.9));
        let begun = Instant::now();
        if let Some(at) = compact_at {
            thread::sleep(at);
            compact_in_background(node);
        }
        thread::sleep(moment.saturating_sub(begun.elapsed()));
        node.kill().unwrap();
        if rng.percent(20) {
            // Killed again while it recovers.
            node.launch().unwrap();
            thread::sleep(Duration::from_micros(rng.between(100, 60_000)));
            node.kill().unwrap();
        }
        match node.restart() {
            Ok(took) => restarts.push(took),
            Err(error) => panic!("after kill {kill}: {error}"),
        }
    }
    restarts
}

/// Asks for a snapshot without waiting for it, so that the kill can come in the middle.
fn compact_in_background(node: &Node) {
    let Ok(mut connection) = RawConnection::connect(node.addr()) else {
        return;
    };
    thread::spawn(move || {
        let answer = connection.call("COMPACT", &json!({"force_snapshot": true}));
        // Killed before it answered, or done: both are fine.
        drop(answer);
    });
}

fn report(
    node: &Node,
    ledgers: &[Ledger],
    verdict: &LogVerdict,
    restarts: &[Duration],
    took: Duration,
) {
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let stats = connection.call("WAL_STATS", &json!({})).unwrap();
    let compacted = connection.call("COMPACT", &json!({})).unwrap();
    let segments = stats["segment_count"].as_u64().unwrap();
    assert!(segments > 3, "the log never rolled: {stats}");
    assert!(
        compacted["total_snapshots"].as_u64().unwrap() > 0,
        "there was no snapshot"
    );
    let mut restarts = restarts.to_vec();
    restarts.sort_unstable();
    println!(
        "kill9: {KILLS} kills, {} acknowledged and {} unanswered writes, {} events, {} instances, \
         {segments} segments, restart median {:?} max {:?}, {took:.1?} in total",
        ledgers.iter().map(Ledger::acknowledged).sum::<usize>(),
        ledgers.iter().map(Ledger::unanswered).sum::<usize>(),
        verdict.events.len(),
        verdict.instances.len(),
        restarts[restarts.len() / 2],
        restarts[restarts.len() - 1],
    );
}
