//! History that has left the node for a bucket or a folder, as clients see it.

use std::path::Path;
use std::time::{Duration, Instant};

use rstmdb_objects::double::{ACCESS_KEY, BUCKET, Double, SECRET_KEY};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::{Conn, PATIENCE, TestNode};

/// More than the entries that a node keeps behind a snapshot in any case.
const EVENTS: u64 = 14_000;

/// Writes events with large payloads, so that the log has several segments, and takes a snapshot.
async fn fill(conn: &mut Conn) -> String {
    let (_, id) = conn.order().await;
    let fill = "x".repeat(400);
    for from in (0..EVENTS).step_by(100) {
        let ops: Vec<Value> = (from..from + 100)
            .map(|n| {
                let payload = json!({ "n": n, "fill": fill });
                let params = json!({ "instance_id": id, "event": "NOTE", "payload": payload });
                json!({ "op": "APPLY_EVENT", "params": params })
            })
            .collect();
        conn.ok("BATCH", json!({ "mode": "best_effort", "ops": ops }))
            .await;
    }
    conn.ok("COMPACT", json!({ "force_snapshot": true })).await;
    id
}

/// Waits until the node itself no longer has the beginning of the log.
async fn left(conn: &mut Conn) -> u64 {
    let until = Instant::now() + PATIENCE;
    loop {
        let status = conn.ok("CLUSTER_STATUS", json!({})).await;
        let here = status["nodes"][0]["earliest_offset"].as_u64().unwrap();
        if here > 1 {
            return here;
        }
        assert!(Instant::now() < until, "{status}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The `n` of every event, as WAL_READ shows them.
async fn read_all(conn: &mut Conn) -> Vec<u64> {
    let (mut found, mut from) = (Vec::new(), 1);
    loop {
        let params = json!({ "from_offset": from, "limit": 1000 });
        let page = conn.ok("WAL_READ", params).await;
        let records = page["records"].as_array().unwrap();
        for record in records {
            found.extend(record["entry"]["payload"]["n"].as_u64());
        }
        let next = page["next_offset"].as_u64().unwrap();
        if next == from {
            return found;
        }
        from = next;
    }
}

async fn metric(node: &TestNode, name: &str) -> f64 {
    let (_, text) = node.http("/metrics").await;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap().parse().unwrap()
}

fn keys(dir: &Path) -> (String, String) {
    let (access, secret) = (dir.join("access"), dir.join("secret"));
    std::fs::write(&access, ACCESS_KEY).unwrap();
    std::fs::write(&secret, SECRET_KEY).unwrap();
    (access.display().to_string(), secret.display().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_drops_is_read_from_the_bucket() {
    let double = Double::start().await.unwrap();
    let endpoint = double.endpoint.clone();
    let dir = tempfile::tempdir().unwrap();
    let (access, secret) = keys(dir.path());
    let url = format!("s3://{BUCKET}/orders");
    let variables = [
        ("RSTMDB_ARCHIVE_URL", url.as_str()),
        ("RSTMDB_ARCHIVE_S3_ENDPOINT", &endpoint),
        ("RSTMDB_ARCHIVE_S3_ALLOW_HTTP", "true"),
        ("RSTMDB_ARCHIVE_S3_ACCESS_KEY_FILE", &access),
        ("RSTMDB_ARCHIVE_S3_SECRET_KEY_FILE", &secret),
        ("RSTMDB_ARCHIVE_CACHE_MB", "1"),
        ("RSTMDB_RETAIN_EVENTS", "1"),
        // Otherwise all events fit into two segments.
        ("RSTMDB_COMPRESSION", "none"),
        ("RSTMDB_REQUEST_TIMEOUT_MS", "60000"),
    ];
    let node = TestNode::start(&variables).await;
    let mut conn = Conn::open(node.addr).await;
    fill(&mut conn).await;
    let here = left(&mut conn).await;
    assert_eq!(conn.ok("INFO", json!({})).await["earliest_offset"], 1);
    let objects = double.objects();
    assert!(!objects.is_empty() && objects.keys().all(|name| name.starts_with("orders/")));
    let expected: Vec<u64> = (0..EVENTS).collect();
    assert_eq!(read_all(&mut conn).await, expected);
    assert!(metric(&node, "rstmdb_archive_uploaded_total").await >= 1.0);
    assert!(metric(&node, "rstmdb_archive_fetched_total").await >= 1.0);
    assert_eq!(metric(&node, "rstmdb_archive_pending_files").await, 0.0);

    // A watch begins in the bucket and ends at the head.
    let mut watching = Conn::open(node.addr).await;
    watching.ok("WATCH_ALL", json!({ "from_offset": 1 })).await;
    for n in 0..EVENTS {
        let event = watching.recv().await;
        assert_eq!(event["payload"]["n"], json!(n), "{event}");
    }

    // So does a backup: it is the whole log.
    let described = conn.ok("BACKUP_DESCRIBE", json!({})).await;
    assert_eq!(described["first_offset"], 1);
    let params = json!({ "from_offset": 1, "from_byte": 0, "to_offset": here });
    let piece = conn.ok("BACKUP_LOG", params).await;
    assert!(piece["next_offset"].as_u64().unwrap() > 1);

    // A new process finds everything. A process without the bucket says so, and shows nothing else.
    let data = node.stop().await;
    let node = TestNode::start_on(data, &variables).await;
    let mut conn = Conn::open(node.addr).await;
    assert_eq!(read_all(&mut conn).await, expected);
    let data = node.stop().await;
    drop(double);
    says_that_the_bucket_is_gone(data, &variables, here).await;
}

/// A node whose bucket cannot be reached says so to clients that ask for history there. It serves all other requests.
async fn says_that_the_bucket_is_gone(data: TempDir, variables: &[(&str, &str)], here: u64) {
    let node = TestNode::start_on(data, variables).await;
    let mut conn = Conn::open(node.addr).await;
    let error = conn
        .refused("WAL_READ", json!({ "from_offset": 1 }), "WAL_IO_ERROR")
        .await;
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("is in the archive"), "{message}");
    assert_eq!(error["retryable"], true);
    conn.refused("WATCH_ALL", json!({ "from_offset": 1 }), "WAL_IO_ERROR")
        .await;
    conn.ok("WAL_READ", json!({ "from_offset": here })).await;
    conn.order().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_drops_is_read_from_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}", dir.path().display());
    let variables = [
        ("RSTMDB_ARCHIVE_URL", url.as_str()),
        ("RSTMDB_RETAIN_EVENTS", "1"),
        // Otherwise all events fit into two segments.
        ("RSTMDB_COMPRESSION", "none"),
        ("RSTMDB_REQUEST_TIMEOUT_MS", "60000"),
    ];
    let node = TestNode::start(&variables).await;
    let mut conn = Conn::open(node.addr).await;
    fill(&mut conn).await;
    left(&mut conn).await;
    let expected: Vec<u64> = (0..EVENTS).collect();
    assert_eq!(read_all(&mut conn).await, expected);
    node.stop().await;
}
