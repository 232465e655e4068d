//! WATCH_INSTANCE, WATCH_ALL, UNWATCH, and what follows them.

use std::time::{Duration, Instant};

use rstmdb_rcp::frame::Flags;
use rstmdb_rcp::message::watch::Event;
use serde_json::{Value, json};

use super::support::{Conn, TestNode};

fn note(id: &str, n: u64) -> Value {
    json!({ "instance_id": id, "event": "NOTE", "payload": { "n": n } })
}

async fn next_pushed(conn: &mut Conn) -> Value {
    let (flags, pushed) = conn.next().await.unwrap();
    assert!(flags.contains(Flags::STREAM), "{pushed}");
    pushed
}

/// The next event; notices of progress are passed over.
async fn next_event(conn: &mut Conn) -> Value {
    loop {
        let event = next_pushed(conn).await;
        if event["type"] == "progress" {
            continue;
        }
        assert_eq!(event["type"], "event");
        serde_json::from_value::<Event<'_>>(event.clone()).unwrap();
        return event;
    }
}

/// Brings the node to what others have written through it.
async fn settle(conn: &mut Conn) {
    conn.ok("LIST_INSTANCES", json!({ "limit": 1 })).await;
}

/// The next message, which is a notice of this watch: the offset it names.
async fn next_progress(conn: &mut Conn, watch: &Value) -> u64 {
    let notice = next_pushed(conn).await;
    let offset = notice["wal_offset"].as_u64().unwrap();
    assert_eq!(
        notice,
        json!({ "type": "progress", "subscription_id": watch["subscription_id"], "wal_offset": offset })
    );
    offset
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

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_catch_up_is_told_behind_its_events() {
    let node = TestNode::start(&[]).await;
    let mut writer = Conn::open(node.addr).await;
    let (machine, id) = writer.order().await;
    for n in 0..3 {
        writer.ok("APPLY_EVENT", note(&id, n)).await;
    }
    let (_, other) = writer.order().await;
    let last = writer.ok("APPLY_EVENT", note(&other, 9)).await["wal_offset"].clone();
    let last = last.as_u64().unwrap();
    settle(&mut writer).await;
    let mut conn = Conn::open(node.addr).await;
    let params = json!({ "machines": [machine], "events": ["NOTE"], "from_offset": 0 });
    let watch = conn.ok("WATCH_ALL", params).await;
    for n in 0..3 {
        let event = next_pushed(&mut conn).await;
        assert_eq!(event["payload"]["n"], json!(n), "{event}");
    }
    let looked_at = next_progress(&mut conn, &watch).await;
    assert!(looked_at >= last, "{looked_at} of {last}");
    // From there on, the watch shows only later events.
    let params = json!({ "instance_id": id, "from_offset": looked_at + 1 });
    let watch = conn.ok("WATCH_INSTANCE", params).await;
    assert!(next_progress(&mut conn, &watch).await >= looked_at);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_with_nothing_to_tell_says_how_far_it_has_come_and_an_old_client_hears_nothing() {
    let node = TestNode::start(&[]).await;
    let mut writer = Conn::open(node.addr).await;
    let (_, id) = writer.order().await;
    let rare = json!({ "machines": ["rare"] });
    let mut old = Conn::legacy(node.addr).await;
    old.ok("WATCH_ALL", rare.clone()).await;
    let mut from_begin = rare.clone();
    from_begin["from_offset"] = json!(0);
    let result = old.ok("WATCH_ALL", from_begin).await;
    assert_eq!(result["cluster_id"], json!(null));
    let mut conn = Conn::open(node.addr).await;
    let begun = Instant::now();
    let watch = conn.ok("WATCH_ALL", rare).await;
    let last = writer.ok("APPLY_EVENT", note(&id, 1)).await["wal_offset"].clone();
    assert!(next_progress(&mut conn, &watch).await >= last.as_u64().unwrap());
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(9), "{took:?}");
    // Whatever was pushed to the old client would come before this answer.
    let id = old.send("PING", json!({})).await;
    assert_eq!(old.recv().await["id"], json!(id));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_beyond_the_log_or_of_another_one_is_refused() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let done = conn.ok("APPLY_EVENT", note(&id, 1)).await;
    let head = done["wal_offset"].as_u64().unwrap();
    let cluster_id = conn.ok("INFO", json!({})).await["cluster_id"].clone();
    // A client comes to any node with the last offset + 1, also if that node is behind.
    let next = json!({ "from_offset": head + 1, "cluster_id": cluster_id });
    let mut watcher = Conn::open(node.addr).await;
    let watch = watcher.ok("WATCH_ALL", next).await;
    assert_eq!(watch["cluster_id"], cluster_id);
    let params = json!({ "instance_id": id, "from_offset": head + 1 });
    let mut watcher = Conn::open(node.addr).await;
    let watch = watcher.ok("WATCH_INSTANCE", params).await;
    assert_eq!(watch["cluster_id"], cluster_id);
    settle(&mut conn).await;

    let beyond = json!({ "from_offset": head + 1000 });
    let elsewhere = json!({ "from_offset": head, "cluster_id": "another" });
    for params in [beyond.clone(), elsewhere] {
        let mut conn = Conn::open(node.addr).await;
        let error = conn.refused("WATCH_ALL", params, "OFFSET_AHEAD").await;
        assert_eq!(error["details"]["cluster_id"], cluster_id, "{error}");
        assert!(error["details"]["head"].as_u64() >= Some(head), "{error}");
        assert_eq!(error["retryable"], false);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("state"), "{message}");
    }
    let mut params = beyond;
    params["instance_id"] = json!(id);
    let mut old = Conn::legacy(node.addr).await;
    old.refused("WATCH_INSTANCE", params, "NOT_FOUND").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_is_bounded_and_a_name_counts_once() {
    let node = TestNode::start(&[]).await;
    let mut writer = Conn::open(node.addr).await;
    let (machine, id) = writer.order().await;
    let mut conn = Conn::open(node.addr).await;
    let often = json!({ "machines": vec![machine.clone(); 1000] });
    conn.ok("WATCH_ALL", often).await;
    writer.ok("APPLY_EVENT", note(&id, 1)).await;
    assert_eq!(next_event(&mut conn).await["payload"]["n"], 1);
    writer.ok("APPLY_EVENT", note(&id, 2)).await;
    assert_eq!(next_event(&mut conn).await["payload"]["n"], 2);
    let long = |n: usize| format!("{n:0>256}");
    let many: Vec<String> = (0..257).map(long).collect();
    let error = conn
        .refused("WATCH_ALL", json!({ "events": many }), "BAD_REQUEST")
        .await;
    assert!(
        error["message"].as_str().unwrap().contains("65536"),
        "{error}"
    );
    // All filters of a connection together.
    let many: Vec<String> = (0..256).map(long).collect();
    let params = json!({ "events": many });
    let mut refused = None;
    for _ in 0..60 {
        if let Err(error) = conn.call("WATCH_ALL", params.clone()).await {
            refused = Some(error);
            break;
        }
    }
    assert_eq!(refused.expect("no bound")["code"], "RATE_LIMITED");
    conn.ok("PING", json!({})).await;
    node.stop().await;
}
