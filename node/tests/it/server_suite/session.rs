//! Frames, HELLO, AUTH, PING, INFO, BYE, both wire modes.

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use rstmdb_rcp::client::{Client, ClientOptions};
use rstmdb_rcp::frame::{self, Flags};
use rstmdb_rcp::message::session::{ClusterInfo, InfoResult};
use rstmdb_rcp::wire::WireMode;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{Conn, TestNode, order_definition};

fn frame_of(payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    frame::encode(&mut out, Flags::NONE, payload).unwrap();
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn frame_faults_close_the_connection_after_one_error() {
    let node = TestNode::start(&[]).await;
    let good = frame_of(br#"{"type":"request","id":"1","op":"PING"}"#);
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        bad
    };
    let faults = [
        (with(4, &[0, 2]), "UNSUPPORTED_PROTOCOL"),
        (with(6, &[0, 0x10]), "BAD_REQUEST"),
        (with(6, &[0, 0x03]), "BAD_REQUEST"),
        (with(10, &(17u32 << 20).to_be_bytes()), "BAD_REQUEST"),
        (with(14, &[0; 4]), "BAD_REQUEST"),
        (frame_of(b"not json"), "BAD_REQUEST"),
        (frame_of(b"[1]"), "BAD_REQUEST"),
        (frame_of(b"\xff\xfe"), "BAD_REQUEST"),
    ];
    for (bytes, code) in faults {
        let mut conn = Conn::raw(node.addr).await;
        conn.send_bytes(&bytes).await;
        let answer = conn.recv().await;
        assert_eq!(answer["id"], "", "{answer}");
        assert_eq!(answer["error"]["code"], code, "{answer}");
        conn.closed().await;
    }
    let mut conn = Conn::raw(node.addr).await;
    conn.send_bytes(b"SSH-2.0-x\r\n").await;
    conn.closed().await;
    Conn::open(node.addr).await.ok("PING", json!({})).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_takes_one_port_for_the_other_is_told_the_right_one() {
    let node = TestNode::start(&[]).await;
    for request in [
        "GET /v1/info HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /v1/instances HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    ] {
        let mut socket = tokio::net::TcpStream::connect(node.addr).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut told = String::new();
        socket.read_to_string(&mut told).await.unwrap();
        assert!(told.starts_with("HTTP/1.1 400 "), "{told}");
        assert!(told.contains("http.bind_addr"), "{told}");
    }
    // The other way round the client library says it.
    let client = Client::connect(ClientOptions {
        addrs: vec![node.http.to_string()],
        ..ClientOptions::default()
    });
    let told = client.await.unwrap_err().to_string();
    assert!(told.contains("the server speaks HTTP"), "{told}");
    assert!(told.contains("7401"), "{told}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_extension_is_skipped_and_an_absent_crc_not_checked() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::raw(node.addr).await;
    let payload = br#"{"type":"request","id":"h","op":"HELLO","params":{"protocol_version":1}}"#;
    let mut bytes = BytesMut::new();
    bytes.put_slice(b"RCPX\0\x01\0\0\0\x03");
    bytes.put_u32(payload.len() as u32);
    bytes.put_u32(0);
    bytes.put_slice(b"ext");
    bytes.put_slice(payload);
    conn.send_bytes(&bytes).await;
    assert_eq!(conn.recv().await["status"], "ok");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_requests_are_answered_and_the_connection_lives_on() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let deep = format!(
        r#"{{"type":"request","id":"d","op":"PING","params":{{"x":{}1{}}}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let requests: [(&[u8], &str); 8] = [
        (br#"{"type":"request","id":"a"}"#, "a"),
        (br#"{"type":"request","id":"b","op":"DROP"}"#, "b"),
        (br#"{"type":"request","id":"c","op":5}"#, "c"),
        (
            br#"{"type":"request","id":"e","op":"PING","params":[]}"#,
            "e",
        ),
        (br#"{"type":"request","id":7,"op":"PING"}"#, ""),
        (br#"{"type":"request","op":"PING"}"#, ""),
        (br#"{"type":"event","id":"f","op":"PING"}"#, "f"),
        (deep.as_bytes(), "d"),
    ];
    for (payload, id) in requests {
        conn.send_bytes(&frame_of(payload)).await;
        let answer = conn.recv().await;
        assert_eq!(answer["id"], id, "{answer}");
        assert_eq!(answer["error"]["code"], "BAD_REQUEST", "{answer}");
    }
    let long = json!({ "type": "request", "id": "x".repeat(257), "op": "PING" });
    conn.send_json(&long).await;
    assert_eq!(conn.recv().await["error"]["code"], "BAD_REQUEST");
    assert_eq!(conn.ok("PING", json!({})).await, json!({ "pong": true }));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hello_comes_first_and_once_and_negotiates() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::raw(node.addr).await;
    conn.refused("PING", json!({}), "BAD_REQUEST").await;
    let result = conn.hello(json!(["batch", "telepathy"]), None).await;
    assert_eq!(result["protocol_version"], 1);
    assert_eq!(result["wire_mode"], "binary_json");
    assert_eq!(result["server_name"], "rstmdb");
    assert_eq!(result["features"], json!(["batch"]));
    conn.refused("HELLO", json!({ "protocol_version": 1 }), "BAD_REQUEST")
        .await;
    let mut conn = Conn::raw(node.addr).await;
    conn.refused("HELLO", json!({}), "BAD_REQUEST").await;
    conn.refused(
        "HELLO",
        json!({ "protocol_version": 2 }),
        "UNSUPPORTED_PROTOCOL",
    )
    .await;
    conn.closed().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jsonl_follows_a_framed_hello() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::raw(node.addr).await;
    let hello = conn.hello(json!(["cluster"]), Some(WireMode::Jsonl)).await;
    assert_eq!(hello["wire_mode"], "jsonl");
    conn.ok("PING", json!({})).await;
    let (_, id) = conn.order().await;
    conn.ok("WATCH_INSTANCE", json!({ "instance_id": id }))
        .await;
    conn.send("APPLY_EVENT", json!({ "instance_id": id, "event": "PAY" }))
        .await;
    let kinds = [
        conn.recv().await["type"].clone(),
        conn.recv().await["type"].clone(),
    ];
    assert!(kinds.contains(&json!("event")) && kinds.contains(&json!("response")));
    conn.send_bytes(b"no json\n").await;
    assert_eq!(conn.recv().await["error"]["code"], "BAD_REQUEST");
    conn.closed().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_is_asked_for_before_anything_that_counts() {
    let hash: String = Sha256::digest(b"letmein")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let node = TestNode::start(&[
        ("RSTMDB_AUTH_REQUIRED", "true"),
        ("RSTMDB_AUTH_TOKEN_HASH", &hash),
    ])
    .await;
    let mut conn = Conn::open(node.addr).await;
    conn.ok("PING", json!({})).await;
    for op in ["INFO", "LIST_MACHINES", "WAL_STATS", "UNWATCH", "BATCH"] {
        conn.refused(op, json!({}), "UNAUTHORIZED").await;
    }
    conn.refused(
        "AUTH",
        json!({ "method": "bearer", "token": "wrong" }),
        "AUTH_FAILED",
    )
    .await;
    let error = conn
        .refused(
            "AUTH",
            json!({ "method": "password", "token": "letmein" }),
            "BAD_REQUEST",
        )
        .await;
    assert!(!error.to_string().contains("letmein"));
    let result = conn
        .ok("AUTH", json!({ "method": "bearer", "token": "letmein" }))
        .await;
    assert_eq!(result, json!({ "authenticated": true }));
    let params = json!({ "machine": "m", "version": 1, "definition": order_definition() });
    conn.ok("PUT_MACHINE", params).await;
    let page = conn.ok("WAL_READ", json!({ "from_offset": 0 })).await;
    let record = page["records"].as_array().unwrap().last().unwrap();
    assert!(
        record["entry"]["actor"]
            .as_str()
            .unwrap()
            .starts_with("token:"),
        "{record}"
    );
    node.stop().await;
}

fn hash_of(token: &str) -> String {
    let digest = Sha256::digest(token.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A node that accepts the tokens `one` and `two`.
pub(super) async fn node_with_two_tokens(dir: &tempfile::TempDir) -> TestNode {
    let secrets = dir.path().join("tokens");
    std::fs::write(
        &secrets,
        format!("{}\n{}\n", hash_of("one"), hash_of("two")),
    )
    .unwrap();
    TestNode::start(&[
        ("RSTMDB_AUTH_REQUIRED", "true"),
        ("RSTMDB_AUTH_SECRETS_FILE", secrets.to_str().unwrap()),
    ])
    .await
}

pub(super) fn token(token: &str) -> serde_json::Value {
    json!({ "method": "bearer", "token": token })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_when_the_connection_is_somebody_else_or_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let node = node_with_two_tokens(&dir).await;
    for (next, code) in [("two", None), ("wrong", Some("AUTH_FAILED"))] {
        let mut conn = Conn::open(node.addr).await;
        conn.ok("AUTH", token("one")).await;
        let watch = conn.ok("WATCH_ALL", json!({})).await;
        // The same identity again ends nothing.
        conn.ok("AUTH", token("one")).await;
        conn.send("AUTH", token(next)).await;
        let end = conn.recv().await;
        assert_eq!(end["type"], "end", "{end}");
        assert_eq!(end["subscription_id"], watch["subscription_id"]);
        assert_eq!(end["error"]["code"], "UNAUTHORIZED", "{end}");
        let answer = conn.recv().await;
        assert_eq!(answer["error"]["code"].as_str(), code, "{answer}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_bearer_asked_for_is_not_answered_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let node = node_with_two_tokens(&dir).await;
    for next in ["two", "wrong"] {
        let mut conn = Conn::open(node.addr).await;
        conn.ok("AUTH", token("one")).await;
        let (_, id) = conn.order().await;
        let event = json!({ "type": "request", "id": "event", "op": "APPLY_EVENT",
            "params": { "instance_id": id, "event": "PAY" } });
        let auth = json!({ "type": "request", "id": "auth", "op": "AUTH", "params": token(next) });
        let mut both = frame_of(event.to_string().as_bytes());
        both.extend_from_slice(&frame_of(auth.to_string().as_bytes()));
        conn.send_bytes(&both).await;
        let answer = conn.recv().await;
        assert_eq!(answer["id"], "event", "{answer}");
        assert_eq!(answer["error"]["code"], "UNAUTHORIZED", "{answer}");
        assert_eq!(answer["error"]["details"]["outcome"], "unknown");
        assert_eq!(conn.recv().await["id"], "auth");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn info_shows_the_cluster_to_those_who_asked_for_it() {
    let node = TestNode::start(&[("RSTMDB_NODE_ID", "7")]).await;
    let mut conn = Conn::open(node.addr).await;
    let info: InfoResult<'_> = serde_json::from_value(conn.ok("INFO", json!({})).await).unwrap();
    assert_eq!((info.max_frame_bytes, info.max_batch_ops), (16 << 20, 100));
    let cluster: ClusterInfo<'_> = info.cluster.unwrap();
    let leader = cluster.leader.unwrap();
    if super::FOLLOWS {
        assert_eq!((cluster.node_id, &*cluster.role), (7, "follower"));
        assert!([1, 2].contains(&leader.node_id));
        assert_eq!(cluster.members.len(), 3);
        assert!(cluster.members.iter().all(|member| member.voter));
    } else {
        assert_eq!((cluster.node_id, &*cluster.role), (7, "leader"));
        assert_eq!(leader.node_id, 7);
        assert_eq!(cluster.members.len(), 1);
    }
    assert_eq!(cluster.connections, 1);
    assert_eq!(cluster.state_digest.len(), 32);
    let info = Conn::legacy(node.addr).await.ok("INFO", json!({})).await;
    assert_eq!(info["server_name"], "rstmdb");
    assert_eq!(info["node_id"], json!(null));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bye_is_the_last_answer() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    conn.send("APPLY_EVENT", json!({ "instance_id": id, "event": "PAY" }))
        .await;
    conn.send("BYE", json!({})).await;
    assert_eq!(conn.recv().await["result"]["to_state"], "paid");
    assert_eq!(conn.recv().await["result"], json!({ "goodbye": true }));
    conn.closed().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_are_closed_but_not_those_that_watch() {
    let node = TestNode::start(&[("RSTMDB_IDLE_TIMEOUT", "1")]).await;
    // It gets no notices, which might come before an answer.
    let mut watcher = Conn::legacy(node.addr).await;
    watcher.ok("WATCH_ALL", json!({})).await;
    let mut silent = Conn::open(node.addr).await;
    silent.closed().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    watcher.ok("PING", json!({})).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_answers_what_was_asked_and_ends_watches() {
    let mut node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let watch = conn.ok("WATCH_ALL", json!({})).await;
    conn.ok("PING", json!({})).await;
    node.begin_stop();
    let (flags, end) = conn.next().await.unwrap();
    assert!(flags.contains(Flags::STREAM | Flags::END_OF_STREAM));
    assert_eq!(end["type"], "end");
    assert_eq!(end["subscription_id"], watch["subscription_id"]);
    assert_eq!(end["error"]["code"], "NO_LEADER");
    conn.closed().await;
}
