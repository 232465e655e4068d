//! Nodes whose clocks are wrong: the time of day jumps by days, forth and back, under load; clocks run
//! at different speeds while lease reads are asked for. Needs libfaketime; skipped without.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::under_load::{UnderLoad, audited};
use crate::turns;
use jiff::SignedDuration;
use rstmdb_jepsen::cluster::Cluster;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::faketime::{self, Library, NOTICED_WITHIN, WallClock};
use rstmdb_jepsen::harness::skipped::or_skipped;
use rstmdb_jepsen::ledger::Ledger;
use rstmdb_jepsen::load::pipelines::put_machines;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::raw::RawConnection;
use rstmdb_jepsen::rng::{self, Rng};
use rstmdb_jepsen::wal;
use rstmdb_jepsen::watchers::RcpWatchers;
use serde_json::{Value, json};

const NODES: u64 = 3;
const JUMPS: usize = 8;
const CONNECTIONS: usize = 3;
const WRITERS: usize = 3;
/// Three times as long as idempotency keys are remembered.
const JUMP_SECS_MAX: u64 = 3 * 86_400;
/// What load and polling may add to a time.
const TOLERANCE_MS: u64 = 60_000;
const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// Creates an instance; says when, by the node.
fn create(connection: &mut RawConnection, id: &str) -> u64 {
    let params = json!({"instance_id": id, "machine": "counter", "version": 1});
    connection.call("CREATE_INSTANCE", &params).unwrap();
    let list = connection.call("LIST_INSTANCES", &json!({"limit": 100}));
    let list = list.unwrap();
    let mut listed = list["instances"].as_array().unwrap().iter();
    let found = listed.find(|instance| instance["id"] == id).unwrap();
    found["created_at"].as_u64().unwrap()
}

/// An event with an idempotency key: the offset at which it took effect, and whether this request caused it.
fn keyed(connection: &mut RawConnection, key: &str) -> (u64, bool) {
    let set = json!({"instance_id": "right", "event": "SET", "payload": {"n": 1}, "idempotency_key": key});
    let done = connection.call("APPLY_EVENT", &set).unwrap();
    let offset = done["wal_offset"].as_u64().unwrap();
    (offset, done["applied"].as_bool().unwrap())
}

#[test]
fn a_node_does_not_follow_a_jump_of_its_clock_until_it_is_started_again() {
    let _turn = turns::light();
    let Some(library) = or_skipped(Library::find()) else {
        return;
    };
    let mut node = Node::prepare(&NodeConfig::for_tests()).unwrap();
    let clock = WallClock::new(&library, node.folder()).unwrap();
    node.launch_under(clock.tool()).unwrap();
    node.wait_ready().unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    put_machines(&mut connection).unwrap();
    assert!(create(&mut connection, "right").abs_diff(now_ms()) < TOLERANCE_MS);
    let (first, applied) = keyed(&mut connection, "once");
    assert!(applied);

    // Clocks jump by more than the retention of keys, forth and back.
    for (days, id) in [(2, "ahead"), (-2, "back")] {
        clock.jump_to(HOUR * 24 * days).unwrap();
        thread::sleep(NOTICED_WITHIN);
        let created = create(&mut connection, id);
        assert!(created.abs_diff(now_ms()) < TOLERANCE_MS, "{id}: {created}");
        assert_eq!(keyed(&mut connection, "once"), (first, false), "{id}");
    }

    // A start believes the clock, but never goes back.
    for (hours, id) in [
        (-1, "started behind"),
        (3, "started ahead"),
        (0, "started right"),
    ] {
        clock.jump_to(HOUR * hours).unwrap();
        let (status, _) = node.stop().unwrap();
        assert!(status.success(), "{status}");
        node.launch_under(clock.tool()).unwrap();
        node.wait_ready().unwrap();
        let mut connection = RawConnection::connect(node.addr()).unwrap();
        let created = create(&mut connection, id);
        let ahead_ms = if hours == -1 { 0 } else { 3 * 3_600_000 };
        let expected = now_ms() + ahead_ms;
        assert!(created.abs_diff(expected) < TOLERANCE_MS, "{id}: {created}");
    }
}

