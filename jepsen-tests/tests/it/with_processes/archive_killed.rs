//! A node that is killed in the middle of putting history into a bucket.

use std::time::{Duration, Instant};

use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::raw::RawConnection;
use rstmdb_objects::double::{ACCESS_KEY, BUCKET, BucketFault, Double, Method, SECRET_KEY};
use serde_json::{Value, json};

use crate::turns;

/// More than the entries that a node keeps behind a snapshot in any case.
const EVENTS: u64 = 14_000;
const PATIENCE: Duration = Duration::from_secs(60);

fn fill(connection: &mut RawConnection) {
    let definition = json!({ "states": ["a"], "initial": "a",
        "transitions": [{ "from": "a", "event": "GO", "to": "a" }] });
    let machine = json!({ "machine": "m", "version": 1, "definition": definition });
    connection.call("PUT_MACHINE", &machine).unwrap();
    let create = json!({ "instance_id": "i", "machine": "m", "version": 1 });
    connection.call("CREATE_INSTANCE", &create).unwrap();
    let text = "x".repeat(400);
    for from in (0..EVENTS).step_by(100) {
        let event = |n: u64| {
            let payload = json!({ "n": n, "text": text });
            let params = json!({ "instance_id": "i", "event": "GO", "payload": payload });
            json!({ "op": "APPLY_EVENT", "params": params })
        };
        let ops: Vec<Value> = (from..from + 100).map(event).collect();
        let batch = json!({ "mode": "best_effort", "ops": ops });
        connection.call("BATCH", &batch).unwrap();
    }
    let compact = json!({ "force_snapshot": true });
    connection.call("COMPACT", &compact).unwrap();
}

/// The `n` of every event.
fn read_all(connection: &mut RawConnection) -> Vec<u64> {
    let (mut found, mut from) = (Vec::new(), 1);
    loop {
        let params = json!({ "from_offset": from, "limit": 1000 });
        let page = connection.call("WAL_READ", &params).unwrap();
        for record in page["records"].as_array().unwrap() {
            found.extend(record["entry"]["payload"]["n"].as_u64());
        }
        let next = page["next_offset"].as_u64().unwrap();
        if next == from {
            return found;
        }
        from = next;
    }
}

fn here(connection: &mut RawConnection) -> u64 {
    let status = connection.call("CLUSTER_STATUS", &json!({})).unwrap();
    status["nodes"][0]["earliest_offset"].as_u64().unwrap()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_node_that_is_killed_in_the_middle_of_an_upload_loses_nothing_and_goes_on_with_it() {
    let _turn = turns::light();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let double = runtime.block_on(Double::start()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let config = NodeConfig::for_tests()
        .with("storage.wal_segment_size_mb", "1")
        .with("compaction.retain_events", "1")
        // Otherwise all events fit into two segments.
        .with("storage.compression", "none")
        .with("archive.url", &format!("s3://{BUCKET}"))
        .with("archive.s3.endpoint", &double.endpoint)
        .with("archive.s3.allow_http", "true")
        .with("archive.s3.access_key_file", &file("access", ACCESS_KEY))
        .with("archive.s3.secret_key_file", &file("secret", SECRET_KEY));
    let mut node = Node::start(&config).unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let slow = BucketFault::Slow(Duration::from_secs(30));
    double.fail_always(Some((Method::PUT, slow)));
    fill(&mut connection);
    until("an upload begins", || {
        double
            .requests()
            .iter()
            .any(|request| request.starts_with("PUT"))
    });
    node.kill().unwrap();
    assert!(double.objects().is_empty());
    // Only now does the test see what the object server does with half an upload.
    double.fail_always(Some((Method::PUT, BucketFault::KeepHalf)));
    node.restart().unwrap();
    until("half of an object is there", || {
        !double.objects().is_empty()
    });
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    assert_eq!(here(&mut connection), 1, "nothing leaves the node");
    double.fail_always(None);
    until("history leaves the node", || here(&mut connection) > 1);
    node.kill().unwrap();
    node.restart().unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    let expected: Vec<u64> = (0..EVENTS).collect();
    assert_eq!(read_all(&mut connection), expected);
}
