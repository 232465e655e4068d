//! `summary` and `top`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::fake::{Answer, Fake, exited};
use rstmdb_rcp::Code;
use rstmdb_rcp::message::watch::Event;
use rstmdb_rcp::message::{ErrorBody, op};
use serde_json::{Value, json};

/// A cluster of one with two machines. Its log grows by ten with each question for it.
fn server() -> Fake {
    let head = AtomicU64::new(100);
    Fake::start(move |operation, params| {
        let result = match operation {
            op::INFO => {
                let applied = head.fetch_add(10, Ordering::SeqCst);
                json!({"server_name": "rstmdb", "server_version": "0.1.0", "node_id": 1, "cluster_id": "c",
                    "role": "leader", "term": 2, "last_applied": applied, "commit_index": applied,
                    "uptime_secs": 60, "connections": 3, "instances": 7, "earliest_offset": 1})
            }
            op::CLUSTER_STATUS => {
                json!({"cluster_id": "c", "cluster_name": "orders", "leader": 1, "term": 2,
                "nodes": [{"node_id": 1, "voter": true, "peer_addr": "a:2", "rcp_addr": "a:1", "reachable": true,
                    "role": "leader", "applied": head.load(Ordering::SeqCst), "lag": 0}]})
            }
            op::LIST_MACHINES => {
                json!({"items": [{"machine": "bill", "versions": [1]}, {"machine": "order", "versions": [1, 2]}]})
            }
            op::GET_MACHINE => json!({"version": params["version"], "checksum": "c", "definition":
                {"states": ["CART", "PAID"], "initial": "CART", "transitions": []}}),
            op::LIST_INSTANCES => {
                let total = match (params["machine"].as_str(), params["state"].as_str()) {
                    (Some("order"), None) => 5,
                    (Some("order"), Some("PAID")) => 3,
                    (Some("order"), Some("CART")) => 2,
                    _ => 0,
                };
                json!({"instances": [], "total": total, "has_more": false})
            }
            op::TIMER_LIST => json!({"timers": [], "armed": 4, "overdue": 1}),
            op::LOCK_LIST => {
                return Answer::Refuse(ErrorBody::new(Code::Forbidden, "no locks for you"));
            }
            op::WATCH_ALL => {
                let first = params["from_offset"].as_u64().unwrap();
                let event = |offset: u64| Event {
                    subscription_id: "sub-1".into(),
                    instance_id: "a".into(),
                    machine: "order".into(),
                    version: 1,
                    wal_offset: offset,
                    from_state: "CART".into(),
                    to_state: "PAID".into(),
                    event: "PAY".into(),
                    emits: Vec::new(),
                    payload: None,
                    ctx: None,
                    kind: None,
                    timer: None,
                    code: None,
                    message: None,
                    imported: false,
                    meta: None,
                };
                let started = json!({"subscription_id": "sub-1", "wal_offset": 10_000});
                let events = vec![event(first), event(first + 1)];
                return Answer::OkThenAll(started.to_string(), events, 10_000);
            }
            _ => json!({}),
        };
        Answer::Ok(result.to_string())
    })
}

#[test]
fn a_summary_counts_instances_by_state_and_says_what_needs_attention() {
    let fake = server();
    let (out, _) = exited(&fake.cli(&["summary"]).output().unwrap(), 0);
    let summary: Value = serde_json::from_str(&out).unwrap();
    let order = &summary["machines"][1];
    assert_eq!(
        (&order["machine"], &order["instances"], &order["states"]),
        (
            &json!("order"),
            &json!(5),
            &json!([{"state": "PAID", "count": 3}, {"state": "CART", "count": 2}])
        )
    );
    assert_eq!(summary["timers"]["armed"], 4);
    assert_eq!(summary["log"]["latest_offset"], 100);
    assert_eq!(summary["locks"], Value::Null);
    let attention = summary["attention"].to_string();
    for part in ["locks cannot be shown: FORBIDDEN", "1 timer is overdue"] {
        assert!(attention.contains(part), "{attention}");
    }
    // A summary must not wait for a leader that is not there.
    for (operation, params) in fake.requests() {
        let reads = [
            op::LIST_MACHINES,
            op::GET_MACHINE,
            op::LIST_INSTANCES,
            op::TIMER_LIST,
        ];
        if reads.contains(&operation.as_str()) {
            assert!(
                params.contains(r#""consistency":"local""#),
                "{operation} {params}"
            );
        }
    }
    let (out, _) = exited(
        &fake
            .cli(&["summary", "order", "-o", "table"])
            .output()
            .unwrap(),
        0,
    );
    assert!(
        out.contains("\norder    1, 2      5          PAID 3, CART 2\n"),
        "{out}"
    );
    assert!(!out.contains("\nbill"), "{out}");
}

#[test]
fn top_says_once_how_fast_the_log_grows_and_which_machines_are_busy() {
    let fake = server();
    let args = ["top", "--once", "--interval", "200ms"];
    let (out, _) = exited(&fake.cli(&args).output().unwrap(), 0);
    let frame: Value = serde_json::from_str(&out).unwrap();
    assert!(frame["entries_per_sec"].as_f64().unwrap() > 0.0, "{frame}");
    assert!(frame["read_ms"].as_f64().is_some(), "{frame}");
    assert_eq!(frame["leader"], 1);
    let node = &frame["nodes"][0];
    assert_eq!((&node["connections"], &node["lag"]), (&json!(3), &json!(0)));
    assert!(node["answer_ms"].as_f64().is_some(), "{node}");
    assert_eq!(frame["machines"][0]["machine"], "order");
    let table = [&args[..], &["-o", "table"]].concat();
    let (out, _) = exited(&fake.cli(&table).output().unwrap(), 0);
    assert!(
        out.starts_with("cluster orders, leader: node 1, term 2, "),
        "{out}"
    );
    assert!(out.contains("\nmachine  events/s\norder "), "{out}");
}

#[test]
fn top_shows_what_the_servers_count_and_which_of_them_do_not_answer() {
    let fake = server();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for (count, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            assert!(request[..length].starts_with(b"GET /metrics "));
            let requests = 100 * count;
            let body = format!(
                "rstmdb_requests_total{{op=\"PING\"}} {requests}\n\
                 rstmdb_request_duration_seconds_bucket{{op=\"PING\",le=\"0.005\"}} {requests}\n"
            );
            let answer = format!("HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let both = format!("{metrics},{}", crate::fake::unused_address());
    let args = ["top", "--once", "--interval", "200ms", "--metrics", &both];
    let (out, _) = exited(&fake.cli(&args).output().unwrap(), 0);
    let frame: Value = serde_json::from_str(&out).unwrap();
    let servers = &frame["servers"];
    assert!(
        servers[0]["requests_per_sec"].as_f64().unwrap() > 10.0,
        "{servers}"
    );
    assert_eq!(servers[0]["p99_ms"], 5.0);
    assert_eq!(servers[1]["requests_per_sec"], Value::Null);
}
