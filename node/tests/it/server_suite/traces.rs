//! Traces: what a collector gets of requests over RCP and over HTTP, which requests it gets, and that it may be gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tonic::{Request, Response, Status};

use super::http_client::Http;
use super::support::{Conn, PATIENCE, TestNode, unused_addr};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// A `traceparent` with these flags.
fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{CALLER}-{flags}")
}

/// A collector that keeps what it gets.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        self.0.lock().extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Listens, and returns where.
    fn start() -> (Self, String) {
        let (collector, addr) = (Self::default(), unused_addr());
        let service = TraceServiceServer::new(collector.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve(addr));
        (collector, format!("http://{addr}"))
    }

    fn spans(&self) -> Vec<Span> {
        self.0.lock().clone()
    }

    /// The spans of the trace of the tests, once these are among them.
    async fn trace_with(&self, names: &[&str]) -> Vec<Span> {
        let came = async {
            loop {
                let trace: Vec<Span> = self.spans();
                let trace: Vec<Span> = trace
                    .into_iter()
                    .filter(|span| hex::encode(&span.trace_id) == TRACE)
                    .collect();
                let has = |name: &&str| trace.iter().any(|span| span.name == **name);
                if names.iter().all(has) {
                    return trace;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let came = tokio::time::timeout(PATIENCE, came).await;
        came.unwrap_or_else(|_| panic!("{names:?} are not all in {:#?}", self.spans()))
    }
}

fn attribute(span: &Span, name: &str) -> Value {
    let found = span.attributes.iter().find(|known| known.key == name);
    let value = found.and_then(|found| found.value.clone()?.value);
    match value {
        Some(Any::StringValue(text)) => text.into(),
        Some(Any::IntValue(number)) => number.into(),
        Some(Any::BoolValue(flag)) => flag.into(),
        _ => Value::Null,
    }
}

/// The names of the spans below this one.
fn children(trace: &[Span], of: &Span) -> Vec<String> {
    let below = trace
        .iter()
        .filter(|span| span.parent_span_id == of.span_id);
    let mut names: Vec<String> = below.map(|span| span.name.clone()).collect();
    names.sort();
    names
}

/// Every span begins and ends in this order, within its parent's time if the same node has recorded both.
fn assert_times(trace: &[Span]) {
    let by_id: BTreeMap<_, _> = trace.iter().map(|span| (&span.span_id, span)).collect();
    assert_eq!(by_id.len(), trace.len(), "two spans have the same id");
    for span in trace {
        assert!(
            span.start_time_unix_nano <= span.end_time_unix_nano,
            "{span:?}"
        );
        let Some(parent) = by_id.get(&span.parent_span_id) else {
            assert_eq!(hex::encode(&span.parent_span_id), CALLER, "{span:?}");
            continue;
        };
        // Nodes of one machine share its clock. The wall clock may move a little between two readings.
        let slack = 2_000_000;
        assert!(
            span.start_time_unix_nano + slack >= parent.start_time_unix_nano
                && span.end_time_unix_nano <= parent.end_time_unix_nano + slack,
            "{span:?} is not within {parent:?}"
        );
    }
}

/// A cluster of which every node sends to this collector.
async fn node(endpoint: &str, sample: &str) -> TestNode {
    TestNode::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_TRACES_SAMPLER_ARG", sample),
    ])
    .await
}

