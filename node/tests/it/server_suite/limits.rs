//! Connections beyond the limit, requests beyond their time, bytes that are no protocol.

use std::time::Duration;

use proptest::prelude::*;
use rstmdb::server::node::StartedNode;
use rstmdb_rcp::frame::{self, Flags};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use uuid::Uuid;

use super::support::{Conn, TestNode, config_on};

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_told_and_closed() {
    let node = TestNode::start(&[("RSTMDB_MAX_CONNECTIONS", "2")]).await;
    let mut first = Conn::open(node.addr).await;
    let second = Conn::open(node.addr).await;
    for _ in 0..3 {
        let mut refused = Conn::raw(node.addr).await;
        let answer = refused.recv().await;
        assert_eq!(
            (&answer["id"], &answer["error"]["code"]),
            (&json!(""), &json!("RATE_LIMITED"))
        );
        refused.closed().await;
    }
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(TcpStream::connect(node.addr).await.unwrap());
    }
    first.ok("PING", json!({})).await;
    drop((second, idle));
    tokio::time::sleep(Duration::from_millis(300)).await;
    Conn::open(node.addr).await.ok("PING", json!({})).await;
    let (_, metrics) = node.admin_get("/metrics").await;
    assert!(
        metrics.contains("rstmdb_connections_rejected_total 30"),
        "{metrics}"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_cannot_be_served_in_time_says_so() {
    let node = TestNode::start(&[("RSTMDB_REQUEST_TIMEOUT_MS", "200")]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let params = json!({ "instance_id": id, "min_wal_offset": 1_000_000 });
    let error = conn
        .refused("GET_INSTANCE", params.clone(), "TIMEOUT")
        .await;
    assert_eq!(error["details"], json!({ "outcome": "not_applied" }));
    // A write behind a read that hangs has waited for it, and was never handed over.
    conn.send("GET_INSTANCE", params).await;
    let write = conn
        .send("APPLY_EVENT", json!({ "instance_id": id, "event": "PAY" }))
        .await;
    let answers = [conn.recv().await, conn.recv().await];
    let answer = answers
        .iter()
        .find(|answer| answer["id"] == json!(write))
        .unwrap();
    assert_eq!(
        answer["error"]["details"]["outcome"], "not_applied",
        "{answer}"
    );
    assert_eq!(
        conn.ok("GET_INSTANCE", json!({ "instance_id": id })).await["state"],
        "created"
    );
    let mut legacy = Conn::legacy(node.addr).await;
    let params = json!({ "instance_id": id, "min_wal_offset": 1_000_000 });
    legacy
        .refused("GET_INSTANCE", params, "INTERNAL_ERROR")
        .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_and_a_taken_folder_are_refused_by_name() {
    let node = TestNode::start(&[]).await;
    let folder = config_on(node.data(), &[]);
    let refused = StartedNode::start(&folder, None)
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        refused.contains("in use by another process") && refused.contains("LOCK"),
        "{refused}"
    );
    // Who was refused has not disturbed who was there.
    Conn::open(node.addr).await.order().await;
    let taken = node.addr.to_string();
    let config =
        rstmdb::server::Config::load(None, |name| (name == "RSTMDB_BIND").then(|| taken.clone()));
    let refused = rstmdb::server::Listeners::bind(&config.unwrap())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("network.bind_addr") && refused.contains(&taken),
        "{refused}"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_another_node_is_refused_and_left_alone() {
    let dir = TestNode::start(&[]).await.stop().await;
    let log = dir.path().join("wal/0000000000000001.wal");
    let before = std::fs::read(&log).unwrap();
    let config = config_on(dir.path(), &[("RSTMDB_NODE_ID", "2")]);
    let refused = StartedNode::start(&config, None)
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        refused.contains("cluster.node_id: 2") && refused.contains("belongs to node 1"),
        "{refused}"
    );
    assert_eq!(std::fs::read(&log).unwrap(), before);
    TestNode::start_on(dir, &[("RSTMDB_NODE_ID", "1")])
        .await
        .stop()
        .await;
}

#[test]
fn mutated_frames_harm_nobody() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let node = runtime.block_on(TestNode::start(&[]));
    let addr = node.addr;
    let hello = br#"{"type":"request","id":"1","op":"HELLO","params":{"protocol_version":1}}"#;
    let list = br#"{"type":"request","id":"2","op":"LIST_INSTANCES","params":{"limit":5}}"#;
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(200));
    let strategy = (
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        any::<bool>(),
    );
    runner
        .run(&strategy, |(changes, keep_crc)| {
            let mut bytes = bytes::BytesMut::new();
            frame::encode(&mut bytes, Flags::NONE, hello).unwrap();
            let start = bytes.len();
            frame::encode(&mut bytes, Flags::NONE, list).unwrap();
            for (index, byte) in &changes {
                let at = start + index.index(bytes.len() - start);
                bytes[at] = *byte;
            }
            if keep_crc {
                bytes[start + 7] &= !1;
            }
            runtime.block_on(async {
                let mut stream = TcpStream::connect(addr).await.unwrap();
                stream.write_all(&bytes).await.unwrap();
                stream.shutdown().await.unwrap();
                let mut answer = Vec::new();
                let read = stream.read_to_end(&mut answer);
                let ended = tokio::time::timeout(Duration::from_secs(10), read).await;
                prop_assert!(ended.is_ok(), "the connection was not closed");
                prop_assert!(answer.len() < 64 * 1024);
                Ok(())
            })
        })
        .unwrap();
    runtime.block_on(async {
        Conn::open(addr).await.ok("PING", json!({})).await;
        node.stop().await;
    });
}

