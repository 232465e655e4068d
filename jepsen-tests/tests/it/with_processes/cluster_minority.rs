//! One of three nodes alone: it serves requests that need no other node, and refuses all others in time.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::turns;
use rstmdb_jepsen::Error;
use rstmdb_jepsen::audit;
use rstmdb_jepsen::cluster::Cluster;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::harness::wait::within;
use rstmdb_jepsen::ledger::Ledger;
use rstmdb_jepsen::load::machines::TestMachine;
use rstmdb_jepsen::load::pipelines::Pipelines;
use rstmdb_jepsen::raw::{RawConnection, RawMessage};
use rstmdb_jepsen::rcp::watcher;
use rstmdb_jepsen::rcp::watcher::SeenEvent;
use rstmdb_jepsen::rng::{self, Rng};
use serde_json::{Value, json};

/// How long a node may take to notice that it is alone.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_millis(1500);
/// How late an answer may be on a busy machine.
const SLACK: Duration = Duration::from_millis(1500);

#[test]
fn a_minority_of_one_serves_local_reads_and_watches_and_says_no_leader_to_the_rest() {
    let _turn = turns::alone();
    let mut rng = Rng::new(rng::seed("cluster_minority"));
    let timeout = REQUEST_TIMEOUT.as_millis().to_string();
    let config = NodeConfig::for_tests().with("network.request_timeout_ms", &timeout);
    let mut cluster = Cluster::start(3, &config).unwrap();
    let ledgers = load(&cluster, &mut rng);
    for was_leader in [false, true] {
        let leader = cluster.leader().unwrap();
        let followers = cluster.followers().unwrap();
        let alone = if was_leader { leader } else { followers[0] };
        let before = audit::cluster(&cluster, &ledgers).unwrap();
        assert_eq!(before.violations, [""; 0]);
        let others: Vec<u64> = cluster
            .ids()
            .into_iter()
            .filter(|id| *id != alone)
            .collect();
        for other in &others {
            cluster.kill(*other).unwrap();
        }
        let killed = Instant::now();
        let addr = cluster.addr(alone).unwrap();
        serves_what_it_has(addr, &before);
        let noticed = notices_that_nobody_leads(addr);
        let answers = says_no_leader(addr);
        serves_what_it_has(addr, &before);
        let alone_for = killed.elapsed();
        let back = Instant::now();
        cluster.restart(others[0]).unwrap();
        writes_again(addr, 1 + u64::from(was_leader));
        let served_again = back.elapsed();
        cluster.restart(others[1]).unwrap();
        let after = cluster.wait_converged().unwrap();
        assert!(after.applied > before.converged.applied);
        println!(
            "cluster_minority: node {alone} (was leader: {was_leader}) alone for {alone_for:.1?}: \
             noticed after {noticed:.1?}, NO_LEADER after {answers:.2?}; served {served_again:.2?} \
             after the start of a second node"
        );
    }
}

/// Some state and history, and the ledgers of it.
fn load(cluster: &Cluster, rng: &mut Rng) -> Vec<Ledger> {
    let addrs = cluster.addrs_from(1);
    let workload = Pipelines::prepare(&addrs).unwrap();
    let connections = workload.start(2, rng);
    within(Duration::from_secs(20), || {
        let applied = cluster.info(1).unwrap()["last_applied"].as_u64().unwrap();
        (applied > 500)
            .then_some(())
            .ok_or_else(|| format!("only {applied} entries"))
    })
    .unwrap();
    let mut ledgers = connections.finish();
    ledgers.push(workload.preparation);
    ledgers
}

