//! Timers over the wire: what fires, what is shown of it, and what moves it.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Conn, TestNode, fresh};

/// The longest that a test waits for a timer.
const WAIT: Duration = Duration::from_secs(20);

fn definition() -> Value {
    json!({
        "format": 2, "initial": "cart",
        "states": [
            "cart",
            { "name": "waiting", "timers": [
                { "event": "EXPIRE", "after": "ctx.ttl" },
                { "event": "REMIND", "after": "1h", "name": "reminder" } ] },
            { "name": "stuck", "timers": [{ "event": "GO", "after": "50ms" }] },
            { "name": "gone", "final": true, "delete_after": "100ms" },
        ],
        "transitions": [
            { "from": "cart", "event": "CHECKOUT", "to": "waiting" },
            { "from": "cart", "event": "STICK", "to": "stuck" },
            { "from": "waiting", "event": "REMIND", "to": "waiting" },
            { "from": "waiting", "event": "EXPIRE", "to": "gone" },
            { "from": "stuck", "event": "GO", "to": "gone", "guard": "false" },
        ],
    })
}

async fn begun(conn: &mut Conn) -> (String, String) {
    let machine = fresh("shop");
    let put = json!({ "machine": machine, "version": 1, "definition": definition() });
    conn.ok("PUT_MACHINE", put).await;
    let id = fresh("order");
    let create = json!({ "instance_id": id, "machine": machine });
    conn.ok("CREATE_INSTANCE", create).await;
    (machine, id)
}

fn event(id: &str, event: &str, ttl: &str) -> Value {
    json!({ "instance_id": id, "event": event, "payload": { "ttl": ttl } })
}

async fn entries(conn: &mut Conn, from: &Value) -> Vec<Value> {
    let read = json!({ "from_offset": from, "limit": 100 });
    let page = conn.ok("WAL_READ", read).await;
    let records = page["records"].as_array().unwrap().iter();
    records.map(|record| record["entry"].clone()).collect()
}

