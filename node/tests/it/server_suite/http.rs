//! HTTP: every operation as over RCP, and what HTTP has of its own.

use serde_json::{Value, json};

use super::http_client::{Events, Http, Response};
use super::support::{Conn, TestNode, fresh, order_definition};
use crate::agreement;

/// Where an operation is found, as the OpenAPI document has it.
pub struct Routes(Value);

impl Routes {
    async fn of(node: &TestNode) -> Self {
        Self::with(&mut Http::connect(node.http).await).await
    }

    pub async fn with(http: &mut Http) -> Self {
        Self(http.get("/openapi.json").await.ok())
    }

    /// Whether there is a request for the operation.
    pub fn serves(&self, op: &str) -> bool {
        self.of_op(op).next().is_some()
    }

    /// All paths, with a value in each place.
    pub fn paths(&self) -> Vec<String> {
        let paths = self.0["paths"].as_object().unwrap().keys();
        let filled = paths.map(|path| {
            let segments = path.split('/');
            let segments: Vec<&str> = segments
                .map(|it| if it.starts_with('{') { "1" } else { it })
                .collect();
            segments.join("/")
        });
        filled.collect()
    }

    /// Method, path and description of an operation's routes.
    fn of_op<'a>(&'a self, op: &'a str) -> impl Iterator<Item = (&'a str, &'a str, &'a Value)> {
        let paths = self.0["paths"].as_object().unwrap().iter();
        let all = paths.flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().iter();
            methods.map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
        });
        all.filter(move |(_, _, operation)| operation["x-operation"] == op)
    }

    /// The request for an operation with these parameters: those of the path there, the others in the query of a GET
    /// and in the body of anything else.
    pub async fn call(&self, http: &mut Http, op: &str, params: &Value) -> Response {
        let has = |path: &str| {
            let names = path
                .split('/')
                .filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'));
            names.into_iter().all(|name| params.get(name).is_some())
        };
        let routes = self.of_op(op).filter(|(_, path, _)| has(path));
        // The longest path, and a body where there is a choice.
        let (method, path, _) = routes
            .max_by_key(|(method, path, _)| (path.len(), *method != "get"))
            .unwrap();
        let mut rest = params.as_object().unwrap().clone();
        let mut target = String::new();
        for segment in path.split('/').skip(1) {
            let name = segment
                .strip_prefix('{')
                .and_then(|it| it.strip_suffix('}'));
            let value = name.map(|name| plain(&rest.shift_remove(name).unwrap()));
            target += &format!(
                "/{}",
                value.map_or(segment.to_owned(), |value| percent(&value))
            );
        }
        if method != "get" {
            return http
                .send_json(&method.to_uppercase(), &target, &Value::Object(rest))
                .await;
        }
        let pairs = rest.iter().flat_map(|(name, value)| {
            let values = value
                .as_array()
                .cloned()
                .unwrap_or_else(|| vec![value.clone()]);
            values
                .into_iter()
                .map(move |value| format!("{name}={}", percent(&plain(&value))))
        });
        let query: Vec<String> = pairs.collect();
        http.get(&format!("{target}?{}", query.join("&"))).await
    }
}

/// A value as it stands in a URL.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// What differs from one request to the next, whatever it came by.
const VARIES: &[&str] = &[
    "feature_level",
    "wal_offset",
    "last_wal_offset",
    "expected_wal_offset",
    "actual_wal_offset",
    "current_wal_offset",
    "token",
    "expires_at",
    "due_at",
    "created_at",
    "updated_at",
    "uptime_secs",
    "connections",
    "io_stats",
    "total_size_bytes",
    "latest_offset",
    "entry_count",
    "last_applied",
    "commit_index",
    "state_digest",
    "size_bytes",
    "checksum",
    "snapshot_id",
    "since",
    "head",
    "offset",
    "sequence",
    "time_ms",
    "digest",
    "digest_offset",
    "applied",
    "chain_head",
    "last_log",
    "last_offset",
    "now",
    "lag",
    "primary_sequence",
    "last_applied_sequence",
    "last_acked_sequence",
    "lag_entries",
    "lag_seconds",
    "hashes",
    "next_offset",
    "head_before",
    "wal_segments",
    "total_snapshots",
    "snapshots_created",
    "segments_deleted",
    "bytes_reclaimed",
    "armed",
    "stored_checksum",
];

