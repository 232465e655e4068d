//! Real disks that fill up under load: on a follower, on the leader, on all nodes. Clients notice nothing as long as a
//! majority has room, and get an error when no majority has. No node has to be restarted.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use super::under_load::{UnderLoad, audited};
use crate::turns;
use rstmdb_jepsen::cluster::Cluster;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::harness::wait::within;
use rstmdb_jepsen::load::machines::TestMachine;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::raw::RawConnection;
use rstmdb_jepsen::rng::{self, Rng};
use rstmdb_jepsen::small_disk::{self, SmallDisk};
use rstmdb_jepsen::steady::Steady;
use rstmdb_jepsen::{Error, admin};
use serde_json::{Value, json};

/// The reserve in the configuration of tests, 16 MiB, and half of it.
const DISK_MIB: u64 = 96;
const LEFT_MIB: u64 = 8;
/// The leader asks the others for their room every second.
const HEARD_OF: Duration = Duration::from_millis(2500);
const NOTICE_TIMEOUT: Duration = Duration::from_secs(10);
const WRITERS: usize = 4;

#[test]
fn full_disks_are_noticed_by_nobody_while_a_majority_has_room() {
    let _turn = turns::heavy();
    if let Some(reason) = small_disk::unavailable() {
        rstmdb_jepsen::skipped(reason);
        return;
    }
    let mut rng = Rng::new(rng::seed("cluster_disks"));
    let (mut cluster, disks) = start();
    let addrs = cluster.addrs_from(1);
    let load = UnderLoad::start(&addrs, 1, WRITERS, &mut rng);
    load.steady.next_success(Instant::now()).unwrap();

    a_follower_is_full(&cluster, &disks, &load.steady);
    let handed_over = the_leader_is_full(&cluster, &disks, &load.steady);
    refuses_to_add_a_full_node(&mut cluster);

    let (ledgers, written) = load.finish();
    assert_eq!(written.errors, [""; 0], "keyed calls of the client library");
    all_are_full(&cluster, &disks);
    audited(&cluster, &ledgers);
    println!(
        "cluster_disks: handed over {handed_over:.1?} after the leader's disk was full; {} keyed calls, \
         slowest {:.2?}",
        written.calls.len(),
        written.slowest(),
    );
}

/// Three nodes on small disks, by their ids.
fn start() -> (Cluster, BTreeMap<u64, SmallDisk>) {
    let mut cluster = Cluster::prepare(3, &NodeConfig::for_tests()).unwrap();
    let ids = cluster.ids();
    let disks = ids.iter().map(|id| (*id, disk(&cluster, *id))).collect();
    for id in &ids {
        cluster.launch(*id).unwrap();
    }
    for id in &ids {
        cluster.wait_ready(*id).unwrap();
    }
    (cluster, disks)
}

fn a_follower_is_full(cluster: &Cluster, disks: &BTreeMap<u64, SmallDisk>, steady: &Steady) {
    let leader = cluster.leader().unwrap();
    let follower = cluster.followers().unwrap()[0];
    disks[&follower].fill(LEFT_MIB).unwrap();
    wait_read_only(cluster, follower, true);
    steady.next_success(Instant::now()).unwrap();
    assert_eq!(cluster.leader().unwrap(), leader);
    serves_locally(cluster, follower);
    refuses_to_lead(cluster, leader, follower);
    disks[&follower].empty().unwrap();
    wait_read_only(cluster, follower, false);
}

/// Gives how long the leadership took to be elsewhere.
fn the_leader_is_full(
    cluster: &Cluster,
    disks: &BTreeMap<u64, SmallDisk>,
    steady: &Steady,
) -> Duration {
    let leader = cluster.leader().unwrap();
    let filled = Instant::now();
    disks[&leader].fill(LEFT_MIB).unwrap();
    within(NOTICE_TIMEOUT, || match cluster.leader() {
        Ok(other) if other != leader => Ok(()),
        other => Err(format!("the leader is {other:?}")),
    })
    .unwrap();
    let handed_over = filled.elapsed();
    steady.next_success(Instant::now()).unwrap();
    disks[&leader].empty().unwrap();
    wait_read_only(cluster, leader, false);
    steady.next_success(Instant::now()).unwrap();
    handed_over
}

/// Fills all disks, the leader's last, when it knows of the others. Otherwise it could hand over to a node that is full
/// a moment later. That node could not have its first entry confirmed, and no node would know a leader.
fn all_are_full(cluster: &Cluster, disks: &BTreeMap<u64, SmallDisk>) {
    let leader = cluster.leader().unwrap();
    let mut order: Vec<u64> = disks.keys().copied().collect();
    order.sort_by_key(|id| *id == leader);
    for id in order {
        disks[&id].fill(LEFT_MIB).unwrap();
        wait_read_only(cluster, id, true);
        thread::sleep(HEARD_OF);
    }
    for id in disks.keys() {
        refuses_to_write(cluster, *id);
    }
    for disk in disks.values() {
        disk.empty().unwrap();
    }
    for id in disks.keys() {
        wait_read_only(cluster, *id, false);
    }
    writes_again(cluster);
}

