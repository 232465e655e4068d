//! WATCH_INSTANCE, WATCH_ALL, UNWATCH, and what follows them.

use rstmdb_rcp::frame::Flags;
use rstmdb_rcp::message::watch::Event;
use serde_json::{Value, json};

use super::support::{Conn, TestNode};

fn note(id: &str, n: u64) -> Value {
    json!({ "instance_id": id, "event": "NOTE", "payload": { "n": n } })
}

async fn next_event(conn: &mut Conn) -> Value {
    let (flags, event) = conn.next().await.unwrap();
    assert!(flags.contains(Flags::STREAM), "{event}");
    assert_eq!(event["type"], "event");
    serde_json::from_value::<Event<'_>>(event.clone()).unwrap();
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_watched_live() {
    let node = TestNode::start(&[]).await;
    let mut writer = Conn::open(node.addr).await;
    let (machine, id) = writer.order().await;
    let mut conn = Conn::open(node.addr).await;
    let watch = conn
        .ok("WATCH_INSTANCE", json!({ "instance_id": id }))
        .await;
    assert_eq!(watch["current_state"], "created");
    assert!(watch["earliest_offset"].is_u64());
    let (_, other) = writer.order().await;
    writer.ok("APPLY_EVENT", note(&other, 0)).await;
    let done = writer.ok("APPLY_EVENT", note(&id, 1)).await;
    let event = next_event(&mut conn).await;
    assert_eq!(
        event,
        json!({
            "type": "event", "subscription_id": watch["subscription_id"], "instance_id": id,
            "machine": machine, "version": 1, "wal_offset": done["wal_offset"],
            "from_state": "created", "to_state": "created", "event": "NOTE",
            "payload": { "n": 1 }, "ctx": { "total": 5, "n": 1 },
        })
    );
    let params = json!({ "subscription_id": watch["subscription_id"] });
    assert_eq!(conn.ok("UNWATCH", params.clone()).await["removed"], true);
    assert_eq!(conn.ok("UNWATCH", params).await["removed"], false);
    writer.ok("APPLY_EVENT", note(&id, 2)).await;
    conn.ok("PING", json!({})).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_goes_over_into_live_without_gap_or_repetition() {
    let node = TestNode::start(&[]).await;
    let mut writer = Conn::open(node.addr).await;
    let (machine, id) = writer.order().await;
    for n in 0..50 {
        writer.ok("APPLY_EVENT", note(&id, n)).await;
    }
    let mut conn = Conn::open(node.addr).await;
    let params = json!({ "machines": [machine], "from_offset": 0, "include_ctx": false });
    conn.ok("WATCH_ALL", params).await;
    for n in 50..100 {
        writer.ok("APPLY_EVENT", note(&id, n)).await;
    }
    let mut last = 0;
    for n in 0..100u64 {
        let event = next_event(&mut conn).await;
        assert_eq!(event["payload"]["n"], json!(n));
        assert_eq!(event["ctx"], json!(null));
        let offset = event["wal_offset"].as_u64().unwrap();
        assert!(offset > last);
        last = offset;
    }
    let mut conn = Conn::open(node.addr).await;
    conn.ok(
        "WATCH_INSTANCE",
        json!({ "instance_id": id, "from_offset": last }),
    )
    .await;
    assert_eq!(next_event(&mut conn).await["payload"]["n"], 99);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_are_or_inside_and_and_between() {
    let node = TestNode::start(&[]).await;
    let mut writer = Conn::open(node.addr).await;
    let (machine, id) = writer.order().await;
    let mut conn = Conn::open(node.addr).await;
    let params = json!({
        "machines": [machine, "other"], "from_states": ["created"], "to_states": ["paid", "shipped"],
        "events": ["PAY", "SHIP"],
    });
    let watch = conn.ok("WATCH_ALL", params).await;
    assert!(watch["wal_offset"].is_u64());
    writer.ok("APPLY_EVENT", note(&id, 1)).await;
    writer
        .ok("APPLY_EVENT", json!({ "instance_id": id, "event": "PAY" }))
        .await;
    assert_eq!(next_event(&mut conn).await["event"], "PAY");
    conn.refused("WATCH_ALL", json!({ "machines": "x" }), "BAD_REQUEST")
        .await;
    conn.refused("WATCH_ALL", json!({ "from_offset": "x" }), "BAD_REQUEST")
        .await;
    conn.refused("UNWATCH", json!({}), "BAD_REQUEST").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_events_of_an_atomic_batch_come_at_their_one_offset() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let mut watcher = Conn::open(node.addr).await;
    watcher.ok("WATCH_ALL", json!({})).await;
    let op = |n| json!({ "op": "APPLY_EVENT", "params": note(&id, n) });
    conn.ok(
        "BATCH",
        json!({ "mode": "atomic", "ops": [op(1), op(2), op(3)] }),
    )
    .await;
    let mut offsets = Vec::new();
    for n in 1..=3 {
        let event = next_event(&mut watcher).await;
        assert_eq!(event["payload"]["n"], json!(n));
        offsets.push(event["wal_offset"].clone());
    }
    assert!(offsets.iter().all(|offset| *offset == offsets[0]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_does_not_read_gets_everything_later() {
    let node = TestNode::start(&[]).await;
    let mut writer = Conn::open(node.addr).await;
    let (_, id) = writer.order().await;
    let mut watcher = Conn::open(node.addr).await;
    watcher
        .ok("WATCH_INSTANCE", json!({ "instance_id": id }))
        .await;
    let (rounds, each) = (40, 100);
    for round in 0..rounds {
        for n in 0..each {
            let n = round * each + n;
            let mut params = note(&id, n);
            params["payload"]["fill"] = json!("x".repeat(2000));
            writer.send("APPLY_EVENT", params).await;
        }
        for _ in 0..each {
            writer.recv().await;
        }
    }
    for n in 0..rounds * each {
        assert_eq!(next_event(&mut watcher).await["payload"]["n"], json!(n));
    }
    node.stop().await;
}
