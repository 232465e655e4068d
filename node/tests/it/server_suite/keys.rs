//! Idempotency keys: the answer to a retry, and when a key ends.

use serde_json::{Value, json};

use super::support::{Conn, TestNode, fresh};

fn note(id: &str, n: u64) -> Value {
    let key = format!("note-{n}");
    let payload = json!({ "n": n, "text": "x".repeat(2000) });
    json!({ "instance_id": id, "event": "NOTE", "payload": payload, "idempotency_key": key })
}

/// The answer that a retry must get if the event's first answer was `first`.
fn repeated(first: &Value) -> Value {
    let mut again = first.clone();
    again["applied"] = json!(false);
    again
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_told_its_own_context_although_the_instance_has_moved_on() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let mut first = Vec::new();
    for n in 0..3 {
        first.push(conn.ok("APPLY_EVENT", note(&id, n)).await);
    }
    let op = |n| json!({ "op": "APPLY_EVENT", "params": note(&id, n) });
    let both = json!({ "mode": "atomic", "ops": [op(3), op(4)] });
    let batch = conn.ok("BATCH", both.clone()).await;
    for n in 0..2 {
        first.push(batch["results"][n]["result"].clone());
    }
    assert_ne!(first[3]["ctx"], first[4]["ctx"]);
    let dir = node.stop().await;
    let node = TestNode::start_on(dir, &[]).await;
    let mut conn = Conn::open(node.addr).await;
    for n in [0, 4, 2, 3, 1] {
        let again = conn.ok("APPLY_EVENT", note(&id, n)).await;
        assert_eq!(again, repeated(&first[n as usize]), "{n}");
    }
    for mode in ["atomic", "best_effort"] {
        let ops: Vec<_> = (0..5).map(op).collect();
        let done = conn.ok("BATCH", json!({ "mode": mode, "ops": ops })).await;
        for (item, first) in done["results"].as_array().unwrap().iter().zip(&first) {
            assert_eq!(item["result"], repeated(first), "{mode}");
        }
    }
    let got = conn.ok("GET_INSTANCE", json!({ "instance_id": id })).await;
    assert_eq!(got["last_wal_offset"], first[4]["wal_offset"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_end_when_their_instance_is_deleted() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let machine = conn.order_machine().await;
    let id = fresh("lives");
    let keyed = |params: Value| {
        let mut params = params;
        params["instance_id"] = json!(id);
        params["idempotency_key"] = json!("k");
        params
    };
    let create = keyed(json!({ "machine": machine, "version": 1 }));
    let pay = keyed(json!({ "event": "PAY" }));
    let delete = keyed(json!({}));
    let mut offsets = Vec::new();
    for _ in 0..2 {
        for (op, params) in [
            ("CREATE_INSTANCE", &create),
            ("APPLY_EVENT", &pay),
            ("DELETE_INSTANCE", &delete),
        ] {
            let first = conn.ok(op, params.clone()).await;
            let again = conn.ok(op, params.clone()).await;
            assert_eq!(first["wal_offset"], again["wal_offset"], "{op}");
            offsets.push(first["wal_offset"].as_u64().unwrap());
        }
        // The instance is gone: the node still answers only its deletion.
        conn.refused("APPLY_EVENT", pay.clone(), "INSTANCE_NOT_FOUND")
            .await;
    }
    assert!(offsets.is_sorted_by(|one, next| one < next), "{offsets:?}");
    let generated = json!({ "machine": machine, "version": 1, "idempotency_key": id });
    let first = conn.ok("CREATE_INSTANCE", generated.clone()).await;
    assert_eq!(conn.ok("CREATE_INSTANCE", generated.clone()).await, first);
    let params = json!({ "instance_id": first["instance_id"] });
    conn.ok("DELETE_INSTANCE", params).await;
    let second = conn.ok("CREATE_INSTANCE", generated).await;
    assert_ne!(second["instance_id"], first["instance_id"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_a_timer_set_moves_nothing_and_shows_the_timers_of_now() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (machine, id) = (fresh("timed"), fresh("timed"));
    let definition = json!({ "format": 2, "initial": "open", "states": [
        { "name": "open", "timers": [{ "event": "END", "after": "1h" }] }],
        "transitions": [{ "from": "open", "event": "END", "to": "open" }] });
    let put = json!({ "machine": machine, "version": 1, "definition": definition });
    conn.ok("PUT_MACHINE", put).await;
    let create = json!({ "instance_id": id, "machine": machine });
    conn.ok("CREATE_INSTANCE", create).await;
    let keyed = |span: &str| json!({ "instance_id": id, "timers": { "END": { "after": span } }, "idempotency_key": "k" });
    let first = conn.ok("TIMER_SET", keyed("2h")).await;
    assert_eq!(first["applied"], true, "{first}");
    let mut unkeyed = keyed("3h");
    unkeyed["idempotency_key"] = Value::Null;
    let moved = conn.ok("TIMER_SET", unkeyed).await;
    let again = conn.ok("TIMER_SET", keyed("2h")).await;
    let expected = json!({
        "instance_id": id, "timers": moved["timers"], "wal_offset": first["wal_offset"], "applied": false,
    });
    assert_eq!(again, expected);
    let error = conn.refused("TIMER_SET", keyed("4h"), "CONFLICT").await;
    let details = json!({ "idempotency_key": "k", "actual_wal_offset": first["wal_offset"] });
    assert_eq!(error["details"], details);
    let mut dry = keyed("2h");
    dry["dry_run"] = json!(true);
    let told = conn.ok("TIMER_SET", dry).await;
    assert_eq!(
        (&told["replayed"], &told["wal_offset"], &told["applied"]),
        (&json!(true), &first["wal_offset"], &json!(false))
    );
    let page = json!({ "from_offset": first["wal_offset"], "limit": 1 });
    let page = conn.ok("WAL_READ", page).await;
    let entry = &page["records"][0]["entry"];
    assert_eq!(
        (&entry["type"], &entry["idempotency_key"]),
        (&json!("set_timers"), &json!("k"))
    );
    node.stop().await;
}
