//! The answers to clients that were written for the single-node server.

use serde_json::json;

use super::support::{Conn, TestNode};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_the_cluster_feature_sees_only_what_it_knows() {
    let mut node = TestNode::start(&[]).await;
    let mut conn = Conn::legacy(node.addr).await;
    let (_, id) = conn.order().await;
    let watch = conn
        .ok("WATCH_INSTANCE", json!({ "instance_id": id }))
        .await;
    assert_eq!(watch["earliest_offset"], json!(null));
    let watch = conn.ok("WATCH_ALL", json!({})).await;
    assert_eq!(watch["earliest_offset"], json!(null));
    conn.send("APPLY_EVENT", json!({ "instance_id": id, "event": "PAY" }))
        .await;
    let mut kinds = Vec::new();
    for _ in 0..3 {
        kinds.push(conn.recv().await["type"].as_str().unwrap().to_owned());
    }
    kinds.sort();
    assert_eq!(kinds, ["event", "event", "response"]);
    node.begin_stop();
    // No end frames: such a client would not know them.
    conn.closed().await;
}