#[test]
fn a_disk_without_a_reserve_that_is_full_is_waited_for_and_loses_nothing() {
    let _turn = turns::light();
    if let Some(reason) = small_disk::unavailable() {
        rstmdb_jepsen::skipped(reason);
        return;
    }
    let config = NodeConfig::for_tests()
        .with("storage.min_free_mb", "0")
        .with("storage.compression", "none")
        .with("network.request_timeout_ms", "1000");
    let mut node = Node::prepare(&config).unwrap();
    let disk = SmallDisk::mount(&node.data_dir(), 12).unwrap();
    node.restart().unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    put_machine(&mut connection);
    let fill = "x".repeat(50_000);
    let create = |n: u32| {
        json!({
            "machine": "full", "version": 1, "instance_id": format!("i-{n}"),
            "initial_ctx": {"fill": fill},
        })
    };
    let mut done = 0;
    let told = loop {
        match connection.call("CREATE_INSTANCE", &create(done)) {
            Ok(_) => done += 1,
            Err(error) => break error,
        }
        assert!(done < 1000, "the disk is full at some time");
    };
    // The first write waits for a segment. The node refuses the writes behind it.
    let codes = [Some("TIMEOUT"), Some("READ_ONLY_MODE")];
    assert!(codes.contains(&told.code()), "{told}");
    within(Duration::from_secs(5), || {
        let refused = connection.call("CREATE_INSTANCE", &create(999));
        match refused.unwrap_err().code() {
            Some("READ_ONLY_MODE") => Ok(()),
            code => Err(format!("{code:?}")),
        }
    })
    .unwrap();
    let get = |n: u32| json!({"instance_id": format!("i-{n}"), "consistency": "local"});
    connection.call("GET_INSTANCE", &get(done - 1)).unwrap();
    let more = std::process::Command::new("mount")
        .args(["-o", "remount,size=64m"])
        .arg(node.data_dir())
        .status();
    assert!(more.unwrap().success());
    within(Duration::from_secs(10), || {
        let created = connection.call("CREATE_INSTANCE", &create(1000));
        created.map(drop).map_err(|error| error.to_string())
    })
    .unwrap();
    node.kill().unwrap();
    node.restart().unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    for n in [0, done - 1, 1000] {
        connection.call("GET_INSTANCE", &get(n)).unwrap();
    }
    assert!(node.stop().unwrap().0.success());
    drop(disk);
}

fn disk(cluster: &Cluster, id: u64) -> SmallDisk {
    SmallDisk::mount(&cluster.node(id).unwrap().data_dir(), DISK_MIB).unwrap()
}

fn wait_read_only(cluster: &Cluster, id: u64, read_only: bool) {
    let addr = cluster.node(id).unwrap().admin_addr();
    within(NOTICE_TIMEOUT, || {
        match admin::metric(addr, "rstmdb_read_only") {
            Ok(shown) if (shown > 0.0) == read_only => Ok(()),
            other => Err(format!("node {id}: rstmdb_read_only is {other:?}")),
        }
    })
    .unwrap();
}

fn serves_locally(cluster: &Cluster, id: u64) {
    let mut connection = cluster.connect(id).unwrap();
    let list = json!({"limit": 1, "consistency": "local"});
    connection.call("LIST_INSTANCES", &list).unwrap();
    let watch = json!({"from_offset": 0});
    connection.call("WATCH_ALL", &watch).unwrap();
}

fn refuses_to_lead(cluster: &Cluster, leader: u64, full: u64) {
    let cli = cluster.cli(leader).unwrap();
    let refused = cli.run(&["cluster", "transfer-leader", &full.to_string()]);
    let refused = refused.unwrap();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("has no room"), "{refused:?}");
}

fn refuses_to_add_a_full_node(cluster: &mut Cluster) {
    let leader = cluster.leader().unwrap();
    cluster.prepare_joining(4).unwrap();
    let disk = disk(cluster, 4);
    disk.fill(LEFT_MIB).unwrap();
    cluster.launch_joining(4).unwrap();
    wait_read_only(cluster, 4, true);
    let peer = cluster.peer_addr(4).unwrap().to_string();
    let cli = cluster.cli(leader).unwrap();
    let refused = cli.run(&["cluster", "add", &peer]).unwrap();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("node 4 has no room"), "{refused:?}");
    cluster.kill(4).unwrap();
    cluster.retire(4).unwrap();
}

/// The node refuses writes of present and of older clients, and still serves reads.
fn refuses_to_write(cluster: &Cluster, id: u64) {
    let addr = cluster.addr(id).unwrap();
    let create: Value = json!({"machine": "counter", "version": 1});
    let extended = RawConnection::connect(addr).unwrap();
    let legacy = RawConnection::connect_as_legacy(addr).unwrap();
    for (mut connection, code) in [(extended, "READ_ONLY_MODE"), (legacy, "WAL_IO_ERROR")] {
        let answer = connection.call("CREATE_INSTANCE", &create);
        let Err(Error::Refused { body, .. }) = answer else {
            panic!("node {id}: {answer:?}");
        };
        assert_eq!(body.code.as_str(), code, "{body}");
        assert!(body.retryable, "{body}");
        assert!(body.message.contains("storage.min_free_mb"), "{body}");
        let details = body.details.clone().unwrap();
        assert_eq!(details["outcome"], "not_applied", "{body}");
        let read = connection.call("LIST_INSTANCES", &json!({"limit": 1}));
        read.unwrap();
    }
}

fn put_machine(connection: &mut RawConnection) {
    let definition = TestMachine::Counter.definition();
    let put = json!({"machine": "full", "version": 1, "definition": definition});
    connection.call("PUT_MACHINE", &put).unwrap();
}

fn writes_again(cluster: &Cluster) {
    within(NOTICE_TIMEOUT, || {
        let definition = TestMachine::Counter.definition();
        let put = json!({"machine": "full", "version": 1, "definition": definition});
        for id in cluster.running() {
            let mut connection = cluster.connect(id).map_err(|error| error.to_string())?;
            let put = connection.call("PUT_MACHINE", &put);
            put.map_err(|error| format!("node {id}: {error}"))?;
        }
        Ok(())
    })
    .unwrap();
}
