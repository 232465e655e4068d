//! Bad input in quantity: the node keeps running, its memory is bounded, and other clients notice nothing.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::turns;
use rstmdb_jepsen::bystander::{self, Bystander};
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::harness::skipped::or_skipped;
use rstmdb_jepsen::hostile;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::raw::{RawConnection, RawMessage, header};
use rstmdb_jepsen::rng::{self, Rng};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

const MUTATIONS: usize = 100_000;
const BOMBARDING_THREADS: usize = 4;
const BOMBARDMENT_MAX: Duration = Duration::from_secs(120);
const GROWTH_BYTES_MAX: u64 = 100 * 1024 * 1024;
const IDLE_CONNECTIONS: usize = 10_000;
const CONNECTIONS_MAX: usize = 100;
/// Each has half a MiB. Together they have several times the size by which memory may grow.
const UNREAD_ANSWERS: usize = 600;
const MIB: usize = 1024 * 1024;
/// Flag bit 0: the CRC is there.
const CRC: u16 = 1;

fn start() -> Node {
    bystander::start_node(&NodeConfig::for_tests()).unwrap()
}

#[test]
fn a_hundred_thousand_mutated_frames_do_no_harm() {
    let _turn = turns::heavy();
    let node = start();
    let mut bystander = Bystander::of(&node).unwrap();
    let mut rng = Rng::new(rng::seed("hostile_volume"));
    let addr = node.addr();
    // During the first thousand, caches and allocator reach their size.
    hostile::bombard(addr, 1000, rng.fork()).unwrap();
    let before = node.resident_bytes().unwrap();
    let begun = Instant::now();
    let threads: Vec<_> = (0..BOMBARDING_THREADS)
        .map(|_| {
            let rng = rng.fork();
            thread::spawn(move || hostile::bombard(addr, MUTATIONS / BOMBARDING_THREADS, rng))
        })
        .collect();
    let mut frames = 0;
    for thread in threads {
        let report = thread.join().unwrap().unwrap();
        println!("hostile_volume: {report:?}");
        frames += report.frames;
        bystander.notices_nothing().unwrap();
    }
    let took = begun.elapsed();
    let after = node.resident_bytes().unwrap();
    println!(
        "hostile_volume: {frames} mutations in {took:.1?}, memory {before} then {after} bytes"
    );
    assert!(frames >= MUTATIONS);
    assert!(took < BOMBARDMENT_MAX, "{took:?}");
    assert!(
        after < before + GROWTH_BYTES_MAX,
        "memory grew from {before} to {after} bytes"
    );
    bystander.notices_nothing().unwrap();
    assert!(!node.log_text().contains("panicked"), "{}", node.log_tail());
}

#[test]
fn ten_thousand_idle_connections_are_refused_beyond_the_limit() {
    let _turn = turns::alone();
    let Some(_open_files) = or_skipped(OpenFiles::allow(IDLE_CONNECTIONS as u64 + 500)) else {
        return;
    };
    let limit = CONNECTIONS_MAX.to_string();
    let node =
        Node::start(&NodeConfig::for_tests().with("network.max_connections", &limit)).unwrap();
    let mut early = RawConnection::connect(node.addr()).unwrap();
    let before = node.resident_bytes().unwrap();
    let mut idle: Vec<RawConnection> = (0..IDLE_CONNECTIONS)
        // The connections that the node admits say HELLO, because it would close silent ones meanwhile.
        .map(|n| match n + 1 < CONNECTIONS_MAX {
            true => RawConnection::connect(node.addr()).unwrap(),
            false => RawConnection::open(node.addr()).unwrap(),
        })
        .collect();
    early.call("PING", &json!({})).unwrap();

    let mut told = 0;
    for connection in idle
        .iter_mut()
        .rev()
        .take(IDLE_CONNECTIONS - CONNECTIONS_MAX)
    {
        // Under so many connections the node closes some without an answer. It gives the others no answer but this one.
        let codes = connection.refusals_until_closed().unwrap();
        assert!(codes.is_empty() || codes == limited(), "{codes:?}");
        told += codes.len();
    }
    let mut one_more = RawConnection::open(node.addr()).unwrap();
    assert_eq!(one_more.refusals_until_closed().unwrap(), limited());
    early.call("PING", &json!({})).unwrap();
    let after = node.resident_bytes().unwrap();
    assert!(
        after < before + GROWTH_BYTES_MAX,
        "memory grew from {before} to {after} bytes"
    );

    drop(idle);
    let again = accepted_again(node.addr());
    println!("hostile_volume: {told} of {IDLE_CONNECTIONS} told, room again after {again:?}");
}

fn limited() -> [(String, String); 1] {
    [(String::new(), "RATE_LIMITED".to_owned())]
}

/// How long it takes until the server has noticed that there is room again.
fn accepted_again(addr: SocketAddr) -> Duration {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        if RawConnection::connect(addr).is_ok() {
            return begun.elapsed();
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("no connection is accepted any more");
}

/// The earlier limit of open files, which is set again on drop, because the processes that other tests start inherit
/// the limit.
struct OpenFiles(Rlimit);

impl Drop for OpenFiles {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.0).unwrap();
    }
}

impl OpenFiles {
    fn allow(needed: u64) -> Result<Self, String> {
        let limit = getrlimit(Resource::Nofile);
        raise_open_files(&limit, needed)?;
        Ok(Self(limit))
    }
}

fn raise_open_files(limit: &Rlimit, needed: u64) -> Result<(), String> {
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        return Err(format!(
            "{needed} open files are not allowed here: {limit:?}"
        ));
    }
    let raised = Rlimit {
        current: Some(needed),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).map_err(|error| format!("open files: {error}"))
}

#[test]
fn a_frame_that_announces_much_and_sends_nothing_holds_no_memory() {
    let _turn = turns::light();
    let node = start();
    let before = node.resident_bytes().unwrap();
    let announced = u32::try_from(16 * MIB).unwrap();
    let held: Vec<RawConnection> = (0..200)
        .map(|_| {
            let mut connection = RawConnection::connect(node.addr()).unwrap();
            connection
                .send(&header(*b"RCPX", 1, CRC, announced, 0))
                .unwrap();
            connection.send(b"{").unwrap();
            connection
        })
        .collect();
    Bystander::of(&node).unwrap().notices_nothing().unwrap();
    let after = node.resident_bytes().unwrap();
    assert!(
        after < before + GROWTH_BYTES_MAX,
        "memory grew from {before} to {after} bytes"
    );
    drop(held);
}

#[test]
fn answers_nobody_reads_do_not_pile_up() {
    let _turn = turns::heavy();
    let node = start();
    let mut greedy = RawConnection::connect(node.addr()).unwrap();
    let definition =
        json!({"states": ["a"], "initial": "a", "transitions": [], "meta": "x".repeat(MIB / 2)});
    let put = json!({"machine": "large", "version": 1, "definition": definition});
    greedy.call("PUT_MACHINE", &put).unwrap();
    let before = node.resident_bytes().unwrap();
    let get: Value = json!({"machine": "large"});
    for _ in 0..UNREAD_ANSWERS {
        greedy.queue("GET_MACHINE", &get);
    }
    greedy.flush().unwrap();
    Bystander::of(&node).unwrap().notices_nothing().unwrap();
    let after = node.resident_bytes().unwrap();
    assert!(
        after < before + GROWTH_BYTES_MAX,
        "memory grew from {before} to {after} bytes"
    );
    for _ in 0..UNREAD_ANSWERS {
        assert!(matches!(
            greedy.receive().unwrap(),
            RawMessage::Response { outcome: Ok(_), .. }
        ));
    }
}