/// An answer with what varies taken out, and with the names of the other half of the test.
fn comparable(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| {
                let varies = (VARIES.contains(&name.as_str()) || name.ends_with("offset"))
                    && !value.is_object()
                    && !value.is_null();
                let value = if varies {
                    json!("varies")
                } else {
                    comparable(value)
                };
                (name.clone(), value)
            });
            Value::Object(fields.collect())
        }
        Value::Array(items) => items.iter().map(comparable).collect(),
        Value::String(text) => {
            // Offsets in messages.
            let text = text.replace("-http", "-rcp");
            text.split(' ')
                .map(
                    |word| match word.trim_end_matches(['.', ',']).parse::<u64>() {
                        Ok(_) => "N",
                        Err(_) => word,
                    },
                )
                .collect::<Vec<_>>()
                .join(" ")
                .into()
        }
        value => value.clone(),
    }
}

/// Operations in an order in which each has something to do; `$` stands for what an operation before has answered.
pub fn script(base: &str) -> Vec<(&'static str, Value)> {
    let (machine, timed) = (format!("m {base}-rcp"), format!("t {base}-rcp"));
    // A slash, a space, other letters, and what would end a segment.
    let id = format!("a/b ü?#%{base}-rcp");
    let lock = format!("l/{base}-rcp");
    let timers = json!({
        "format": 2, "initial": "open", "states": [{ "name": "open", "timers": [{ "event": "END", "after": "1h" }] }, "ended"],
        "transitions": [{ "from": "open", "event": "END", "to": "ended" }],
    });
    let on = |more: Value| {
        let mut params = json!({ "instance_id": id });
        params
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        params
    };
    vec![
        ("INFO", json!({})),
        ("WHOAMI", json!({})),
        (
            "PUT_MACHINE",
            json!({ "machine": machine, "version": 1, "definition": order_definition() }),
        ),
        (
            "PUT_MACHINE",
            json!({ "machine": machine, "version": 2, "definition": { "states": [] } }),
        ),
        (
            "PUT_MACHINE",
            json!({ "machine": timed, "version": 1, "definition": timers }),
        ),
        ("GET_MACHINE", json!({ "machine": machine })),
        (
            "GET_MACHINE",
            json!({ "machine": machine, "version": 1, "consistency": "local" }),
        ),
        ("GET_MACHINE", json!({ "machine": machine, "version": 9 })),
        (
            "CREATE_INSTANCE",
            on(
                json!({ "machine": machine, "initial_ctx": { "total": 5 }, "reason": "first\nline", "headers": { "a": "b" } }),
            ),
        ),
        ("CREATE_INSTANCE", on(json!({ "machine": machine }))),
        (
            "CREATE_INSTANCE",
            json!({ "instance_id": timed, "machine": timed }),
        ),
        ("GET_INSTANCE", on(json!({ "include": ["meta"] }))),
        ("GET_INSTANCE", json!({ "instance_id": "nobody" })),
        ("GET_INSTANCE", on(json!({ "consistency": "fresh" }))),
        (
            "LIST_INSTANCES",
            json!({ "machine": machine, "limit": 1, "offset": 0 }),
        ),
        (
            "LIST_INSTANCES",
            json!({ "machine": machine, "limit": "x" }),
        ),
        (
            "ALLOWED_EVENTS",
            on(json!({ "payloads": { "PAY": { "by": "card" } } })),
        ),
        (
            "APPLY_EVENT",
            on(
                json!({ "event": "PAY", "payload": { "by": "card" }, "event_id": "e1", "idempotency_key": "k" }),
            ),
        ),
        (
            "APPLY_EVENT",
            on(
                json!({ "event": "PAY", "payload": { "by": "card" }, "event_id": "e1", "idempotency_key": "k" }),
            ),
        ),
        ("APPLY_EVENT", on(json!({ "event": "SHIP" }))),
        ("APPLY_EVENT", on(json!({ "event": "FLY" }))),
        (
            "APPLY_EVENT",
            on(json!({ "event": "NOTE", "expected_state": "created" })),
        ),
        (
            "APPLY_EVENT",
            on(json!({ "event": "NOTE", "dry_run": true })),
        ),
        ("APPLY_EVENT", on(json!({}))),
        (
            "TIMER_SET",
            json!({ "instance_id": timed, "timers": { "END": { "after": "2h" } } }),
        ),
        ("TIMER_LIST", json!({ "machine": timed })),
        (
            "LOCK_ACQUIRE",
            json!({ "name": lock, "owner": "me", "ttl_ms": 60_000 }),
        ),
        (
            "LOCK_ACQUIRE",
            json!({ "name": lock, "owner": "you", "ttl_ms": 60_000 }),
        ),
        ("LOCK_GET", json!({ "name": lock })),
        ("LOCK_LIST", json!({ "prefix": lock })),
        ("LOCK_RENEW", json!({ "name": lock, "token": "$token" })),
        ("LOCK_RELEASE", json!({ "name": lock, "token": "$token" })),
        (
            "BATCH",
            json!({ "mode": "atomic", "ops": [{ "op": "GET_INSTANCE", "params": { "instance_id": id } }] }),
        ),
        (
            "BATCH",
            json!({ "ops": [{ "op": "FLUSH_ALL", "params": {} }] }),
        ),
        ("SNAPSHOT_INSTANCE", on(json!({}))),
        (
            "WAL_READ",
            json!({ "from_offset": 1, "limit": 3, "include_meta": true }),
        ),
        ("WAL_READ", json!({})),
        ("ANCESTORS", json!({ "offset": "$wal_offset" })),
        ("WAL_STATS", json!({})),
        ("REPLICATION_STATUS", json!({})),
        ("AUTOMATION", json!({ "set": "running" })),
        ("CLOCK_ADVANCE", json!({ "by": "1m" })),
        ("CLUSTER_STATUS", json!({})),
        ("CLUSTER_ADD", json!({ "peer_addr": "nowhere" })),
        ("CLUSTER_PROMOTE", json!({ "node_id": 99 })),
        ("CLUSTER_REMOVE", json!({ "node_id": 99 })),
        (
            "CLUSTER_SET_ADDRESS",
            json!({ "node_id": 99, "peer_addr": "localhost:1", "rcp_addr": "localhost:2" }),
        ),
        ("CLUSTER_TRANSFER_LEADER", json!({ "node_id": 99 })),
        ("CLUSTER_FINALIZE_UPGRADE", json!({})),
        ("ROTATE_KEY", json!({ "switch": false })),
        ("RELOAD", json!({})),
        ("BACKUP_DESCRIBE", json!({})),
        (
            "BACKUP_SNAPSHOT",
            json!({ "snapshot_id": "none", "from_byte": 0 }),
        ),
        ("BACKUP_LOG", json!({ "from_offset": 1, "to_offset": 2 })),
        ("AUDIT_READ", json!({ "from_offset": 0, "limit": 1 })),
        ("COMPACT", json!({ "force_snapshot": true })),
        ("FLUSH_ALL", json!({})),
        (
            "PUT_MACHINE",
            json!({ "machine": format!("{machine}-gone"), "version": 1, "definition": order_definition() }),
        ),
        (
            "DELETE_MACHINE",
            json!({ "machine": format!("{machine}-gone"), "version": 1 }),
        ),
        (
            "DELETE_MACHINE",
            json!({ "machine": machine, "all_versions": true }),
        ),
        ("LIST_MACHINES", json!({})),
        ("DELETE_INSTANCE", on(json!({ "idempotency_key": "d" }))),
        ("DELETE_INSTANCE", on(json!({}))),
    ]
}

