//! What users write stays text: no key of theirs has a meaning, and no number is rounded.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Conn, TestNode, fresh};

/// The key by which serde_json's values take the text below it for JSON.
const KEY: &str = "$serde_json::private::RawValue";

/// JSON whose texts hold JSON whose texts hold JSON, each in a hundred lists: thousands of levels to a parser that
/// reads the texts as JSON, three to one that does not.
fn nested(levels: usize) -> Value {
    let text = (0..levels).fold("1".to_owned(), |text, _| {
        let inner = format!("{}{text}{}", "[".repeat(100), "]".repeat(100));
        let escaped = inner.replace('\\', "\\u005c").replace('"', "\\u0022");
        format!(r#"{{"{KEY}":"{escaped}"}}"#)
    });
    rstmdb_rcp::json::value(&text).unwrap()
}

fn definition(guard: &str, meta: &Value) -> Value {
    json!({
        "states": ["a", "b"], "initial": "a", "meta": meta,
        "transitions": [{ "from": "a", "event": "E", "to": "b", "guard": guard }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_survives_text_inside_text_and_answers_right() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let machine = fresh("m");
    let (deep, seven) = (nested(45), json!({ KEY: "7" }));
    let put = |version: u32, meta: &Value| {
        let definition = definition("ctx.a == 7 || ctx.deep == 1", meta);
        json!({ "machine": machine, "version": version, "definition": definition })
    };
    assert_eq!(conn.ok("PUT_MACHINE", put(1, &deep)).await["created"], true);
    assert_eq!(
        conn.ok("PUT_MACHINE", put(2, &seven)).await["created"],
        true
    );
    // To a parser that reads the text below the key as JSON, these would be the same.
    conn.refused("PUT_MACHINE", put(2, &json!(7)), "MACHINE_VERSION_EXISTS")
        .await;
    let ctx = json!({ "a": seven, "deep": deep });
    let create = json!({
        "machine": machine, "version": 1, "initial_ctx": ctx, "idempotency_key": "c",
    });
    let id = conn.ok("CREATE_INSTANCE", create).await["instance_id"].clone();
    let event = json!({ "instance_id": id, "event": "E", "idempotency_key": "k" });
    conn.refused("APPLY_EVENT", event, "GUARD_FAILED").await;
    let got = conn.ok("GET_INSTANCE", json!({ "instance_id": id })).await;
    assert_eq!((&got["ctx"], &got["state"]), (&ctx, &json!("a")));
    let payload = json!({ "a": 7, "deep": deep });
    let event = json!({ "instance_id": id, "event": "E", "payload": payload });
    conn.refused("APPLY_EVENT", event, "GUARD_FAILED").await;
    conn.ok("PING", json!({})).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_on_a_large_context_costs_one_scan() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let machine = fresh("m");
    let often = vec!["ctx.a"; 500].join("&&");
    let definition = definition(&format!("{often}&&ctx.b.c"), &json!(null));
    let put = json!({ "machine": machine, "version": 1, "definition": definition });
    conn.ok("PUT_MACHINE", put).await;
    let ctx = json!({ "a": vec![vec![1; 10]; 100_000], "b": { "c": false } });
    let create = json!({ "machine": machine, "version": 1, "initial_ctx": ctx });
    let id = conn.ok("CREATE_INSTANCE", create).await["instance_id"].clone();
    let begun = Instant::now();
    let event = json!({ "instance_id": id, "event": "E" });
    conn.refused("APPLY_EVENT", event, "GUARD_FAILED").await;
    // One scan takes milliseconds; one for each operand took over a minute.
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_idempotency_take_numbers_by_their_exact_value() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let event = |number: &str, key: &str| {
        format!(
            r#"{{"type":"request","id":"{key}{number}","op":"APPLY_EVENT","params":{{"instance_id":"{id}","event":"PAY","idempotency_key":"{key}","payload":{{"n":{number}}}}}}}"#
        )
    };
    for (number, status) in [
        ("100000000000000000000000", "ok"),
        ("1.0e23", "ok"),
        ("100000000000000000000001", "error"),
        ("99999999999999991611392", "error"),
    ] {
        conn.send_text(&event(number, "k")).await;
        let answer = conn.recv().await;
        assert_eq!(answer["status"], status, "{number}: {answer}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slips_in_a_definition_are_refused_and_other_keys_named() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let put =
        |definition: &Value| json!({ "machine": "slips", "version": 1, "definition": definition });
    let good = definition("ctx.a", &json!({ "gaurd": 1 }));
    let mut slip = good.clone();
    slip["transitions"][0]["gaurd"] = json!("ctx.b");
    let error = conn.refused("PUT_MACHINE", put(&slip), "BAD_REQUEST").await;
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("transitions[0].gaurd") && message.contains("`guard`"),
        "{message}"
    );
    let mut null = good.clone();
    null["transitions"][0]["guard"] = json!(null);
    conn.refused("PUT_MACHINE", put(&null), "BAD_REQUEST").await;
    assert!(conn.ok("PUT_MACHINE", put(&good)).await["warnings"].is_null());
    let mut labelled = good.clone();
    labelled["transitions"][0]["label"] = json!("go");
    labelled["states"] = json!(["a", "b", "c"]);
    let put = json!({ "machine": "slips", "version": 2, "definition": labelled });
    for created in [true, false] {
        let answer = conn.ok("PUT_MACHINE", put.clone()).await;
        assert_eq!(answer["created"], created);
        let places: Vec<&Value> = answer["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|warning| &warning["place"])
            .collect();
        assert_eq!(places, ["transitions[0].label", "states[2]"]);
    }
    // A client that has not offered `cluster` sees the answer that it has always seen.
    let mut legacy = Conn::legacy(node.addr).await;
    let answer = legacy.ok("PUT_MACHINE", put.clone()).await;
    assert_eq!(
        (&answer["created"], &answer["warnings"]),
        (&json!(false), &json!(null))
    );
    for mode in ["atomic", "best_effort"] {
        let batch = json!({ "mode": mode, "ops": [{ "op": "PUT_MACHINE", "params": put }] });
        let answer = legacy.ok("BATCH", batch).await;
        let item = &answer["results"][0];
        assert_eq!(
            (&item["status"], &item["result"]["warnings"]),
            (&json!("ok"), &json!(null))
        );
    }
    node.stop().await;
}
