//! APPLY_EVENT.

use rstmdb_rcp::message::instance::ApplyEventResult;
use serde_json::json;

use super::support::{Conn, TestNode};

#[tokio::test(flavor = "multi_thread")]
async fn events_move_instances_and_merge_payloads() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let params = json!({ "instance_id": id, "event": "PAY", "payload": { "card": "x\n" }, "event_id": "e1" });
    let pay = conn.ok("APPLY_EVENT", params).await;
    assert_eq!(pay["ctx"], json!({ "total": 5, "card": "x\n" }));
    let pay: ApplyEventResult<'_> = serde_json::from_value(pay).unwrap();
    assert_eq!(
        (&*pay.from_state, &*pay.to_state, pay.applied),
        ("created", "paid", true)
    );
    assert_eq!(pay.event_id.as_deref(), Some("e1"));
    let got = conn.ok("GET_INSTANCE", json!({ "instance_id": id })).await;
    assert_eq!(
        (&got["last_event_id"], &got["last_wal_offset"]),
        (&json!("e1"), &json!(pay.wal_offset))
    );
    let params = json!({ "instance_id": id, "event": "SHIP" });
    let guard = conn.refused("APPLY_EVENT", params, "GUARD_FAILED").await;
    assert_eq!(
        guard["details"],
        json!({ "current_state": "paid", "event": "SHIP", "guards": ["ctx.address != null"],
            "tried": [{ "text": "ctx.address != null", "holds": false, "values": { "ctx.address": null } }] })
    );
    let params = json!({ "instance_id": id, "event": "PAY", "payload": null });
    let invalid = conn
        .refused("APPLY_EVENT", params, "INVALID_TRANSITION")
        .await;
    assert_eq!(
        invalid["details"],
        json!({ "current_state": "paid", "event": "PAY" })
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expectations_that_do_not_hold_are_conflicts() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let params = json!({ "instance_id": id, "event": "PAY", "expected_state": "paid" });
    let conflict = conn.refused("APPLY_EVENT", params, "CONFLICT").await;
    assert_eq!(
        conflict["details"],
        json!({ "expected_state": "paid", "actual_state": "created" })
    );
    let params = json!({ "instance_id": id, "event": "PAY", "expected_wal_offset": 1_000_000 });
    let conflict = conn.refused("APPLY_EVENT", params, "CONFLICT").await;
    assert_eq!(conflict["details"]["expected_wal_offset"], 1_000_000);
    assert!(conflict["details"]["actual_wal_offset"].is_u64());
    for params in [
        json!({ "instance_id": id }),
        json!({ "instance_id": id, "event": "PAY", "payload": [1] }),
        json!({ "instance_id": id, "event": "PAY", "payload": "text" }),
        json!({ "instance_id": id, "event": "PAY", "expected_wal_offset": -1 }),
        json!({ "instance_id": id, "event": "PAY", "payload": { "a": "x".repeat(5 << 20) } }),
    ] {
        let error = conn.refused("APPLY_EVENT", params, "BAD_REQUEST").await;
        assert!(error["details"]["field"].is_string(), "{error}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_takes_effect_once_across_a_restart() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let params =
        json!({ "instance_id": id, "event": "PAY", "idempotency_key": "k", "payload": { "n": 1 } });
    let first = conn.ok("APPLY_EVENT", params.clone()).await;
    let dir = node.stop().await;
    let node = TestNode::start_on(dir, &[]).await;
    let mut conn = Conn::open(node.addr).await;
    let again = conn.ok("APPLY_EVENT", params.clone()).await;
    assert_eq!(
        (&first["applied"], &again["applied"]),
        (&json!(true), &json!(false))
    );
    for field in ["from_state", "to_state", "ctx", "wal_offset"] {
        assert_eq!(first[field], again[field], "{field}");
    }
    let mut other = params;
    other["payload"] = json!({ "n": 2 });
    conn.refused("APPLY_EVENT", other, "CONFLICT").await;
    node.stop().await;
}
