//! ALLOWED_EVENTS, and `dry_run` on everything that writes.

use serde_json::{Value, json};

use super::support::{Conn, TestNode, fresh};

async fn last_offset(conn: &mut Conn) -> u64 {
    // The node asked may be a follower: a read waits until it has applied what is committed.
    conn.ok("LIST_MACHINES", json!({})).await;
    conn.ok("WAL_STATS", json!({})).await["latest_offset"]
        .as_u64()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_events_tells_of_each_event_what_its_guards_read() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    conn.ok("APPLY_EVENT", json!({ "instance_id": id, "event": "PAY" }))
        .await;
    for consistency in [None, Some("linearizable"), Some("lease"), Some("local")] {
        let mut params = json!({ "instance_id": id, "payloads": { "SHIP": { "n": 1 } } });
        if let Some(level) = consistency {
            params["consistency"] = json!(level);
        }
        let allowed = conn.ok("ALLOWED_EVENTS", params).await;
        assert_eq!(allowed["state"], "paid");
        let events = allowed["events"].as_array().unwrap();
        let ship = events
            .iter()
            .find(|event| event["event"] == "SHIP")
            .unwrap();
        assert_eq!(
            *ship,
            json!({ "event": "SHIP", "outcome": "refused", "guards": [
                { "text": "ctx.address != null", "holds": false, "values": { "ctx.address": null } } ] })
        );
        let note = events
            .iter()
            .find(|event| event["event"] == "NOTE")
            .unwrap();
        assert_eq!(
            (&note["outcome"], &note["to_state"]),
            (&json!("taken"), &json!("created"))
        );
        // The answer holds for an event that expects the offset in it.
        let get = conn.ok("GET_INSTANCE", json!({ "instance_id": id })).await;
        assert_eq!(get["last_wal_offset"], allowed["last_wal_offset"]);
    }
    for (params, field) in [
        (json!({}), "params.instance_id"),
        (
            json!({ "instance_id": id, "payloads": [] }),
            "params.payloads",
        ),
        (
            json!({ "instance_id": id, "payloads": { "SHIP": 5 } }),
            "params.payloads.SHIP",
        ),
        (
            json!({ "instance_id": id, "consistency": "maybe" }),
            "params.consistency",
        ),
    ] {
        let error = conn.refused("ALLOWED_EVENTS", params, "BAD_REQUEST").await;
        assert_eq!(error["details"]["field"], field, "{error}");
        assert!(
            error["message"].as_str().unwrap().starts_with(field),
            "{error}"
        );
    }
    let params = json!({ "instance_id": fresh("nobody") });
    conn.refused("ALLOWED_EVENTS", params, "INSTANCE_NOT_FOUND")
        .await;
    let ops = json!([{ "op": "ALLOWED_EVENTS", "params": { "instance_id": id } }]);
    conn.refused("BATCH", json!({ "ops": ops }), "BAD_REQUEST")
        .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_without_a_dry_run_refuses_it_and_does_nothing() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    for (op, params) in [
        (
            "COMPACT",
            json!({ "force_snapshot": true, "dry_run": true }),
        ),
        (
            "SNAPSHOT_INSTANCE",
            json!({ "instance_id": id, "dry_run": true }),
        ),
        ("AUTOMATION", json!({ "set": "paused", "dry_run": true })),
        ("ROTATE_KEY", json!({ "dry_run": true })),
        ("RELOAD", json!({ "dry_run": true })),
        ("CLUSTER_REMOVE", json!({ "node_id": 9, "dry_run": true })),
    ] {
        let error = conn.refused(op, params, "BAD_REQUEST").await;
        assert_eq!(error["details"]["field"], "params.dry_run", "{op}: {error}");
    }
    let compacted = conn.ok("COMPACT", json!({ "dry_run": false })).await;
    assert_eq!(compacted["total_snapshots"], 0, "{compacted}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_each_write_answers_and_writes_nothing() {
    let node = TestNode::start(&[("RSTMDB_ALLOW_FLUSH_ALL", "true")]).await;
    let mut conn = Conn::open(node.addr).await;
    let (machine, id) = conn.order().await;
    let before = last_offset(&mut conn).await;
    let other = fresh("other");
    let event = json!({ "instance_id": id, "event": "PAY", "payload": { "card": "x" },
        "idempotency_key": "k", "dry_run": true });
    let would = json!({ "set": ["card"], "unset": [], "armed": [], "disarmed": [], "emits": [], "via": [] });
    for _ in 0..2 {
        let told = conn.ok("APPLY_EVENT", event.clone()).await;
        assert_eq!(told["wal_offset"], Value::Null);
        assert_eq!(
            (
                &told["from_state"],
                &told["to_state"],
                &told["applied"],
                &told["dry_run"]
            ),
            (
                &json!("created"),
                &json!("paid"),
                &json!(true),
                &json!(true)
            )
        );
        assert_eq!(told["would"], would);
        assert!(told.get("replayed").is_none());
    }
    let create =
        json!({ "machine": machine, "version": 1, "initial_ctx": { "n": 1 }, "dry_run": true });
    let told = conn.ok("CREATE_INSTANCE", create.clone()).await;
    assert_eq!(told["instance_id"], Value::Null);
    assert_eq!(
        (&told["state"], &told["would"]["set"]),
        (&json!("created"), &json!(["n"]))
    );
    let mut named = create;
    named["instance_id"] = json!(other);
    assert_eq!(
        conn.ok("CREATE_INSTANCE", named).await["instance_id"],
        json!(other)
    );
    let told = conn
        .ok(
            "DELETE_INSTANCE",
            json!({ "instance_id": id, "dry_run": true }),
        )
        .await;
    assert_eq!(
        (&told["deleted"], &told["wal_offset"]),
        (&json!(true), &Value::Null)
    );
    let definition = json!({ "states": ["a"], "initial": "a", "transitions": [] });
    let put =
        json!({ "machine": machine, "version": 2, "definition": definition, "dry_run": true });
    let told = conn.ok("PUT_MACHINE", put).await;
    assert_eq!(
        (&told["created"], &told["dry_run"]),
        (&json!(true), &json!(true))
    );
    let told = conn.ok("FLUSH_ALL", json!({ "dry_run": true })).await;
    assert!(told["instances_removed"].as_u64().unwrap() >= 1, "{told}");
    assert_eq!(last_offset(&mut conn).await, before);
    let get = conn.ok("GET_INSTANCE", json!({ "instance_id": id })).await;
    assert_eq!(get["state"], "created");
    conn.refused(
        "GET_INSTANCE",
        json!({ "instance_id": other }),
        "INSTANCE_NOT_FOUND",
    )
    .await;
    let wrong = json!({ "instance_id": id, "event": "PAY", "dry_run": "yes" });
    let error = conn.refused("APPLY_EVENT", wrong, "BAD_REQUEST").await;
    assert_eq!(error["details"]["field"], "params.dry_run");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_knows_the_keys_that_are_taken_and_takes_none() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let event = |dry_run: bool| json!({ "instance_id": id, "event": "PAY", "idempotency_key": "k", "dry_run": dry_run });
    assert_eq!(conn.ok("APPLY_EVENT", event(true)).await["applied"], true);
    let done = conn.ok("APPLY_EVENT", event(false)).await;
    assert_eq!(done["applied"], true);
    // The instance moves on, so the first call's context is only in the log.
    let note = json!({ "instance_id": id, "event": "NOTE", "payload": { "n": 1 } });
    conn.ok("APPLY_EVENT", note).await;
    let told = conn.ok("APPLY_EVENT", event(true)).await;
    assert_eq!(
        (&told["applied"], &told["replayed"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(
        (&told["wal_offset"], &told["ctx"]),
        (&done["wal_offset"], &done["ctx"])
    );
    let mut other = event(true);
    other["payload"] = json!({ "n": 2 });
    conn.refused("APPLY_EVENT", other, "CONFLICT").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_a_batch_sees_its_own_operations() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (machine, id) = conn.order().await;
    let other = fresh("other");
    let apply = |id: &str, event: &str| json!({ "op": "APPLY_EVENT", "params": { "instance_id": id, "event": event } });
    let create = json!({ "op": "CREATE_INSTANCE", "params": { "instance_id": other, "machine": machine, "version": 1 } });
    let get = json!({ "op": "GET_INSTANCE", "params": { "instance_id": other } });
    let before = last_offset(&mut conn).await;
    let ops = json!([create, apply(&other, "PAY"), get, apply(&id, "PAY")]);
    for mode in ["atomic", "best_effort"] {
        let batch = json!({ "mode": mode, "ops": ops, "dry_run": true });
        let told = conn.ok("BATCH", batch).await;
        let results = told["results"].as_array().unwrap();
        assert_eq!(told["dry_run"], true);
        assert!(results.iter().all(|item| item["status"] == "ok"), "{told}");
        assert_eq!(results[1]["result"]["would"]["set"], json!([]));
        assert_eq!(results[2]["result"]["state"], "paid");
        assert_eq!(results[2]["result"]["last_wal_offset"], Value::Null);
    }
    let ops = json!([apply(&id, "SHIP"), apply(&id, "PAY"), apply(&id, "SHIP"),
        { "op": "APPLY_EVENT", "params": { "instance_id": id } }]);
    let told = conn
        .ok("BATCH", json!({ "ops": ops, "dry_run": true }))
        .await;
    let results = told["results"].as_array().unwrap();
    let codes: Vec<_> = results.iter().map(|item| &item["error"]["code"]).collect();
    assert_eq!(
        codes,
        [
            &json!("INVALID_TRANSITION"),
            &Value::Null,
            &json!("GUARD_FAILED"),
            &json!("BAD_REQUEST")
        ]
    );
    assert_eq!(
        results[3]["error"]["details"]["field"],
        "params.ops[3].params.event"
    );
    let message = results[3]["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("params.ops[3].params.event: required"),
        "{message}"
    );
    let batch = json!({ "mode": "atomic", "ops": [apply(&id, "PAY"), apply(&id, "SHIP")], "dry_run": true });
    let error = conn.refused("BATCH", batch, "GUARD_FAILED").await;
    assert_eq!(error["details"]["index"], 1);
    for mode in ["atomic", "best_effort"] {
        let inside =
            json!({ "op": "DELETE_INSTANCE", "params": { "instance_id": id, "dry_run": true } });
        let batch = json!({ "mode": mode, "ops": [inside] });
        let error = match mode {
            "atomic" => conn.refused("BATCH", batch, "BAD_REQUEST").await,
            _ => conn.ok("BATCH", batch).await["results"][0]["error"].clone(),
        };
        assert_eq!(
            error["details"]["field"], "params.ops[0].params.dry_run",
            "{error}"
        );
    }
    assert_eq!(last_offset(&mut conn).await, before);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn existing_clients_see_refused_guards_as_they_always_did() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::legacy(node.addr).await;
    let (_, id) = conn.order().await;
    conn.ok("APPLY_EVENT", json!({ "instance_id": id, "event": "PAY" }))
        .await;
    let event = json!({ "instance_id": id, "event": "SHIP" });
    let details =
        json!({ "current_state": "paid", "event": "SHIP", "guards": ["ctx.address != null"] });
    let error = conn
        .refused("APPLY_EVENT", event.clone(), "GUARD_FAILED")
        .await;
    assert_eq!(error["details"], details);
    let ops = json!([{ "op": "APPLY_EVENT", "params": event }]);
    let done = conn.ok("BATCH", json!({ "ops": ops })).await;
    assert_eq!(done["results"][0]["error"]["details"], details);
    // They may ask all the same.
    let allowed = conn
        .ok("ALLOWED_EVENTS", json!({ "instance_id": id }))
        .await;
    assert_eq!(allowed["state"], "paid");
    node.stop().await;
}

fn outcome<'a>(allowed: &'a Value, event: &str) -> &'a Value {
    let mut events = allowed["events"].as_array().unwrap().iter();
    &events.find(|it| it["event"] == event).unwrap()["outcome"]
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_events_are_told_to_the_one_who_asks() {
    let dir = tempfile::tempdir().unwrap();
    let node = super::session::node_with_two_tokens(&dir).await;
    let (mut author, mut reviewer) = (Conn::open(node.addr).await, Conn::open(node.addr).await);
    author.ok("AUTH", super::session::token("one")).await;
    reviewer.ok("AUTH", super::session::token("two")).await;
    let definition = json!({ "format": 2, "initial": "draft", "states": ["draft", "review", "done"],
        "transitions": [
            { "from": "draft", "event": "SUBMIT", "to": "review", "set": { "author": "actor" } },
            { "from": "review", "event": "APPROVE", "to": "done", "guard": "actor != '' && actor != ctx.author" },
            { "from": "review", "event": "EDIT", "to": "draft", "guard": "actor == ctx.author" },
            { "from": "review", "event": "ROUTE", "to": "done", "guard": "headers.desk == 'legal'" } ] });
    let (machine, id) = (fresh("document"), fresh("d"));
    let put = json!({ "machine": machine, "version": 1, "definition": definition });
    author.ok("PUT_MACHINE", put).await;
    let create = json!({ "machine": machine, "version": 1, "instance_id": id });
    author.ok("CREATE_INSTANCE", create).await;
    let submit = json!({ "instance_id": id, "event": "SUBMIT" });
    author.ok("APPLY_EVENT", submit).await;
    for (conn, approve, edit) in [
        (&mut author, "refused", "taken"),
        (&mut reviewer, "taken", "refused"),
    ] {
        for consistency in ["linearizable", "local"] {
            let asked = json!({ "instance_id": id, "consistency": consistency });
            let told = conn.ok("ALLOWED_EVENTS", asked).await;
            assert_eq!(
                [
                    outcome(&told, "APPROVE"),
                    outcome(&told, "EDIT"),
                    outcome(&told, "ROUTE")
                ],
                [approve, edit, "refused"]
            );
        }
        let asked = json!({ "instance_id": id, "headers": { "desk": "legal" } });
        let told = conn.ok("ALLOWED_EVENTS", asked).await;
        assert_eq!(outcome(&told, "ROUTE"), "taken");
    }
    let wrong = json!({ "instance_id": id, "headers": { "desk": 1 } });
    let error = author.refused("ALLOWED_EVENTS", wrong, "BAD_REQUEST").await;
    assert_eq!(error["details"]["field"], "params.headers.desk");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_events_go_by_the_clock_and_not_by_the_last_write() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let definition = json!({ "format": 2, "initial": "held", "states": ["held", "freed"],
        "transitions": [
            { "from": "held", "event": "HOLD", "to": "held", "set": { "since": "now" } },
            { "from": "held", "event": "EXPIRE", "to": "freed", "guard": "now - ctx.since >= 300" } ] });
    let (machine, id) = (fresh("hold"), fresh("h"));
    let put = json!({ "machine": machine, "version": 1, "definition": definition });
    conn.ok("PUT_MACHINE", put).await;
    let create = json!({ "machine": machine, "version": 1, "instance_id": id });
    conn.ok("CREATE_INSTANCE", create).await;
    let hold = json!({ "instance_id": id, "event": "HOLD" });
    conn.ok("APPLY_EVENT", hold).await;
    // Nothing is written from here on.
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    let told = conn
        .ok("ALLOWED_EVENTS", json!({ "instance_id": id }))
        .await;
    assert_eq!(outcome(&told, "EXPIRE"), "taken");
    node.stop().await;
}
