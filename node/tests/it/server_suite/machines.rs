//! PUT_MACHINE, GET_MACHINE, LIST_MACHINES.

use rstmdb_rcp::message::machine::{GetMachineResult, PutMachineResult};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::support::{Conn, TestNode, fresh, order_definition};

#[tokio::test(flavor = "multi_thread")]
async fn machines_are_put_once_and_got_as_put() {
    let node = TestNode::start(&[("RSTMDB_MAX_MACHINE_VERSIONS", "2")]).await;
    let mut conn = Conn::open(node.addr).await;
    let machine = fresh("m");
    let put = |version: u32| json!({ "machine": machine, "version": version, "definition": order_definition() });
    let first: PutMachineResult<'_> =
        serde_json::from_value(conn.ok("PUT_MACHINE", put(1)).await).unwrap();
    let text = order_definition().to_string();
    let checksum: String = Sha256::digest(text.as_bytes())
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(
        (first.created, &*first.stored_checksum),
        (true, checksum.as_str())
    );
    assert_eq!(conn.ok("PUT_MACHINE", put(1)).await["created"], false);
    conn.ok("PUT_MACHINE", put(2)).await;
    conn.refused("PUT_MACHINE", put(3), "MACHINE_VERSION_LIMIT_EXCEEDED")
        .await;
    let mut other = put(1);
    other["definition"]["initial"] = json!("paid");
    conn.refused("PUT_MACHINE", other, "MACHINE_VERSION_EXISTS")
        .await;
    let got = conn.ok("GET_MACHINE", json!({ "machine": machine })).await;
    assert_eq!(got["version"], 2);
    let got: GetMachineResult<'_> = serde_json::from_value(got).unwrap();
    assert_eq!(
        (got.definition.get(), &*got.checksum),
        (text.as_str(), checksum.as_str())
    );
    let list = conn.ok("LIST_MACHINES", json!({})).await;
    assert_eq!(
        list["items"],
        json!([{ "machine": machine, "versions": [1, 2] }])
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layout_is_told_to_those_who_ask_and_none_of_a_machine_too_large_for_a_picture() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let machine = fresh("m");
    let definition = json!({
        "format": 2, "initial": "a",
        "states": ["a", { "name": "b", "always": [{ "to": "c", "guard": "ctx.x > 1" }] }, { "name": "c", "final": true }],
        "transitions": [{ "from": "a", "event": "GO", "to": "b" }, { "from": "*", "event": "END", "to": "c" }],
    });
    let put = json!({ "machine": machine, "version": 1, "definition": definition });
    conn.ok("PUT_MACHINE", put).await;
    let asked = json!({ "machine": machine, "include": ["layout"] });
    let layout = &conn.ok("GET_MACHINE", asked.clone()).await["layout"];
    let names = |list: &serde_json::Value, name: &str| -> Vec<serde_json::Value> {
        let list = list.as_array().unwrap();
        list.iter().map(|one| one[name].clone()).collect()
    };
    assert_eq!(names(&layout["states"], "name"), ["a", "b", "c"]);
    assert_eq!(
        names(&layout["states"], "final"),
        [json!(null), json!(null), json!(true)]
    );
    assert_eq!(
        names(&layout["arrows"], "event"),
        ["GO", "END", "always", "END"],
        "nothing leaves a final state"
    );
    assert_eq!(names(&layout["arrows"], "to"), [1, 2, 2, 2]);
    assert_eq!(layout["arrows"][2]["guard"], "ctx.x > 1");
    let plain = conn.ok("GET_MACHINE", json!({ "machine": machine })).await;
    assert_eq!(plain.get("layout"), None);
    let unknown = json!({ "machine": machine, "include": ["colour"] });
    conn.refused("GET_MACHINE", unknown, "BAD_REQUEST").await;
    let batch = json!({ "ops": [{ "op": "GET_MACHINE", "params": asked }] });
    let answer = conn.call("BATCH", batch).await;
    let refusal = match &answer {
        Ok(results) => results["results"][0]["error"].clone(),
        Err(error) => error.clone(),
    };
    assert_eq!(refusal["code"], "BAD_REQUEST", "{answer:?}");
    let states: Vec<String> = (0..301).map(|number| format!("s{number}")).collect();
    let large = json!({ "states": states, "initial": "s0", "transitions": [] });
    let put = json!({ "machine": machine, "version": 2, "definition": large });
    conn.ok("PUT_MACHINE", put).await;
    let asked = json!({ "machine": machine, "include": ["layout"] });
    let got = conn.ok("GET_MACHINE", asked).await;
    assert_eq!(got["layout"], json!(null));
    assert!(got.get("layout").is_some());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_machines_are_refused_with_the_field() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let definition = order_definition();
    let mut unknown_state = order_definition();
    unknown_state["transitions"][0]["to"] = json!("nowhere");
    let mut bad_guard = order_definition();
    bad_guard["transitions"][1]["guard"] = json!("ctx.a ==");
    let nested = format!("{}true{}", "(".repeat(10_000), ")".repeat(10_000));
    let mut deep_guard = order_definition();
    deep_guard["transitions"][1]["guard"] = json!(nested);
    for params in [
        json!({ "version": 1, "definition": definition }),
        json!({ "machine": "", "version": 1, "definition": definition }),
        json!({ "machine": "x".repeat(1 << 20), "version": 1, "definition": definition }),
        json!({ "machine": "a\u{7}", "version": 1, "definition": definition }),
        json!({ "machine": "m", "version": 0, "definition": definition }),
        json!({ "machine": "m", "version": "1", "definition": definition }),
        json!({ "machine": "m", "version": 1, "definition": "text" }),
        json!({ "machine": "m", "version": 1, "definition": definition, "checksum": "00" }),
        json!({ "machine": "m", "version": 1, "definition": unknown_state }),
        json!({ "machine": "m", "version": 1, "definition": bad_guard }),
        json!({ "machine": "m", "version": 1, "definition": deep_guard }),
    ] {
        conn.refused("PUT_MACHINE", params, "BAD_REQUEST").await;
    }
    let missing = conn
        .refused(
            "GET_MACHINE",
            json!({ "machine": "none" }),
            "MACHINE_NOT_FOUND",
        )
        .await;
    assert_eq!(missing["details"]["machine"], "none");
    conn.refused(
        "GET_MACHINE",
        json!({ "machine": "none", "version": 3 }),
        "MACHINE_NOT_FOUND",
    )
    .await;
    node.stop().await;
}
