//! The feature level and CLUSTER_FINALIZE_UPGRADE, AUTOMATION.

use serde_json::{Value, json};

use super::support::{Conn, PATIENCE, TestNode, UNDERSTANDS};

/// The records of the log that hold a fact of the cluster's own.
async fn own_facts(conn: &mut Conn) -> Vec<Value> {
    let page = conn
        .ok("WAL_READ", json!({ "from_offset": 0, "limit": 1000 }))
        .await;
    let records = page["records"].as_array().unwrap().iter();
    let entries = records.map(|record| record["entry"].clone());
    entries.filter(|entry| entry["fact"].is_string()).collect()
}

async fn level_is(conn: &mut Conn, level: u32) {
    let reached = async {
        loop {
            let status = conn.ok("CLUSTER_STATUS", json!({})).await;
            let nodes = status["nodes"].as_array().unwrap();
            if nodes.iter().all(|node| node["feature_level"] == level) {
                assert_eq!(status["feature_level"], level);
                return;
            }
        }
    };
    let reached = tokio::time::timeout(PATIENCE, reached).await;
    reached.expect("the level is another one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_cluster_begins_at_the_level_of_its_program_and_says_so() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    conn.order_machine().await;
    level_is(&mut conn, 2).await;
    let info = conn.ok("INFO", json!({})).await;
    assert_eq!(
        (&info["feature_level"], &info["understands_level"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(info["automation"], json!({ "automation": "running" }));
    let status = conn.ok("CLUSTER_STATUS", json!({})).await;
    for node in status["nodes"].as_array().unwrap() {
        assert_eq!(node["understands_level"], 2, "{status}");
    }
    let facts = own_facts(&mut conn).await;
    assert_eq!(facts.len(), 1, "{facts:?}");
    assert_eq!(
        (&facts[0]["type"], &facts[0]["fact"], &facts[0]["level"]),
        (&json!("checkpoint"), &json!("set_level"), &json!(2))
    );
    let done = conn.ok("CLUSTER_FINALIZE_UPGRADE", json!({})).await;
    assert_eq!(done, json!({ "from": 2, "to": 2 }));
    let (_, metrics) = node.admin_get("/metrics").await;
    for line in [
        "rstmdb_feature_level 2",
        "rstmdb_feature_level_understood 2",
        "rstmdb_automation_paused 0",
    ] {
        assert!(metrics.lines().any(|shown| shown == line), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn automation_is_paused_and_resumed_and_the_log_and_info_say_so() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let ask = json!({});
    assert_eq!(
        conn.ok("AUTOMATION", ask.clone()).await,
        json!({ "automation": "running" })
    );
    let pause = json!({ "set": "paused", "reason": "a move" });
    let paused = conn.ok("AUTOMATION", pause.clone()).await;
    assert_eq!(
        (&paused["automation"], &paused["reason"]),
        (&json!("paused"), &json!("a move"))
    );
    let (since, offset) = (paused["since"].as_u64().unwrap(), &paused["wal_offset"]);
    assert!(since > 0 && offset.as_u64().unwrap() > 0, "{paused}");
    // A repeated request is answered with how automation stands, and writes nothing.
    let again = conn.ok("AUTOMATION", json!({ "set": "paused" })).await;
    assert_eq!(
        (&again["since"], &again["reason"]),
        (&json!(since), &json!("a move"))
    );
    assert_eq!(again["wal_offset"], Value::Null);
    let asked = conn.ok("AUTOMATION", ask.clone()).await;
    assert_eq!(
        (&asked["automation"], &asked["since"]),
        (&json!("paused"), &json!(since))
    );
    let info = conn.ok("INFO", json!({})).await;
    assert_eq!(info["automation"]["automation"], "paused");
    let status = conn.ok("CLUSTER_STATUS", json!({})).await;
    assert_eq!(status["automation"]["reason"], "a move");
    let resume = json!({ "set": "running", "shift_timers": true });
    let running = conn.ok("AUTOMATION", resume).await;
    assert_eq!(running["automation"], "running");
    let facts = own_facts(&mut conn).await;
    let said: Vec<_> = facts
        .iter()
        .map(|fact| fact["automation"].clone())
        .collect();
    assert_eq!(said, [Value::Null, json!("paused"), json!("running")]);
    assert_eq!(facts[2]["shift_timers"], true);
    assert_eq!(facts[1]["type"], "checkpoint");
    // Metadata as of any other write.
    let pause = json!({ "set": "paused", "reason": "again", "headers": { "ticket": "T-1" }, "causation_id": "x" });
    let paused = conn.ok("AUTOMATION", pause.clone()).await;
    assert_eq!(paused["reason"], "again");
    let params = json!({ "from_offset": paused["wal_offset"], "limit": 1, "include_meta": true });
    let meta = conn.ok("WAL_READ", params).await["records"][0]["meta"].clone();
    assert_eq!(
        (&meta["reason"], &meta["headers"], &meta["causation_id"]),
        (&json!("again"), &json!({ "ticket": "T-1" }), &json!("x"))
    );
    for wrong in [
        json!({ "causation_id": "x" }),
        json!({ "set": "off" }),
        json!({ "reason": "why" }),
        json!({ "set": "paused", "skip_overdue": true }),
        json!({ "set": "running", "skip_overdue": true, "shift_timers": true }),
        json!({ "set": "paused", "reason": "x".repeat(1025) }),
        json!({ "set": "paused", "dry_run": true }),
    ] {
        conn.refused("AUTOMATION", wrong, "BAD_REQUEST").await;
    }
    let batch = json!({ "mode": "atomic", "ops": [{ "op": "AUTOMATION", "params": pause }] });
    conn.refused("BATCH", batch, "BAD_REQUEST").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_cluster_keeps_its_level_until_it_is_told_to_finish() {
    let node = TestNode::start(&[(UNDERSTANDS, "1")]).await;
    let mut conn = Conn::open(node.addr).await;
    conn.order_machine().await;
    level_is(&mut conn, 1).await;
    let pause = json!({ "set": "paused" });
    let refused = conn
        .refused("AUTOMATION", pause.clone(), "FEATURE_LEVEL")
        .await;
    assert_eq!(
        (
            &refused["details"]["needed"],
            &refused["details"]["current"]
        ),
        (&json!(2), &json!(1))
    );
    let audit = json!({ "from_offset": 0 });
    let refused = conn
        .refused("AUDIT_READ", audit.clone(), "FEATURE_LEVEL")
        .await;
    let held_back_by = &refused["details"]["held_back_by"];
    assert_eq!(held_back_by.as_array().map(Vec::len), Some(1), "{refused}");
    let dir = node.stop().await;

    let node = TestNode::start_on(dir, &[]).await;
    let mut conn = Conn::open(node.addr).await;
    conn.order_machine().await;
    level_is(&mut conn, 1).await;
    conn.refused("AUTOMATION", pause.clone(), "FEATURE_LEVEL")
        .await;
    let refused = conn.refused("AUDIT_READ", audit, "FEATURE_LEVEL").await;
    assert_eq!(refused["details"]["held_back_by"], json!([]));
    let mut legacy = Conn::legacy(node.addr).await;
    legacy
        .refused("AUTOMATION", pause.clone(), "BAD_REQUEST")
        .await;
    let done = conn.ok("CLUSTER_FINALIZE_UPGRADE", json!({})).await;
    assert_eq!(done, json!({ "from": 1, "to": 2 }));
    level_is(&mut conn, 2).await;
    conn.ok("AUTOMATION", pause).await;
    assert_eq!(
        conn.ok("AUTOMATION", json!({})).await["automation"],
        "paused"
    );
}
