//! HTTP: who may do what, and what callers that mean harm can make it do.

use std::time::{Duration, Instant};

use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::http_client::{Events, Http};
use super::support::{Conn, TestNode, fresh, order_definition};

fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_nothing_and_a_bearer_what_rcp_gives_it() {
    let node = TestNode::start(&[
        ("RSTMDB_AUTH_REQUIRED", "true"),
        ("RSTMDB_AUTH_TOKEN_HASH", &hash("right")),
    ])
    .await;
    let mut stranger = Http::connect(node.http).await;
    // The console's files tell nothing of what the node holds.
    let page = stranger.get("/").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert_eq!(stranger.get("/console/app.js").await.status, 200);
    let document = stranger.get("/openapi.json").await.ok();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let target = path.replace(['{', '}'], "");
            let refused = stranger
                .send(&method.to_uppercase(), &target, &[], None)
                .await;
            refused.refused(401, "UNAUTHORIZED");
            assert_eq!(
                refused.header("www-authenticate"),
                Some("Bearer realm=\"rstmdb\"")
            );
        }
    }
    let body = json!({ "definition": { "meta": "x".repeat(200_000) } });
    let refused = stranger
        .send_json("PUT", "/v1/machines/m/versions/1", &body)
        .await;
    refused.refused(401, "UNAUTHORIZED");
    let mut bearer = Http::connect(node.http)
        .await
        .with("Authorization", "Bearer right");
    let machine = fresh("order");
    let put = json!({ "definition": order_definition() });
    let place = format!("/v1/machines/{machine}/versions/1");
    bearer.send_json("PUT", &place, &put).await.ok();
    // The actor is the token's name, as over RCP.
    let log = bearer
        .get("/v1/wal?from_offset=0&include_meta=true")
        .await
        .ok();
    let actors: Vec<_> = log["records"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|record| record["entry"]["machine"] == json!(machine))
        .map(|record| record["meta"]["actor"].clone())
        .collect();
    assert_eq!(actors, [format!("token:{}", &hash("right")[..8])]);
    // A proxy sends the requests of many clients over one connection: each is what its own token makes it.
    let [auth] = [("Authorization", "bearer right")];
    let mut proxy = Http::connect(node.http).await;
    for _ in 0..3 {
        assert_eq!(
            proxy.send("GET", "/v1/info", &[auth], None).await.status,
            200
        );
        proxy.get("/v1/info").await.refused(401, "UNAUTHORIZED");
    }
    for wrong in [
        "right",
        "Basic cmlnaHQ6",
        "Bearer",
        "Bearer right, Bearer right",
    ] {
        let mut http = Http::connect(node.http).await;
        let refused = http
            .send("GET", "/v1/info", &[("Authorization", wrong)], None)
            .await;
        refused.refused(401, "AUTH_FAILED");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_are_answered_late_and_end_the_connection() {
    let node = TestNode::start(&[
        ("RSTMDB_AUTH_REQUIRED", "true"),
        ("RSTMDB_AUTH_TOKEN_HASH", &hash("right")),
    ])
    .await;
    let mut http = Http::connect(node.http).await;
    let mut least = Duration::from_millis(100);
    for guess in 0..3 {
        let began = Instant::now();
        let token = format!("Bearer wrong-{guess}");
        let refused = http
            .send("GET", "/v1/info", &[("Authorization", &token)], None)
            .await;
        refused.refused(401, "AUTH_FAILED");
        let scheme = "Bearer realm=\"rstmdb\", error=\"invalid_token\"";
        assert_eq!(refused.header("www-authenticate"), Some(scheme));
        assert!(began.elapsed() >= least, "{:?}", began.elapsed());
        least *= 2;
    }
    // The right one is not held up by what others have tried.
    let began = Instant::now();
    let mut http = Http::connect(node.http)
        .await
        .with("Authorization", "Bearer right");
    http.get("/v1/info").await.ok();
    assert!(began.elapsed() < Duration::from_secs(5));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_not_needed_where_it_is_not_required_but_a_wrong_one_is_refused() {
    let node = TestNode::start(&[("RSTMDB_AUTH_TOKEN_HASH", &hash("right"))]).await;
    let mut http = Http::connect(node.http).await;
    http.get("/v1/info").await.ok();
    for (token, status) in [("Bearer right", 200), ("Bearer wrong", 401)] {
        let answered = http
            .send("GET", "/v1/info", &[("Authorization", token)], None)
            .await;
        assert_eq!(answered.status, status);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_change_nothing_and_read_nothing() {
    let node = TestNode::start(&[]).await;
    let (_, id) = Conn::open(node.addr).await.order().await;
    let events = format!("/v1/instances/{id}/events?event=PAY");
    let own = format!("http://{}", node.http);
    for (headers, status) in [
        (&[("Origin", "http://evil.example")][..], 403),
        (&[("Origin", "null")], 403),
        (&[("Sec-Fetch-Site", "cross-site")], 403),
        (&[("Host", "evil.example")], 421),
        (
            &[("Host", "evil.example"), ("Origin", "http://evil.example")],
            421,
        ),
    ] {
        let mut http = Http::connect(node.http).await;
        let refused = http.send("POST", &events, headers, None).await;
        refused.refused(status, "FORBIDDEN");
        assert_eq!(refused.header("access-control-allow-origin"), None);
        // Not even what a page may see only if the server allows it.
        let read = http
            .send("GET", &format!("/v1/instances/{id}"), headers, None)
            .await;
        assert_eq!(read.header("access-control-allow-origin"), None);
        assert_eq!(read.header("x-content-type-options"), Some("nosniff"));
    }
    let mut http = Http::connect(node.http).await;
    let shown = http.get(&format!("/v1/instances/{id}")).await.ok();
    assert_eq!(shown["state"], "created");
    http.send("POST", &events, &[("Origin", &own)], None)
        .await
        .ok();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_http_count_with_those_of_rcp() {
    let node = TestNode::start(&[("RSTMDB_MAX_CONNECTIONS", "2")]).await;
    let mut first = Http::connect(node.http).await;
    first.get("/v1/info").await.ok();
    let mut second = Conn::open(node.addr).await;
    second.ok("PING", json!({})).await;
    let mut third = Http::connect(node.http).await;
    let refused = third.response("GET").await;
    refused.refused(503, "RATE_LIMITED");
    assert_eq!(refused.header("retry-after"), Some("1"));
    third.closed().await;
    drop(first);
    // Its place is free as soon as the node has seen that it is gone.
    let began = Instant::now();
    while Http::connect(node.http).await.get("/v1/info").await.status != 200 {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stands_still_holds_up_nobody() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let mut slow = Http::connect(node.http).await;
    slow.begin("GET", "/v1/watch", &[], None).await;
    let mut fast = Events::open(node.http, "/v1/watch?include_ctx=false", None).await;
    fast.next().await.unwrap();
    let pad = "x".repeat(100_000);
    for _ in 0..50 {
        let params = json!({ "instance_id": id, "event": "NOTE", "payload": { "pad": pad } });
        conn.ok("APPLY_EVENT", params).await;
        assert_eq!(fast.next().await.unwrap().data["instance_id"], json!(id));
    }
    // And then it reads all of it.
    assert_eq!(slow.head().await.unwrap().status, 200);
    let mut bytes = 0;
    while bytes < 50 * pad.len() {
        bytes += slow.chunk().await.unwrap().len();
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_are_counted_by_status_and_operations_by_name() {
    let node = TestNode::start(&[]).await;
    let mut http = Http::connect(node.http).await;
    http.get("/v1/info").await.ok();
    http.get("/v1/nothing").await.refused(404, "NOT_FOUND");
    let (_, metrics) = node.admin_get("/metrics").await;
    for line in [
        "rstmdb_http_responses_total{status=\"200\"} 1",
        "rstmdb_http_responses_total{status=\"404\"} 1",
        "rstmdb_requests_total{op=\"INFO\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_port_that_is_taken_is_done_without_and_a_chosen_one_is_named() {
    // Taken by this test, or by whatever has it already.
    let _default = std::net::TcpListener::bind("127.0.0.1:7403");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let chosen = taken.local_addr().unwrap().to_string();
    let bound = async |http: Option<&str>| {
        let config = rstmdb::server::Config::load(None, |name| match name {
            "RSTMDB_BIND" | "RSTMDB_METRICS_BIND" => Some("127.0.0.1:0".to_owned()),
            "RSTMDB_HTTP_BIND" => http.map(str::to_owned),
            _ => None,
        });
        rstmdb::server::Listeners::bind(&config.unwrap()).await
    };
    assert!(bound(None).await.unwrap().http.is_none());
    assert!(bound(Some("none")).await.unwrap().http.is_none());
    assert!(bound(Some("127.0.0.1:0")).await.unwrap().http.is_some());
    let refused = bound(Some(&chosen)).await.unwrap_err().to_string();
    assert!(
        refused.contains("http.bind_addr") && refused.contains(&chosen),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_a_stop_cuts_off_may_be_sent_to_another_node() {
    let mut node = TestNode::start(&[]).await;
    let mut http = Http::connect(node.http).await;
    // The session of this connection is there before the node stops.
    http.get("/v1/info").await.ok();
    let head = format!(
        "POST /v1/instances HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n",
        node.http
    );
    http.raw(format!("{head}{{\"machine\":").as_bytes()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    node.begin_stop();
    let problem = http.response("POST").await.refused(503, "NO_LEADER");
    assert_eq!(problem["retryable"], true, "{problem}");
    assert_eq!(problem["details"]["outcome"], "not_applied", "{problem}");
    http.closed().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_nobody_reads_give_their_connections_back_when_memory_is_short() {
    let node = TestNode::start(&[("RSTMDB_BUFFERS_MAX_MB", "32")]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let pad = "x".repeat(900_000);
    for _ in 0..12 {
        let params = json!({ "instance_id": id, "event": "NOTE", "payload": { "pad": pad } });
        conn.ok("APPLY_EVENT", params).await;
    }
    let mut silent = Vec::new();
    for _ in 0..80 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(node.http).await.unwrap();
        let request = "GET /v1/watch?from_offset=0 HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        silent.push(stream);
    }
    let active = async || {
        let (_, metrics) = node.admin_get("/metrics").await;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("rstmdb_connections_active "));
        line.unwrap().parse::<usize>().unwrap()
    };
    let began = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let active = active().await;
        println!("{:?} {active}", began.elapsed());
        if active < 40 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{active}");
    }
    node.stop().await;
}
