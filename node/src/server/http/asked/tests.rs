#![allow(clippy::unwrap_used)]

use axum::http::Request;
use serde_json::{Value, json};

use super::*;

/// The operation and its parameters, or the status of the refusal and the field that is wrong.
fn asked(
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Result<(Op, Value), (u16, String)> {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    let told = |problem: Problem| {
        let document = rstmdb_rcp::json::value_of_bytes(&problem.to_json()).unwrap();
        let field = document["details"]["field"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        (problem.status().as_u16(), field)
    };
    let Found::Entry(entry, in_path) = find(&head.method, head.uri.path()).map_err(told)? else {
        return Err((404, String::new()));
    };
    let asked = understand(entry, in_path, &head).map_err(told)?;
    let text = format!("{{{}}}", std::str::from_utf8(asked.members.text()).unwrap());
    Ok((asked.entry.op, rstmdb_rcp::json::value(&text).unwrap()))
}

#[test]
fn a_request_is_an_operation_with_parameters_from_everywhere() {
    let key = ("idempotency-key", "k-1");
    for (method, target, headers, op, params) in [
        ("GET", "/v1/info", &[][..], Op::Info, json!({})),
        (
            "HEAD",
            "/v1/machines/a%2Fb",
            &[],
            Op::GetMachine,
            json!({ "machine": "a/b" }),
        ),
        (
            "GET",
            "/v1/machines/m/versions/2?consistency=local&min_wal_offset=7",
            &[],
            Op::GetMachine,
            json!({ "machine": "m", "version": 2, "consistency": "local", "min_wal_offset": 7 }),
        ),
        (
            "POST",
            "/v1/instances/%C3%BC/events?event=a+b",
            &[key, ("if-match", "\"12\"")],
            Op::ApplyEvent,
            json!({ "instance_id": "ü", "event": "a b", "idempotency_key": "k-1", "expected_wal_offset": 12 }),
        ),
        (
            "GET",
            "/v1/watch?machines=a&machines=b%2Cc&include_ctx=false",
            &[("last-event-id", "9")],
            Op::WatchAll,
            json!({ "include_ctx": false, "machines": ["a", "b,c"], "from_offset": 10 }),
        ),
        (
            "GET",
            "/v1/wal/7/ancestors",
            &[],
            Op::Ancestors,
            json!({ "offset": 7 }),
        ),
        (
            "DELETE",
            "/v1/cluster/members/x",
            &[],
            Op::ClusterRemove,
            json!({ "node_id": "x" }),
        ),
    ] {
        assert_eq!(
            asked(method, target, headers),
            Ok((op, params)),
            "{method} {target}"
        );
    }
}

#[test]
fn what_is_wrong_is_named() {
    let json_body = [
        ("content-type", "application/json"),
        ("content-length", "10"),
    ];
    for (method, target, headers, status, field) in [
        ("GET", "/v1/info?x=1", &[][..], 400, "query.x"),
        (
            "GET",
            "/v1/machines/m?machine=n",
            &[],
            400,
            "params.machine",
        ),
        ("GET", "/v1/timers?after=x", &[], 400, "params.after"),
        ("GET", "/v1/machines/%", &[], 400, "path"),
        ("GET", "/v1/machines?limit=%zz", &[], 400, "query"),
        ("GET", "/v1/automation?reason=x", &[], 400, "query.reason"),
        ("GET", "/v1/info", &json_body, 400, "body"),
        ("POST", "/v1/compact", &json_body[1..], 415, ""),
        ("POST", "/v1/compact", &[("content-length", "x")], 411, ""),
        (
            "POST",
            "/v1/compact",
            &[("transfer-encoding", "chunked")],
            411,
            "",
        ),
        (
            "POST",
            "/v1/instances",
            &[("if-match", "\"1\"")],
            400,
            "if-match",
        ),
        (
            "GET",
            "/v1/watch",
            &[("last-event-id", "x")],
            400,
            "last-event-id",
        ),
        (
            "POST",
            "/v1/instances",
            &[("idempotency-key", "a"), ("idempotency-key", "b")],
            400,
            "idempotency-key",
        ),
        ("GET", "/v1/a/b/c/d/e/f/g/h/i", &[], 404, ""),
    ] {
        let refused = asked(method, target, headers).unwrap_err();
        assert_eq!(refused, (status, field.to_owned()), "{method} {target}");
    }
    let long = [
        ("content-type", "application/json"),
        ("content-length", "16777216"),
    ];
    assert_eq!(asked("POST", "/v1/batch", &long).unwrap_err().0, 413);
}

#[test]
fn a_compressed_body_and_an_offset_with_a_sign_are_refused() {
    let of_body = [
        ("content-type", "application/json"),
        ("content-length", "10"),
    ];
    for (coding, status) in [("gzip", Some(415)), ("identity", None), ("Identity", None)] {
        let headers = [of_body[0], of_body[1], ("content-encoding", coding)];
        let refused = asked("POST", "/v1/compact", &headers).err();
        assert_eq!(refused.map(|(status, _)| status), status, "{coding}");
    }
    let signed = asked("POST", "/v1/instances/i/events", &[("if-match", "\"+8\"")]);
    assert_eq!(signed.unwrap_err(), (400, "if-match".to_owned()));
}
