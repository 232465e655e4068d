//! Locks over the wire: who gets one, for how long, who waits, and what a fence refuses.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Conn, PATIENCE, TestNode, fresh, order_definition, outcome};

fn acquire(name: &str, owner: &str, ttl_ms: u64) -> Value {
    json!({ "name": name, "owner": owner, "ttl_ms": ttl_ms })
}

fn waiting(name: &str, owner: &str, wait_ms: u64) -> Value {
    json!({ "name": name, "owner": owner, "ttl_ms": 60_000, "wait_ms": wait_ms })
}

fn with_fence(mut params: Value, lock: &str, token: u64) -> Value {
    params["fence"] = json!({ "lock": lock, "token": token });
    params
}

fn token_of(held: &Value) -> u64 {
    held["token"].as_u64().unwrap()
}

/// Waits until so many owners wait for the lock.
async fn waiters(conn: &mut Conn, name: &str, count: u64) {
    let begun = Instant::now();
    loop {
        let found = conn.ok("LOCK_GET", json!({ "name": name })).await;
        if found["locks"][0]["waiting"] == json!(count) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{found}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_has_one_owner_who_renews_and_releases_it() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let free = conn.ok("LOCK_GET", json!({ "name": "a" })).await;
    assert_eq!(free, json!({ "locks": [] }));

    let held = conn.ok("LOCK_ACQUIRE", acquire("a", "one", 60_000)).await;
    assert_eq!(
        (&held["name"], &held["owner"]),
        (&json!("a"), &json!("one"))
    );
    assert_eq!(held["token"], held["wal_offset"]);
    let token = token_of(&held);
    let again = conn.ok("LOCK_ACQUIRE", acquire("a", "one", 60_000)).await;
    assert_eq!(token_of(&again), token, "the same owner has it already");
    let error = conn
        .refused("LOCK_ACQUIRE", acquire("a", "two", 60_000), "LOCK_HELD")
        .await;
    assert_eq!(error["details"]["owner"], "one");
    assert_eq!(error["details"]["name"], "a");
    assert_eq!(error["retryable"], false);
    let shown = conn.ok("LOCK_GET", json!({ "name": "a" })).await;
    assert_eq!(shown["locks"][0]["token"], json!(token));

    let renew = json!({ "name": "a", "token": token, "ttl_ms": 120_000 });
    let renewed = conn.ok("LOCK_RENEW", renew).await;
    assert_eq!(token_of(&renewed), token);
    assert!(renewed["expires_at"].as_u64() > held["expires_at"].as_u64());

    let released = conn
        .ok("LOCK_RELEASE", json!({ "name": "a", "token": token }))
        .await;
    assert_eq!(released["released"], true);
    assert!(released.get("next_owner").is_none());
    for op in ["LOCK_RENEW", "LOCK_RELEASE"] {
        let error = conn
            .refused(op, json!({ "name": "a", "token": token }), "LOCK_LOST")
            .await;
        assert_eq!(error["details"]["lock"], "a");
        assert_eq!(error["details"]["token"], json!(token));
    }
    let next = conn.ok("LOCK_ACQUIRE", acquire("a", "two", 60_000)).await;
    assert!(token_of(&next) > token);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_are_listed_by_name_in_pages() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    for name in ["p/1", "p/2", "p/3", "q"] {
        conn.ok("LOCK_ACQUIRE", acquire(name, "o", 60_000)).await;
    }
    let page = conn
        .ok("LOCK_LIST", json!({ "prefix": "p/", "limit": 2 }))
        .await;
    let names = |page: &Value| -> Vec<String> {
        let locks = page["locks"].as_array().unwrap().iter();
        locks
            .map(|lock| lock["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&page), ["p/1", "p/2"]);
    let rest = json!({ "prefix": "p/", "after": page["next"] });
    let rest = conn.ok("LOCK_LIST", rest).await;
    assert_eq!(names(&rest), ["p/3"]);
    assert!(rest.get("next").is_none());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_that_wait_get_the_lock_in_their_order() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let first = conn.ok("LOCK_ACQUIRE", acquire("w", "first", 60_000)).await;
    let (mut second, mut third) = (Conn::open(node.addr).await, Conn::open(node.addr).await);
    second
        .send("LOCK_ACQUIRE", waiting("w", "second", 15_000))
        .await;
    waiters(&mut conn, "w", 1).await;
    third
        .send("LOCK_ACQUIRE", waiting("w", "third", 15_000))
        .await;
    waiters(&mut conn, "w", 2).await;
    // A later request that does not wait is refused: it must not overtake.
    conn.refused("LOCK_ACQUIRE", acquire("w", "late", 60_000), "LOCK_HELD")
        .await;

    let release = json!({ "name": "w", "token": first["token"] });
    let released = conn.ok("LOCK_RELEASE", release).await;
    assert_eq!(released["next_owner"], "second");
    let granted = outcome(second.recv().await).unwrap();
    assert_eq!(granted["owner"], "second");
    assert!(granted.get("place").is_none(), "{granted}");
    assert!(token_of(&granted) > token_of(&first));

    let release = json!({ "name": "w", "token": granted["token"] });
    second.ok("LOCK_RELEASE", release).await;
    let granted = outcome(third.recv().await).unwrap();
    assert_eq!(granted["owner"], "third");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_and_blocks_no_other_request_of_its_connection() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    conn.ok("LOCK_ACQUIRE", acquire("b", "holder", 60_000))
        .await;
    let begun = Instant::now();
    let wait = conn.send("LOCK_ACQUIRE", waiting("b", "late", 1500)).await;
    // Reads, writes and even the release of another lock go on meanwhile.
    conn.ok("GET_INSTANCE", json!({ "instance_id": id })).await;
    conn.ok("APPLY_EVENT", json!({ "instance_id": id, "event": "PAY" }))
        .await;
    conn.ok("LIST_INSTANCES", json!({})).await;
    assert!(begun.elapsed() < Duration::from_millis(1400));
    let answer = conn.recv().await;
    assert_eq!(answer["id"], json!(wait));
    let error = outcome(answer).unwrap_err();
    assert_eq!(error["code"], "LOCK_HELD");
    assert!(begun.elapsed() >= Duration::from_millis(1400));

    // On one connection: the release reaches the node while the request for the lock waits.
    let held = conn
        .ok("LOCK_ACQUIRE", acquire("b2", "holder", 60_000))
        .await;
    let wait = conn
        .send("LOCK_ACQUIRE", waiting("b2", "next", 15_000))
        .await;
    waiters_beside(&mut conn, &wait, "b2").await;
    let release = json!({ "name": "b2", "token": held["token"] });
    let released = conn.send("LOCK_RELEASE", release).await;
    let answers = [conn.recv().await, conn.recv().await];
    for id in [wait, released] {
        let answer = answers.iter().find(|answer| answer["id"] == json!(id));
        assert_eq!(answer.unwrap()["status"], "ok", "{answers:?}");
    }
    node.stop().await;
}

/// As [`waiters`], on the connection whose request waits.
async fn waiters_beside(conn: &mut Conn, wait: &str, name: &str) {
    let begun = Instant::now();
    loop {
        conn.send("LOCK_GET", json!({ "name": name })).await;
        let answer = conn.recv().await;
        assert_ne!(answer["id"], json!(wait), "{answer}");
        if answer["result"]["locks"][0]["waiting"] == json!(1) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_waits_no_longer() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let held = conn
        .ok("LOCK_ACQUIRE", acquire("g", "holder", 60_000))
        .await;
    let mut gone = Conn::open(node.addr).await;
    gone.send("LOCK_ACQUIRE", waiting("g", "gone", 4_000)).await;
    waiters(&mut conn, "g", 1).await;
    drop(gone);
    // Its place stays for a while; the node that it was connected to does not claim the lock for it.
    let mut next = Conn::open(node.addr).await;
    next.send("LOCK_ACQUIRE", waiting("g", "next", 60_000))
        .await;
    waiters(&mut conn, "g", 1).await;
    let release = json!({ "name": "g", "token": held["token"] });
    conn.ok("LOCK_RELEASE", release).await;
    let granted = outcome(next.recv().await).unwrap();
    assert_eq!(granted["owner"], "next");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_shuts_down_answers_those_that_wait() {
    let mut node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    conn.ok("LOCK_ACQUIRE", acquire("s", "holder", 60_000))
        .await;
    let mut waits = Conn::open(node.addr).await;
    waits
        .send("LOCK_ACQUIRE", waiting("s", "late", 60_000))
        .await;
    waiters(&mut conn, "s", 1).await;
    node.begin_stop();
    let error = outcome(waits.recv().await).unwrap_err();
    assert_eq!(error["code"], "NO_LEADER");
    assert_eq!(error["retryable"], true);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_expires_and_the_first_that_waits_gets_it() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let first = conn.ok("LOCK_ACQUIRE", acquire("e", "first", 1000)).await;
    let mut second = Conn::open(node.addr).await;
    let begun = Instant::now();
    second
        .send("LOCK_ACQUIRE", waiting("e", "second", 15_000))
        .await;
    let granted = outcome(second.recv().await).unwrap();
    assert_eq!(granted["owner"], "second");
    assert!(begun.elapsed() > Duration::from_millis(500));
    // It is the owner's for as long as it has asked for.
    let left = granted["expires_at"].as_u64().unwrap() - first["expires_at"].as_u64().unwrap();
    assert!(left > 30_000, "{granted}");
    let late = json!({ "instance_id": id, "event": "PAY" });
    let late = with_fence(late, "e", token_of(&first));
    let error = conn.refused("APPLY_EVENT", late, "LOCK_LOST").await;
    assert_eq!(error["details"]["current_token"], granted["token"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_decides_each_kind_of_write() {
    let node = TestNode::start(&[("RSTMDB_ALLOW_FLUSH_ALL", "true")]).await;
    let mut conn = Conn::open(node.addr).await;
    let (machine, id) = conn.order().await;
    let held = conn.ok("LOCK_ACQUIRE", acquire("f", "o", 60_000)).await;
    let token = token_of(&held);
    let other = conn.ok("LOCK_ACQUIRE", acquire("f2", "o", 60_000)).await;
    let timed = fresh("timed");
    let definition = json!({ "format": 2, "initial": "a", "states": [
        { "name": "a", "timers": [{ "event": "E", "after": "1h" }] }],
        "transitions": [{ "from": "a", "event": "E", "to": "a" }] });
    let put = json!({ "machine": timed, "version": 1, "definition": definition });
    conn.ok("PUT_MACHINE", put).await;
    let create = json!({ "instance_id": timed, "machine": timed });
    conn.ok("CREATE_INSTANCE", create).await;
    let writes = |id: &str, machine: &str| {
        let event = json!({ "instance_id": id, "event": "NOTE" });
        let step = json!({ "op": "APPLY_EVENT", "params": event });
        [
            ("APPLY_EVENT", event),
            (
                "CREATE_INSTANCE",
                json!({ "instance_id": fresh("i"), "machine": machine, "version": 1 }),
            ),
            (
                "PUT_MACHINE",
                json!({ "machine": fresh("m"), "version": 1, "definition": order_definition() }),
            ),
            (
                "TIMER_SET",
                json!({ "instance_id": timed, "timers": { "E": { "after": "2h" } } }),
            ),
            ("BATCH", json!({ "mode": "atomic", "ops": [step] })),
            ("AUTOMATION", json!({ "set": "paused" })),
            (
                "LOCK_RENEW",
                json!({ "name": "f2", "token": other["token"] }),
            ),
            ("DELETE_INSTANCE", json!({ "instance_id": id })),
            ("FLUSH_ALL", json!({})),
        ]
    };
    for (op, params) in writes(&id, &machine) {
        let error = conn
            .refused(op, with_fence(params, "f", token + 1000), "LOCK_LOST")
            .await;
        assert_eq!(error["details"]["lock"], "f", "{op}");
    }
    let found = conn.ok("GET_INSTANCE", json!({ "instance_id": id })).await;
    assert_eq!(found["state"], "created", "nothing has happened");
    for (op, params) in writes(&id, &machine) {
        conn.ok(op, with_fence(params, "f", token)).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fence_of_a_batch_stands_for_its_operations() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let held = conn.ok("LOCK_ACQUIRE", acquire("batch", "o", 60_000)).await;
    let (token, lost) = (token_of(&held), token_of(&held) + 7);
    let note = json!({ "instance_id": id, "event": "NOTE" });
    let own = with_fence(note.clone(), "batch", token);
    let step = |params: &Value| json!({ "op": "APPLY_EVENT", "params": params });
    let batch = json!({ "ops": [step(&note), step(&own)] });
    let done = conn.ok("BATCH", with_fence(batch, "batch", lost)).await;
    assert_eq!(done["results"][0]["error"]["code"], "LOCK_LOST");
    assert_eq!(done["results"][1]["status"], "ok", "{done}");

    let atomic = json!({ "mode": "atomic", "ops": [step(&own)] });
    let error = conn.refused("BATCH", atomic, "BAD_REQUEST").await;
    assert_eq!(error["details"]["field"], "params.ops[0].params.fence");
    let asked = json!({ "dry_run": true, "ops": [step(&own)] });
    let done = conn.ok("BATCH", asked).await;
    assert_eq!(
        done["results"][0]["error"]["details"]["field"],
        "params.ops[0].params.fence"
    );
    let step = json!({ "op": "LOCK_RELEASE", "params": { "name": "batch", "token": token } });
    let error = conn
        .refused("BATCH", json!({ "ops": [step] }), "BAD_REQUEST")
        .await;
    assert_eq!(error["details"]["field"], "params.ops[0].op");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_writes_nothing_is_refused_as_a_whole_if_its_fence_is_lost() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let lock = fresh("reads");
    let held = conn.ok("LOCK_ACQUIRE", acquire(&lock, "o", 60_000)).await;
    let (token, lost) = (token_of(&held), token_of(&held) + 7);
    let read = json!({ "op": "GET_INSTANCE", "params": { "instance_id": id } });
    let none = json!({ "op": "GET_INSTANCE", "params": { "instance_id": fresh("none") } });
    let of = |mode: &str, ops: &[&Value]| json!({ "mode": mode, "ops": ops });
    for mode in ["best_effort", "atomic"] {
        for ops in [&[][..], &[&read], &[&none]] {
            let batch = with_fence(of(mode, ops), &lock, lost);
            let error = conn.refused("BATCH", batch, "LOCK_LOST").await;
            let details = json!({ "lock": lock, "token": lost, "current_token": token });
            assert_eq!(error["details"], details, "{mode} {ops:?}");
        }
        for ops in [&[][..], &[&read]] {
            let done = conn
                .ok("BATCH", with_fence(of(mode, ops), &lock, token))
                .await;
            assert_eq!(done["results"].as_array().unwrap().len(), ops.len());
        }
    }
    let refused = with_fence(of("atomic", &[&none]), &lock, token);
    conn.refused("BATCH", refused, "INSTANCE_NOT_FOUND").await;
    conn.ok("LOCK_RELEASE", json!({ "name": lock, "token": token }))
        .await;
    let batch = with_fence(of("atomic", &[&read]), &lock, token);
    let error = conn.refused("BATCH", batch, "LOCK_LOST").await;
    assert_eq!(error["details"]["current_token"], Value::Null);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_shows_locks_and_the_fences_of_writes() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let held = conn.ok("LOCK_ACQUIRE", acquire("log", "o", 60_000)).await;
    let token = token_of(&held);
    let note = json!({ "instance_id": id, "event": "NOTE" });
    conn.ok("APPLY_EVENT", with_fence(note, "log", token)).await;
    conn.ok("LOCK_RELEASE", json!({ "name": "log", "token": token }))
        .await;
    let read = json!({ "from_offset": token, "include_meta": true });
    let page = conn.ok("WAL_READ", read).await;
    let records = page["records"].as_array().unwrap();
    let granted = &records[0]["entry"];
    assert_eq!(
        (&granted["type"], &granted["name"]),
        (&json!("lock_changed"), &json!("log"))
    );
    assert_eq!(granted["holder"]["token"], json!(token));
    assert_eq!(granted["holder"]["expires_at"], held["expires_at"]);
    let event = records.iter();
    let mut event = event.filter(|record| record["entry"]["type"] == "apply_event");
    let fence = &event.next().unwrap()["meta"]["fence"];
    assert_eq!(*fence, json!({ "lock": "log", "token": token }));
    let released = &records.last().unwrap()["entry"];
    assert_eq!(
        released["ended"],
        json!({ "owner": "o", "token": token, "by": "release" })
    );
    assert!(released.get("holder").is_none());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_parameters_are_named_with_what_is_allowed() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let long = "n".repeat(1025);
    for (op, params, field) in [
        (
            "LOCK_ACQUIRE",
            json!({ "owner": "o", "ttl_ms": 1000 }),
            "params.name",
        ),
        ("LOCK_ACQUIRE", acquire("", "o", 1000), "params.name"),
        ("LOCK_ACQUIRE", acquire(&long, "o", 1000), "params.name"),
        ("LOCK_ACQUIRE", acquire("n", "", 1000), "params.owner"),
        ("LOCK_ACQUIRE", acquire("n", "o", 999), "params.ttl_ms"),
        (
            "LOCK_ACQUIRE",
            waiting("n", "o", 86_400_001),
            "params.wait_ms",
        ),
        (
            "LOCK_RENEW",
            json!({ "name": "n", "token": 0 }),
            "params.token",
        ),
        (
            "LOCK_RENEW",
            json!({ "name": "n", "token": 1, "ttl_ms": 1 }),
            "params.ttl_ms",
        ),
        ("LOCK_RELEASE", json!({ "name": "n" }), "params.token"),
        (
            "LOCK_RELEASE",
            json!({ "name": "n", "token": 1, "dry_run": true }),
            "params.dry_run",
        ),
        ("LOCK_GET", json!({}), "params.name"),
        ("LOCK_LIST", json!({ "prefix": 5 }), "params.prefix"),
        (
            "DELETE_INSTANCE",
            json!({ "instance_id": "i", "fence": { "lock": "n" } }),
            "params.fence.token",
        ),
    ] {
        let error = conn.refused(op, params, "BAD_REQUEST").await;
        assert_eq!(error["details"]["field"], field, "{error}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_an_earlier_version_gets_codes_that_it_knows() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::legacy(node.addr).await;
    conn.ok("LOCK_ACQUIRE", acquire("old", "one", 60_000)).await;
    let error = conn
        .refused("LOCK_ACQUIRE", acquire("old", "two", 60_000), "CONFLICT")
        .await;
    assert_eq!(error["details"]["owner"], "one");
    conn.refused(
        "LOCK_RELEASE",
        json!({ "name": "old", "token": 1 }),
        "CONFLICT",
    )
    .await;
    node.stop().await;
}