/// The trace of one event, which the caller's span is the parent of.
fn assert_is_trace_of_event(trace: &[Span], id: &Value, offset: &Value) {
    assert_times(trace);
    let roots = trace
        .iter()
        .filter(|span| hex::encode(&span.parent_span_id) == CALLER);
    let [root] = roots.collect::<Vec<_>>()[..] else {
        panic!("not one span continues the caller's: {trace:#?}");
    };
    assert_eq!(root.name, "APPLY_EVENT");
    assert_eq!(attribute(root, "rpc.system"), "rstmdb");
    assert_eq!(attribute(root, "rstmdb.op"), "APPLY_EVENT");
    assert_eq!(attribute(root, "rstmdb.instance_id"), *id);
    assert_eq!(attribute(root, "rstmdb.wal_offset"), *offset);
    let mut at_leader = root;
    if super::FOLLOWS {
        assert_eq!(children(trace, root), ["answer", "forward", "session"]);
        let forward = trace.iter().find(|span| span.name == "forward").unwrap();
        assert_eq!(children(trace, forward), ["APPLY_EVENT"]);
        let below = |span: &&Span| span.parent_span_id == forward.span_id;
        at_leader = trace.iter().find(below).unwrap();
        assert_eq!(attribute(at_leader, "rstmdb.forwarded"), true);
        assert_eq!(attribute(at_leader, "rstmdb.wal_offset"), *offset);
        assert_ne!(
            attribute(at_leader, "rstmdb.node_id"),
            attribute(root, "rstmdb.node_id")
        );
    }
    let mut decided = children(trace, at_leader);
    // A majority of the others may have the entry before the leader's own disk has.
    decided.retain(|name| name != "log" || !super::FOLLOWS);
    let mut expected = vec![
        "answer",
        "apply",
        "decide",
        "log",
        "queue",
        "replicate",
        "session",
    ];
    expected.retain(|name| !super::FOLLOWS || !["log", "session"].contains(name));
    assert_eq!(decided, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_headers_name_a_trace_is_recorded_from_the_session_to_the_answer() {
    let (collector, endpoint) = Collector::start();
    let node = node(&endpoint, "0").await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let params = json!({
        "instance_id": id, "event": "PAY", "headers": { "traceparent": parent("01") },
    });
    let request = json!({ "type": "request", "id": "1", "op": "APPLY_EVENT", "params": params });
    conn.send_json(&request).await;
    let (_, response) = conn.next().await.unwrap();
    assert_eq!(response["meta"]["trace_id"], TRACE, "{response}");
    let trace = collector
        .trace_with(&["APPLY_EVENT", "apply", "answer"])
        .await;
    let trace = match super::FOLLOWS {
        true => collector.trace_with(&["forward", "apply"]).await,
        false => trace,
    };
    assert_is_trace_of_event(&trace, &json!(id), &response["result"]["wal_offset"]);
    // The header is what the client said about the write, so it is kept with it.
    let page = json!({ "from_offset": response["result"]["wal_offset"], "limit": 1, "include_meta": true });
    let page = conn.ok("WAL_READ", page).await;
    assert_eq!(
        page["records"][0]["meta"]["headers"]["traceparent"],
        parent("01")
    );
    let others = collector.spans().into_iter();
    let others: Vec<Span> = others
        .filter(|span| hex::encode(&span.trace_id) != TRACE)
        .collect();
    assert_eq!(others, [], "nothing else was to be sampled");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_http_belongs_to_the_trace_of_its_header() {
    let (collector, endpoint) = Collector::start();
    let node = node(&endpoint, "0").await;
    let (_, id) = Conn::open(node.addr).await.order().await;
    let mut http = Http::connect(node.http).await;
    http.headers.push(("Traceparent".into(), parent("01")));
    let body = json!({ "event": "PAY" });
    let paid = http
        .send_json("POST", &format!("/v1/instances/{id}/events"), &body)
        .await;
    let paid = paid.ok();
    // The header is the caller's and not a part of the write.
    let names: &[&str] = if super::FOLLOWS {
        &["forward", "apply", "APPLY_EVENT"]
    } else {
        &["apply", "APPLY_EVENT"]
    };
    let trace = collector.trace_with(names).await;
    assert_is_trace_of_event(&trace, &json!(id), &paid["wal_offset"]);
    let page = json!({ "from_offset": paid["wal_offset"], "limit": 1, "include_meta": true });
    let page = Conn::open(node.addr).await.ok("WAL_READ", page).await;
    assert_eq!(page["records"][0]["meta"]["headers"], Value::Null);
    // The next request of the connection is another one.
    http.headers.clear();
    http.get(&format!("/v1/instances/{id}")).await.ok();
    node.stop().await;
    let reads = collector
        .spans()
        .into_iter()
        .filter(|span| span.name == "GET_INSTANCE");
    assert_eq!(reads.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_records_how_long_it_waits_to_be_fresh() {
    let (collector, endpoint) = Collector::start();
    let node = node(&endpoint, "0").await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let request = json!({
        "type": "request", "id": "1", "op": "GET_INSTANCE", "traceparent": parent("01"),
        "params": { "instance_id": id },
    });
    conn.send_json(&request).await;
    conn.next().await.unwrap();
    // The only voter answers at once.
    let names: &[&str] = if super::FOLLOWS {
        &["GET_INSTANCE", "read_index"]
    } else {
        &["GET_INSTANCE"]
    };
    let trace = collector.trace_with(names).await;
    assert_times(&trace);
    let root = trace
        .iter()
        .find(|span| span.name == "GET_INSTANCE")
        .unwrap();
    assert_eq!(attribute(root, "rstmdb.instance_id"), json!(id));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_decides_what_is_recorded_and_otherwise_the_sample_does() {
    let (collector, endpoint) = Collector::start();
    let node = node(&endpoint, "1").await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    let unsampled =
        json!({ "instance_id": id, "event": "NOTE", "headers": { "traceparent": parent("00") } });
    conn.ok("APPLY_EVENT", unsampled).await;
    // What is no traceparent is no error, and counts as none.
    let wrong = json!({ "instance_id": id, "event": "PAY", "headers": { "traceparent": "01-x" } });
    conn.ok("APPLY_EVENT", wrong).await;
    let refused = json!({ "type": "request", "id": "r", "op": "GET_INSTANCE", "params": { "instance_id": "nobody" } });
    conn.send_json(&refused).await;
    let (_, response) = conn.next().await.unwrap();
    let trace_id = response["meta"]["trace_id"].as_str().unwrap().to_owned();
    // Sent at the latest when the node ends.
    node.stop().await;
    let spans = collector.spans();
    let events = spans
        .iter()
        .filter(|span| span.name == "APPLY_EVENT" && attribute(span, "rstmdb.forwarded").is_null());
    assert_eq!(events.count(), 1, "{spans:#?}");
    assert!(
        spans
            .iter()
            .all(|span| hex::encode(&span.trace_id) != TRACE)
    );
    let read = spans
        .iter()
        .find(|span| hex::encode(&span.trace_id) == trace_id)
        .unwrap();
    assert_eq!(attribute(read, "rstmdb.code"), "INSTANCE_NOT_FOUND");
    assert!(read.parent_span_id.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_on_without_a_collector_and_what_it_misses_is_counted() {
    let node = node(&format!("http://{}", unused_addr()), "1").await;
    let mut conn = Conn::open(node.addr).await;
    let (_, id) = conn.order().await;
    conn.ok("APPLY_EVENT", json!({ "instance_id": id, "event": "PAY" }))
        .await;
    let dropped = async {
        loop {
            let (_, text) = node.admin_get("/metrics").await;
            let line = text
                .lines()
                .find(|line| line.starts_with("rstmdb_trace_spans_dropped_total "));
            let count: f64 = line.unwrap().split_once(' ').unwrap().1.parse().unwrap();
            if count > 0.0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, dropped).await.unwrap();
    conn.ok("APPLY_EVENT", json!({ "instance_id": id, "event": "NOTE" }))
        .await;
    node.stop().await;
}