#[test]
fn a_node_starts_and_works_while_its_clock_is_before_1970() {
    let _turn = turns::light();
    let Some(library) = or_skipped(Library::find()) else {
        return;
    };
    let mut node = Node::prepare(&NodeConfig::for_tests()).unwrap();
    let clock = WallClock::new(&library, node.folder()).unwrap();
    for hours in [-500_000, 0] {
        clock.jump_to(HOUR * hours).unwrap();
        node.launch_under(clock.tool()).unwrap();
        node.wait_ready().unwrap();
        let mut connection = RawConnection::connect(node.addr()).unwrap();
        if hours < 0 {
            put_machines(&mut connection).unwrap();
            assert!(create(&mut connection, "right") < TOLERANCE_MS);
        }
        let (_, applied) = keyed(&mut connection, &format!("{hours}"));
        assert!(applied);
        let (status, _) = node.stop().unwrap();
        let said = node.log_text();
        assert!(status.success(), "{status}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn a_clock_of_another_speed_is_the_monotonic_one_too() {
    let _turn = turns::light();
    let Some(library) = or_skipped(Library::find()) else {
        return;
    };
    let mut node = Node::prepare(&NodeConfig::for_tests()).unwrap();
    node.launch_under(faketime::rate(&library, 4.0)).unwrap();
    node.wait_ready().unwrap();
    let uptime = || {
        let mut connection = RawConnection::connect(node.addr()).unwrap();
        let info = connection.call("INFO", &json!({})).unwrap();
        info["uptime_secs"].as_u64().unwrap()
    };
    let before = uptime();
    thread::sleep(Duration::from_secs(2));
    let passed = uptime() - before;
    assert!((6..=12).contains(&passed), "{passed} s");
}

/// Nodes with wall clocks of their own.
fn start(library: &Library, config: &NodeConfig) -> (Cluster, BTreeMap<u64, WallClock>) {
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
fn clocks_that_jump_by_days_change_nothing() {
    let _turn = turns::heavy();
    let Some(library) = or_skipped(Library::find()) else {
        return;
    };
    let begun = Instant::now();
    let mut rng = Rng::new(rng::seed("clock"));
    let config = NodeConfig::for_tests()
        .with("compaction.events_threshold", "1500")
        .with("compaction.min_interval_secs", "0");
    let (cluster, clocks) = start(&library, &config);
    let addrs = cluster.addrs_from(1);
    let load = UnderLoad::start(&addrs, CONNECTIONS, WRITERS, &mut rng);
    let mut watchers = RcpWatchers::default();
    watchers.add_plain("plain", cluster.addrs_from(2));
    watchers.add_library("of the library", &cluster.addrs_from(3));
    for at in 0..JUMPS {
        jump(&clocks, &mut rng);
        if at % 3 == 2 {
            // The clock of the next leader may be days away from that of the last leader.
            thread::sleep(NOTICED_WITHIN);
            transfer(&cluster, &mut rng);
        }
        load.steady.next_success(Instant::now()).unwrap();
    }

    let (ledgers, written) = load.finish();
    let audit = audited(&cluster, &ledgers);
    assert_eq!(watchers.finish(&audit.verdict.events), [""; 0]);
    assert_eq!(written.errors, [""; 0], "a jump of the time is no failure");
    let ahead = times_are_right(&cluster);
    let acknowledged: usize = ledgers.iter().map(Ledger::acknowledged).sum();
    assert!(acknowledged > 100, "{acknowledged}");
    println!(
        "clock: {JUMPS} jumps, {acknowledged} acknowledged writes, the log's time is {ahead} ms off; {:.1?}",
        begun.elapsed()
    );
}

/// Makes one clock wrong and all others right, so that right clocks are the majority.
fn jump(clocks: &BTreeMap<u64, WallClock>, rng: &mut Rng) {
    let id = rng.between(1, NODES);
    let secs = i64::try_from(rng.below(2 * JUMP_SECS_MAX)).unwrap();
    let offset = SignedDuration::from_secs(secs - i64::try_from(JUMP_SECS_MAX).unwrap());
    for (other, clock) in clocks {
        let wrong_by = if *other == id {
            offset
        } else {
            SignedDuration::ZERO
        };
        clock.jump_to(wrong_by).unwrap();
    }
    thread::sleep(Duration::from_millis(rng.between(200, 1500)));
}

fn transfer(cluster: &Cluster, rng: &mut Rng) {
    let to = rng.between(1, NODES);
    let mut connection = cluster.connect(to).unwrap();
    connection
        .call("CLUSTER_TRANSFER_LEADER", &json!({"node_id": to}))
        .unwrap();
}

/// Checks that no time in the log goes back, and that no jump has reached the log. Returns how far the last time is
/// from now, in milliseconds.
fn times_are_right(cluster: &Cluster) -> u64 {
    let records = wal::read_all(&mut cluster.connect(1).unwrap()).unwrap();
    let times: Vec<u64> = records
        .iter()
        .filter_map(|record| record.entry["time_ms"].as_u64())
        .collect();
    assert_eq!(times.len(), records.len());
    let back = times.windows(2).find(|two| two[1] < two[0]);
    assert_eq!(back, None);
    let jumped = times.windows(2).find(|two| two[1] - two[0] > TOLERANCE_MS);
    assert_eq!(jumped, None, "a jump has reached the log");
    let off = times.last().copied().unwrap_or_default().abs_diff(now_ms());
    assert!(off < TOLERANCE_MS, "the log's time is {off} ms off");
    off
}

/// The leader hangs until another node leads. A client asks it for a lease read at the moment it goes on. By its own
/// clock its lease must be over, however slow that clock is.
#[test]
fn leases_hold_when_clocks_run_at_different_speeds() {
    let _turn = turns::heavy();
    const ROUNDS: u64 = 6;
    let Some(library) = or_skipped(Library::find()) else {
        return;
    };
    let mut cluster = Cluster::prepare(NODES, &NodeConfig::for_tests()).unwrap();
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
        // A refusal is right too; a stale answer is not.
        if let Ok(found) = lease_read(&mut waiting) {
            assert_eq!(found["last_wal_offset"], written, "round {round}: {found}");
        }
    }
}

fn lease_read(connection: &mut RawConnection) -> Result<Value, rstmdb_jepsen::Error> {
    let params = json!({"instance_id": "leased", "consistency": "lease"});
    connection.call("GET_INSTANCE", &params)
}