/// Puts what was answered before in the place of `$name`.
pub fn filled(params: &Value, known: &Value) -> Value {
    let mut params = params.clone();
    for value in params.as_object_mut().unwrap().values_mut() {
        if let Some(name) = value.as_str().and_then(|text| text.strip_prefix('$')) {
            *value = known[name].clone();
        }
    }
    params
}

pub fn remember(known: &mut Value, answer: &Value) {
    for name in ["token", "wal_offset"] {
        if answer[name].is_u64() {
            known[name] = answer[name].clone();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_answers_over_http_what_it_answers_over_rcp() {
    let node = TestNode::start(&[]).await;
    let routes = Routes::of(&node).await;
    let (mut rcp, mut http) = (Conn::open(node.addr).await, Http::connect(node.http).await);
    let script = script(&fresh(""));
    for row in agreement::ROWS {
        let watches = row.op.starts_with("WATCH_");
        let is_served = routes.of_op(row.op).next().is_some();
        assert_eq!(
            is_served && !watches,
            script.iter().any(|(op, _)| *op == row.op),
            "{}",
            row.op
        );
    }
    let (mut of_rcp, mut of_http) = (json!({}), json!({}));
    for (op, params) in &script {
        let told = rcp.call(op, filled(params, &of_rcp)).await;
        let others = params.to_string().replace("-rcp", "-http");
        let others = rstmdb_rcp::json::value(&others).unwrap();
        let response = routes.call(&mut http, op, &filled(&others, &of_http)).await;
        let answer = response.json();
        match &told {
            Ok(result) => {
                assert!(
                    response.status < 300,
                    "{op}: {response:?} {}",
                    response.text()
                );
                assert_eq!(comparable(&answer), comparable(result), "{op} {params}");
                remember(&mut of_rcp, result);
                remember(&mut of_http, &answer);
                check_result(&routes, op, params, &answer);
            }
            Err(error) => {
                let code = error["code"].as_str().unwrap();
                response.refused(response.status, code);
                assert!(response.status >= 400, "{op}");
                let of_problem = json!({
                    "code": answer["code"], "message": answer["detail"], "retryable": answer["retryable"],
                    "details": answer["details"],
                });
                let mut of_rcp = comparable(error);
                of_rcp
                    .as_object_mut()
                    .unwrap()
                    .entry("details")
                    .or_insert(Value::Null);
                assert_eq!(comparable(&of_problem), of_rcp, "{op} {params}");
            }
        }
    }
    node.stop().await;
}

/// A result has the fields that the document names, and no others.
fn check_result(routes: &Routes, op: &str, params: &Value, result: &Value) {
    let (_, _, operation) = routes.of_op(op).next().unwrap();
    let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
    let known = schema["properties"].as_object().unwrap();
    let is_dry = params["dry_run"] == true;
    for (name, value) in result.as_object().unwrap() {
        let of_dry_run = ["dry_run", "would", "replayed"].contains(&name.as_str());
        let Some(field) = known.get(name) else {
            assert!(is_dry && of_dry_run, "{op}: {name} is not in the document");
            continue;
        };
        let kinds = field["type"]
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![field["type"].clone()]);
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let fits =
            kinds.contains(&kind.into()) || (kind == "integer" && kinds.contains(&"number".into()));
        assert!(fits, "{op}: {name} is {value}, the document says {field}");
    }
    for name in schema["required"].as_array().unwrap() {
        assert!(
            result.get(name.as_str().unwrap()).is_some(),
            "{op}: no {name} in {result}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_names_exactly_the_parameters_that_are_read() {
    let node = TestNode::start(&[]).await;
    let routes = Routes::of(&node).await;
    for row in agreement::ROWS {
        for (method, path, operation) in routes.of_op(row.op) {
            if row.op == "AUTOMATION" && method == "get" {
                continue;
            }
            let mut documented: Vec<String> = operation["parameters"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|it| it["in"] != "header")
                .map(|it| plain(&it["name"]))
                .collect();
            let body =
                &operation["requestBody"]["content"]["application/json"]["schema"]["properties"];
            documented.extend(
                body.as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, _)| name.clone()),
            );
            let mut read: Vec<String> = row
                .whole
                .iter()
                .flat_map(|text| {
                    let whole = rstmdb_rcp::json::value(text).unwrap();
                    whole
                        .as_object()
                        .unwrap()
                        .keys()
                        .cloned()
                        .collect::<Vec<_>>()
                })
                .collect();
            for names in [&mut documented, &mut read] {
                names.sort();
                names.dedup();
            }
            assert_eq!(documented, read, "{} {method} {path}", row.op);
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_with_its_key_takes_effect_once_and_an_etag_guards_a_change() {
    let node = TestNode::start(&[]).await;
    let (mut rcp, mut http) = (Conn::open(node.addr).await, Http::connect(node.http).await);
    let machine = rcp.order_machine().await;
    let id = fresh("x/y");
    let create = json!({ "instance_id": id, "machine": machine }).to_string();
    let json_with = |name, value| [("Content-Type", "application/json"), (name, value)];
    let keyed = json_with("Idempotency-Key", "\"c1\"");
    let first = http
        .send("POST", "/v1/instances", &keyed, Some(&create))
        .await;
    assert_eq!(first.status, 201);
    let place = first.header("location").unwrap().to_owned();
    assert_eq!(place, format!("/v1/instances/{}", percent(&id)));
    let bare = json_with("Idempotency-Key", "c1");
    let again = http
        .send("POST", "/v1/instances", &bare, Some(&create))
        .await;
    assert_eq!(again.ok(), first.ok());
    let shown = http.get(&place).await;
    let tag = shown.header("etag").unwrap().to_owned();
    assert_eq!(tag, format!("\"{}\"", shown.json()["last_wal_offset"]));
    assert_eq!(first.header("etag"), Some(tag.as_str()));
    let unchanged = http
        .send("GET", &place, &[("If-None-Match", &tag)], None)
        .await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    let events = format!("{place}/events");
    let pay = Some("{\"event\":\"PAY\"}");
    let paid = http
        .send("POST", &events, &json_with("If-Match", &tag), pay)
        .await;
    assert_eq!(paid.ok()["to_state"], "paid");
    assert_eq!(
        paid.header("rstmdb-wal-offset").unwrap(),
        paid.json()["wal_offset"].to_string()
    );
    let late = http
        .send("POST", &events, &json_with("If-Match", &tag), pay)
        .await;
    assert_eq!(
        late.refused(412, "CONFLICT")["details"]["actual_wal_offset"],
        paid.json()["wal_offset"]
    );
    let body = json!({ "event": "NOTE", "expected_wal_offset": 1 });
    http.send_json("POST", &events, &body)
        .await
        .refused(409, "CONFLICT");
    let stale = [("If-Match", tag.as_str())];
    let kept = http.send("DELETE", &place, &stale, None).await;
    kept.refused(412, "CONFLICT");
    // Where a header would be ignored it is refused.
    for (method, target, name, value) in [
        ("GET", place.as_str(), "If-Match", tag.as_str()),
        ("POST", &events, "If-Match", "12"),
        ("POST", &events, "If-Match", "*"),
        ("POST", "/v1/batch", "Idempotency-Key", "k"),
        ("GET", &place, "Idempotency-Key", "k"),
    ] {
        let refused = http.send(method, target, &[(name, value)], None).await;
        assert!(
            refused.refused(400, "BAD_REQUEST")["detail"]
                .as_str()
                .unwrap()
                .contains(name)
        );
    }
    let now = http.get(&place).await.header("etag").unwrap().to_owned();
    let gone = http
        .send("DELETE", &place, &[("If-Match", &now)], None)
        .await;
    assert_eq!(gone.ok()["deleted"], true);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_path_counts_and_no_name_is_ignored() {
    let node = TestNode::start(&[]).await;
    let mut http = Http::connect(node.http).await;
    let (_, id) = Conn::open(node.addr).await.order().await;
    let place = format!("/v1/instances/{id}");
    // What the body says of the path's parameters does not count, nor can it leave its place.
    let body = json!({ "instance_id": "other", "event": "PAY" });
    let paid = http
        .send_json("POST", &format!("{place}/events"), &body)
        .await;
    assert_eq!(paid.ok()["to_state"], "paid");
    // Everything can stand in the query, too.
    let noted = http
        .send(
            "POST",
            &format!("{place}/events?event=NOTE&payload=%7B%22a%22%3A1%7D"),
            &[],
            None,
        )
        .await;
    assert_eq!(noted.ok()["ctx"]["a"], 1);
    for target in [
        format!("{place}?colour=red"),
        format!("{place}?instance_id=b"),
        "/v1/instances?limit=1&limit=2".to_owned(),
        "/v1/automation?set=paused".to_owned(),
        "/v1/instances?limit=1%".to_owned(),
        "/v1/machines/%FF".to_owned(),
        "/v1/timers?after=%7B".to_owned(),
    ] {
        http.get(&target).await.refused(400, "BAD_REQUEST");
    }
    let problem = http.get("/v1/instances?colour=red").await.json();
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("colour") && detail.contains("min_wal_offset"),
        "{detail}"
    );
    assert_eq!(problem["details"]["field"], "query.colour");
    // The node has not been paused.
    assert_eq!(
        http.get("/v1/automation").await.ok()["automation"],
        "running"
    );
    for target in [
        "/console",
        "/console/../openapi.json",
        "/v1",
        "/v1/instances/",
        "/v1/instances//events",
        "/v2/info",
        "/v1/info/x",
    ] {
        http.get(target).await.refused(404, "NOT_FOUND");
    }
    for (method, target, allow) in [
        ("DELETE", "/v1/machines", "GET, HEAD, OPTIONS"),
        ("POST", place.as_str(), "GET, HEAD, DELETE, OPTIONS"),
        ("HEAD", "/v1/watch", "GET, OPTIONS"),
        ("PUT", "/openapi.json", "GET, HEAD, OPTIONS"),
    ] {
        let refused = http.send(method, target, &[], None).await;
        assert_eq!(
            (refused.status, refused.header("allow")),
            (405, Some(allow)),
            "{method} {target}"
        );
    }
    let options = http
        .send(
            "OPTIONS",
            &place,
            &[("Origin", &format!("http://{}", node.http))],
            None,
        )
        .await;
    assert_eq!(
        (options.status, options.header("allow")),
        (204, Some("GET, HEAD, DELETE, OPTIONS"))
    );
    assert_eq!(options.header("access-control-allow-origin"), None);
    let head = http.send("HEAD", &place, &[], None).await;
    let shown = http.get(&place).await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, shown.header("content-length"))
    );
    assert_eq!(head.header("etag"), shown.header("etag"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_one_object_of_json_within_the_bound_of_a_frame() {
    let node = TestNode::start(&[]).await;
    let (_, id) = Conn::open(node.addr).await.order().await;
    let events = format!("/v1/instances/{id}/events");
    let json = [("Content-Type", "application/json")];
    for (body, says) in [
        ("[]", "not one JSON object"),
        ("{\"event\":\"PAY\"", "not one JSON object"),
        (
            "{\"event\":\"PAY\"},\"op\":\"FLUSH_ALL\"",
            "not one JSON object",
        ),
        (
            "{\"event\":\"PAY\",\"dryrun\":true}",
            "\"dryrun\" is not a parameter: there are instance_id, event,",
        ),
        (
            "{event: PAY}",
            "the body is not JSON: key must be a string\"",
        ),
        ("{\"event\":PAY}", "the body is not JSON: expected value\""),
        (
            "{\"event\":\"PAY\",}",
            "the body is not JSON: key must be a string\"",
        ),
    ] {
        let mut http = Http::connect(node.http).await;
        let refused = http.send("POST", &events, &json, Some(body)).await;
        let problem = refused.refused(400, "BAD_REQUEST");
        // With its quotes, so that the end can be compared.
        let detail = format!("\"{}\"", problem["detail"].as_str().unwrap());
        assert!(detail.contains(says), "{problem}");
    }
    let mut http = Http::connect(node.http).await;
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
    ] {
        let headers = [("Content-Type", kind)];
        let refused = http
            .send("POST", &events, &headers, Some("{\"event\":\"PAY\"}"))
            .await;
        refused.refused(415, "BAD_REQUEST");
        http = Http::connect(node.http).await;
    }
    http.begin(
        "POST",
        &events,
        &[json[0], ("Transfer-Encoding", "chunked")],
        None,
    )
    .await;
    http.response("POST").await.refused(411, "BAD_REQUEST");
    let mut http = Http::connect(node.http).await;
    http.begin(
        "POST",
        &events,
        &[json[0], ("Content-Length", "16777217")],
        None,
    )
    .await;
    http.response("POST").await.refused(413, "BAD_REQUEST");
    // A long one goes in piece by piece, and its answer comes out so.
    let text = "x".repeat(900_000);
    let body = json!({ "event": "PAY", "payload": { "text": text } });
    let mut http = Http::connect(node.http).await;
    let paid = http.send_json("POST", &events, &body).await;
    assert_eq!(paid.ok()["ctx"]["text"].as_str().unwrap().len(), text.len());
    let shown = http.get(&format!("/v1/instances/{id}")).await;
    assert_eq!(shown.ok()["ctx"]["text"], paid.json()["ctx"]["text"]);
    assert_eq!(
        shown.header("content-length").unwrap(),
        shown.body.len().to_string()
    );
    // A head that is too long, and what is no HTTP.
    let mut http = Http::connect(node.http).await;
    let long = "y".repeat(40_000);
    assert_eq!(http.get(&format!("/v1/info?x={long}")).await.status, 431);
    let mut http = Http::connect(node.http).await;
    http.raw(b"RCPX\0\x01\r\n\r\n").await;
    assert_eq!(http.response("GET").await.status, 400);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_one_item_a_line_to_those_who_ask() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (machine, first) = conn.order().await;
    let second = fresh("order");
    let params = json!({ "instance_id": second, "machine": machine });
    conn.ok("CREATE_INSTANCE", params).await;
    let mut http = Http::connect(node.http)
        .await
        .with("Accept", "application/x-ndjson");
    let listed = http.get(&format!("/v1/instances?machine={machine}")).await;
    assert_eq!(listed.header("content-type"), Some("application/x-ndjson"));
    let ids: Vec<Value> = listed
        .text()
        .lines()
        .map(|line| rstmdb_rcp::json::value(line).unwrap()["id"].clone())
        .collect();
    let mut expected = [first, second];
    expected.sort();
    assert_eq!(ids, expected);
    let page = rstmdb_rcp::json::value(listed.header("rstmdb-page").unwrap()).unwrap();
    assert_eq!(page, json!({ "total": 2, "has_more": false }));
    let whole = Http::connect(node.http)
        .await
        .get("/v1/wal?from_offset=0")
        .await;
    let log = http.get("/v1/wal?from_offset=0").await;
    let records = whole.ok()["records"].as_array().unwrap().len();
    assert!(records > 2 && log.text().lines().count() == records);
    // What is no list stays what it is.
    assert_eq!(
        http.get("/v1/info").await.header("content-type"),
        Some("application/json")
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_live_and_go_on_behind_the_last_id() {
    let node = TestNode::start(&[]).await;
    let mut conn = Conn::open(node.addr).await;
    let (machine, id) = conn.order().await;
    let target = format!("/v1/watch?machines={machine}&include_ctx=false");
    let mut events = Events::open(node.http, &target, None).await;
    let begun = events.next().await.unwrap();
    assert_eq!(
        (begun.kind.as_str(), &begun.data["type"]),
        ("watching", &json!("watching"))
    );
    assert!(begun.data.get("subscription_id").is_none() && begun.data["cluster_id"].is_string());
    let note = json!({ "op": "APPLY_EVENT", "params": { "instance_id": id, "event": "NOTE" } });
    let batch = json!({ "mode": "atomic", "ops": [note, note, note] });
    conn.ok("BATCH", batch.clone()).await;
    conn.ok("APPLY_EVENT", json!({ "instance_id": id, "event": "PAY" }))
        .await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let event = events.next().await.unwrap();
        assert_eq!(
            (event.kind.as_str(), &event.data["instance_id"]),
            ("message", &json!(id))
        );
        assert!(event.data.get("subscription_id").is_none() && event.data.get("ctx").is_none());
        seen.push(event);
    }
    let offset = seen[0].data["wal_offset"].as_u64().unwrap();
    let ids: Vec<&str> = seen
        .iter()
        .map(|event| event.id.as_deref().unwrap())
        .collect();
    assert_eq!(ids[..3], [1, 2, 3].map(|count| format!("{offset}.{count}")));
    drop(events);
    // Wherever a reader was cut off, it gets what it has not read, and nothing else.
    for at in 0..4 {
        let last = ids[at];
        let mut events = Events::open(node.http, &target, Some(last)).await;
        assert_eq!(events.next().await.unwrap().id.as_deref(), Some(last));
        for expected in &seen[at + 1..] {
            assert_eq!(&events.next().await.unwrap(), expected);
        }
        // The end of what was missed is told.
        let progress = events.next().await.unwrap();
        assert_eq!(progress.kind, "progress", "{progress:?}");
    }
    let from_start = format!("{target}&from_offset=0");
    let mut events = Events::open(node.http, &from_start, Some(ids[2])).await;
    events.next().await.unwrap();
    assert_eq!(events.next().await.unwrap(), seen[3], "the header counts");
    let mut http = Http::connect(node.http).await;
    let headers = [("Last-Event-ID", "soon")];
    http.send("GET", &target, &headers, None)
        .await
        .refused(400, "BAD_REQUEST");
    let headers = [("Last-Event-ID", "999999999")];
    http.send("GET", &target, &headers, None)
        .await
        .refused(409, "OFFSET_AHEAD");
    http.get("/v1/instances/nobody/watch")
        .await
        .refused(404, "INSTANCE_NOT_FOUND");
    let lines = [("Accept", "application/x-ndjson")];
    http.begin(
        "GET",
        &format!("/v1/instances/{}/watch?from_offset=0", percent(&id)),
        &lines,
        None,
    )
    .await;
    assert_eq!(
        http.head().await.unwrap().header("content-type"),
        Some("application/x-ndjson")
    );
    for kind in ["watching", "event", "event"] {
        let line = String::from_utf8(http.chunk().await.unwrap()).unwrap();
        assert_eq!(rstmdb_rcp::json::value(&line).unwrap()["type"], kind);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_reason_when_its_node_stops() {
    let mut node = TestNode::start(&[]).await;
    let mut events = Events::open(node.http, "/v1/watch", None).await;
    events.next().await.unwrap();
    node.begin_stop();
    let end = events.next().await.unwrap();
    assert_eq!(
        (end.kind.as_str(), &end.data["problem"]["code"]),
        ("end", &json!("NO_LEADER"))
    );
    assert_eq!(
        (&end.data["problem"]["status"], end.id),
        (&json!(503), None)
    );
    assert_eq!(events.next().await, None);
    node.stop().await;
}
