//! CREATE_INSTANCE, GET_INSTANCE, LIST_INSTANCES, DELETE_INSTANCE, SNAPSHOT_INSTANCE.

use rstmdb_rcp::message::instance::{
    CreateInstanceResult, DeleteInstanceResult, GetInstanceResult, ListInstancesResult,
};
use rstmdb_rcp::message::storage::SnapshotInstanceResult;
use serde_json::json;
use uuid::Uuid;

use super::support::{Conn, TestNode, fresh};

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_created_read_and_deleted() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let machine = conn.order_machine().await;
    let id = fresh("i");
    let create = json!({ "instance_id": id, "machine": machine, "version": 1, "initial_ctx": { "a": [1, "ü"] } });
    let created: CreateInstanceResult<'_> =
        serde_json::from_value(conn.ok("CREATE_INSTANCE", create.clone()).await).unwrap();
    assert_eq!(
        (&*created.instance_id, &*created.state),
        (id.as_str(), "created")
    );
    let exists = conn
        .refused("CREATE_INSTANCE", create, "INSTANCE_EXISTS")
        .await;
    assert_eq!(exists["details"]["instance_id"], json!(id));
    let got = conn.ok("GET_INSTANCE", json!({ "instance_id": id })).await;
    assert_eq!(got["ctx"], json!({ "a": [1, "ü"] }));
    let got: GetInstanceResult<'_> = serde_json::from_value(got).unwrap();
    assert_eq!((got.version, got.last_wal_offset), (1, created.wal_offset));
    for consistency in ["linearizable", "lease", "local"] {
        let params = json!({ "instance_id": id, "consistency": consistency, "min_wal_offset": created.wal_offset });
        conn.ok("GET_INSTANCE", params).await;
    }
    conn.refused(
        "GET_INSTANCE",
        json!({ "instance_id": id, "consistency": "x" }),
        "BAD_REQUEST",
    )
    .await;
    let stale = json!({ "instance_id": id, "expected_wal_offset": created.wal_offset - 1 });
    let conflict = conn.refused("DELETE_INSTANCE", stale, "CONFLICT").await;
    assert_eq!(
        conflict["details"]["actual_wal_offset"],
        json!(created.wal_offset)
    );
    let delete = json!({ "instance_id": id, "expected_wal_offset": created.wal_offset });
    let deleted: DeleteInstanceResult<'_> =
        serde_json::from_value(conn.ok("DELETE_INSTANCE", delete).await).unwrap();
    assert!(deleted.deleted && deleted.wal_offset > created.wal_offset);
    for (op, params) in [
        ("GET_INSTANCE", json!({ "instance_id": id })),
        ("DELETE_INSTANCE", json!({ "instance_id": id })),
        ("APPLY_EVENT", json!({ "instance_id": id, "event": "PAY" })),
        ("WATCH_INSTANCE", json!({ "instance_id": id })),
        ("SNAPSHOT_INSTANCE", json!({ "instance_id": id })),
    ] {
        let gone = conn.refused(op, params, "INSTANCE_NOT_FOUND").await;
        assert_eq!(gone["details"]["instance_id"], json!(id));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_made_up_where_none_is_given_and_bad_ones_are_refused() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let machine = conn.order_machine().await;
    let params = json!({ "machine": machine, "version": 1, "idempotency_key": "k" });
    let created = conn.ok("CREATE_INSTANCE", params.clone()).await;
    let id = created["instance_id"].as_str().unwrap().to_owned();
    assert_eq!(Uuid::parse_str(&id).unwrap().get_version_num(), 4);
    assert_eq!(conn.ok("CREATE_INSTANCE", params).await, created);
    for id in [
        json!(""),
        json!("x".repeat(1 << 20)),
        json!("a\u{0}b"),
        json!(5),
    ] {
        let params = json!({ "instance_id": id, "machine": machine, "version": 1 });
        let error = conn.refused("CREATE_INSTANCE", params, "BAD_REQUEST").await;
        assert_eq!(error["details"]["field"], "params.instance_id");
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with("params.instance_id"), "{message}");
    }
    let params = json!({ "machine": machine, "version": 9 });
    conn.refused("CREATE_INSTANCE", params, "MACHINE_NOT_FOUND")
        .await;
    let params = json!({ "machine": machine, "version": 1, "initial_ctx": [] });
    conn.refused("CREATE_INSTANCE", params, "BAD_REQUEST").await;
    let params =
        json!({ "machine": machine, "version": 1, "initial_ctx": { "a": "x".repeat(5 << 20) } });
    conn.refused("CREATE_INSTANCE", params, "BAD_REQUEST").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_are_paged_by_offset_and_by_id() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let machine = conn.order_machine().await;
    for i in 0..25 {
        let params =
            json!({ "instance_id": format!("{machine}-{i:02}"), "machine": machine, "version": 1 });
        conn.ok("CREATE_INSTANCE", params).await;
    }
    let paid = format!("{machine}-07");
    conn.ok(
        "APPLY_EVENT",
        json!({ "instance_id": paid, "event": "PAY" }),
    )
    .await;
    let page = conn
        .ok("LIST_INSTANCES", json!({ "machine": machine, "limit": 10 }))
        .await;
    let page: ListInstancesResult<'_> = serde_json::from_value(page).unwrap();
    assert_eq!(
        (page.instances.len(), page.total, page.has_more),
        (10, 25, true)
    );
    assert!(page.instances.is_sorted_by(|a, b| a.id < b.id));
    assert!(page.instances[7].updated_at >= page.instances[7].created_at);
    let params = json!({ "machine": machine, "limit": 10, "offset": 20 });
    let rest = conn.ok("LIST_INSTANCES", params).await;
    assert_eq!(
        (
            rest["instances"].as_array().unwrap().len(),
            &rest["has_more"]
        ),
        (5, &json!(false))
    );
    let params = json!({ "machine": machine, "after": format!("{machine}-22") });
    let rest = conn.ok("LIST_INSTANCES", params).await;
    assert_eq!(rest["instances"][0]["id"], json!(format!("{machine}-23")));
    let params = json!({ "machine": machine, "state": "paid" });
    let list = conn.ok("LIST_INSTANCES", params).await;
    assert_eq!(
        (&list["total"], &list["instances"][0]["id"]),
        (&json!(1), &json!(paid))
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_an_instance_tells_two_states_apart() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let snapshot =
        |value| serde_json::from_value::<SnapshotInstanceResult<'static>>(value).unwrap();
    let params = json!({ "instance_id": id });
    let first = snapshot(conn.ok("SNAPSHOT_INSTANCE", params.clone()).await);
    assert_eq!(
        first,
        snapshot(conn.ok("SNAPSHOT_INSTANCE", params.clone()).await)
    );
    assert_eq!(first.snapshot_id, format!("{id}@{}", first.wal_offset));
    conn.ok("APPLY_EVENT", json!({ "instance_id": id, "event": "PAY" }))
        .await;
    assert_ne!(
        first.checksum,
        snapshot(conn.ok("SNAPSHOT_INSTANCE", params).await).checksum
    );
    node.stop().await;
}
