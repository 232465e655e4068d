//! Machines of format 2 over the wire: what they are answered, what watches and the log show, and what older clients see.

use rstmdb_rcp::message::machine::GetMachineResult;
use rstmdb_rcp::message::watch::Event;
use serde_json::{Value, json};

use super::support::{Conn, TestNode, fresh};

fn definition() -> Value {
    json!({
        "format": 2, "initial": "open", "context": { "default": { "sum": 0 } },
        "events": { "ADD": { "schema": { "properties": { "n": { "type": "integer" } } } } },
        "states": [
            "open",
            { "name": "weighing", "always": [
                { "to": "full", "guard": "ctx.sum >= 3", "emit": "filled" }, { "to": "open" } ] },
            { "name": "full", "final": true, "emit": "alarm" },
        ],
        "transitions": [
            { "from": "open", "event": "ADD", "to": "weighing", "merge": false, "set": { "sum": "ctx.sum + event.n" } },
            { "from": "open", "event": "ASK", "to": "open", "guard": "ctx.nobody.knows" },
        ],
    })
}

fn add(id: &str, n: Value) -> Value {
    json!({ "instance_id": id, "event": "ADD", "payload": { "n": n } })
}

async fn begun(conn: &mut Conn) -> (String, String) {
    let machine = fresh("tally");
    let put = json!({ "machine": machine, "version": 3, "definition": definition() });
    let stored = conn.ok("PUT_MACHINE", put).await;
    assert_eq!(
        (&stored["created"], stored.get("warnings")),
        (&json!(true), None)
    );
    let id = fresh("t");
    // Without a version it is the highest.
    let create = json!({ "instance_id": id, "machine": machine });
    assert_eq!(conn.ok("CREATE_INSTANCE", create).await["state"], "open");
    (machine, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_machine_of_format_2_does_is_answered_watched_and_logged() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (machine, id) = begun(&mut conn).await;
    let mut watcher = Conn::open(node.addr).await;
    let filter = json!({ "machines": [machine], "emits": ["filled", "never"] });
    watcher.ok("WATCH_ALL", filter).await;
    let moved = conn.ok("APPLY_EVENT", add(&id, json!(1))).await;
    assert_eq!(
        (&moved["to_state"], &moved["ctx"]),
        (&json!("open"), &json!({ "sum": 1 }))
    );
    let moved = conn.ok("APPLY_EVENT", add(&id, json!(2))).await;
    assert_eq!(
        (&moved["to_state"], &moved["ctx"]),
        (&json!("full"), &json!({ "sum": 3 }))
    );
    let event = loop {
        let (_, pushed) = watcher.next().await.unwrap();
        if pushed["type"] == "event" {
            break pushed;
        }
    };
    assert_eq!(
        (&event["wal_offset"], &event["emits"]),
        (&moved["wal_offset"], &json!(["filled", "alarm"]))
    );
    let event: Event<'_> = serde_json::from_value(event).unwrap();
    assert_eq!(event.emits, ["filled", "alarm"]);
    let read = json!({ "from_offset": moved["wal_offset"], "limit": 1 });
    let entry = &conn.ok("WAL_READ", read).await["records"][0]["entry"];
    assert_eq!(
        (&entry["via"], &entry["emits"]),
        (&json!(["weighing"]), &json!(["filled", "alarm"]))
    );
    let got = conn.ok("GET_MACHINE", json!({ "machine": machine })).await;
    let got: GetMachineResult<'_> = serde_json::from_value(got).unwrap();
    assert_eq!((got.format, got.version), (Some(2), Some(3)));
    let list = conn.ok("LIST_MACHINES", json!({})).await;
    let ours = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["machine"] == json!(machine));
    assert_eq!(ours.unwrap()["format"], 2);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_format_2_name_the_place_and_older_clients_get_codes_they_know() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (machine, id) = begun(&mut conn).await;
    let error = conn
        .refused("APPLY_EVENT", add(&id, json!("1")), "SCHEMA_FAILED")
        .await;
    assert_eq!(
        (&error["details"]["path"], &error["details"]["rule"]),
        (&json!("/n"), &json!("type"))
    );
    let empty = json!({ "instance_id": id, "event": "ADD" });
    let error = conn
        .refused("APPLY_EVENT", empty.clone(), "EXPRESSION_FAILED")
        .await;
    assert_eq!(error["details"]["place"], "transitions[0].set.sum");
    let ask = json!({ "instance_id": id, "event": "ASK" });
    let error = conn.refused("APPLY_EVENT", ask, "GUARD_FAILED").await;
    assert_eq!(
        error["details"]["errors"],
        json!(["no such key: ctx.nobody, at column 1"])
    );
    let mut wrong = definition();
    wrong["states"][0] = json!({ "name": "open", "regions": [] });
    wrong["transitions"][0]["to"] = json!("nowhere");
    let put = json!({ "machine": machine, "version": 4, "definition": wrong });
    let error = conn.refused("PUT_MACHINE", put, "BAD_REQUEST").await;
    let faults = error["details"]["faults"].as_array().unwrap();
    let places: Vec<&str> = faults
        .iter()
        .map(|fault| fault["place"].as_str().unwrap())
        .collect();
    assert_eq!(places, ["states[0].regions", "transitions[0].to"]);
    let mut old = Conn::legacy(node.addr).await;
    old.refused("APPLY_EVENT", add(&id, json!("1")), "BAD_REQUEST")
        .await;
    old.refused("APPLY_EVENT", empty, "BAD_REQUEST").await;
    let reserved = json!({ "states": ["a"], "initial": "a", "transitions": [], "context": {} });
    let put = json!({ "machine": fresh("m"), "version": 1, "definition": reserved });
    let error = old.refused("PUT_MACHINE", put, "BAD_REQUEST").await;
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("needs format 2"),
        "{error}"
    );
    node.stop().await;
}