/// Local reads show the state as it was, and a watch from the beginning shows every event.
fn serves_what_it_has(addr: SocketAddr, before: &audit::Audit) {
    let mut connection = RawConnection::connect(addr).unwrap();
    let begun = Instant::now();
    let wrong = audit::wrong_instances(&mut connection, &before.verdict, "local").unwrap();
    assert_eq!(wrong, [""; 0]);
    let info = connection.call("INFO", &json!({})).unwrap();
    assert_eq!(info["state_digest"], before.converged.digest);
    connection
        .call("WATCH_ALL", &json!({"from_offset": 0}))
        .unwrap();
    let mut seen = Vec::new();
    while seen.len() < before.verdict.events.len() {
        if let RawMessage::Event(event) = connection.receive().unwrap() {
            seen.push(SeenEvent::new(
                event["wal_offset"].as_u64().unwrap(),
                &event,
            ));
        }
    }
    assert_eq!(watcher::difference(&before.verdict.events, &seen), None);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}

/// A leader that has lost the others takes writes until it notices. The outcome of those writes is open, and the leader
/// then answers so. Returns how long it took to notice.
fn notices_that_nobody_leads(addr: SocketAddr) -> Duration {
    let begun = Instant::now();
    within(NOTICE_TIMEOUT, || {
        let mut connection = RawConnection::connect(addr).map_err(|error| error.to_string())?;
        let info = connection.call("INFO", &json!({})).unwrap();
        match info.get("leader") {
            None | Some(Value::Null) => Ok(()),
            Some(leader) => Err(format!("it says that {leader} leads")),
        }
    })
    .unwrap();
    begun.elapsed()
}

/// Checks that the node refuses in time everything that needs a majority. Returns the time of the slowest answer.
fn says_no_leader(addr: SocketAddr) -> Duration {
    let id = "counter-0";
    let apply = json!({"instance_id": id, "event": "SET", "payload": {"n": "alone"}});
    let mut keyed = apply.clone();
    keyed["idempotency_key"] = json!("alone");
    let requests = [
        ("GET_INSTANCE", json!({"instance_id": id})),
        ("LIST_INSTANCES", json!({"limit": 1})),
        ("LIST_MACHINES", json!({})),
        ("APPLY_EVENT", apply),
        ("APPLY_EVENT", keyed),
        (
            "CREATE_INSTANCE",
            json!({"machine": "counter", "version": 1}),
        ),
    ];
    // All requests at once, because each may take as long as its deadline.
    thread::scope(|scope| {
        let asked: Vec<_> = requests
            .iter()
            .map(|(op, params)| scope.spawn(move || refusal(addr, op, params)))
            .collect();
        let taken = asked.into_iter().map(|asked| asked.join().unwrap());
        taken.max().unwrap()
    })
}

/// To clients of today and of old.
fn refusal(addr: SocketAddr, op: &str, params: &Value) -> Duration {
    let extended = RawConnection::connect(addr).unwrap();
    let legacy = RawConnection::connect_as_legacy(addr).unwrap();
    let mut slowest = Duration::ZERO;
    for (mut connection, code) in [(extended, "NO_LEADER"), (legacy, "RATE_LIMITED")] {
        let begun = Instant::now();
        let answer = connection.call(op, params);
        let took = begun.elapsed();
        let Err(Error::Refused { body, .. }) = answer else {
            panic!("{op} {params}: {answer:?}");
        };
        assert_eq!(body.code.as_str(), code, "{op} {params}: {body}");
        assert!(body.retryable, "{op} {params}: {body}");
        assert!(took < REQUEST_TIMEOUT + SLACK, "{op} {params}: {took:?}");
        slowest = slowest.max(took);
    }
    slowest
}

/// Writes something that the ledgers do not track.
fn writes_again(addr: SocketAddr, version: u64) {
    let definition = TestMachine::Counter.definition();
    let put = json!({"machine": "again", "version": version, "definition": definition});
    within(Duration::from_secs(20), || {
        let mut connection = RawConnection::connect(addr).map_err(|error| error.to_string())?;
        let done = connection.call("PUT_MACHINE", &put);
        done.map(drop).map_err(|error| error.to_string())
    })
    .unwrap();
}