/// Many parsers, serde_json's among them, read 128 levels and no more.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_at_the_deepest_can_be_read_back_everywhere() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let definition = json!({"states": ["ON"], "initial": "ON",
        "transitions": [{"from": "ON", "event": "SET", "to": "ON"}]});
    let machine = json!({"machine": "deep", "version": 1, "definition": definition});
    conn.ok("PUT_MACHINE", machine).await;
    // Below the envelope and its parameters.
    let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!({ "n": inner }));
    let deepest = rstmdb_rcp::JSON_DEPTH_MAX - 2;
    let create = json!({"machine": "deep", "version": 1, "instance_id": "i", "initial_ctx": nested(deepest)});
    conn.ok("CREATE_INSTANCE", create).await;
    let set = json!({"instance_id": "i", "event": "SET", "payload": nested(deepest)});
    conn.ok("APPLY_EVENT", set).await;
    let too_deep = json!({"instance_id": "i", "event": "SET", "payload": nested(deepest + 1)});
    conn.refused("APPLY_EVENT", too_deep, "BAD_REQUEST").await;

    let got = conn.ok("GET_INSTANCE", json!({"instance_id": "i"})).await;
    assert_eq!(got["ctx"], nested(deepest));
    let read = json!({"op": "GET_INSTANCE", "params": {"instance_id": "i"}});
    let batch = conn.ok("BATCH", json!({"ops": [read]})).await;
    assert!(batch.to_string().contains(&nested(deepest).to_string()));
    let log = conn.ok("WAL_READ", json!({"from_offset": 0})).await;
    assert_eq!(
        log["records"]
            .to_string()
            .matches(&nested(deepest).to_string())
            .count(),
        3
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_segment_names_the_cluster_already() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let info = conn.ok("INFO", json!({})).await;
    let dir = node.stop().await;
    let segment = std::fs::read(dir.path().join("wal/0000000000000001.wal")).unwrap();
    let named = u128::from_le_bytes(segment[16..32].try_into().unwrap());
    assert_eq!(info["cluster_id"], Uuid::from_u128(named).to_string());
    // As after a crash between the first segment and the identity.
    std::fs::remove_file(dir.path().join("identity.json")).unwrap();
    let node = TestNode::start_on(dir, &[]).await;
    let mut conn = Conn::open(node.addr).await;
    let again = conn.ok("INFO", json!({})).await;
    assert_eq!(info["cluster_id"], again["cluster_id"]);
    node.stop().await;
}
