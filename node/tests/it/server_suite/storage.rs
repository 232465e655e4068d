//! WAL_READ, WAL_STATS, FLUSH_ALL, REPLICATION_STATUS, COMPACT, and admin HTTP.

use rstmdb_rcp::message::storage::{CompactResult, WalStatsResult};
use serde_json::{Value, json};

use super::support::{Conn, TestNode};

async fn whole_log(conn: &mut Conn, limit: u64) -> Vec<Value> {
    let (mut records, mut from) = (Vec::new(), 0);
    loop {
        let page = conn
            .ok("WAL_READ", json!({ "from_offset": from, "limit": limit }))
            .await;
        let found = page["records"].as_array().unwrap().clone();
        let next = page["next_offset"].as_u64().unwrap();
        if next == from || (found.is_empty() && from != 0) {
            return records;
        }
        assert!(
            found
                .iter()
                .all(|record| record["offset"].as_u64().unwrap() < next)
        );
        records.extend(found);
        from = next;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_can_be_paged_through() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (machine, id) = conn.order().await;
    let params = json!({ "instance_id": id, "event": "PAY", "payload": { "p": 1 }, "event_id": "e", "idempotency_key": "k" });
    let pay = conn.ok("APPLY_EVENT", params).await;
    let note = json!({ "op": "APPLY_EVENT", "params": { "instance_id": id, "event": "NOTE" } });
    conn.ok(
        "BATCH",
        json!({ "mode": "atomic", "ops": [note, note, note] }),
    )
    .await;
    conn.ok("DELETE_INSTANCE", json!({ "instance_id": id }))
        .await;
    let records = whole_log(&mut conn, 2).await;
    assert_eq!(records, whole_log(&mut conn, 1000).await);
    let facts: Vec<&Value> = records
        .iter()
        .filter(|record| record["entry"]["type"] != "checkpoint")
        .collect();
    let kinds: Vec<&str> = facts
        .iter()
        .map(|fact| fact["entry"]["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "put_machine",
            "create_instance",
            "apply_event",
            "apply_event",
            "apply_event",
            "apply_event",
            "delete_instance"
        ]
    );
    assert_eq!(facts[0]["entry"]["machine"], json!(machine));
    assert_eq!(facts[0]["entry"]["definition"]["initial"], "created");
    assert_eq!(facts[1]["entry"]["initial_ctx"], json!({ "total": 5 }));
    let entry = &facts[2]["entry"];
    assert_eq!(
        (&facts[2]["offset"], &entry["payload"]),
        (&pay["wal_offset"], &json!({ "p": 1 }))
    );
    assert_eq!(
        (&entry["event_id"], &entry["idempotency_key"]),
        (&json!("e"), &json!("k"))
    );
    assert_eq!(entry["prev_offset"], facts[1]["offset"]);
    assert!(entry["time_ms"].as_u64().unwrap() > 1_600_000_000_000);
    assert_eq!(facts[3]["entry"]["payload"], json!(null));
    assert_eq!(facts[3]["offset"], facts[5]["offset"]);
    let empty = conn
        .ok("WAL_READ", json!({ "from_offset": 1_000_000 }))
        .await;
    assert_eq!(empty["records"], json!([]));
    conn.refused("WAL_READ", json!({}), "BAD_REQUEST").await;
    let none = json!({ "from_offset": 0, "limit": 0 });
    let error = conn.refused("WAL_READ", none, "BAD_REQUEST").await;
    assert_eq!(error["details"], json!({ "field": "params.limit" }));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_of_the_log_and_of_replication() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    conn.order().await;
    let stats: WalStatsResult =
        serde_json::from_value(conn.ok("WAL_STATS", json!({})).await).unwrap();
    assert!(stats.entry_count >= 2 && stats.segment_count >= 1 && stats.io_stats.fsyncs > 0);
    // The status is this node's own. A linearizable read waits until this node has applied what the leader acknowledged.
    conn.ok("LIST_MACHINES", json!({})).await;
    let status = conn.ok("REPLICATION_STATUS", json!({})).await;
    if super::FOLLOWS {
        assert_eq!(status["role"], "replica");
        assert!(
            status["upstream"]
                .as_str()
                .unwrap()
                .starts_with("127.0.0.1:")
        );
        assert!(status["last_applied_sequence"].as_u64().unwrap() >= 2);
    } else {
        assert_eq!(status, json!({ "role": "standalone" }));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flushing_is_refused_unless_it_is_allowed() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    conn.order().await;
    conn.refused("FLUSH_ALL", json!({}), "BAD_REQUEST").await;
    let dir = node.stop().await;
    let node = TestNode::start_on(dir, &[("RSTMDB_ALLOW_FLUSH_ALL", "true")]).await;
    let mut conn = Conn::open(node.addr).await;
    let done = conn.ok("FLUSH_ALL", json!({})).await;
    assert_eq!(
        done,
        json!({ "flushed": true, "instances_removed": 1, "machines_removed": 1 })
    );
    assert_eq!(conn.ok("LIST_INSTANCES", json!({})).await["total"], 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_keeps_everything_and_retention_drops_history_openly() {
    let node = TestNode::start(&[
        ("RSTMDB_RETAIN_EVENTS", "1"),
        ("RSTMDB_COMPACT_ENABLED", "false"),
    ])
    .await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let fill = "x".repeat(20_000);
    for n in 0..200 {
        let params =
            json!({ "instance_id": id, "event": "NOTE", "payload": { "n": n, "fill": fill } });
        conn.ok("APPLY_EVENT", params).await;
    }
    let done: CompactResult =
        serde_json::from_value(conn.ok("COMPACT", json!({ "force_snapshot": true })).await)
            .unwrap();
    assert_eq!(
        (done.snapshots_created, done.total_snapshots >= 1),
        (1, true)
    );
    let before = conn.ok("GET_INSTANCE", json!({ "instance_id": id })).await;
    let earliest = conn.ok("INFO", json!({})).await["earliest_offset"]
        .as_u64()
        .unwrap();
    if earliest > 1 {
        let error = conn
            .refused("WAL_READ", json!({ "from_offset": 1 }), "OFFSET_COMPACTED")
            .await;
        assert_eq!(error["details"], json!({ "earliest_offset": earliest }));
        conn.refused("WATCH_ALL", json!({ "from_offset": 1 }), "OFFSET_COMPACTED")
            .await;
        let mut legacy = Conn::legacy(node.addr).await;
        legacy
            .refused("WAL_READ", json!({ "from_offset": 1 }), "NOT_FOUND")
            .await;
    }
    let dir = node.stop().await;
    let node = TestNode::start_on(dir, &[]).await;
    let mut conn = Conn::open(node.addr).await;
    assert_eq!(
        conn.ok("GET_INSTANCE", json!({ "instance_id": id })).await,
        before
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_http_shows_health_readiness_and_metrics() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    conn.order().await;
    conn.refused(
        "GET_INSTANCE",
        json!({ "instance_id": "none" }),
        "INSTANCE_NOT_FOUND",
    )
    .await;
    conn.ok("WATCH_ALL", json!({})).await;
    for path in ["/healthz", "/readyz"] {
        assert!(node.admin_get(path).await.0.contains("200"), "{path}");
    }
    assert!(node.admin_get("/nothing").await.0.contains("404"));
    let (_, text) = node.admin_get("/metrics").await;
    let (leads, follows) = if super::FOLLOWS {
        (
            "raft_role{role=\"leader\"} 0",
            "raft_role{role=\"follower\"} 1",
        )
    } else {
        (
            "raft_role{role=\"leader\"} 1",
            "raft_role{role=\"follower\"} 0",
        )
    };
    for line in [
        "rstmdb_connections_active 1",
        "rstmdb_connections_total 1",
        "rstmdb_connections_rejected_total 0",
        "rstmdb_requests_total{op=\"PUT_MACHINE\"} 1",
        "rstmdb_request_duration_seconds_count{op=\"CREATE_INSTANCE\"} 1",
        "rstmdb_errors_total{code=\"INSTANCE_NOT_FOUND\"} 1",
        "rstmdb_subscriptions_active{kind=\"all\"} 1",
        "rstmdb_events_forwarded_total 0",
        "rstmdb_machines 1",
        "rstmdb_instances 1",
        "rstmdb_wal_segments 1",
    ] {
        assert!(text.contains(line), "{line} is missing in:\n{text}");
    }
    for name in [
        "wal_entries",
        "wal_size_bytes",
        "wal_bytes_written_total",
        "wal_bytes_read_total",
        "wal_writes_total",
        "wal_reads_total",
        "wal_fsyncs_total",
        "build_info",
        leads,
        follows,
        "raft_term",
        "raft_commit_index",
        "raft_applied_index",
        "raft_leader_changes_total",
        "proposal_duration_seconds_bucket{le=\"+Inf\"}",
        "proposal_duration_seconds_count",
        "wal_fsync_duration_seconds_sum",
        "wal_fsync_duration_seconds_count",
        "snapshots_total 0",
        "snapshots_failed_total 0",
        "history_damaged 0",
        "history_healed_total 0",
        "snapshot_size_bytes",
        "snapshot_duration_seconds",
        "facts_stale_total 0",
        "commands_redecided_total 0",
        "watches_lagging 0",
    ] {
        assert!(
            text.contains(&format!("\nrstmdb_{name}")),
            "{name} is missing in:\n{text}"
        );
    }
    assert!(text.contains("process_resident_memory_bytes"));
    node.stop().await;
}
