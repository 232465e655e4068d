//! AUDIT_READ, and the chain in INFO and CLUSTER_STATUS.

use std::time::Duration;

use rstmdb_engine::chain::{EntryHash, EntryKind, HASH_BYTES, Head, Logged};
use rstmdb_engine::fact::{Entry, Message};
use rstmdb_rcp::message::storage::audit::AuditReadResult;
use serde_json::{Value, json};

use super::support::{Conn, TestNode};

async fn read(conn: &mut Conn, params: Value) -> AuditReadResult<'static> {
    serde_json::from_value(conn.ok("AUDIT_READ", params).await).unwrap()
}

fn head_of(text: &str) -> Head {
    text.parse().unwrap()
}

/// Waits until the chain has begun.
async fn chained(conn: &mut Conn) -> Value {
    for _ in 0..1_000 {
        let info = conn.ok("INFO", json!({})).await;
        if !info["chain"].is_null() {
            return info;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the chain has not begun");
}

/// Some instances, of which "a" has three facts.
async fn fill(conn: &mut Conn) {
    let machine = conn.order_machine().await;
    for id in ["a", "b"] {
        let params = json!({ "instance_id": id, "machine": machine, "version": 1 });
        conn.ok("CREATE_INSTANCE", params).await;
    }
    conn.ok("APPLY_EVENT", json!({ "instance_id": "b", "event": "PAY" }))
        .await;
    conn.ok("APPLY_EVENT", json!({ "instance_id": "a", "event": "PAY" }))
        .await;
    conn.ok("DELETE_INSTANCE", json!({ "instance_id": "a" }))
        .await;
}

/// All pages of `limit` entries: the head that they lead to, and what they show whole.
async fn walk(conn: &mut Conn, limit: u64) -> (u64, Head, Vec<(u64, Entry)>) {
    let (mut from, mut head, mut shown) = (0, None, Vec::new());
    loop {
        let params = json!({ "from_offset": from, "instance_id": "a", "limit": limit });
        let page = read(conn, params).await;
        let before = head_of(&page.head_before);
        assert_eq!(head.unwrap_or(before), before, "pages join each other");
        if page.first_offset > page.last_applied {
            return (page.last_applied, before, shown);
        }
        let (hashes, rest) = page.hashes.0.as_chunks::<HASH_BYTES>();
        assert!(rest.is_empty() && hashes.len() as u64 <= limit);
        assert_eq!(page.first_offset + hashes.len() as u64, page.next_offset);
        for entry in page.entries {
            let logged = Logged {
                term: entry.term,
                offset: entry.offset,
                kind: EntryKind::Normal,
                payload: &entry.data.0,
            };
            let place = (entry.offset - page.first_offset) as usize;
            assert_eq!(logged.hash().0, hashes[place]);
            let data = bytes::Bytes::from(entry.data.0);
            shown.push((entry.offset, Entry::decode(data).unwrap()));
        }
        let hashes = hashes.iter().copied().map(EntryHash);
        head = Some(hashes.fold(before, |head, hash| head.then(&hash)));
        from = page.next_offset;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hashes_lead_to_the_head_and_entries_of_the_instance_are_shown_whole() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    chained(&mut conn).await;
    fill(&mut conn).await;
    let (last, head, shown) = walk(&mut conn, 2).await;
    assert_eq!(walk(&mut conn, 1_000).await, (last, head, shown.clone()));
    let facts: Vec<String> = shown
        .iter()
        .map(|(offset, entry)| {
            assert_eq!(entry.index, *offset);
            entry.facts[0].to_string()
        })
        .collect();
    assert_eq!(facts.len(), 3, "{facts:?}");
    assert!(facts.iter().all(|fact| fact.starts_with("a ")), "{facts:?}");
    let info = chained(&mut conn).await;
    assert_eq!(info["last_applied"], last);
    assert_eq!(info["chain"]["head"], head.to_string());
    let status = conn.ok("CLUSTER_STATUS", json!({})).await;
    for node in status["nodes"].as_array().unwrap() {
        if node["digest_offset"] == last {
            assert_eq!(node["chain_head"], head.to_string(), "{node}");
        }
    }
    let described = conn.ok("BACKUP_DESCRIBE", json!({})).await;
    assert_eq!(described["chain_head"], head.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_cannot_be_is_refused_with_the_parameter() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let info = chained(&mut conn).await;
    let first = info["chain"]["from"].as_u64().unwrap();
    let none = conn
        .refused(
            "AUDIT_READ",
            json!({ "from_offset": 1, "limit": 0 }),
            "BAD_REQUEST",
        )
        .await;
    assert_eq!(none["details"]["field"], "params.limit");
    let beyond = conn
        .refused(
            "AUDIT_READ",
            json!({ "from_offset": 1_000_000 }),
            "BAD_REQUEST",
        )
        .await;
    assert_eq!(beyond["details"]["field"], "params.from_offset");
    if first > 1 {
        let before = json!({ "from_offset": first - 1 });
        let before = conn.refused("AUDIT_READ", before, "OFFSET_COMPACTED").await;
        assert_eq!(before["details"]["earliest_offset"], first);
    }
    let mut old = Conn::legacy(node.addr).await;
    old.refused("AUDIT_READ", json!({ "from_offset": 1 }), "BAD_REQUEST")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_goes_on_behind_a_snapshot_and_a_restart() {
    let mut node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let from = chained(&mut conn).await["chain"]["from"].clone();
    fill(&mut conn).await;
    conn.ok("COMPACT", json!({ "force_snapshot": true })).await;
    let (last, head, _) = walk(&mut conn, 1_000).await;
    node = TestNode::start_on(node.stop().await, &[]).await;
    let mut conn = Conn::open(node.addr).await;
    let info = chained(&mut conn).await;
    assert_eq!(info["chain"]["from"], from);
    let at = read(&mut conn, json!({ "from_offset": last + 1 })).await;
    assert_eq!(head_of(&at.head_before), head);
    walk(&mut conn, 1_000).await;
}
