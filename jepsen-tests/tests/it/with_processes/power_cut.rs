//! Power cuts under the real kernel: the node's file system is shut down under load without flushing
//! its journal, and mounted again. Nothing acknowledged is lost. `RSTMDB_KILLS` sets the number of cuts.

use std::thread;
use std::time::{Duration, Instant};

use crate::turns;
use rstmdb_jepsen::audit;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::disk::Disk;
use rstmdb_jepsen::harness::skipped::or_skipped;
use rstmdb_jepsen::ledger::Ledger;
use rstmdb_jepsen::load::pipelines::Pipelines;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::raw::RawConnection;
use rstmdb_jepsen::rng::{self, Rng};
use serde_json::json;

const CUTS_VARIABLE: &str = "RSTMDB_KILLS";
const CUTS: usize = 6;
const CONNECTIONS: usize = 4;

#[test]
fn power_cuts_under_load_lose_nothing_acknowledged() {
    let _turn = turns::light();
    let Some(disk) = or_skipped(Disk::mount_new()) else {
        return;
    };
    let begun = Instant::now();
    let cuts = std::env::var(CUTS_VARIABLE).map_or(CUTS, |cuts| cuts.parse().unwrap());
    let mut rng = Rng::new(rng::seed("power_cut"));
    let mut node = Node::prepare(&config()).unwrap();
    disk.hold_data_of(&node).unwrap();
    node.restart().unwrap();
    let workload = Pipelines::prepare(&[node.addr()]).unwrap();
    // Writes that the node acknowledged right after it made the folder must survive too.
    cut(&disk, &mut node);
    node.restart().unwrap();
    let load = workload.start(CONNECTIONS, &mut rng);
    for n in 1..cuts {
        thread::sleep(Duration::from_micros(rng.between(20_000, 900_000)));
        cut(&disk, &mut node);
        if rng.percent(30) {
            // And again while it recovers.
            node.launch().unwrap();
            thread::sleep(Duration::from_micros(rng.between(100, 60_000)));
            cut(&disk, &mut node);
        }
        if let Err(error) = node.restart() {
            panic!("after cut {n}: {error}");
        }
    }
    let mut ledgers = load.finish();
    ledgers.push(workload.preparation);

    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let verdict = audit::read_log(&mut connection, &ledgers).unwrap();
    assert_eq!(verdict.violations, [""; 0], "the log and the ledgers");
    let wrong = audit::wrong_instances(&mut connection, &verdict, "linearizable").unwrap();
    assert_eq!(wrong, [""; 0], "the instances");
    let acknowledged: usize = ledgers.iter().map(Ledger::acknowledged).sum();
    assert!(acknowledged > cuts * 20, "there was no load");
    println!(
        "power_cut: {cuts} cuts, {acknowledged} acknowledged writes, {} unanswered, {:.1?}",
        ledgers.iter().map(Ledger::unanswered).sum::<usize>(),
        begun.elapsed()
    );
}

/// Tests the test: without syncs, the same cut loses acknowledged writes. So it is a real power cut.
#[test]
fn a_power_cut_is_noticed_by_a_node_that_does_not_sync() {
    let _turn = turns::light();
    let Some(disk) = or_skipped(Disk::mount_new()) else {
        return;
    };
    let unsafe_config = config().with("storage.fsync_policy", "never");
    let mut node = Node::prepare(&unsafe_config).unwrap();
    disk.hold_data_of(&node).unwrap();
    node.restart().unwrap();
    let workload = Pipelines::prepare(&[node.addr()]).unwrap();
    // A clean end syncs whatever the policy is. Only writes after it can be lost.
    node.stop().unwrap();
    node.restart().unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let instance = &workload.preparation.ops[0].effects[0].instance;
    for n in 0..20 {
        let apply = json!({"instance_id": instance, "event": "SET", "payload": {"n": n}});
        connection.call("APPLY_EVENT", &apply).unwrap();
    }
    let asked = json!({"instance_id": instance});
    let before = connection.call("GET_INSTANCE", &asked).unwrap();
    cut(&disk, &mut node);
    node.restart().unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let after = connection.call("GET_INSTANCE", &asked).unwrap();
    assert!(after["last_wal_offset"].as_u64() < before["last_wal_offset"].as_u64());
}

/// The catalog is derived data. The node catches panics of its library.
#[test]
fn a_node_whose_disk_is_gone_ends_with_a_reason_and_no_panic_of_its_own() {
    let _turn = turns::light();
    let Some(disk) = or_skipped(Disk::mount_new()) else {
        return;
    };
    let mut node = Node::prepare(&config()).unwrap();
    disk.hold_data_of(&node).unwrap();
    node.restart().unwrap();
    let workload = Pipelines::prepare(&[node.addr()]).unwrap();
    let mut rng = Rng::new(rng::seed("power_cut"));
    let load = workload.start(2, &mut rng);
    thread::sleep(Duration::from_millis(300));
    disk.cut_power().unwrap();
    let status = node.wait_exit(Duration::from_secs(10)).unwrap();
    assert_eq!(status.code(), Some(1), "{}", node.log_tail());
    let log = node.log_text();
    assert!(log.contains("Input/output error"), "{log}");
    let count = |what: &str| log.matches(what).count();
    assert_eq!(count("panicked at"), count("the catalog panicked"), "{log}");
    disk.remount().unwrap();
    node.restart().unwrap();
    load.finish();
}

/// Small segments and a snapshot at every opportunity, so that cuts hit rolls, snapshots and purges.
fn config() -> NodeConfig {
    NodeConfig::for_tests()
        .with("compaction.events_threshold", "300")
        .with("compaction.min_interval_secs", "0")
}

/// Cuts the power while the node runs. Afterwards the machine is back, and the node is not started.
fn cut(disk: &Disk, node: &mut Node) {
    disk.cut_power().unwrap();
    node.kill().unwrap();
    disk.remount().unwrap();
}
