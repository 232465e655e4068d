//! BATCH.

use serde_json::{Value, json};

use super::support::{Conn, TestNode, fresh};

fn apply(id: &str, event: &str) -> Value {
    json!({ "op": "APPLY_EVENT", "params": { "instance_id": id, "event": event } })
}

fn get(id: &str) -> Value {
    json!({ "op": "GET_INSTANCE", "params": { "instance_id": id } })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_atomic_batch_takes_effect_at_one_offset_or_not_at_all() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (machine, id) = conn.order().await;
    let other = fresh("other");
    let create = json!({ "op": "CREATE_INSTANCE", "params": { "instance_id": other, "machine": machine, "version": 1 } });
    let ops = json!([apply(&id, "PAY"), create, get(&id), apply(&other, "PAY")]);
    let done = conn
        .ok("BATCH", json!({ "mode": "atomic", "ops": ops }))
        .await;
    let results = done["results"].as_array().unwrap();
    assert!(
        results.iter().all(|result| result["status"] == "ok"),
        "{done}"
    );
    assert_eq!(results[2]["result"]["state"], "paid");
    assert_eq!(
        results[0]["result"]["wal_offset"],
        results[3]["result"]["wal_offset"]
    );
    let ops = json!([apply(&other, "NOTE"), apply(&id, "SHIP")]);
    let error = conn
        .refused(
            "BATCH",
            json!({ "mode": "atomic", "ops": ops }),
            "GUARD_FAILED",
        )
        .await;
    assert_eq!(error["details"]["index"], 1);
    assert_eq!(
        conn.ok("GET_INSTANCE", json!({ "instance_id": other }))
            .await["state"],
        "paid"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_makes_up_the_ids_that_are_not_given() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (machine, _) = conn.order().await;
    let create = json!({ "op": "CREATE_INSTANCE", "params": { "machine": machine, "version": 1 } });
    for mode in ["atomic", "best_effort"] {
        let batch = json!({ "mode": mode, "ops": [create, create] });
        let done = conn.ok("BATCH", batch).await;
        let id = |at: usize| done["results"][at]["result"]["instance_id"].clone();
        assert_ne!(id(0), id(1));
        for id in [id(0), id(1)] {
            let found = conn.ok("GET_INSTANCE", json!({ "instance_id": id })).await;
            assert_eq!(found["machine"], json!(machine));
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_event_of_a_batch_is_told_the_context_that_it_left() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let keyed = json!({ "op": "APPLY_EVENT", "params": {
        "instance_id": id, "event": "PAY", "payload": { "n": 1 }, "idempotency_key": "k",
    } });
    let mut note = apply(&id, "NOTE");
    note["params"]["payload"] = json!({ "n": 2 });
    let first = conn
        .ok("BATCH", json!({ "mode": "atomic", "ops": [keyed] }))
        .await;
    let first = &first["results"][0]["result"];
    assert_eq!(
        (&first["applied"], &first["ctx"]["n"]),
        (&json!(true), &json!(1))
    );
    for mode in ["atomic", "best_effort"] {
        let batch = json!({ "mode": mode, "ops": [note, keyed, get(&id)] });
        let done = conn.ok("BATCH", batch).await;
        let result = |at: usize| &done["results"][at]["result"];
        let repeated = result(1);
        assert_eq!(repeated["applied"], false, "{mode}: {done}");
        assert_eq!(repeated["ctx"], first["ctx"], "{mode}: {done}");
        assert_eq!(repeated["wal_offset"], first["wal_offset"]);
        assert_eq!(result(2)["ctx"]["n"], 2);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn best_effort_operations_stand_alone_and_in_order() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let ops = json!([
        get(&id),
        apply(&id, "PAY"),
        get(&id),
        apply(&id, "SHIP"),
        apply(&id, "NOTE"),
        get(&id)
    ]);
    let done = conn.ok("BATCH", json!({ "ops": ops })).await;
    let results = done["results"].as_array().unwrap();
    let states: Vec<&Value> = [0, 2, 5].map(|i| &results[i]["result"]["state"]).into();
    assert_eq!(states, ["created", "paid", "created"]);
    assert_eq!(
        (&results[3]["status"], &results[3]["error"]["code"]),
        (&json!("error"), &json!("GUARD_FAILED"))
    );
    assert_eq!(results[4]["result"]["from_state"], "paid");
    assert_eq!(
        conn.ok("BATCH", json!({ "ops": [] })).await,
        json!({ "results": [] })
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_in_a_batch_is_refused_with_its_place() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    for op in [
        "BATCH",
        "WATCH_ALL",
        "HELLO",
        "FLUSH_ALL",
        "NOTHING",
        "WAL_READ",
    ] {
        let ops = json!([get(&id), { "op": op, "params": {} }]);
        for mode in ["atomic", "best_effort"] {
            let error = conn
                .refused("BATCH", json!({ "mode": mode, "ops": ops }), "BAD_REQUEST")
                .await;
            assert!(
                error["message"].as_str().unwrap().contains("ops[1]"),
                "{error}"
            );
        }
    }
    let many: Vec<Value> = (0..101).map(|_| get(&id)).collect();
    conn.refused("BATCH", json!({ "ops": many }), "BAD_REQUEST")
        .await;
    conn.refused("BATCH", json!({}), "BAD_REQUEST").await;
    conn.refused("BATCH", json!({ "mode": "some", "ops": [] }), "BAD_REQUEST")
        .await;
    let bad = json!([{ "op": "APPLY_EVENT", "params": { "instance_id": id } }]);
    let error = conn
        .refused(
            "BATCH",
            json!({ "mode": "atomic", "ops": bad }),
            "BAD_REQUEST",
        )
        .await;
    let place = json!({ "field": "params.ops[0].params.event", "index": 0 });
    assert_eq!(error["details"], place);
    // Whether the protocol or the engine finds it, and whatever the mode, a field has one name.
    let bad =
        json!([get(&id), { "op": "APPLY_EVENT", "params": { "instance_id": id, "event": "" } }]);
    let path = "params.ops[1].params.event";
    let params = json!({ "mode": "atomic", "ops": bad });
    let error = conn.refused("BATCH", params, "BAD_REQUEST").await;
    assert_eq!(error["details"], json!({ "field": path, "index": 1 }));
    assert!(
        error["message"].as_str().unwrap().starts_with(path),
        "{error}"
    );
    let done = conn.ok("BATCH", json!({ "ops": bad })).await;
    let error = &done["results"][1]["error"];
    assert_eq!(error["details"], json!({ "field": path }));
    assert!(
        error["message"].as_str().unwrap().starts_with(path),
        "{error}"
    );
    let done = conn
        .ok(
            "BATCH",
            json!({ "ops": [{ "op": "GET_INSTANCE", "params": {} }] }),
        )
        .await;
    let error = &done["results"][0]["error"];
    assert_eq!(
        error["details"]["field"],
        "params.ops[0].params.instance_id"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_fit_is_an_error_that_says_so() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let machine = conn.order_machine().await;
    let id = fresh("big");
    let ctx = json!({ "text": "x".repeat(3 << 20) });
    let params = json!({ "instance_id": id, "machine": machine, "version": 1, "initial_ctx": ctx });
    conn.ok("CREATE_INSTANCE", params).await;
    let ops: Vec<Value> = (0..8).map(|_| get(&id)).collect();
    let error = conn
        .refused("BATCH", json!({ "ops": ops }), "BAD_REQUEST")
        .await;
    assert_eq!(error["retryable"], false);
    assert_eq!(error["details"], Value::Null, "it only reads");
    conn.ok("PING", json!({})).await;
    node.stop().await;
}

/// A client that took the error for "nothing was done" would send the writes again.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_fit_says_what_became_of_the_writes() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let machine = conn.order_machine().await;
    let id = fresh("big");
    let ctx = json!({ "text": "x".repeat(3 << 20) });
    let params = json!({ "instance_id": id, "machine": machine, "version": 1, "initial_ctx": ctx });
    conn.ok("CREATE_INSTANCE", params).await;
    let keyed = json!({ "op": "APPLY_EVENT", "params": {
        "instance_id": id, "event": "PAY", "idempotency_key": "k",
    } });
    let mut ops = vec![keyed, apply(&fresh("missing"), "PAY")];
    ops.extend((0..6).map(|_| get(&id)));
    let batch = json!({ "ops": ops });
    let details = conn.refused("BATCH", batch, "BAD_REQUEST").await["details"].clone();
    let found = conn.ok("GET_INSTANCE", json!({ "instance_id": id })).await;
    let offset = found["last_wal_offset"].clone();
    assert_eq!(found["state"], "paid");
    let refused = json!({ "status": "error", "code": "INSTANCE_NOT_FOUND", "retryable": false });
    let mut results = vec![json!({ "status": "ok", "wal_offset": offset }), refused];
    results.extend((0..6).map(|_| json!({ "status": "ok" })));
    let expected = json!({ "outcome": "applied", "wal_offset": offset, "results": results });
    assert_eq!(details, expected);
    // Nothing is written any more, but the write whose key it repeats was.
    ops.remove(1);
    let batch = json!({ "mode": "atomic", "ops": ops });
    let details = conn.refused("BATCH", batch, "BAD_REQUEST").await["details"].clone();
    assert_eq!(
        details,
        json!({ "outcome": "applied", "wal_offset": offset })
    );
    let reads: Vec<Value> = (0..6).map(|_| get(&id)).collect();
    let mut ops = vec![apply(&fresh("missing"), "PAY")];
    ops.extend(reads);
    let details = conn
        .refused("BATCH", json!({ "ops": ops }), "BAD_REQUEST")
        .await["details"]
        .clone();
    assert_eq!(details["outcome"], "not_applied", "{details}");
    node.stop().await;
}
