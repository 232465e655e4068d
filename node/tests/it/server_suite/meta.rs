//! The metadata that clients give to writes, the clients that see it, and creations and deletions in watches.

use rstmdb_rcp::frame::Flags;
use rstmdb_rcp::message::watch::Event;
use serde_json::{Value, json};

use super::support::{Conn, TestNode, fresh};

/// The next event of a watch. Notices of progress are passed over.
async fn told(conn: &mut Conn) -> Value {
    loop {
        let (flags, pushed) = conn.next().await.unwrap();
        assert!(flags.contains(Flags::STREAM), "{pushed}");
        if pushed["type"] != "progress" {
            serde_json::from_value::<Event<'_>>(pushed.clone()).unwrap();
            return pushed;
        }
    }
}

async fn meta_at(conn: &mut Conn, offset: &Value) -> Value {
    let params = json!({ "from_offset": offset, "limit": 1, "include_meta": true });
    conn.ok("WAL_READ", params).await["records"][0]["meta"].take()
}

fn create(machine: &str, id: &str) -> Value {
    json!({ "machine": machine, "version": 1, "instance_id": id, "initial_ctx": { "total": 5 } })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_about_a_write_is_shown_to_those_who_ask_for_it() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (machine, id) = conn.order().await;
    let mut watcher = Conn::open(node.addr).await;
    let params = json!({ "machines": [machine], "include_meta": true, "include_ctx": false });
    watcher.ok("WATCH_ALL", params).await;
    let mut plain = Conn::open(node.addr).await;
    plain
        .ok("WATCH_INSTANCE", json!({ "instance_id": id }))
        .await;
    let params = json!({
        "instance_id": id, "event": "PAY", "headers": { "b": "ü\"", "a": "" }, "reason": "two\nlines",
        "correlation_id": "w", "causation_id": "shop-7",
    });
    let done = conn.ok("APPLY_EVENT", params).await;
    let offset = &done["wal_offset"];
    let meta = meta_at(&mut conn, offset).await;
    assert!(meta["time_ms"].as_u64().unwrap() > 0);
    let expected = json!({
        "time_ms": meta["time_ms"], "headers": { "a": "", "b": "ü\"" }, "reason": "two\nlines",
        "correlation_id": "w", "causation_id": "shop-7",
    });
    assert_eq!(meta, expected);
    let event = told(&mut watcher).await;
    assert_eq!((&event["meta"], &event["kind"]), (&expected, &Value::Null));
    let event = told(&mut plain).await;
    assert_eq!(
        (&event["meta"], &event["kind"]),
        (&Value::Null, &Value::Null)
    );
    let page = conn
        .ok("WAL_READ", json!({ "from_offset": offset, "limit": 1 }))
        .await;
    assert_eq!(page["records"][0]["meta"], Value::Null);
    let silent = conn
        .ok("APPLY_EVENT", json!({ "instance_id": id, "event": "NOTE" }))
        .await;
    let meta = meta_at(&mut conn, &silent["wal_offset"]).await;
    assert_eq!(meta, json!({ "time_ms": meta["time_ms"] }));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changed_an_instance_last_is_told_to_those_who_ask() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let plain = json!({ "instance_id": id });
    let asks = json!({ "instance_id": id, "include": ["meta"] });
    let created = conn.ok("GET_INSTANCE", asks.clone()).await;
    let meta = &created["meta"];
    assert_eq!(*meta, json!({ "time_ms": meta["time_ms"] }));
    let params =
        json!({ "instance_id": id, "event": "PAY", "reason": "by phone", "headers": { "a": "b" } });
    let offset = conn.ok("APPLY_EVENT", params).await["wal_offset"].clone();
    let mut told = conn.ok("GET_INSTANCE", asks).await;
    let meta = told["meta"].take();
    let expected =
        json!({ "time_ms": meta["time_ms"], "reason": "by phone", "headers": { "a": "b" } });
    assert_eq!(meta, expected);
    assert_eq!(meta, meta_at(&mut conn, &offset).await);
    // All other fields are those of a client that does not ask.
    told.as_object_mut().unwrap().remove("meta");
    assert_eq!(told, conn.ok("GET_INSTANCE", plain).await);
    let local = json!({ "instance_id": id, "include": ["meta"], "consistency": "local", "min_wal_offset": offset });
    assert_eq!(conn.ok("GET_INSTANCE", local).await["meta"], expected);
    for (include, field) in [
        (json!(["mood"]), "params.include[0]"),
        (json!("meta"), "params.include"),
    ] {
        let params = json!({ "instance_id": id, "include": include });
        let error = conn.refused("GET_INSTANCE", params, "BAD_REQUEST").await;
        assert_eq!(error["details"]["field"], field);
    }
    let inside =
        json!({ "op": "GET_INSTANCE", "params": { "instance_id": id, "include": ["meta"] } });
    let batch = json!({ "mode": "atomic", "ops": [inside] });
    let error = conn.refused("BATCH", batch, "BAD_REQUEST").await;
    assert_eq!(error["details"]["field"], "params.ops[0].params.include");
    let missing = json!({ "instance_id": fresh("missing"), "include": ["meta"] });
    conn.refused("GET_INSTANCE", missing, "INSTANCE_NOT_FOUND")
        .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_metadata_is_refused_with_the_field_and_what_is_allowed() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    for (field, value) in [
        ("headers", json!(["a"])),
        ("headers", json!({ "a": "x".repeat(4096) })),
        ("headers.a", json!({ "a": 1 })),
        ("reason", json!("x".repeat(1025))),
        ("reason", json!(7)),
        ("correlation_id", json!("")),
        ("causation_id", json!("x".repeat(257))),
        ("causation_id", json!(17)),
    ] {
        let name = field.split('.').next().unwrap();
        let params = json!({ "instance_id": id, "event": "PAY", name: value });
        let error = conn.refused("APPLY_EVENT", params, "BAD_REQUEST").await;
        assert_eq!(
            error["details"]["field"],
            format!("params.{field}"),
            "{error}"
        );
    }
    let found = conn.ok("GET_INSTANCE", json!({ "instance_id": id })).await;
    assert_eq!(found["state"], "created");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_belongs_to_the_work_of_its_cause() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let note = |meta: Value| {
        let mut params = json!({ "instance_id": id, "event": "NOTE" });
        let fields = meta.as_object().unwrap().clone();
        params.as_object_mut().unwrap().extend(fields);
        params
    };
    let first = conn
        .ok("APPLY_EVENT", note(json!({ "correlation_id": "w-1" })))
        .await;
    let cause = first["wal_offset"].to_string();
    // The client sends all at once. Requests whose cause the node must look up keep their places.
    let mut ids = Vec::new();
    for n in 0..20 {
        let said = match n % 4 {
            0 => json!({ "causation_id": cause, "payload": { "n": n } }),
            1 => json!({ "causation_id": cause, "correlation_id": "own", "payload": { "n": n } }),
            2 => json!({ "causation_id": "shop-7", "payload": { "n": n } }),
            _ => json!({ "causation_id": "999999999", "payload": { "n": n } }),
        };
        ids.push(conn.send("APPLY_EVENT", note(said)).await);
    }
    let mut offsets = vec![Value::Null; ids.len()];
    for _ in 0..ids.len() {
        let answer = conn.recv().await;
        let at = ids.iter().position(|id| answer["id"] == **id).unwrap();
        offsets[at] = answer["result"]["wal_offset"].clone();
        assert_eq!(answer["result"]["ctx"]["n"], at, "{answer}");
    }
    let ascending: Vec<u64> = offsets.iter().map(|at| at.as_u64().unwrap()).collect();
    assert!(ascending.is_sorted(), "{ascending:?}");
    for (n, offset) in offsets.iter().enumerate() {
        let expected = [json!("w-1"), json!("own"), Value::Null, Value::Null];
        let meta = meta_at(&mut conn, offset).await;
        assert_eq!(meta["correlation_id"], expected[n % 4], "{n}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn causes_are_followed_back_to_the_first_one() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (machine, id) = conn.order().await;
    let mut offsets = Vec::new();
    let mut cause = "order-form".to_owned();
    for n in 0..5 {
        let params = json!({ "instance_id": id, "event": "NOTE", "payload": { "n": n }, "causation_id": cause });
        let done = conn.ok("APPLY_EVENT", params).await;
        let offset = done["wal_offset"].as_u64().unwrap();
        cause = offset.to_string();
        offsets.insert(0, offset);
    }
    let found = |answer: &Value| -> Vec<u64> {
        let facts = answer["facts"].as_array().unwrap().iter();
        facts.map(|fact| fact["offset"].as_u64().unwrap()).collect()
    };
    let all = conn.ok("ANCESTORS", json!({ "offset": offsets[0] })).await;
    assert_eq!(found(&all), offsets);
    assert_eq!(all["ended"], "not_an_offset");
    assert_eq!(all["facts"][4]["meta"]["causation_id"], "order-form");
    assert_eq!(all["facts"][0]["entry"]["payload"], json!({ "n": 4 }));

    let some = conn
        .ok("ANCESTORS", json!({ "offset": offsets[0], "limit": 2 }))
        .await;
    assert_eq!(found(&some), offsets[..2]);
    assert_eq!(
        (&some["ended"], &some["next"]),
        (&json!("limit"), &json!(offsets[2]))
    );

    // The facts of a batch are one write. A cause that is not earlier ends the line.
    let own = offsets[0] + 1;
    let ops = json!([
        { "op": "CREATE_INSTANCE", "params": create(&machine, &fresh("a")) },
        { "op": "CREATE_INSTANCE", "params": create(&machine, &fresh("b")) },
    ]);
    let batch = json!({ "mode": "atomic", "ops": ops, "causation_id": own.to_string() });
    let results = conn.ok("BATCH", batch).await;
    let at = results["results"][0]["result"]["wal_offset"]
        .as_u64()
        .unwrap();
    let line = conn.ok("ANCESTORS", json!({ "offset": at })).await;
    assert_eq!(found(&line)[..2], [at, at]);
    assert!(line["ended"] == "not_an_offset", "{line}");
    let root = conn
        .ok("ANCESTORS", json!({ "offset": offsets[4] - 1 }))
        .await;
    assert_eq!(root["ended"], "root");

    let params = json!({ "offset": 999_999_999 });
    let error = conn.refused("ANCESTORS", params, "NOT_FOUND").await;
    assert_eq!(error["details"]["offset"], 999_999_999);
    conn.refused("ANCESTORS", json!({ "offset": 0 }), "BAD_REQUEST")
        .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_says_it_once_and_each_operation_of_best_effort_may_say_otherwise() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let note = |said: Value| {
        let mut params = json!({ "instance_id": id, "event": "NOTE", "payload": {} });
        params
            .as_object_mut()
            .unwrap()
            .extend(said.as_object().unwrap().clone());
        json!({ "op": "APPLY_EVENT", "params": params })
    };
    let batch = |mode: &str, own: Value| {
        let ops = [note(json!({})), note(own)];
        json!({ "mode": mode, "ops": ops, "reason": "both", "headers": { "a": "b" } })
    };
    let own = json!({ "reason": "mine" });
    let error = conn
        .refused("BATCH", batch("atomic", own.clone()), "BAD_REQUEST")
        .await;
    assert_eq!(
        error["details"]["field"], "params.ops[1].params.reason",
        "{error}"
    );
    assert_eq!(error["details"]["index"], 1);
    for (mode, own, second) in [
        ("atomic", json!({}), "both"),
        ("best_effort", json!({}), "both"),
        ("best_effort", own, "mine"),
    ] {
        let done = conn.ok("BATCH", batch(mode, own)).await;
        for (result, reason) in done["results"]
            .as_array()
            .unwrap()
            .iter()
            .zip(["both", second])
        {
            let meta = meta_at(&mut conn, &result["result"]["wal_offset"]).await;
            assert_eq!(
                (&meta["reason"], &meta["headers"]),
                (&json!(reason), &json!({ "a": "b" }))
            );
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn creations_and_deletions_are_told_live_and_again() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let machine = conn.order_machine().await;
    let id = fresh("told");
    let mut live = Conn::open(node.addr).await;
    let watch = |from: Option<u64>| json!({ "machines": [machine], "include": ["created", "deleted"], "from_offset": from });
    live.ok("WATCH_ALL", watch(None)).await;
    let mut of_one = Conn::open(node.addr).await;
    let params = json!({ "instance_id": id, "include": ["deleted"] });
    let begun = of_one.ok("WATCH_INSTANCE", params).await;
    assert_eq!(begun["current_state"], Value::Null);
    assert!(begun["wal_offset"].is_u64(), "{begun}");

    let mut offsets = Vec::new();
    for _ in 0..2 {
        offsets.push(conn.ok("CREATE_INSTANCE", create(&machine, &id)).await["wal_offset"].clone());
        let pay = json!({ "instance_id": id, "event": "PAY" });
        offsets.push(conn.ok("APPLY_EVENT", pay).await["wal_offset"].clone());
        let delete = json!({ "instance_id": id });
        offsets.push(conn.ok("DELETE_INSTANCE", delete).await["wal_offset"].clone());
    }
    let mut first = Vec::new();
    for offset in &offsets {
        let event = told(&mut live).await;
        assert_eq!(&event["wal_offset"], offset, "{event}");
        first.push(event);
    }
    let common = json!({ "type": "event", "instance_id": id, "machine": machine, "version": 1,
        "subscription_id": first[0]["subscription_id"] });
    let with = |rest: Value| {
        let mut event = common.clone();
        event
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        event
    };
    let created = with(
        json!({ "kind": "created", "wal_offset": offsets[0], "from_state": null,
        "to_state": "created", "event": null, "ctx": { "total": 5 } }),
    );
    assert_eq!(first[0], created);
    let event = with(
        json!({ "kind": "event", "wal_offset": offsets[1], "from_state": "created",
        "to_state": "paid", "event": "PAY", "ctx": { "total": 5 } }),
    );
    assert_eq!(first[1], event);
    let deleted = with(
        json!({ "kind": "deleted", "wal_offset": offsets[2], "from_state": "paid",
        "to_state": null, "event": null }),
    );
    assert_eq!(first[2], deleted);

    // The instance's watch goes on into its next life.
    for at in [1, 2, 4, 5] {
        assert_eq!(told(&mut of_one).await["wal_offset"], offsets[at]);
    }
    let mut again = Conn::open(node.addr).await;
    again.ok("WATCH_ALL", watch(offsets[1].as_u64())).await;
    for event in &first[1..] {
        let mut repeated = told(&mut again).await;
        repeated["subscription_id"] = event["subscription_id"].clone();
        assert_eq!(&repeated, event);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_hold_for_creations_and_deletions_as_far_as_these_have_what_is_asked_for() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let machine = conn.order_machine().await;
    let id = fresh("filtered");
    let created = conn.ok("CREATE_INSTANCE", create(&machine, &id)).await;
    let pay = json!({ "instance_id": id, "event": "PAY" });
    let paid = conn.ok("APPLY_EVENT", pay).await;
    let deleted = conn
        .ok("DELETE_INSTANCE", json!({ "instance_id": id }))
        .await;
    let all = [created, paid, deleted].map(|done| done["wal_offset"].clone());
    let both = json!(["created", "deleted"]);
    for (filter, expected) in [
        (json!({ "include": both }), vec![0, 1, 2]),
        (json!({}), vec![1]),
        (json!({ "include": [] }), vec![1]),
        (json!({ "include": ["created"] }), vec![0, 1]),
        (
            json!({ "include": both, "to_states": ["created"] }),
            vec![0],
        ),
        (json!({ "include": both, "from_states": ["paid"] }), vec![2]),
        (
            json!({ "include": both, "from_states": ["created"] }),
            vec![1],
        ),
        (json!({ "include": both, "events": ["NOTE"] }), vec![0, 2]),
    ] {
        let mut params = json!({ "machines": [machine], "from_offset": 0 });
        params
            .as_object_mut()
            .unwrap()
            .extend(filter.as_object().unwrap().clone());
        let mut watcher = Conn::open(node.addr).await;
        watcher.ok("WATCH_ALL", params).await;
        for at in expected {
            let event = told(&mut watcher).await;
            assert_eq!(event["wal_offset"], all[at], "{filter}: {event}");
            assert_eq!(event["kind"].is_string(), filter["include"].is_array());
        }
        let (_, pushed) = watcher.next().await.unwrap();
        assert_eq!(pushed["type"], "progress", "{filter}: {pushed}");
    }
    let unknown = json!({ "include": ["created", "migrated"] });
    let error = conn.refused("WATCH_ALL", unknown, "BAD_REQUEST").await;
    assert_eq!(error["details"]["field"], "params.include[1]");
    let missing = json!({ "instance_id": id, "include": [] });
    conn.refused("WATCH_INSTANCE", missing, "INSTANCE_NOT_FOUND")
        .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_deletions_is_told_that_everything_was_removed() {
    let node = TestNode::start(&[("RSTMDB_ALLOW_FLUSH_ALL", "true")]).await;
    let mut conn = Conn::open(node.addr).await;
    let (machine, id) = conn.order().await;
    let mut all = Conn::open(node.addr).await;
    let params = json!({ "machines": [machine], "from_states": ["paid"], "include": ["deleted"],
        "include_meta": true });
    all.ok("WATCH_ALL", params).await;
    let mut one = Conn::open(node.addr).await;
    let params = json!({ "instance_id": id, "include": ["deleted"] });
    one.ok("WATCH_INSTANCE", params).await;
    conn.ok("FLUSH_ALL", json!({ "reason": "a new season" }))
        .await;
    let event = told(&mut all).await;
    assert_eq!(
        (&event["kind"], &event["meta"]["reason"]),
        (&json!("flushed"), &json!("a new season"))
    );
    assert_eq!(event["instance_id"], Value::Null);
    assert_eq!(told(&mut one).await["kind"], "flushed");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_and_keys_of_1024_bytes_serve_everywhere() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let machine = conn.order_machine().await;
    let long = |letter: &str| fresh(letter) + &letter.repeat(1024 - fresh(letter).len());
    let (id, key, event_id) = (long("i"), long("k"), long("e"));
    let mut params = create(&machine, &id);
    params["idempotency_key"] = json!(key);
    conn.ok("CREATE_INSTANCE", params.clone()).await;
    conn.ok("CREATE_INSTANCE", params).await;
    let params =
        json!({ "instance_id": id, "event": "PAY", "event_id": event_id, "idempotency_key": key });
    let paid = conn.ok("APPLY_EVENT", params.clone()).await;
    assert_eq!(
        conn.ok("APPLY_EVENT", params).await["wal_offset"],
        paid["wal_offset"]
    );
    let found = conn.ok("GET_INSTANCE", json!({ "instance_id": id })).await;
    assert_eq!(found["last_event_id"], event_id);
    let after = id[..1023].to_owned();
    let page = conn
        .ok(
            "LIST_INSTANCES",
            json!({ "machine": machine, "after": after }),
        )
        .await;
    assert_eq!(page["instances"][0]["id"], id);
    let longer = json!({ "instance_id": id + "i", "event": "PAY" });
    conn.refused("APPLY_EVENT", longer, "BAD_REQUEST").await;
    node.stop().await;
}
