//! Nodes whose clocks are wrong: the time of day jumps by hours, forth and back, under load; clocks run
//! at different speeds while lease reads are asked for. Needs libfaketime; skipped without.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::SignedDuration;
use rstmdb_jepsen::audit;
use rstmdb_jepsen::cluster::Cluster;
use rstmdb_jepsen::config::Config;
use rstmdb_jepsen::faketime::{self, Library, NOTICED_WITHIN, WallClock};
use rstmdb_jepsen::ledger::Ledger;
use rstmdb_jepsen::process::Node;
use rstmdb_jepsen::raw::Connection;
use rstmdb_jepsen::rng::{self, Rng};
use rstmdb_jepsen::steady::Steady;
use rstmdb_jepsen::wal;
use rstmdb_jepsen::watchers::Watchers;
use rstmdb_jepsen::workload::{Workload, put_machines};
use serde_json::{Value, json};

const NODES: u64 = 3;
const JUMPS: usize = 12;
const CONNECTIONS: usize = 3;
const WRITERS: usize = 3;
/// Less than idempotency keys are kept.
const JUMP_SECS_MAX: u64 = 5 * 3600;
/// What load and polling may add to a time.
const TOLERANCE_MS: u64 = 60_000;
const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn library() -> Option<Library> {
    Library::find()
        .inspect_err(|reason| rstmdb_jepsen::skipped(reason))
        .ok()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// Creates an instance; says when, by the node.
fn create(connection: &mut Connection, id: &str) -> u64 {
    let params = json!({"instance_id": id, "machine": "counter", "version": 1});
    connection.call("CREATE_INSTANCE", &params).unwrap();
    let list = connection.call("LIST_INSTANCES", &json!({"limit": 100}));
    let list = list.unwrap();
    let mut listed = list["instances"].as_array().unwrap().iter();
    let found = listed.find(|instance| instance["id"] == id).unwrap();
    found["created_at"].as_u64().unwrap()
}

#[test]
fn a_node_takes_the_time_of_day_as_it_is_but_never_goes_back() {
    let Some(library) = library() else { return };
    let mut node = Node::prepare(&Config::for_tests()).unwrap();
    let clock = WallClock::new(&library, node.folder()).unwrap();
    node.launch_under(clock.tool()).unwrap();
    node.wait_ready().unwrap();
    let mut connection = Connection::connect(node.addr()).unwrap();
    put_machines(&mut connection).unwrap();
    assert!(create(&mut connection, "right").abs_diff(now_ms()) < TOLERANCE_MS);

    clock.jump_to(HOUR * 2).unwrap();
    thread::sleep(NOTICED_WITHIN);
    let ahead = create(&mut connection, "ahead");
    let expected = now_ms() + u64::try_from(HOUR.as_millis()).unwrap() * 2;
    assert!(ahead.abs_diff(expected) < TOLERANCE_MS, "{ahead}");

    clock.jump_to(-HOUR).unwrap();
    thread::sleep(NOTICED_WITHIN);
    let back = create(&mut connection, "back");
    assert!(back >= ahead && back - ahead < TOLERANCE_MS, "{back}");

    // Neither does one that is started again under the earlier time.
    let (status, _) = node.stop().unwrap();
    assert!(status.success(), "{status}");
    node.launch_under(clock.tool()).unwrap();
    node.wait_ready().unwrap();
    let mut connection = Connection::connect(node.addr()).unwrap();
    assert!(create(&mut connection, "restarted") >= back);
}

#[test]
fn a_clock_of_another_speed_is_the_monotonic_one_too() {
    let Some(library) = library() else { return };
    let mut node = Node::prepare(&Config::for_tests()).unwrap();
    node.launch_under(faketime::rate(&library, 4.0)).unwrap();
    node.wait_ready().unwrap();
    let uptime = || {
        let mut connection = Connection::connect(node.addr()).unwrap();
        let info = connection.call("INFO", &json!({})).unwrap();
        info["uptime_secs"].as_u64().unwrap()
    };
    let before = uptime();
    thread::sleep(Duration::from_secs(2));
    let passed = uptime() - before;
    assert!((6..=12).contains(&passed), "{passed} s");
}

/// Nodes with wall clocks of their own.
fn start(library: &Library, config: &Config) -> (Cluster, BTreeMap<u64, WallClock>) {
    let mut cluster = Cluster::prepare(NODES, config).unwrap();
    let mut clocks = BTreeMap::new();
    for id in cluster.ids() {
        let folder = cluster.node(id).unwrap().folder();
        let clock = WallClock::new(library, folder).unwrap();
        cluster.launch_under(id, clock.tool()).unwrap();
        clocks.insert(id, clock);
    }
    for id in cluster.ids() {
        cluster.wait_ready(id).unwrap();
    }
    (cluster, clocks)
}

#[test]
fn clocks_that_jump_by_hours_change_nothing_but_the_times_in_the_log() {
    let Some(library) = library() else { return };
    let begun = Instant::now();
    let mut rng = Rng::new(rng::seed("clock"));
    let config = Config::for_tests()
        .with("compaction.events_threshold", "1500")
        .with("compaction.min_interval_secs", "0");
    let (cluster, clocks) = start(&library, &config);
    let addrs = cluster.addrs_from(1);
    let workload = Workload::prepare(&addrs).unwrap();
    let load = workload.start(CONNECTIONS, &mut rng);
    let steady = Steady::start(&addrs, WRITERS);
    let mut watchers = Watchers::default();
    watchers.add_plain("plain", cluster.addrs_from(2));
    watchers.add_library("of the library", &cluster.addrs_from(3));
    for at in 0..JUMPS {
        jump(&clocks, &mut rng);
        if at % 3 == 2 {
            // What the next leader believes is hours away from what the last one did.
            transfer(&cluster, &mut rng);
        }
        steady.next_success(Instant::now()).unwrap();
    }

    let mut ledgers = load.finish();
    ledgers.push(workload.preparation);
    let written = steady.finish().unwrap();
    ledgers.extend(written.ledgers.iter().cloned());
    let audit = audit::cluster(&cluster, &ledgers).unwrap();
    assert_eq!(audit.violations, [""; 0]);
    assert_eq!(watchers.finish(&audit.verdict.events), [""; 0]);
    assert_eq!(written.errors, [""; 0], "a jump of the time is no failure");
    let ahead = times_never_go_back(&cluster);
    let acknowledged: usize = ledgers.iter().map(Ledger::acknowledged).sum();
    assert!(acknowledged > 100, "{acknowledged}");
    println!(
        "clock: {JUMPS} jumps, {acknowledged} acknowledged writes, the log's time is {ahead:?} ahead; {:.1?}",
        begun.elapsed()
    );
}

fn jump(clocks: &BTreeMap<u64, WallClock>, rng: &mut Rng) {
    let id = rng.between(1, NODES);
    let secs = i64::try_from(rng.below(2 * JUMP_SECS_MAX)).unwrap();
    let offset = SignedDuration::from_secs(secs - i64::try_from(JUMP_SECS_MAX).unwrap());
    clocks[&id].jump_to(offset).unwrap();
    thread::sleep(Duration::from_millis(rng.between(200, 1500)));
}

fn transfer(cluster: &Cluster, rng: &mut Rng) {
    let to = rng.between(1, NODES);
    let mut connection = cluster.connect(to).unwrap();
    connection
        .call("CLUSTER_TRANSFER_LEADER", &json!({"node_id": to}))
        .unwrap();
}

/// How far the last time in the log is ahead of now: it shows that the jumps were believed.
fn times_never_go_back(cluster: &Cluster) -> Duration {
    let records = wal::read_all(&mut cluster.connect(1).unwrap()).unwrap();
    let times: Vec<u64> = records
        .iter()
        .filter_map(|record| record.entry["time_ms"].as_u64())
        .collect();
    assert_eq!(times.len(), records.len());
    let back = times.windows(2).find(|two| two[1] < two[0]);
    assert_eq!(back, None);
    let jumped = times.windows(2).any(|two| two[1] - two[0] > TOLERANCE_MS);
    assert!(jumped, "no jump has reached the log");
    let last = times.last().copied().unwrap_or_default();
    Duration::from_millis(last.saturating_sub(now_ms()))
}

/// The leader hangs until another one leads, and is asked for a lease read the moment it is back: by its
/// own clock its lease must be over, however slow that is.
#[test]
fn leases_hold_when_clocks_run_at_different_speeds() {
    const ROUNDS: u64 = 6;
    let Some(library) = library() else { return };
    let mut cluster = Cluster::prepare(NODES, &Config::for_tests()).unwrap();
    for (id, rate) in [(1, 0.95), (2, 1.0), (3, 1.05)] {
        let tool = faketime::rate(&library, rate);
        cluster.launch_under(id, tool).unwrap();
    }
    for id in cluster.ids() {
        cluster.wait_ready(id).unwrap();
    }
    put_machines(&mut cluster.connect(1).unwrap()).unwrap();
    create(&mut cluster.connect(1).unwrap(), "leased");
    for round in 0..ROUNDS {
        let to = round % NODES + 1;
        let mut connection = cluster.connect(to).unwrap();
        connection
            .call("CLUSTER_TRANSFER_LEADER", &json!({"node_id": to}))
            .unwrap();
        let old = cluster.leader().unwrap();
        let mut waiting = cluster.connect(old).unwrap();
        lease_read(&mut waiting).unwrap();
        cluster.pause(old).unwrap();
        let new = cluster.leader().unwrap();
        let set = json!({"instance_id": "leased", "event": "SET", "payload": {"n": round}});
        let mut writing = cluster.connect(new).unwrap();
        let written = writing.call("APPLY_EVENT", &set).unwrap()["wal_offset"].clone();
        cluster.resume(old).unwrap();
        // A refusal would be right too; a stale answer is not.
        if let Ok(found) = lease_read(&mut waiting) {
            assert_eq!(found["last_wal_offset"], written, "round {round}: {found}");
        }
    }
}

fn lease_read(connection: &mut Connection) -> Result<Value, rstmdb_jepsen::Error> {
    let params = json!({"instance_id": "leased", "consistency": "lease"});
    connection.call("GET_INSTANCE", &params)
}
