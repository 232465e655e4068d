//! A clock that stands still until a client advances it: what was due by then is decided when the answer comes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Conn, MANUAL_CLOCK, TestNode, fresh};

const MANUAL: &[(&str, &str)] = &[(MANUAL_CLOCK, "")];
const MINUTE_MS: u64 = 60_000;

/// An invoice that is reminded of twice, each time ten minutes later, then given up, and deleted after 90 days.
fn dunning() -> Value {
    json!({
        "format": 2, "initial": "open",
        "states": [
            { "name": "open", "timers": [{ "event": "REMIND", "after": "10m", "late": "skip" }] },
            { "name": "reminded", "timers": [{ "event": "REMIND", "after": "10m", "late": "skip" }] },
            { "name": "overdue", "timers": [{ "event": "GIVE_UP", "after": "10m", "late": "skip" }] },
            { "name": "lost", "final": true, "delete_after": "90d" },
        ],
        "transitions": [
            { "from": "open", "event": "REMIND", "to": "reminded" },
            { "from": "reminded", "event": "REMIND", "to": "overdue" },
            { "from": "overdue", "event": "GIVE_UP", "to": "lost" },
        ],
    })
}

async fn created(conn: &mut Conn, definition: Value) -> String {
    let machine = fresh("machine");
    let put = json!({ "machine": machine, "version": 1, "definition": definition });
    conn.ok("PUT_MACHINE", put).await;
    let id = fresh("instance");
    let create = json!({ "instance_id": id, "machine": machine });
    conn.ok("CREATE_INSTANCE", create).await;
    id
}

async fn now(conn: &mut Conn) -> u64 {
    let shown = conn.ok("CLOCK_ADVANCE", json!({})).await;
    shown["now"].as_u64().unwrap()
}

async fn advance(conn: &mut Conn, by: &str) -> u64 {
    let shown = conn.ok("CLOCK_ADVANCE", json!({ "by": by })).await;
    shown["now"].as_u64().unwrap()
}

async fn state(conn: &mut Conn, id: &str) -> Value {
    let shown = conn.ok("GET_INSTANCE", json!({ "instance_id": id })).await;
    shown["state"].clone()
}

/// When each fact about an instance was decided.
async fn times(conn: &mut Conn, id: &str) -> Vec<u64> {
    let page = conn
        .ok("WAL_READ", json!({ "from_offset": 0, "limit": 1000 }))
        .await;
    let records = page["records"].as_array().unwrap().iter();
    let entries = records.map(|record| &record["entry"]);
    let of_it = entries.filter(|entry| entry["instance_id"] == id);
    of_it
        .map(|entry| entry["time_ms"].as_u64().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_goes_by_itself_is_not_advanced() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    for params in [json!({}), json!({ "by": "30m" })] {
        conn.refused("CLOCK_ADVANCE", params, "FORBIDDEN").await;
    }
    let mut legacy = Conn::legacy(node.addr).await;
    let params = json!({ "by": "30m" });
    legacy.refused("CLOCK_ADVANCE", params, "BAD_REQUEST").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stands_still_and_chains_fire_as_if_the_time_had_passed() {
    let node = TestNode::start(MANUAL).await;
    let mut conn = Conn::open(node.addr).await;
    let began = now(&mut conn).await;
    let id = created(&mut conn, dunning()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(now(&mut conn).await, began);
    assert_eq!(advance(&mut conn, "9m59s").await, began + 599_000);
    assert_eq!(state(&mut conn, &id).await, "open");
    // No firing is late, although the clock is advanced over all of them at once.
    assert_eq!(advance(&mut conn, "PT20M1S").await, began + 30 * MINUTE_MS);
    assert_eq!(state(&mut conn, &id).await, "lost");
    let at = |minutes| began + minutes * MINUTE_MS;
    assert_eq!(times(&mut conn, &id).await, [at(0), at(10), at(20), at(30)]);
    advance(&mut conn, "90d").await;
    let get = json!({ "instance_id": id });
    conn.refused("GET_INSTANCE", get, "INSTANCE_NOT_FOUND")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_else_goes_by_the_time_of_the_log_follows() {
    let node = TestNode::start(MANUAL).await;
    let mut conn = Conn::open(node.addr).await;
    let id = created(&mut conn, dunning()).await;
    let key = fresh("key");
    let note = |event_id: &str| json!({ "instance_id": id, "event": "REMIND", "event_id": event_id, "idempotency_key": key });
    conn.ok("APPLY_EVENT", note("first")).await;
    conn.refused("APPLY_EVENT", note("second"), "CONFLICT")
        .await;
    conn.ok("AUTOMATION", json!({ "set": "paused" })).await;
    // Paused timers do not hold the clock up.
    advance(&mut conn, "25h").await;
    assert_eq!(state(&mut conn, &id).await, "reminded");
    let again = conn.ok("APPLY_EVENT", note("second")).await;
    assert_eq!(again["to_state"], "overdue", "the key was forgotten");
    conn.ok("AUTOMATION", json!({ "set": "running" })).await;
    advance(&mut conn, "10m").await;
    assert_eq!(state(&mut conn, &id).await, "lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_is_suspended_does_not_hold_the_clock_up() {
    let node = TestNode::start(MANUAL).await;
    let mut conn = Conn::open(node.addr).await;
    let around = json!({
        "format": 2, "initial": "on",
        "states": [{ "name": "on", "timers": [{ "event": "TICK", "after": "1ms" }] }],
        "transitions": [{ "from": "on", "event": "TICK", "to": "on", "reenter": true }],
    });
    let id = created(&mut conn, around).await;
    let began = Instant::now();
    advance(&mut conn, "1h").await;
    assert!(began.elapsed() < Duration::from_secs(10));
    let shown = conn.ok("GET_INSTANCE", json!({ "instance_id": id })).await;
    assert_eq!(shown["timers_suspended"], true, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn time_goes_on_from_the_log_after_a_restart() {
    let node = TestNode::start(MANUAL).await;
    let mut conn = Conn::open(node.addr).await;
    advance(&mut conn, "30d").await;
    let id = created(&mut conn, dunning()).await;
    let before = now(&mut conn).await;
    let node = TestNode::start_on(node.stop().await, MANUAL).await;
    let mut conn = Conn::open(node.addr).await;
    assert_eq!(advance(&mut conn, "10m").await, before + 10 * MINUTE_MS);
    assert_eq!(state(&mut conn, &id).await, "reminded");
    // The last of them is longer than there is time left.
    for wrong in ["", "30", "m", "-1s", "30m1h", "1.5h", "P1M", "417000w"] {
        let params = json!({ "by": wrong });
        let error = conn.refused("CLOCK_ADVANCE", params, "BAD_REQUEST").await;
        assert_eq!(error["details"]["field"], "params.by");
        let beyond = wrong.ends_with("000w");
        let message = error["message"].as_str().unwrap();
        assert!(beyond || message.contains("PT30M"), "{message}");
    }
}