async fn next_event(conn: &mut Conn) -> Value {
    let next = async {
        loop {
            let (_, pushed) = conn.next().await.unwrap();
            if pushed["type"] == "event" {
                return pushed;
            }
        }
    };
    tokio::time::timeout(WAIT, next).await.expect("an event")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_fires_by_itself_once_and_a_final_state_goes_by_itself() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (machine, id) = begun(&mut conn).await;
    let mut watcher = Conn::open(node.addr).await;
    let watch = json!({ "machines": [machine], "include": ["deleted", "timer_spent"] });
    watcher.ok("WATCH_ALL", watch).await;
    let moved = conn
        .ok("APPLY_EVENT", event(&id, "CHECKOUT", "300ms"))
        .await;
    let get = json!({ "instance_id": id });
    let shown = conn.ok("GET_INSTANCE", get.clone()).await;
    let timers = shown["timers"].as_array().unwrap();
    assert_eq!(
        (&timers[0]["name"], &timers[1]["name"], &timers[1]["event"]),
        (&json!("EXPIRE"), &json!("reminder"), &json!("REMIND"))
    );
    let due_at = timers[0]["due_at"].as_u64().unwrap();
    assert_eq!(next_event(&mut watcher).await["event"], "CHECKOUT");
    let fired = next_event(&mut watcher).await;
    assert_eq!(
        (&fired["event"], &fired["to_state"], &fired["timer"]),
        (
            &json!("EXPIRE"),
            &json!("gone"),
            &json!({ "name": "EXPIRE", "due_at": due_at })
        )
    );
    let gone = next_event(&mut watcher).await;
    assert_eq!(
        (&gone["kind"], &gone["timer"]["name"]),
        (&json!("deleted"), &json!("delete_after"))
    );
    conn.refused("GET_INSTANCE", get, "INSTANCE_NOT_FOUND")
        .await;
    let log = entries(&mut conn, &moved["wal_offset"]).await;
    let of_it: Vec<&Value> = log
        .iter()
        .filter(|entry| entry["instance_id"] == json!(id))
        .collect();
    assert_eq!(of_it.len(), 3, "{of_it:?}");
    assert_eq!(of_it[0]["timers"][0]["due_at"], due_at);
    assert_eq!(of_it[1]["timer"]["entry_offset"], moved["wal_offset"]);
    assert!(
        of_it[1]["time_ms"].as_u64().unwrap() >= due_at,
        "it fired early"
    );
    assert_eq!(of_it[1]["actor"], "timer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_timer_is_spent_and_says_why() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (machine, id) = begun(&mut conn).await;
    let mut watcher = Conn::open(node.addr).await;
    let watch = json!({ "machines": [machine], "include": ["timer_spent"] });
    watcher.ok("WATCH_ALL", watch).await;
    conn.ok("APPLY_EVENT", event(&id, "STICK", "1h")).await;
    assert_eq!(next_event(&mut watcher).await["event"], "STICK");
    let spent = next_event(&mut watcher).await;
    assert_eq!(
        (&spent["kind"], &spent["code"], &spent["event"]),
        (&json!("timer_spent"), &json!("GUARD_FAILED"), &json!("GO"))
    );
    let shown = conn.ok("GET_INSTANCE", json!({ "instance_id": id })).await;
    assert_eq!(
        (&shown["state"], shown.get("timers")),
        (&json!("stuck"), None)
    );
    assert_eq!(shown["last_wal_offset"], spent["wal_offset"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_are_listed_moved_and_held_by_a_pause() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (machine, id) = begun(&mut conn).await;
    conn.ok("APPLY_EVENT", event(&id, "CHECKOUT", "2h")).await;
    let list = json!({ "machine": machine, "limit": 1 });
    let page = conn.ok("TIMER_LIST", list).await;
    assert_eq!(page["timers"][0]["name"], "reminder");
    let rest = json!({ "machine": machine, "after": page["next"] });
    let page = conn.ok("TIMER_LIST", rest).await;
    assert_eq!(page["timers"][0]["name"], "EXPIRE");
    assert_eq!(page.get("next"), None);
    let dry = json!({ "instance_id": id, "timers": { "EXPIRE": null }, "dry_run": true });
    let told = conn.ok("TIMER_SET", dry).await;
    assert_eq!(told["would"]["disarmed"], json!(["EXPIRE"]));
    conn.ok("AUTOMATION", json!({ "set": "paused" })).await;
    let moved = json!({
        "instance_id": id,
        "timers": { "EXPIRE": { "after": "0s" }, "reminder": null },
        "expected_state": "waiting",
    });
    let set = conn.ok("TIMER_SET", moved).await;
    assert_eq!(set["timers"].as_array().unwrap().len(), 1);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let shown = conn.ok("GET_INSTANCE", json!({ "instance_id": id })).await;
    assert_eq!(shown["state"], "waiting", "paused, nothing fires");
    let mut watcher = Conn::open(node.addr).await;
    watcher
        .ok("WATCH_ALL", json!({ "machines": [machine] }))
        .await;
    conn.ok("AUTOMATION", json!({ "set": "running" })).await;
    let fired = next_event(&mut watcher).await;
    // A watch without `include` looks as it always did.
    assert_eq!(
        (&fired["event"], fired.get("timer")),
        (&json!("EXPIRE"), None)
    );
    let wrong = json!({ "instance_id": fresh("none"), "timers": {} });
    conn.refused("TIMER_SET", wrong, "INSTANCE_NOT_FOUND").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_timer_set_outlives_a_restart_from_a_snapshot() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = begun(&mut conn).await;
    conn.ok("APPLY_EVENT", event(&id, "CHECKOUT", "2h")).await;
    let set = json!({ "instance_id": id, "timers": { "EXPIRE": { "after": "3h" } }, "idempotency_key": "k" });
    let first = conn.ok("TIMER_SET", set.clone()).await;
    conn.ok("COMPACT", json!({ "force_snapshot": true })).await;
    let node = TestNode::start_on(node.stop().await, &[]).await;
    let mut conn = Conn::open(node.addr).await;
    let mut again = conn.ok("TIMER_SET", set).await;
    assert_eq!(again["applied"], false);
    again["applied"] = json!(true);
    assert_eq!(again, first);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn armed_timers_write_nothing_until_they_are_due() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = begun(&mut conn).await;
    let moved = conn.ok("APPLY_EVENT", event(&id, "CHECKOUT", "1h")).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let stats = conn.ok("WAL_STATS", json!({})).await;
    assert_eq!(stats["latest_offset"], moved["wal_offset"]);
}
