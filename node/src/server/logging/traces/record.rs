//! What is recorded of one request, and the spans that are made from it.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use rstmdb_rcp::Code;

use super::{TraceParent, Traces, mixed, random};
use crate::replica::{RequestTrace, Stage};

/// A time that a record has: the beginning of the request, a stage, or the end.
#[derive(Debug, Clone, Copy)]
enum At {
    Began,
    Reached(Stage),
    Ended,
}

/// The spans below the request's own: name, beginning, end.
const CHILDREN: [(&str, At, At); 11] = [
    ("session", At::Began, At::Reached(Stage::Submitted)),
    (
        "queue",
        At::Reached(Stage::Submitted),
        At::Reached(Stage::Deciding),
    ),
    (
        "decide",
        At::Reached(Stage::Deciding),
        At::Reached(Stage::Decided),
    ),
    (
        "log",
        At::Reached(Stage::Decided),
        At::Reached(Stage::Flushed),
    ),
    (
        "replicate",
        At::Reached(Stage::Decided),
        At::Reached(Stage::Applying),
    ),
    (
        "apply",
        At::Reached(Stage::Applying),
        At::Reached(Stage::Applied),
    ),
    ("answer", At::Reached(Stage::Applied), At::Ended),
    (
        FORWARD,
        At::Reached(Stage::Forwarded),
        At::Reached(Stage::ForwardAnswered),
    ),
    ("answer", At::Reached(Stage::ForwardAnswered), At::Ended),
    ("session", At::Began, At::Reached(Stage::Waiting)),
    (
        "read_index",
        At::Reached(Stage::Waiting),
        At::Reached(Stage::Fresh),
    ),
];

/// The span on the node that has the client, which the leader's span continues.
const FORWARD: &str = "forward";

/// What a request is about, for the attributes of its span.
#[derive(Debug, Default)]
pub(crate) struct Subject {
    pub(crate) machine: Option<String>,
    pub(crate) instance_id: Option<String>,
}

/// The record of one request on one node. Its spans are sent when the last part of the node lets go of it.
pub(crate) struct Record {
    traces: Arc<Traces>,
    op: &'static str,
    subject: Subject,
    trace_id: String,
    /// The request's own span.
    span: TraceParent,
    /// The span of its way to the leader.
    forward: [u8; 8],
    parent: Option<[u8; 8]>,
    /// Another node has the client.
    is_forwarded: bool,
    began_at: SystemTime,
    began: Instant,
    /// Nanoseconds from the beginning to each stage, and one; 0: not reached.
    stages: [AtomicU64; Stage::COUNT],
    ended: AtomicU64,
    /// 0: it wrote nothing.
    offset: AtomicU64,
    failure: OnceLock<Code>,
}

impl Record {
    pub(super) fn new(
        traces: Arc<Traces>,
        op: &'static str,
        parent: Option<&TraceParent>,
        began: Instant,
        subject: Subject,
    ) -> Self {
        let trace_id = parent.map_or_else(|| some(random), |parent| parent.trace_id);
        let span = TraceParent::sampled(trace_id, some(random));
        // A request may have begun a moment ago.
        let began_at = SystemTime::now() - began.elapsed();
        Self {
            traces,
            op,
            subject,
            trace_id: hex::encode(trace_id),
            span,
            forward: mixed(u64::from_be_bytes(span.span_id)).to_be_bytes(),
            parent: parent.map(|parent| parent.span_id),
            is_forwarded: false,
            began_at,
            began,
            stages: Default::default(),
            ended: AtomicU64::new(0),
            offset: AtomicU64::new(0),
            failure: OnceLock::new(),
        }
    }

    /// The same, of a request that another node has forwarded.
    pub(super) fn forwarded(mut self) -> Self {
        self.is_forwarded = true;
        self
    }

    /// The request was answered with this error.
    pub(crate) fn failed(&self, code: &Code) {
        // The first error is the answer.
        let _ = self.failure.set(code.clone());
    }

    /// The answer was handed to the connection.
    pub(crate) fn end(&self) {
        self.ended.store(self.since_began(), Ordering::Relaxed);
    }

    /// Nanoseconds since it began, and one.
    fn since_began(&self) -> u64 {
        let nanos = u64::try_from(self.began.elapsed().as_nanos());
        nanos.unwrap_or(u64::MAX - 1) + 1
    }

