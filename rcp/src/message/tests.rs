#![allow(clippy::unwrap_used)]
use std::borrow::Cow;

use bytes::BytesMut;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::asking::AllowedEvents;
use super::batch::{Batch, BatchItem, BatchMode, BatchResult};
use super::instance::{ApplyEvent, ApplyEventResult, CreateInstance, GetInstance, ListInstances};
use super::machine::{GetMachine, PutMachine};
use super::session::{Auth, ClusterInfo, Hello, InfoResult};
use super::storage::ancestors::Ancestors;
use super::storage::timers::{FiredTimer, Timed};
use super::storage::{Compact, FactOrigin, FlushAll, ReplicationStatusResult, WalEntry, WalRead};
use super::watch::{Event, EventKind, Progress, WatchAll, WatchEnd, WatchInstance};
use super::*;
use crate::Code;
use crate::frame::{DecodedFrame, FrameLimits, decode};
use crate::wire::WireMode;

fn raw(json: impl Into<String>) -> Box<RawValue> {
    RawValue::from_string(json.into()).unwrap()
}

fn fault<'a, P: Params<'a>>(params: &'a RawValue) -> String {
    match P::read(params) {
        Ok(_) => "no fault".to_owned(),
        Err(fault) => fault.to_string(),
    }
}

/// Each side reads what the other has written unchanged.
macro_rules! survives {
    ($type:ty, $json:expr) => {{
        let json: Value = $json;
        let text = raw(json.to_string());
        let params = <$type>::read(&text).unwrap();
        assert_eq!(serde_json::to_value(&params).unwrap(), json);
    }};
}

