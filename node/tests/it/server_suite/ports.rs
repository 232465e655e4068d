//! What a caller can do that has only connected: to the port for clients, to admin HTTP, to the port for nodes.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rstmdb_rcp::frame::{self, Flags};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::program::Program;
use super::support::{Conn, PATIENCE, TestNode, unused_addr};

const TOKEN: &str = "the right one";

fn hash() -> String {
    let digest = Sha256::digest(TOKEN.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn with_auth() -> TestNode {
    let hash = hash();
    TestNode::start(&[
        ("RSTMDB_AUTH_REQUIRED", "true"),
        ("RSTMDB_AUTH_TOKEN_HASH", hash.as_str()),
    ])
    .await
}

fn auth(token: &str) -> Value {
    json!({ "method": "bearer", "token": token })
}

/// A PING of about this size.
fn ping_of(bytes: usize) -> Value {
    json!({ "pad": "x".repeat(bytes) })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_sends_small_frames_only() {
    let node = with_auth().await;
    let mut conn = Conn::open(node.addr).await;
    conn.ok("PING", ping_of(65_000)).await;
    conn.send("PING", ping_of(66_000)).await;
    let refusal = conn.recv().await;
    assert_eq!(refusal["error"]["code"], "BAD_REQUEST");
    let message = refusal["error"]["message"].as_str().unwrap();
    assert!(message.contains("at most 65536 bytes"), "{message}");
    conn.closed().await;

    let mut conn = Conn::open(node.addr).await;
    conn.ok("AUTH", auth(TOKEN)).await;
    conn.ok("PING", ping_of(1 << 20)).await;
    // After this the connection is no longer authenticated.
    conn.refused("AUTH", auth("wrong"), "AUTH_FAILED").await;
    conn.send("PING", ping_of(66_000)).await;
    assert_eq!(conn.recv().await["error"]["code"], "BAD_REQUEST");
    node.stop().await;

    let node = TestNode::start(&[]).await;
    let mut conn = Conn::raw(node.addr).await;
    let mut header = bytes::BytesMut::new();
    frame::encode(&mut header, Flags::NONE, &[b' '; 70_000]).unwrap();
    conn.send_bytes(&header[..frame::HEADER_BYTES]).await;
    assert_eq!(conn.recv().await["error"]["code"], "BAD_REQUEST");
    Conn::open(node.addr)
        .await
        .ok("PING", ping_of(1 << 20))
        .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_are_answered_late_and_right_ones_at_once() {
    let node = with_auth().await;
    let mut conn = Conn::open(node.addr).await;
    let begun = Instant::now();
    for _ in 0..3 {
        conn.refused("AUTH", auth("wrong"), "AUTH_FAILED").await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(700));
    conn.send("AUTH", auth("wrong")).await;
    conn.send("PING", json!({})).await;
    let answers = [conn.recv().await, conn.recv().await];
    assert_eq!(answers[0]["error"]["code"], "AUTH_FAILED");
    assert_eq!(answers[1]["result"]["pong"], true);
    let begun = Instant::now();
    conn.ok("AUTH", auth(TOKEN)).await;
    assert!(begun.elapsed() < Duration::from_millis(700));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_do_not_guess_faster() {
    let node = with_auth().await;
    let guessing = (0..60).map(|_| async {
        let mut conn = Conn::open(node.addr).await;
        let guess = conn.call("AUTH", auth("wrong"));
        timeout(Duration::from_millis(1500), guess).await.is_ok()
    });
    let answered = futures_util::future::join_all(guessing).await;
    let answered = answered.into_iter().filter(|answered| *answered).count();
    // 20 at once, and 10 a second; connecting takes its time too.
    assert!((15..=50).contains(&answered), "{answered}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_to_admin_http_keep_nobody_out() {
    let node = TestNode::start(&[]).await;
    let mut silent = Vec::new();
    for _ in 0..70 {
        let mut stream = tokio::net::TcpStream::connect(node.admin).await.unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHo")
            .await
            .unwrap();
        silent.push(stream);
    }
    let (status, body) = timeout(PATIENCE, node.admin_get("/metrics")).await.unwrap();
    assert_eq!(status, "HTTP/1.1 200 OK");
    let open: f64 = body
        .lines()
        .find_map(|line| line.strip_prefix("rstmdb_connection_buffers_bytes "))
        .unwrap()
        .parse()
        .unwrap();
    assert!(open < 1e6);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_frames_take_turns_and_small_ones_pass_by() {
    let node = TestNode::start(&[("RSTMDB_BUFFERS_MAX_MB", "32")]).await;
    let mut held = Vec::new();
    let mut whole = bytes::BytesMut::new();
    let request =
        json!({ "type": "request", "id": "big", "op": "PING", "params": ping_of(12 << 20) });
    frame::encode(&mut whole, Flags::NONE, request.to_string().as_bytes()).unwrap();
    let whole = whole.freeze();
    for _ in 0..5 {
        let mut conn = Conn::open(node.addr).await;
        let whole = whole.clone();
        held.push(tokio::spawn(async move {
            let (last, first) = (whole.len() - 1, 3 * (whole.len() / 4));
            conn.send_bytes(&whole[..first]).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            conn.send_bytes(&whole[first..last]).await;
            conn.send_bytes(&whole[last..]).await;
            conn.recv().await
        }));
    }
    let mut small = Conn::open(node.addr).await;
    let (_, id) = small.order().await;
    for _ in 0..20 {
        let noted = small.ok("APPLY_EVENT", json!({ "instance_id": id, "event": "NOTE" }));
        timeout(Duration::from_secs(2), noted).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for held in held {
        let answer = timeout(PATIENCE, held).await.unwrap().unwrap();
        assert_eq!(answer["result"]["pong"], true, "{answer}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standard_error_that_nobody_has_open_costs_lines_only() {
    let node = Program::start(1024, &[("RUST_LOG", "debug")], drop);
    for _ in 0..50 {
        Conn::open(node.rcp).await.ok("PING", json!({})).await;
    }
    Conn::open(node.rcp).await.order().await;
    assert_eq!(node.ended(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standard_error_that_is_full_costs_lines_only() {
    let mut kept: Option<Box<dyn Read + Send>> = None;
    let node = Program::start(1024, &[("RUST_LOG", "trace,openraft=trace")], |reader| {
        kept = Some(reader)
    });
    // A pipe takes 64 KiB.
    for _ in 0..100 {
        Conn::open(node.rcp).await.ok("PING", json!({})).await;
    }
    let mut conn = Conn::open(node.rcp).await;
    for _ in 0..100 {
        conn.order().await;
    }
    assert_eq!(node.ended(), Some(0));
    drop(kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_on_every_port_leave_descriptors_for_the_log() {
    // A node that serves others needs addresses that they can dial, so no port 0.
    let [peer_addr, admin_addr, rcp_addr] = [(); 3].map(|()| unused_addr());
    let [peer_bind, admin_bind, rcp_bind] =
        [peer_addr, admin_addr, rcp_addr].map(|addr| addr.to_string());
    let variables = [
        ("RSTMDB_BIND", rcp_bind.as_str()),
        ("RSTMDB_PEER_BIND", peer_bind.as_str()),
        ("RSTMDB_METRICS_BIND", admin_bind.as_str()),
    ];
    let node = Program::start(128, &variables, |mut reader| {
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    });
    let mut conn = Conn::open(node.rcp).await;
    let (_, id) = conn.order().await;
    let mut strangers = Vec::new();
    for addr in [peer_addr, admin_addr, node.rcp] {
        for _ in 0..100 {
            let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(2)).unwrap();
            strangers.push(stream);
        }
    }
    // Three segments; no letter follows from those before, so that nothing is compressed.
    let mut random = 1u32;
    let mut letter = |_| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'a' + (random >> 24) as u8 % 26)
    };
    for _ in 0..30 {
        let pad: String = (0..100_000).map(&mut letter).collect();
        let params = json!({ "instance_id": id, "event": "NOTE", "payload": { "pad": pad } });
        conn.ok("APPLY_EVENT", params).await;
    }
    conn.ok("COMPACT", json!({ "force_snapshot": true })).await;
    let open = std::fs::read_dir(format!("/proc/{}/fd", node.id())).unwrap();
    assert!(open.count() < 120);
    assert_eq!(node.ended(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_that_vanishes_ends_a_node_that_nobody_writes_to() {
    let mut said: Option<Box<dyn Read + Send>> = None;
    let node = Program::start(1024, &[], |reader| said = Some(reader));
    let elsewhere = node.data().with_extension("gone");
    std::fs::rename(node.data(), &elsewhere).unwrap();
    assert_eq!(node.ends(), Some(1));
    let mut text = String::new();
    said.unwrap().read_to_string(&mut text).unwrap();
    assert!(text.contains("the node has failed and stops"), "{text}");
    std::fs::remove_dir_all(&elsewhere).unwrap();
}

/// Whether the system will ask for signs of life, for each connection whose local or remote port is `port`:
/// `(it is the local one, it will)`.
fn keepalive_timers(port: u16) -> Vec<(bool, bool)> {
    const ESTABLISHED: &str = "01";
    const KEEPALIVE: &str = "02:";
    let port = format!("{port:04X}");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().skip(1).filter_map(|row| {
        let fields: Vec<&str> = row.split_whitespace().collect();
        let is_local = fields[1].ends_with(&format!(":{port}"));
        let is_ours = is_local || fields[2].ends_with(&format!(":{port}"));
        (is_ours && fields[3] == ESTABLISHED).then(|| (is_local, fields[5].starts_with(KEEPALIVE)))
    });
    rows.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_accepted_socket_and_every_client_s_asks_for_signs_of_life() {
    let peer_addr = unused_addr();
    let node = TestNode::start(&[("RSTMDB_PEER_BIND", &peer_addr.to_string())]).await;
    let client = rstmdb_rcp::client::Client::connect(rstmdb_rcp::client::ClientOptions {
        addrs: vec![node.addr.to_string()],
        ..Default::default()
    });
    let _client = client.await.unwrap();
    let mut to_admin = tokio::net::TcpStream::connect(node.admin).await.unwrap();
    to_admin.write_all(b"GET").await.unwrap();
    let _to_peers = tokio::net::TcpStream::connect(peer_addr).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut timers = keepalive_timers(node.addr.port());
    timers.sort_unstable();
    assert_eq!(timers, [(false, true), (true, true)]);
    for addr in [node.admin, peer_addr] {
        let timers = keepalive_timers(addr.port());
        assert!(timers.contains(&(true, true)), "{addr}: {timers:?}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_says_that_there_is_no_other_to_lead() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let refused = conn
        .refused("CLUSTER_TRANSFER_LEADER", json!({}), "CONFLICT")
        .await;
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("the only voter"), "{message}");
    node.stop().await;
}
