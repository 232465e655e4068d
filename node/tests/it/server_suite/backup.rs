//! BACKUP_DESCRIBE, BACKUP_SNAPSHOT, BACKUP_LOG.

use bytes::BytesMut;
use rstmdb_backup::stream::{self, EntryKind, LogEntry};
use rstmdb_engine::fact::{Entry, Message};
use rstmdb_engine::{State, StateLoader};
use rstmdb_rcp::message::storage::backup::{
    BackupDescribeResult, BackupLogResult, BackupSnapshotResult,
};
use serde_json::{Value, json};

use super::support::{Conn, TestNode};

/// Several of them do not fit into one piece.
const CTX_BYTES: usize = 2_000_000;

async fn describe(conn: &mut Conn) -> BackupDescribeResult<'static> {
    serde_json::from_value(conn.ok("BACKUP_DESCRIBE", json!({})).await).unwrap()
}

async fn snapshot_piece(conn: &mut Conn, id: &str, from_byte: u64) -> BackupSnapshotResult {
    let params = json!({ "snapshot_id": id, "from_byte": from_byte });
    serde_json::from_value(conn.ok("BACKUP_SNAPSHOT", params).await).unwrap()
}

async fn force_snapshot(conn: &mut Conn) {
    let done = conn.ok("COMPACT", json!({ "force_snapshot": true })).await;
    assert_eq!(done["snapshots_created"], 1, "{done}");
}

/// Waits until the node has applied what other nodes have written.
async fn settle(conn: &mut Conn) {
    conn.ok("LIST_INSTANCES", json!({ "limit": 1 })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_can_be_read_to_its_end_although_another_replaces_it() {
    let node = TestNode::start(&[("RSTMDB_COMPACT_ENABLED", "false")]).await;
    let mut conn = Conn::open(node.addr).await;
    let machine = conn.order_machine().await;
    for n in 0..6 {
        let params = json!({ "instance_id": format!("i{n}"), "machine": machine, "version": 1,
            "initial_ctx": { "fill": "x".repeat(CTX_BYTES), "n": n } });
        conn.ok("CREATE_INSTANCE", params).await;
    }
    settle(&mut conn).await;
    force_snapshot(&mut conn).await;
    let head = describe(&mut conn).await;
    let snapshot = head.snapshot.unwrap();
    assert_eq!((head.first_offset, snapshot.offset), (1, head.last_offset));
    assert_eq!(snapshot.digest, head.state_digest);
    let id = &*snapshot.snapshot_id;

    let (mut arrived, mut at, mut pieces) = (BytesMut::new(), 0, 0);
    loop {
        let piece = snapshot_piece(&mut conn, id, at).await;
        assert_eq!(piece.next_byte, at + piece.data.0.len() as u64);
        arrived.extend_from_slice(&piece.data.0);
        at = piece.next_byte;
        pieces += 1;
        if piece.done {
            break;
        }
        if pieces == 1 {
            let note = json!({ "instance_id": "i0", "event": "NOTE" });
            conn.ok("APPLY_EVENT", note).await;
            settle(&mut conn).await;
            force_snapshot(&mut conn).await;
        }
    }
    assert!(pieces > 2, "{pieces} pieces");
    let mut loader = StateLoader::new();
    while let Some(record) = stream::take_frame(&mut arrived).unwrap() {
        loader.push(record).unwrap();
    }
    let state = loader.finish().unwrap();
    assert_eq!(format!("{:032x}", state.digest()), snapshot.digest);
    assert_eq!(state.last_time_ms(), snapshot.time_ms);

    let gone = json!({ "snapshot_id": id, "from_byte": 0 });
    conn.refused("BACKUP_SNAPSHOT", gone, "NOT_FOUND").await;
    let newer = describe(&mut conn).await.snapshot.unwrap().snapshot_id;
    let beyond = json!({ "snapshot_id": newer, "from_byte": at + CTX_BYTES as u64 });
    conn.refused("BACKUP_SNAPSHOT", beyond, "BAD_REQUEST").await;
    // A lost place is found again.
    let whole = snapshot_piece(&mut conn, &newer, 0).await.data.0;
    let rest = snapshot_piece(&mut conn, &newer, 1_000).await.data.0;
    assert_eq!(whole[1_000..], rest[..whole.len() - 1_000]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_replays_to_what_was_described() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (machine, id) = conn.order().await;
    for n in 0..4 {
        let params = json!({ "instance_id": id, "event": "NOTE",
            "payload": { "n": n, "fill": "x".repeat(CTX_BYTES) } });
        conn.ok("APPLY_EVENT", params).await;
    }
    let delete = json!({ "op": "DELETE_INSTANCE", "params": { "instance_id": id } });
    let create = json!({ "op": "CREATE_INSTANCE", "params": { "instance_id": "other",
        "machine": machine, "version": 1 } });
    let batch = json!({ "mode": "atomic", "ops": [delete, create] });
    conn.ok("BATCH", batch).await;
    let head = describe(&mut conn).await;
    let mut state = State::new();
    let (mut arrived, mut from, mut byte) = (BytesMut::new(), 1, 0);
    while from <= head.last_offset {
        let params = json!({ "from_offset": from, "from_byte": byte,
            "to_offset": head.last_offset });
        let piece = conn.ok("BACKUP_LOG", params).await;
        let piece: BackupLogResult = serde_json::from_value(piece).unwrap();
        assert!(
            (piece.next_offset, piece.next_byte) > (from, byte),
            "no progress"
        );
        arrived.extend_from_slice(&piece.data.0);
        (from, byte) = (piece.next_offset, piece.next_byte);
        while let Some(body) = stream::take_frame(&mut arrived).unwrap() {
            let entry = LogEntry::decode(body).unwrap();
            assert_eq!(entry.offset, state.last_applied() + 1);
            match entry.kind {
                EntryKind::Normal => {
                    let facts = Entry::decode(entry.payload).unwrap();
                    assert_eq!(entry.time_ms, facts.time_ms);
                    state.apply(&facts, entry.offset).unwrap();
                }
                EntryKind::Blank | EntryKind::Membership => state.skip(entry.offset),
            }
        }
    }
    assert_eq!(state.last_applied(), head.last_offset);
    assert_eq!(format!("{:032x}", state.digest()), head.state_digest);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_backup_asks_for_is_refused() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    conn.order().await;
    let field = |error: Value| error["details"]["field"].as_str().unwrap().to_owned();
    for params in [
        json!({ "from_offset": 0, "to_offset": 1 }),
        json!({ "from_offset": 2, "to_offset": 1 }),
    ] {
        let error = conn.refused("BACKUP_LOG", params, "BAD_REQUEST").await;
        assert_eq!(field(error), "params.from_offset");
    }
    let beyond = json!({ "from_offset": 1, "from_byte": 1_000_000, "to_offset": 1 });
    let error = conn.refused("BACKUP_LOG", beyond, "BAD_REQUEST").await;
    assert_eq!(field(error), "params.from_byte");
    let none = json!({ "snapshot_id": "none", "from_byte": 0 });
    conn.refused("BACKUP_SNAPSHOT", none, "NOT_FOUND").await;
    let mut legacy = Conn::legacy(node.addr).await;
    for op in ["BACKUP_DESCRIBE", "BACKUP_SNAPSHOT", "BACKUP_LOG"] {
        legacy.refused(op, json!({}), "BAD_REQUEST").await;
    }
    node.stop().await;
}
