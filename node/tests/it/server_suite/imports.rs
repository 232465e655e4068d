//! CREATE_INSTANCE with `initial_state`, and DELETE_MACHINE.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::support::{ANYONE_IMPORTS, Conn, TestNode, fresh, order_definition};

const IMPORTING: &[(&str, &str)] = &[(ANYONE_IMPORTS, "")];

fn hash_of(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

fn import(machine: &str, id: &str) -> Value {
    json!({ "instance_id": id, "machine": machine, "version": 1, "initial_state": "paid",
        "initial_ctx": { "total": 7 }, "created_at": 1_000, "updated_at": 2_000, "idempotency_key": "import" })
}

async fn machine(conn: &mut Conn) -> String {
    let machine = fresh("imported");
    let put = json!({ "machine": machine, "version": 1, "definition": order_definition() });
    conn.ok("PUT_MACHINE", put).await;
    machine
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_instance_has_its_state_and_its_times_and_the_log_says_so() {
    let node = TestNode::start(IMPORTING).await;
    let mut conn = Conn::open(node.addr).await;
    let machine = machine(&mut conn).await;
    let id = fresh("i");
    let first = conn.ok("CREATE_INSTANCE", import(&machine, &id)).await;
    assert_eq!(first["state"], "paid");
    // The same again is the same, something else is refused.
    let again = conn.ok("CREATE_INSTANCE", import(&machine, &id)).await;
    assert_eq!(again, first);
    let mut other = import(&machine, &id);
    other["updated_at"] = json!(2_001);
    conn.refused("CREATE_INSTANCE", other, "CONFLICT").await;

    let list = conn
        .ok("LIST_INSTANCES", json!({ "machine": machine }))
        .await;
    let item = &list["instances"][0];
    assert_eq!(
        (&item["created_at"], &item["updated_at"]),
        (&json!(1_000), &json!(2_000))
    );
    let from = json!({ "from_offset": first["wal_offset"], "limit": 1 });
    let page = conn.ok("WAL_READ", from).await;
    let entry = &page["records"][0]["entry"];
    assert_eq!(entry["initial_state"], "paid");
    assert_eq!(
        entry["imported"],
        json!({ "created_at": 1_000, "updated_at": 2_000 })
    );
    assert!(entry["time_ms"].as_u64().unwrap() > 1_600_000_000_000);

    // It goes on like any other, from then on by log time.
    let event = json!({ "instance_id": id, "event": "SHIP", "payload": { "address": "x" } });
    conn.refused("APPLY_EVENT", event, "GUARD_FAILED").await;
    let dry = json!({ "instance_id": "other", "machine": machine, "initial_state": "shipped", "dry_run": true });
    let dry = conn.ok("CREATE_INSTANCE", dry).await;
    assert_eq!(
        (&dry["state"], &dry["wal_offset"]),
        (&json!("shipped"), &Value::Null)
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_with_its_field() {
    let node = TestNode::start(IMPORTING).await;
    let mut conn = Conn::open(node.addr).await;
    let machine = machine(&mut conn).await;
    for (field, value) in [
        ("initial_state", json!("payd")),
        ("initial_state", json!(7)),
        ("created_at", json!(3_000)),
        ("updated_at", json!(99_999_999_999_999_u64)),
        ("created_at", json!("yesterday")),
        ("instance_id", json!("")),
    ] {
        let mut params = import(&machine, "i");
        params[field] = value;
        let error = conn.refused("CREATE_INSTANCE", params, "BAD_REQUEST").await;
        assert_eq!(
            error["details"]["field"],
            format!("params.{field}"),
            "{error}"
        );
    }
    let alone = json!({ "machine": machine, "version": 1, "created_at": 1_000 });
    let error = conn.refused("CREATE_INSTANCE", alone, "BAD_REQUEST").await;
    assert_eq!(error["details"]["field"], "params.created_at");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_token_that_is_listed_for_it_may_import_alone_in_a_batch_or_to_ask() {
    let (may, may_not) = (hash_of("importer"), hash_of("client"));
    let variables = [
        ("RSTMDB_AUTH_TOKEN_HASH", may_not.as_str()),
        ("RSTMDB_AUTH_IMPORT_TOKEN_HASH", may.as_str()),
    ];
    let node = TestNode::start(&variables).await;
    let mut conn = Conn::open(node.addr).await;
    let machine = machine(&mut conn).await;
    let (id, other) = (fresh("i"), fresh("i"));
    let alone = import(&machine, &id);
    let op = json!({ "op": "CREATE_INSTANCE", "params": alone });
    let mut dry = alone.clone();
    dry["dry_run"] = json!(true);
    let requests = [
        ("CREATE_INSTANCE", alone),
        ("CREATE_INSTANCE", dry),
        ("BATCH", json!({ "mode": "atomic", "ops": [op] })),
        ("BATCH", json!({ "ops": [op] })),
        ("BATCH", json!({ "ops": [op], "dry_run": true })),
    ];
    for token in [None, Some("client")] {
        if let Some(token) = token {
            let auth = json!({ "method": "bearer", "token": token });
            conn.ok("AUTH", auth).await;
        }
        for (op, params) in requests.clone() {
            let is_best_effort = op == "BATCH" && params["mode"] != "atomic";
            if is_best_effort && params["dry_run"] != true {
                let each = conn.ok(op, params).await;
                assert_eq!(each["results"][0]["error"]["code"], "FORBIDDEN");
                continue;
            }
            conn.refused(op, params, "FORBIDDEN").await;
        }
    }
    conn.refused(
        "GET_INSTANCE",
        json!({ "instance_id": id }),
        "INSTANCE_NOT_FOUND",
    )
    .await;
    let auth = json!({ "method": "bearer", "token": "importer" });
    conn.ok("AUTH", auth).await;
    let [alone, dry, atomic, each, asked] = requests;
    conn.ok(dry.0, dry.1).await;
    conn.ok(asked.0, asked.1).await;
    conn.ok(alone.0, alone.1).await;
    conn.ok(each.0, each.1).await;
    let mut ops = atomic.1;
    ops["ops"][0]["params"]["instance_id"] = json!(other);
    let done = conn.ok("BATCH", ops).await;
    assert_eq!(done["results"][0]["result"]["state"], "paid");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_creations_is_told_of_an_import() {
    let node = TestNode::start(IMPORTING).await;
    let mut conn = Conn::open(node.addr).await;
    let machine = machine(&mut conn).await;
    let watch = json!({ "machines": [machine], "include": ["created"] });
    conn.ok("WATCH_ALL", watch).await;
    let id = fresh("i");
    let request = conn.send("CREATE_INSTANCE", import(&machine, &id)).await;
    let mut told = None;
    while told.is_none() {
        let message = conn.recv().await;
        if message["type"] == "event" {
            told = Some(message);
        } else {
            assert_eq!(message["id"], request, "{message}");
        }
    }
    let told = told.unwrap();
    assert_eq!(
        (&told["imported"], &told["to_state"]),
        (&json!(true), &json!("paid"))
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_no_instance_has_are_deleted() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let machine = machine(&mut conn).await;
    let put = |version: u32| json!({ "machine": machine, "version": version, "definition": order_definition() });
    conn.ok("PUT_MACHINE", put(2)).await;
    let ids = [fresh("i"), fresh("i")];
    for id in &ids {
        let create = json!({ "instance_id": id, "machine": machine, "version": 1 });
        conn.ok("CREATE_INSTANCE", create).await;
    }
    let all = json!({ "machine": machine, "all_versions": true });
    let error = conn
        .refused("DELETE_MACHINE", all.clone(), "MACHINE_IN_USE")
        .await;
    assert_eq!(
        error["details"],
        json!({ "machine": machine, "instances": 2, "versions": [{ "version": 1, "instances": 2 }] })
    );
    let dry = json!({ "machine": machine, "version": 2, "dry_run": true });
    let dry = conn.ok("DELETE_MACHINE", dry).await;
    assert_eq!(
        (&dry["dry_run"], &dry["wal_offset"]),
        (&json!(true), &Value::Null)
    );
    let done = conn
        .ok(
            "DELETE_MACHINE",
            json!({ "machine": machine, "version": 2 }),
        )
        .await;
    assert_eq!(
        (&done["versions"], &done["deleted"]),
        (&json!([2]), &json!(true))
    );
    let page = conn
        .ok(
            "WAL_READ",
            json!({ "from_offset": done["wal_offset"], "limit": 1 }),
        )
        .await;
    let entry = &page["records"][0]["entry"];
    assert_eq!(
        (&entry["type"], &entry["fact"], &entry["versions"]),
        (&json!("checkpoint"), &json!("delete_machine"), &json!([2]))
    );
    for id in &ids {
        conn.ok("DELETE_INSTANCE", json!({ "instance_id": id }))
            .await;
    }
    conn.ok("DELETE_MACHINE", all.clone()).await;
    conn.refused("DELETE_MACHINE", all, "MACHINE_NOT_FOUND")
        .await;
    // The number is free, also for something else.
    let mut other = put(1);
    other["definition"]["meta"] = json!("another one");
    assert_eq!(conn.ok("PUT_MACHINE", other).await["created"], true);
    for wrong in [
        json!({ "machine": machine }),
        json!({ "machine": machine, "version": 1, "all_versions": true }),
        json!({ "machine": machine, "version": 0 }),
    ] {
        conn.refused("DELETE_MACHINE", wrong, "BAD_REQUEST").await;
    }
    let op = json!({ "op": "DELETE_MACHINE", "params": { "machine": machine, "version": 1 } });
    conn.refused("BATCH", json!({ "ops": [op] }), "BAD_REQUEST")
        .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_first_generation_is_told_conflict() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let machine = machine(&mut conn).await;
    conn.ok(
        "CREATE_INSTANCE",
        json!({ "machine": machine, "version": 1 }),
    )
    .await;
    let mut old = Conn::legacy(node.addr).await;
    let delete = json!({ "machine": machine, "version": 1 });
    let error = old.refused("DELETE_MACHINE", delete, "CONFLICT").await;
    assert_eq!(error["details"]["instances"], 1);
    node.stop().await;
}
