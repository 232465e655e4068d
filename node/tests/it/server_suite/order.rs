//! The order of one connection's requests, and many of them at once.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::support::{Conn, TestNode, outcome};

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_of_one_instance_take_effect_in_their_order() {
    // They all come at once and wait for each other: 420 answers, one after the other, on a machine that may be busy.
    let node = TestNode::start(&[("RSTMDB_REQUEST_TIMEOUT_MS", "60000")]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let mut asked = HashMap::new();
    for round in 0..200u64 {
        let set = json!({ "instance_id": id, "event": "NOTE", "payload": { "round": round } });
        conn.send("APPLY_EVENT", set).await;
        let params = json!({ "instance_id": id });
        asked.insert(conn.send("GET_INSTANCE", params.clone()).await, round);
        if round % 10 == 0 {
            let batch = json!({ "ops": [{ "op": "GET_INSTANCE", "params": params }] });
            asked.insert(conn.send("BATCH", batch).await, round);
        }
    }
    let mut offsets = Vec::new();
    for _ in 0..asked.len() + 200 {
        let response = conn.recv().await;
        let request = response["id"].as_str().unwrap().to_owned();
        let mut result = outcome(response).unwrap();
        match asked.get(&request) {
            Some(round) => {
                if let Some(inner) = result.get("results") {
                    result = inner[0]["result"].clone();
                }
                assert_eq!(result["ctx"]["round"], json!(round));
            }
            None => offsets.push(result["wal_offset"].as_u64().unwrap()),
        }
    }
    assert!(offsets.is_sorted_by(|a, b| a < b));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_sees_the_writes_before_it_and_not_those_behind() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let machine = conn.order_machine().await;
    let mut listings = HashMap::new();
    for i in 0..30u64 {
        conn.send(
            "CREATE_INSTANCE",
            json!({ "machine": machine, "version": 1 }),
        )
        .await;
        let id = conn
            .send("LIST_INSTANCES", json!({ "machine": machine, "limit": 1 }))
            .await;
        listings.insert(id, i + 1);
    }
    for _ in 0..60 {
        let response = conn.recv().await;
        let id = response["id"].as_str().unwrap().to_owned();
        let result = outcome(response).unwrap();
        if let Some(count) = listings.get(&id) {
            assert_eq!(result["total"], json!(count));
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_can_be_put_and_used_without_waiting() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let definition = super::support::order_definition();
    conn.send(
        "PUT_MACHINE",
        json!({ "machine": "m", "version": 1, "definition": definition }),
    )
    .await;
    conn.send(
        "CREATE_INSTANCE",
        json!({ "machine": "m", "version": 1, "instance_id": "a" }),
    )
    .await;
    conn.send("APPLY_EVENT", json!({ "instance_id": "a", "event": "PAY" }))
        .await;
    conn.send("GET_INSTANCE", json!({ "instance_id": "a" }))
        .await;
    let mut states: Vec<Value> = Vec::new();
    for _ in 0..4 {
        states.push(outcome(conn.recv().await).unwrap()["state"].clone());
    }
    assert!(states.contains(&json!("paid")), "{states:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_are_worked_on_at_once_are_all_answered() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let count = 5000;
    for i in 0..count {
        let params = json!({ "instance_id": id, "event": "NOTE", "payload": { "i": i } });
        conn.send("APPLY_EVENT", params).await;
    }
    // The requests take effect in their order. Their answers may overtake each other.
    let mut answered = Vec::new();
    for _ in 0..count {
        let done = outcome(conn.recv().await).unwrap();
        answered.push((done["wal_offset"].as_u64(), done["ctx"]["i"].as_i64()));
    }
    answered.sort_unstable();
    assert!(answered.iter().map(|(_, i)| *i).eq((0..count).map(Some)));
    node.stop().await;
}