    fn at(&self, at: At) -> Option<SystemTime> {
        let nanos = match at {
            At::Began => 1,
            At::Reached(stage) => self.stages[stage as usize].load(Ordering::Relaxed),
            At::Ended => self.ended.load(Ordering::Relaxed),
        };
        Some(self.began_at + Duration::from_nanos(nanos.checked_sub(1)?))
    }

    fn spans(&self) -> Vec<SpanData> {
        let end = self.at(At::Ended).unwrap_or(self.began_at);
        let own = SpanData {
            parent_span_is_remote: self.parent.is_some(),
            span_kind: SpanKind::Server,
            attributes: self.attributes(),
            status: match self.failure.get() {
                Some(code) => Status::error(code.as_str().to_owned()),
                None => Status::Unset,
            },
            ..self.span(
                self.op,
                self.span.span_id,
                self.parent.unwrap_or_default(),
                (self.began_at, end),
            )
        };
        let mut spans = vec![own];
        let mut number = u64::from_be_bytes(self.forward);
        for (name, from, to) in CHILDREN {
            let (Some(from), Some(to)) = (self.at(from), self.at(to)) else {
                continue;
            };
            // A stage of an attempt that came to nothing, and the request was decided again. The leader's part of a
            // forwarded request has no session.
            if to < from || (self.is_forwarded && name == "session") {
                continue;
            }
            let (id, span_kind) = match name {
                FORWARD => (self.forward, SpanKind::Client),
                _ => {
                    number = number.wrapping_add(1);
                    (mixed(number).to_be_bytes(), SpanKind::Internal)
                }
            };
            spans.push(SpanData {
                span_kind,
                ..self.span(name, id, self.span.span_id, (from, to))
            });
        }
        spans
    }

    fn span(
        &self,
        name: &'static str,
        id: [u8; 8],
        parent: [u8; 8],
        (start_time, end_time): (SystemTime, SystemTime),
    ) -> SpanData {
        let trace_id = TraceId::from_bytes(self.span.trace_id);
        SpanData {
            span_context: SpanContext::new(
                trace_id,
                SpanId::from_bytes(id),
                TraceFlags::SAMPLED,
                false,
                TraceState::default(),
            ),
            parent_span_id: SpanId::from_bytes(parent),
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time,
            end_time,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder("rstmdb").build(),
        }
    }

    fn attributes(&self) -> Vec<KeyValue> {
        let integer = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let mut attributes = vec![
            KeyValue::new("rpc.system", "rstmdb"),
            KeyValue::new("rstmdb.op", self.op),
            KeyValue::new("rstmdb.node_id", integer(self.traces.node_id)),
        ];
        let Subject {
            machine,
            instance_id,
        } = &self.subject;
        let texts = [
            ("rstmdb.machine", machine),
            ("rstmdb.instance_id", instance_id),
        ];
        for (name, text) in texts {
            attributes.extend(text.clone().map(|text| KeyValue::new(name, text)));
        }
        match self.offset.load(Ordering::Relaxed) {
            0 => {}
            offset => attributes.push(KeyValue::new("rstmdb.wal_offset", integer(offset))),
        }
        if let Some(code) = self.failure.get() {
            attributes.push(KeyValue::new("rstmdb.code", code.as_str().to_owned()));
        }
        if self.is_forwarded {
            attributes.push(KeyValue::new("rstmdb.forwarded", true));
        }
        attributes
    }
}

impl RequestTrace for Record {
    fn reached(&self, stage: Stage) {
        self.stages[stage as usize].store(self.since_began(), Ordering::Relaxed);
    }

    fn took_effect(&self, offset: u64) {
        self.offset.store(offset, Ordering::Relaxed);
    }

    fn trace_id(&self) -> &str {
        &self.trace_id
    }

    fn traceparent(&self) -> String {
        TraceParent::sampled(self.span.trace_id, self.forward).to_string()
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record({} {})", self.op, self.span)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // The leader's part ends with the answer to the other node, and what no session answered ends here.
        if *self.ended.get_mut() == 0 {
            self.end();
        }
        self.traces.exporter.take(self.spans());
    }
}

/// Random bytes that are not all zero.
fn some<const N: usize>(draw: impl Fn() -> u64) -> [u8; N] {
    let mut bytes = [0; N];
    while bytes == [0; N] {
        for piece in bytes.chunks_mut(8) {
            piece.copy_from_slice(&draw().to_be_bytes()[..piece.len()]);
        }
    }
    bytes
}