#[test]
fn parameters_survive_reading_and_writing() {
    survives!(
        Hello<'_>,
        json!({"protocol_version": 1, "client_name": "c", "wire_modes": ["jsonl"], "features": ["batch"]})
    );
    survives!(Auth<'_>, json!({"method": "bearer", "token": "t"}));
    survives!(
        PutMachine<'_>,
        json!({"machine": "m", "version": 1, "definition": {"states": ["a"]}, "checksum": "ab", "dry_run": true})
    );
    survives!(
        GetMachine<'_>,
        json!({"machine": "m", "version": 2, "consistency": "local", "min_wal_offset": 7})
    );
    survives!(
        CreateInstance<'_>,
        json!({"instance_id": "i", "machine": "m", "version": 1, "initial_ctx": {"a": 1}, "idempotency_key": "k",
            "headers": {"a": "b", "c": ""}, "reason": "r", "correlation_id": "w", "causation_id": "17", "dry_run": true})
    );
    survives!(
        FlushAll<'_>,
        json!({"headers": {"a": "b"}, "reason": "r", "correlation_id": "w", "causation_id": "x"})
    );
    survives!(Ancestors, json!({"offset": 7, "limit": 2}));
    survives!(
        GetInstance<'_>,
        json!({"instance_id": "i", "include": ["meta"], "consistency": "lease"})
    );
    survives!(
        AllowedEvents<'_>,
        json!({"instance_id": "i", "payloads": {"PAY": {"n": 1}}, "consistency": "local", "min_wal_offset": 7})
    );
    survives!(FlushAll, json!({"dry_run": true}));
    survives!(
        ListInstances<'_>,
        json!({"machine": "m", "state": "s", "limit": 5, "offset": 6, "after": "x", "consistency": "linearizable"})
    );
    survives!(
        ApplyEvent<'_>,
        json!({"instance_id": "i", "event": "E", "payload": {"n": null}, "expected_state": "s", "expected_wal_offset": 0, "event_id": "e", "idempotency_key": "k", "dry_run": true})
    );
    survives!(
        Batch<'_>,
        json!({"mode": "atomic", "ops": [{"op": "GET_INSTANCE", "params": {"instance_id": "i"}}]})
    );
    survives!(
        WatchInstance<'_>,
        json!({"instance_id": "i", "include_ctx": false, "from_offset": 0, "include": [], "include_meta": true})
    );
    survives!(
        WatchAll<'_>,
        json!({"machines": ["m"], "from_states": ["a"], "to_states": ["b"], "events": ["E"], "include_ctx": true, "from_offset": 9, "include": ["deleted", "created"]})
    );
    survives!(
        WalRead,
        json!({"from_offset": 1, "limit": 2, "include_meta": true})
    );
    survives!(Compact, json!({"force_snapshot": true}));
}

#[test]
fn a_wrong_parameter_is_named_with_its_value_and_what_is_allowed() {
    let put = |json: &str| fault::<PutMachine<'_>>(&raw(json));
    assert_eq!(
        put(r#"{"version":1}"#),
        "params.machine: required, expected a string"
    );
    assert_eq!(
        put(r#"{"machine":5}"#),
        "params.machine: expected a string, got 5"
    );
    assert_eq!(
        put(r#"{"machine":null}"#),
        "params.machine: expected a string, got null"
    );
    for (given, shown) in [
        ("\"x\"", "\"x\""),
        ("0", "0"),
        ("-1", "-1"),
        ("1.5", "1.5"),
        ("99999999999", "99999999999"),
    ] {
        assert_eq!(
            put(&format!(r#"{{"machine":"m","version":{given}}}"#)),
            format!("params.version: expected an integer ≥ 1, got {shown}")
        );
    }
    assert_eq!(
        put(r#"{"machine":"m","version":1,"definition":[1]}"#),
        "params.definition: expected an object, got [1]"
    );
    assert_eq!(put("[1,2]"), "params: expected an object, got [1,2]");
    assert_eq!(
        fault::<GetInstance<'_>>(&raw(r#"{"instance_id":"i","consistency":"psychic"}"#)),
        "params.consistency: expected one of \"linearizable\", \"lease\", \"local\", got \"psychic\""
    );
    assert_eq!(
        fault::<GetInstance<'_>>(&raw(r#"{"instance_id":"i","include":["meta","mood"]}"#)),
        "params.include[1]: expected one of \"meta\", got \"mood\""
    );
    assert_eq!(
        fault::<WatchAll<'_>>(&raw(r#"{"machines":["a",7]}"#)),
        "params.machines[1]: expected a string, got 7"
    );
    assert_eq!(
        fault::<WatchAll<'_>>(&raw(r#"{"machines":"a"}"#)),
        "params.machines: expected a list of strings, got \"a\""
    );
}

#[test]
fn wrong_metadata_is_named_with_its_value_and_what_is_allowed() {
    let flush = |json: &str| fault::<FlushAll<'_>>(&raw(json));
    for (given, told) in [
        (
            r#"{"headers":["a"]}"#,
            r#"params.headers: expected an object of strings, got ["a"]"#,
        ),
        (
            r#"{"headers":{"a":"b","n":5}}"#,
            "params.headers.n: expected a string, got 5",
        ),
        (
            r#"{"headers":{"a":{"b":"c"}}}"#,
            r#"params.headers.a: expected a string, got {"b":"c"}"#,
        ),
        (
            r#"{"reason":[]}"#,
            "params.reason: expected a string, got []",
        ),
        (
            r#"{"correlation_id":7}"#,
            "params.correlation_id: expected a string, got 7",
        ),
        (
            r#"{"causation_id":17}"#,
            "params.causation_id: expected a string, got 17",
        ),
        (r#"{"headers":null,"reason":null}"#, "no fault"),
        (r#"{"headers":{}}"#, "no fault"),
    ] {
        assert_eq!(flush(given), told);
    }
    let header = |bytes: usize| format!(r#"{{"headers":{{"a":"{}"}}}}"#, "x".repeat(bytes));
    assert_eq!(flush(&header(4095)), "no fault");
    assert_eq!(
        flush(&header(4096)),
        "params.headers: expected names and values of at most 4096 bytes in all"
    );
}

#[test]
fn a_watch_includes_only_what_there_is() {
    let watch = |json: &str| fault::<WatchAll<'_>>(&raw(json));
    assert_eq!(
        watch(r#"{"include":["created","deleted","timer_spent"]}"#),
        "no fault"
    );
    assert_eq!(
        watch(r#"{"include":["created","timer_armed"]}"#),
        r#"params.include[1]: expected one of "created", "deleted", "timer_spent", got "timer_armed""#
    );
    assert_eq!(
        watch(r#"{"include":"created"}"#),
        r#"params.include: expected a list of strings, got "created""#
    );
    assert_eq!(
        fault::<Ancestors>(&raw(r#"{"offset":0}"#)),
        "params.offset: expected an integer ≥ 1, got 0"
    );
    assert_eq!(
        fault::<Ancestors>(&raw(r#"{"offset":1,"limit":0}"#)),
        "params.limit: expected an integer ≥ 1, got 0"
    );
}

#[test]
fn what_a_creation_and_a_deletion_do_not_have_is_empty() {
    let created = r#"{"type":"event","kind":"created","subscription_id":"s","instance_id":"i","machine":"m",
        "version":1,"wal_offset":3,"from_state":null,"to_state":"new","event":null,"ctx":{}}"#;
    let created: Event<'_> = serde_json::from_str(created).unwrap();
    assert_eq!(created.kind(), EventKind::Created);
    assert!(created.from_state.is_empty() && created.event.is_empty());
    let flushed = r#"{"type":"event","kind":"flushed","subscription_id":"s","wal_offset":3,
        "meta":{"time_ms":5,"headers":{"a":"b"}}}"#;
    let flushed: Event<'_> = serde_json::from_str(flushed).unwrap();
    assert_eq!(flushed.kind(), EventKind::Flushed);
    assert_eq!(flushed.meta.unwrap().headers["a"], "b");
    let later = r#"{"type":"event","kind":"migrated","subscription_id":"s","wal_offset":3}"#;
    let later: Event<'_> = serde_json::from_str(later).unwrap();
    assert_eq!(later.kind(), EventKind::Unknown);
}

#[test]
fn a_huge_value_is_shown_shortened_and_a_secret_not_at_all() {
    let huge = raw(format!(r#"{{"instance_id":["{}"]}}"#, "ä".repeat(500_000)));
    let fault_text = fault::<GetInstance<'_>>(&huge);
    assert!(fault_text.ends_with("… (1000004 bytes)"), "{fault_text}");
    assert!(fault_text.len() < 300);
    let auth = raw(r#"{"method":"bearer","token":["hunter2"]}"#);
    assert!(!fault::<Auth<'_>>(&auth).contains("hunter2"));
}

#[test]
fn optional_nulls_are_absent_and_unknown_fields_are_ignored() {
    let text = raw(
        r#"{"instance_id":"i\u00e4","event":"E","payload":null,"expected_state":null,"event_id":null,"shoe_size":[{}],"event":null}"#,
    );
    let params = ApplyEvent::read(&text).unwrap();
    assert_eq!((&*params.instance_id, &*params.event), ("iä", "E"));
    assert!(params.payload.is_none() && params.expected_state.is_none());
    assert!(
        matches!(params.event, Cow::Borrowed(_)),
        "no copy without need"
    );
}

#[test]
fn a_batch_is_bounded_and_its_faults_name_the_operation() {
    let op = r#"{"op":"GET_INSTANCE","params":{}}"#;
    let many = |n: usize| raw(format!(r#"{{"ops":[{}]}}"#, vec![op; n].join(",")));
    assert_eq!(Batch::read(&many(100)).unwrap().ops.len(), 100);
    assert_eq!(Batch::read(&many(100)).unwrap().mode, BatchMode::BestEffort);
    assert_eq!(
        fault::<Batch<'_>>(&many(101)),
        "params.ops: at most 100 items, got 101"
    );
    for (ops, message) in [
        ("{}", "params.ops: required, expected a list of operations"),
        (
            r#"{"ops":5}"#,
            "params.ops: expected a list of operations, got 5",
        ),
        (
            r#"{"ops":[],"mode":"x"}"#,
            "params.mode: expected \"best_effort\" or \"atomic\", got \"x\"",
        ),
        (
            r#"{"ops":[{"op":"BATCH"}]}"#,
            "params.ops[0].op: expected an operation on machines or instances, got \"BATCH\"",
        ),
        (
            r#"{"ops":[{"op":"GET_INSTANCE"},{}]}"#,
            "params.ops[1].op: required, expected a string",
        ),
    ] {
        assert_eq!(fault::<Batch<'_>>(&raw(ops)), message);
    }
    let inner = ParamFault::new("params.version", "expected an integer ≥ 1");
    assert_eq!(
        inner.within("params.ops[3]").field,
        "params.ops[3].params.version"
    );
}

fn request_fault(payload: &[u8]) -> RequestFault {
    RequestHead::parse(payload).unwrap_err()
}

#[test]
fn a_request_may_say_which_trace_it_belongs_to_and_never_fails_because_of_it() {
    let said = |text: &str| {
        let payload = format!("{{\"id\":\"1\",\"op\":\"PING\",\"traceparent\":{text}}}");
        let head = RequestHead::parse(payload.as_bytes()).unwrap();
        head.traceparent.map(Cow::into_owned)
    };
    assert_eq!(said("\"00-a-b-01\""), Some("00-a-b-01".to_owned()));
    for other in ["null", "7", "{}", "[\"00\"]"] {
        assert_eq!(said(other), None, "{other}");
    }
}

#[test]
fn a_request_is_parsed_without_copies() {
    let head = RequestHead::parse(
        br#"{"type":"request","id":"a1","op":"PING","params":{"x":[1]},"extra":0}"#,
    )
    .unwrap();
    assert_eq!(
        (&*head.id, &*head.op, head.params.get()),
        ("a1", "PING", r#"{"x":[1]}"#)
    );
    assert!(matches!(
        (head.id, head.op),
        (Cow::Borrowed(_), Cow::Borrowed(_))
    ));
    let head = RequestHead::parse(br#"{"id":"","op":"PING","params":null}"#).unwrap();
    assert_eq!(head.params.get(), "{}");
}

#[test]
fn a_payload_that_is_no_json_object_closes_and_has_an_empty_id() {
    let bad: [&[u8]; 9] = [
        b"",
        b"{",
        b"5",
        b"[]",
        b"null",
        b"{}x",
        b"\xff\xfe",
        b"{\"id\":\"1\",}",
        b"{\"id\":\"\xff\"}",
    ];
    for payload in bad {
        let fault = request_fault(payload);
        assert!(fault.closes && fault.id.is_empty(), "{payload:?}");
        assert_eq!(fault.error().code, Code::BadRequest);
    }
}

#[test]
fn an_object_that_is_no_request_keeps_its_id_and_the_connection() {
    for (payload, id, message) in [
        (r#"{"id":"7"}"#, "7", "op: required, expected a string"),
        (r#"{"id":"7","op":5}"#, "7", "op: expected a string, got 5"),
        (
            r#"{"op":5,"params":3,"id":"7"}"#,
            "7",
            "op: expected a string, got 5",
        ),
        (
            r#"{"id":"7","op":"PING","params":[]}"#,
            "7",
            "params: expected an object or null, got []",
        ),
        (
            r#"{"id":"7","op":"PING","type":"response"}"#,
            "7",
            "type: expected \"request\", got \"response\"",
        ),
        (r#"{"op":"PING"}"#, "", "id: required, expected a string"),
        (
            r#"{"id":7,"op":"PING"}"#,
            "",
            "id: expected a string, got 7",
        ),
    ] {
        let fault = request_fault(payload.as_bytes());
        assert_eq!(
            (fault.id.as_str(), fault.message.as_str(), fault.closes),
            (id, message, false)
        );
        assert!(fault.error().details.is_some());
    }
}

#[test]
fn ids_are_bounded() {
    let with_id = |bytes: usize| format!(r#"{{"id":"{}","op":"PING"}}"#, "i".repeat(bytes));
    assert!(RequestHead::parse(with_id(256).as_bytes()).is_ok());
    let fault = request_fault(with_id(257).as_bytes());
    assert_eq!(fault.message, "id: at most 256 bytes, got 257 bytes");
    assert!(fault.id.is_empty() && !fault.closes);
}

#[test]
fn nesting_beyond_the_cap_is_refused_with_the_id_wherever_it_stands() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    // The envelope and the parameters are two levels.
    let at_cap = format!(r#"{{"id":"7","op":"X","params":{{"a":{}}}}}"#, nested(118));
    assert!(RequestHead::parse(at_cap.as_bytes()).is_ok());
    for depth in [119, 10_000, 1_000_000] {
        let payload = format!(
            r#"{{"op":"X","params":{{"a":{}}},"id":"7"}}"#,
            nested(depth)
        );
        let fault = request_fault(payload.as_bytes());
        assert_eq!((fault.id.as_str(), fault.closes), ("7", false), "{depth}");
        assert!(
            fault.message.contains("deeper than 120 levels"),
            "{}",
            fault.message
        );
    }
}

fn written(encode: impl FnOnce(&mut BytesMut)) -> Value {
    let mut out = BytesMut::new();
    encode(&mut out);
    match decode(&out, &FrameLimits::default()) {
        DecodedFrame::Frame(frame) => serde_json::from_slice(frame.payload).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_response_splices_documents_as_they_are() {
    let ctx = raw("{ \"b\" : 1.0,\n \"a\":2 }");
    let result = ApplyEventResult {
        from_state: "A".into(),
        to_state: "B".into(),
        ctx: Cow::Borrowed(&*ctx),
        wal_offset: 9,
        applied: true,
        event_id: None,
    };
    let meta = ResponseMeta {
        leader: Some(true),
        ..ResponseMeta::default()
    };
    let mut out = BytesMut::new();
    response::encode_ok(WireMode::Binary, &mut out, "i\"d", &result, Some(&meta)).unwrap();
    let text = std::str::from_utf8(&out[18..]).unwrap();
    assert_eq!(
        text,
        "{\"type\":\"response\",\"id\":\"i\\\"d\",\"status\":\"ok\",\"result\":{\"from_state\":\"A\",\"to_state\":\"B\",\"ctx\":{ \"b\" : 1.0,\n \"a\":2 },\"wal_offset\":9,\"applied\":true},\"meta\":{\"leader\":true}}"
    );
    let Incoming::Response { id, outcome, meta } = Incoming::parse(&out[18..]).unwrap() else {
        panic!("no response");
    };
    assert_eq!((&*id, meta.unwrap().get()), ("i\"d", "{\"leader\":true}"));
    let back: ApplyEventResult<'static> = serde_json::from_str(outcome.unwrap().get()).unwrap();
    assert_eq!(back.ctx.get(), ctx.get());
    out.clear();
    response::encode_ok(WireMode::Jsonl, &mut out, "1", &result, None).unwrap();
    assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
}

#[test]
fn errors_carry_what_the_contract_says() {
    let error = ErrorBody::new(Code::Conflict, "no").with_details(json!({"expected_state": "A"}));
    let value = written(|out| {
        response::encode_error(WireMode::Binary, out, "1", &error, None).unwrap();
    });
    assert_eq!(
        value,
        json!({"type": "response", "id": "1", "status": "error", "error": {"code": "CONFLICT", "message": "no", "retryable": false, "details": {"expected_state": "A"}}})
    );
    let unknown = ErrorBody::new(Code::Timeout, "late").with_unknown_outcome();
    assert!(!unknown.retryable && unknown.outcome_unknown());
    let legacy = unknown.for_legacy();
    assert_eq!(legacy.code, Code::InternalError);
    assert!(!legacy.retryable && legacy.outcome_unknown());
    let fault: ErrorBody = ParamFault::new("params.version", "expected an integer ≥ 1").into();
    assert_eq!(fault.details.unwrap(), json!({"field": "params.version"}));
}

#[test]
fn events_and_ends_are_flat_and_tagged() {
    let event = Event {
        subscription_id: "s".into(),
        instance_id: "i".into(),
        machine: "m".into(),
        version: 1,
        wal_offset: 4,
        from_state: "A".into(),
        to_state: "B".into(),
        event: "E".into(),
        imported: false,
        emits: Vec::new(),
        payload: None,
        ctx: Some(Cow::Owned(raw("{}"))),
        kind: None,
        timer: None,
        code: None,
        message: None,
        meta: None,
    };
    let value = written(|out| watch::encode_event(WireMode::Binary, out, &event).unwrap());
    assert_eq!(
        value,
        json!({"type": "event", "subscription_id": "s", "instance_id": "i", "machine": "m", "version": 1, "wal_offset": 4, "from_state": "A", "to_state": "B", "event": "E", "ctx": {}})
    );
    assert!(matches!(
        Incoming::parse(value.to_string().as_bytes()),
        Ok(Incoming::Event)
    ));
    let progress = Progress {
        subscription_id: "s".into(),
        wal_offset: 9,
    };
    let value = written(|out| watch::encode_progress(WireMode::Binary, out, &progress).unwrap());
    assert_eq!(
        value,
        json!({"type": "progress", "subscription_id": "s", "wal_offset": 9})
    );
    assert!(matches!(
        Incoming::parse(value.to_string().as_bytes()),
        Ok(Incoming::Progress)
    ));
    let end = WatchEnd {
        subscription_id: "s".into(),
        error: ErrorBody::new(Code::OffsetCompacted, "gone"),
    };
    let value = written(|out| watch::encode_end(WireMode::Binary, out, &end).unwrap());
    assert_eq!(value["type"], "end");
    assert!(matches!(
        Incoming::parse(value.to_string().as_bytes()),
        Ok(Incoming::End)
    ));
    assert!(matches!(
        Incoming::parse(br#"{"type":"weather"}"#),
        Ok(Incoming::Unknown)
    ));
}

#[test]
fn results_with_extensions_and_without_are_both_read() {
    let legacy: InfoResult<'static> =
        serde_json::from_value(json!({"server_name": "rstmdb", "server_version": "1", "protocol_version": 1, "features": [], "max_frame_bytes": 1, "max_batch_ops": 100})).unwrap();
    assert_eq!(legacy.cluster, None);
    let ours = InfoResult {
        cluster: Some(ClusterInfo {
            node_id: 3,
            role: "leader".into(),
            ..ClusterInfo::default()
        }),
        ..legacy
    };
    let value = serde_json::to_value(&ours).unwrap();
    assert_eq!(
        (&value["node_id"], &value["role"]),
        (&json!(3), &json!("leader"))
    );
    assert_eq!(
        serde_json::from_value::<InfoResult<'static>>(value).unwrap(),
        ours
    );
    let status: ReplicationStatusResult<'static> =
        serde_json::from_value(json!({"role": "standalone"})).unwrap();
    assert_eq!(status, ReplicationStatusResult::Standalone {});
    let batch = BatchResult {
        results: vec![
            BatchItem::ok(raw("{\"a\":1}")),
            BatchItem::error(ErrorBody::new(Code::GuardFailed, "no")),
        ],
        dry_run: false,
    };
    let value = serde_json::to_value(&batch).unwrap();
    assert_eq!(
        value["results"][0],
        json!({"status": "ok", "result": {"a": 1}})
    );
    assert_eq!(value["results"][1]["error"]["code"], "GUARD_FAILED");
}

#[test]
fn log_entries_carry_their_type_and_origin() {
    let entry = WalEntry::ApplyEvent {
        instance_id: "i".into(),
        event: "E".into(),
        from_state: "A".into(),
        to_state: "B".into(),
        payload: None,
        ctx: Cow::Owned(raw("{ \"a\":1}")),
        event_id: None,
        emits: Vec::new(),
        via: Vec::new(),
        origin: FactOrigin {
            time_ms: Some(5),
            timed: Timed {
                timer: Some(FiredTimer {
                    name: "T".into(),
                    due_at: 4,
                    entry_offset: 3,
                }),
                timers: None,
            },
            ..FactOrigin::default()
        },
    };
    assert_eq!(
        serde_json::to_string(&entry).unwrap(),
        r#"{"type":"apply_event","instance_id":"i","event":"E","from_state":"A","to_state":"B","payload":null,"ctx":{ "a":1},"time_ms":5,"timer":{"name":"T","due_at":4,"entry_offset":3}}"#
    );
    assert_eq!(
        serde_json::to_value(WalEntry::Checkpoint {}).unwrap(),
        json!({"type": "checkpoint"})
    );
}

#[test]
fn a_page_is_never_longer_than_pages_get() {
    let page = |limit| {
        ListInstances {
            limit,
            ..ListInstances::default()
        }
        .page_limit()
    };
    assert_eq!(
        (page(None), page(Some(5)), page(Some(5000))),
        (100, 5, 1000)
    );
}

proptest::proptest! {
    /// The checksum of a frame spares the envelope most mutations, but a checksum is optional.
    #[test]
    fn a_mutated_envelope_is_read_within_its_limits_or_refused(
        seed in 0..3usize,
        mutations in proptest::collection::vec(
            (proptest::prelude::any::<proptest::sample::Index>(), proptest::prelude::any::<u8>()), 1..6,
        ),
    ) {
        const SEEDS: [&str; 3] = [
            r#"{"type":"request","id":"1","op":"PING"}"#,
            r#"{"type":"request","id":"2","op":"APPLY_EVENT","params":{"payload":{"a":[1,{"b":"\"}"}]}}}"#,
            r#"{"type":"response","id":"3","status":"ok","result":{"a":1},"meta":{"leader":true}}"#,
        ];
        let mut bytes = SEEDS[seed].as_bytes().to_vec();
        for (at, byte) in mutations {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(head) = RequestHead::parse(&bytes) {
            proptest::prop_assert!(head.id.len() <= crate::REQUEST_ID_BYTES_MAX);
            let object = head.params.get().starts_with('{');
            proptest::prop_assert!(object, "not an object: {}", head.params);
        }
        if let Ok(Incoming::Response { outcome: Ok(result), .. }) = Incoming::parse(&bytes) {
            proptest::prop_assert!(bytes.len() >= result.get().len());
        }
    }
}
