//! HTTP of real processes: requests at a node that does not lead, a stream that outlives the node it came from, tokens
//! that are taken back.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::http_client::{Events, Http};
use super::program::Program;
use super::support::{fresh, unused_addr};

/// Events that are sent, and how many are read before the leader is killed.
const EVENTS: u64 = 120;
const BEFORE: usize = 40;
/// Longer than an election takes, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

struct Node {
    program: Program,
    http: SocketAddr,
}

/// Three nodes, the leader first.
async fn cluster() -> Vec<Node> {
    let addrs = [(); 3].map(|()| [(); 3].map(|()| unused_addr().to_string()));
    let peers: Vec<String> = (1..)
        .zip(&addrs)
        .map(|(id, [rcp, peer, _])| format!("{id}={peer}/{rcp}"))
        .collect();
    let peers = peers.join(",");
    let starts = (1..).zip(addrs).map(|(id, [rcp, peer, http])| {
        let (peers, id) = (peers.clone(), format!("{id}"));
        tokio::task::spawn_blocking(move || {
            let variables = [
                ("RSTMDB_NODE_ID", id.as_str()),
                ("RSTMDB_PEERS", &peers),
                ("RSTMDB_BIND", &rcp),
                ("RSTMDB_PEER_BIND", &peer),
                ("RSTMDB_HTTP_BIND", &http),
            ];
            let program = Program::start(1024, &variables, |mut reader| {
                std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
            });
            Node {
                program,
                http: http.parse().unwrap(),
            }
        })
    });
    let mut nodes = Vec::new();
    for start in futures_util::future::join_all(starts).await {
        nodes.push(start.unwrap());
    }
    let began = Instant::now();
    loop {
        for at in 0..nodes.len() {
            let info = Http::connect(nodes[at].http)
                .await
                .get("/v1/info")
                .await
                .ok();
            if info["role"] == "leader" {
                nodes.swap(0, at);
                return nodes;
            }
        }
        assert!(began.elapsed() < PATIENCE, "no node leads");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Sends a write to one of these nodes, again and again until it is done.
async fn done(nodes: &[SocketAddr], method: &str, target: &str, key: &str, body: &Value) -> Value {
    let began = Instant::now();
    for addr in nodes.iter().cycle() {
        let mut http = Http::connect(*addr).await;
        let headers = [
            ("Content-Type", "application/json"),
            ("Idempotency-Key", key),
        ];
        let headers = if key.is_empty() {
            &headers[..1]
        } else {
            &headers[..]
        };
        let response = http
            .send(method, target, headers, Some(&body.to_string()))
            .await;
        if response.status < 300 {
            return response.json();
        }
        let problem = response.json();
        assert_eq!(problem["retryable"], true, "{problem}");
        assert!(began.elapsed() < PATIENCE, "{problem}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    unreachable!("a cycle has no end")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_at_another_node_when_the_leader_is_killed() {
    let mut nodes = cluster().await;
    let leader = nodes.remove(0);
    let others: Vec<SocketAddr> = nodes.iter().map(|node| node.http).collect();
    // Nodes that do not lead take writes, too.
    let machine = fresh("count");
    let definition = json!({ "definition": {
        "states": ["on"], "initial": "on", "transitions": [{ "from": "on", "event": "ADD", "to": "on" }],
    } });
    done(
        &others[..1],
        "PUT",
        &format!("/v1/machines/{machine}/versions/1"),
        "",
        &definition,
    )
    .await;
    let create = json!({ "instance_id": machine, "machine": machine });
    done(&others[1..], "POST", "/v1/instances", "c", &create).await;

    let target = format!("/v1/watch?machines={machine}&include_ctx=false");
    let mut events = Events::open(leader.http, &target, None).await;
    let mut last_id = events.next().await.unwrap().id.unwrap();
    let writing = tokio::spawn({
        let (others, events) = (others.clone(), format!("/v1/instances/{machine}/events"));
        async move {
            for n in 0..EVENTS {
                let body = json!({ "event": "ADD", "payload": { "n": n } });
                done(&others, "POST", &events, &format!("k{n}"), &body).await;
            }
        }
    });
    let mut leader = Some(leader);
    let (mut seen, mut opened) = (Vec::new(), 0);
    let began = Instant::now();
    while (seen.len() as u64) < EVENTS {
        assert!(began.elapsed() < PATIENCE, "{} events", seen.len());
        let Some(message) = events.next().await.filter(|message| message.kind != "end") else {
            let addr = others[opened % others.len()];
            opened += 1;
            if let Some(stream) = Events::try_open(addr, &target, Some(&last_id)).await {
                events = stream;
            } else {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            continue;
        };
        if message.kind == "message" {
            seen.push(message.data["payload"]["n"].as_u64().unwrap());
        }
        last_id = message.id.unwrap();
        if seen.len() >= BEFORE
            && let Some(node) = leader.take()
        {
            drop(node.program);
        }
    }
    writing.await.unwrap();
    assert_eq!(seen, (0..EVENTS).collect::<Vec<_>>());
    assert!(opened > 0 && leader.is_none());
}

fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_taken_back_ends_its_streams() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = dir.path().join("tokens");
    std::fs::write(&secrets, hash("right") + "\n" + &hash("admin")).unwrap();
    let path = secrets.display().to_string();
    let http = unused_addr();
    let addr = http.to_string();
    let variables = [
        ("RSTMDB_AUTH_REQUIRED", "true"),
        ("RSTMDB_AUTH_SECRETS_FILE", path.as_str()),
        ("RSTMDB_HTTP_BIND", addr.as_str()),
    ];
    let node = Program::start(1024, &variables, |mut reader| {
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    });
    let mut kept = Http::connect(http)
        .await
        .with("Authorization", "Bearer right");
    kept.get("/v1/info").await.ok();
    let mut reader = Http::connect(http)
        .await
        .with("Authorization", "Bearer right");
    reader.begin("GET", "/v1/watch", &[], None).await;
    assert_eq!(reader.head().await.unwrap().status, 200);
    reader.chunk().await.unwrap();
    std::fs::write(&secrets, hash("admin")).unwrap();
    let mut admin = Http::connect(http)
        .await
        .with("Authorization", "Bearer admin");
    admin.send("POST", "/v1/reload", &[], None).await.ok();
    let end = String::from_utf8(reader.chunk().await.unwrap()).unwrap();
    assert!(
        end.starts_with("event: end\n") && end.contains("UNAUTHORIZED"),
        "{end}"
    );
    assert_eq!(reader.chunk().await, None);
    kept.get("/v1/info").await.refused(401, "AUTH_FAILED");
    assert_eq!(node.ended(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_answer_that_the_document_does_not_describe() {
    // `.ci/tools` installs it.
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools/python/bin/schemathesis");
    if !program.exists() {
        println!("skipped: {} is not installed", program.display());
        return;
    }
    let http = unused_addr();
    let addr = http.to_string();
    let variables = [("RSTMDB_HTTP_BIND", addr.as_str())];
    let node = Program::start(1024, &variables, |mut reader| {
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    });
    // Not streams, which have no end, nor what waits for other nodes.
    // It writes a cache where it is started.
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(program)
        .current_dir(folder.path())
        .args(["run", &format!("http://{http}/openapi.json")])
        .args(["--phases", "coverage", "--no-color"])
        .args(["--exclude-path-regex", "watch|clock|cluster|reload"])
        .args([
            "--checks",
            "not_a_server_error,content_type_conformance,response_schema_conformance,status_code_conformance",
        ])
        .output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert_eq!(node.ended(), Some(0));
}
