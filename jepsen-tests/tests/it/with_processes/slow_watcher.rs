//! A watcher that does not read costs neither the node nor other clients anything, and misses no event.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::turns;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::harness::latencies::Latencies;
use rstmdb_jepsen::latency;
use rstmdb_jepsen::load::machines::TestMachine;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::raw::{RawConnection, RawMessage};
use rstmdb_jepsen::rcp::watcher::{self, SeenEvent};
use rstmdb_jepsen::wal;
use serde_json::json;

const EVENTS: usize = 100_000;
const SILENCE: Duration = Duration::from_secs(10);
const GROWTH_BYTES_MAX: u64 = 50 * 1024 * 1024;
const INSTANCES: usize = 100;
const WINDOW: usize = 128;
const CONNECTIONS: usize = 2;

#[test]
fn a_watcher_that_reads_nothing_for_ten_seconds_then_gets_everything() {
    let _turn = turns::alone();
    let node = Node::start(&NodeConfig::for_tests()).unwrap();
    create_instances(node.addr());

    // This watch matches nothing. It is there because a node keeps recent entries at hand only while a watch exists.
    let mut idle = RawConnection::connect(node.addr()).unwrap();
    idle.call("WATCH_ALL", &json!({"machines": ["none"]}))
        .unwrap();
    // First as many events without the watcher, and all of them are read. So the entries that the log keeps in memory,
    // the caches and the allocator have their size before the measurement. This also gives the latencies to compare
    // with.
    let alone = measured(node.addr(), || pass_events(node.addr()));
    pass_events(node.addr());
    let past = events_after(node.addr(), 0);
    let mut reader = RawConnection::connect(node.addr()).unwrap();
    reader
        .call("WATCH_ALL", &json!({"from_offset": 1}))
        .unwrap();
    take_events(&mut reader, past.len());
    drop(reader);
    let mut watcher = RawConnection::connect(node.addr()).unwrap();
    let started = watcher.call("WATCH_ALL", &json!({})).unwrap();
    let head = started["wal_offset"].as_u64().unwrap();
    let before = node.resident_bytes().unwrap();

    let begun = Instant::now();
    let beside = measured(node.addr(), || pass_events(node.addr()));
    thread::sleep(SILENCE.saturating_sub(begun.elapsed()));
    let silent = begun.elapsed();
    let during = node.resident_bytes().unwrap();

    let log = events_after(node.addr(), head);
    assert!(log.len() >= EVENTS);
    let seen = take_events(&mut watcher, log.len());
    assert_eq!(watcher::difference(&log, &seen), None);
    let after = node.resident_bytes().unwrap();

    println!(
        "slow_watcher: {} events while it read nothing for {silent:.1?}; memory {} MiB before, {} during, \
         {} after; others alone {alone:?}, beside it {beside:?}",
        seen.len(),
        before >> 20,
        during >> 20,
        after >> 20,
    );
    for now in [during, after] {
        assert!(
            now < before + GROWTH_BYTES_MAX,
            "memory grew from {before} to {now} bytes"
        );
    }
    // A busy machine alone slows a client by more than ten times.
    let bound = alone.p99 * 10 + Duration::from_millis(50);
    assert!(
        beside.p99 < bound,
        "others notice: {alone:?} became {beside:?}"
    );
}

fn create_instances(addr: SocketAddr) {
    let mut connection = RawConnection::connect(addr).unwrap();
    let definition = TestMachine::Counter.definition();
    let put = json!({"machine": "counter", "version": 1, "definition": definition});
    connection.call("PUT_MACHINE", &put).unwrap();
    for n in 0..=INSTANCES {
        let create = json!({"instance_id": format!("c-{n}"), "machine": "counter", "version": 1});
        connection.call("CREATE_INSTANCE", &create).unwrap();
    }
}

/// Does something while another client measures its own latencies.
fn measured(addr: SocketAddr, what: impl FnOnce()) -> Latencies {
    let stop = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&stop);
    let own_instance = format!("c-{INSTANCES}");
    let client = thread::spawn(move || latency::measure(addr, &own_instance, &until));
    what();
    stop.store(true, Ordering::Relaxed);
    client.join().unwrap().unwrap()
}

/// Applies [`EVENTS`] events over several pipelined connections.
fn pass_events(addr: SocketAddr) {
    let connections = (0..CONNECTIONS).map(|n| {
        thread::spawn(move || {
            let mut connection = RawConnection::connect(addr).unwrap();
            let (mut sent, mut answered) = (0, 0);
            while answered < EVENTS / CONNECTIONS {
                while sent < EVENTS / CONNECTIONS && sent - answered < WINDOW {
                    let instance = format!("c-{}", (sent * CONNECTIONS + n) % INSTANCES);
                    let payload = json!({"n": sent, "note": "a hundred bytes are more than most events carry"});
                    let apply = json!({"instance_id": instance, "event": "SET", "payload": payload});
                    connection.queue("APPLY_EVENT", &apply);
                    sent += 1;
                }
                connection.flush().unwrap();
                let mut message = Some(connection.receive().unwrap());
                while let Some(RawMessage::Response { outcome, .. }) = message {
                    outcome.unwrap();
                    answered += 1;
                    message = connection.buffered().unwrap();
                }
            }
        })
    });
    let connections: Vec<_> = connections.collect();
    for connection in connections {
        connection.join().unwrap();
    }
}

fn events_after(addr: SocketAddr, head: u64) -> Vec<SeenEvent> {
    let mut connection = RawConnection::connect(addr).unwrap();
    let mut events = Vec::new();
    wal::visit(&mut connection, head + 1, wal::PAGE_RECORDS, |record| {
        events.extend(record.seen())
    })
    .unwrap();
    events
}

fn take_events(watcher: &mut RawConnection, count: usize) -> Vec<SeenEvent> {
    let mut seen = Vec::with_capacity(count);
    while seen.len() < count {
        let RawMessage::Event(event) = watcher.receive().unwrap() else {
            panic!("a watch delivers events, and this one is not to end");
        };
        seen.push(SeenEvent::new(
            event["wal_offset"].as_u64().unwrap(),
            &event,
        ));
    }
    seen
}
