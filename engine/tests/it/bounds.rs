//! Every bound: the last value that is allowed, and the first that is not.

use crate::common::{ORDER, apply, bytes, create, decided, delete, put, reload, run};
use rstmdb_engine::command::{ApplyEvent, BatchOp, ListInstances, Query};
use rstmdb_engine::fact::{self, Body, Fact};
use rstmdb_engine::limits::{CTX_BYTES_MAX, ENTRY_BYTES_MAX, ID_BYTES_MAX, NAME_BYTES_MAX};
use rstmdb_engine::{
    Command, DecideAt, Entry, EntryOutcome, Limits, PendingEntries, Refusal, Reply, State, prepare,
};

fn started() -> State {
    let mut state = State::new();
    run(&mut state, &put("order", 1, ORDER), 1, &Limits::default()).unwrap();
    state
}

fn tried(state: &mut State, command: &Command) -> Result<Reply, Refusal> {
    run(state, command, 1, &Limits::default()).map(|(_, reply)| reply)
}

fn message(result: Result<Reply, Refusal>) -> String {
    result.unwrap_err().to_string()
}

fn page(state: &State, list: ListInstances) -> (Vec<String>, u64, bool) {
    let Ok(Reply::Instances {
        items,
        total,
        has_more,
    }) = state.query(&Query::ListInstances(list))
    else {
        panic!("a list must be answered with a list")
    };
    let ids = items.iter().map(|item| item.id.to_string()).collect();
    (ids, total, has_more)
}

#[test]
fn the_last_offset_of_all_is_expected_in_vain() {
    let (state, pending, limits) = (started(), PendingEntries::new(), Limits::default());
    let expecting = Command::ApplyEvent(ApplyEvent {
        instance_id: "i".to_owned(),
        event: "NOTE".to_owned(),
        expected_wal_offset: Some(u64::MAX),
        ..ApplyEvent::default()
    });
    let ops = [create("i", None, None), expecting].map(BatchOp::Write);
    let command = Command::Batch(ops.into());
    let at = DecideAt {
        offset: 2,
        now_ms: 1,
        actor: "test",
        meta: None,
        limits: &limits,
        reach: None,
    };
    let prepared = prepare(&state, &command, &at);
    let landed = prepared.land(&state, &pending, &command, &at).unwrap();
    let decided = decided(&state, &pending, &command, 2, 1, &limits);
    assert_eq!(format!("{landed:?}"), format!("{decided:?}"));
    let refusal = landed.unwrap_err();
    assert!(
        matches!(refusal, Refusal::InBatch { index: 1, .. }),
        "{refusal}"
    );
}

#[test]
fn a_page_has_100_items_unless_asked_and_never_more_than_1000() {
    let mut state = started();
    for number in 0..1100 {
        tried(&mut state, &create(&format!("i{number:04}"), None, None)).unwrap();
    }
    for (limit, offset, items, more) in [
        (None, None, 100, true),
        (Some(0), None, 0, true),
        (Some(1000), None, 1000, true),
        (Some(5000), None, 1000, true),
        (Some(u64::MAX), Some(100), 1000, false),
        (Some(1000), Some(1099), 1, false),
        (None, Some(1100), 0, false),
        (None, Some(u64::MAX), 0, false),
    ] {
        let list = ListInstances {
            limit,
            offset,
            ..ListInstances::default()
        };
        let (ids, total, has_more) = page(&state, list);
        assert_eq!(
            (ids.len(), total, has_more),
            (items, 1100, more),
            "{limit:?} {offset:?}"
        );
        let first = offset.unwrap_or(0);
        assert!(ids.first().is_none_or(|id| *id == format!("i{first:04}")));
    }
}

#[test]
fn pages_after_an_id_give_every_instance_once_in_order() {
    let mut state = started();
    let ids: Vec<String> = (0..250).map(|number| format!("i{number:03}")).collect();
    for (number, id) in ids.iter().enumerate() {
        tried(&mut state, &create(id, None, None)).unwrap();
        if number % 3 == 0 {
            tried(&mut state, &apply(id, "NOTE", None, None)).unwrap();
        }
    }
    for wanted in [None, Some("paid"), Some("nowhere")] {
        let expected: Vec<&String> = ids
            .iter()
            .enumerate()
            .filter(|(number, _)| wanted.is_none_or(|s| s == "paid" && number % 3 == 0))
            .map(|(_, id)| id)
            .collect();
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let list = ListInstances {
                state: wanted.map(str::to_owned),
                limit: Some(7),
                after: after.clone(),
                ..ListInstances::default()
            };
            let (ids, total, has_more) = page(&state, list);
            assert_eq!(total, expected.len() as u64);
            after = ids.last().cloned().or(after);
            seen.extend(ids);
            if !has_more {
                break;
            }
        }
        assert_eq!(seen.iter().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn after_need_not_be_an_id_that_exists() {
    let mut state = started();
    for id in ["a", "c"] {
        tried(&mut state, &create(id, None, None)).unwrap();
    }
    for (after, expected) in [
        ("", &["a", "c"][..]),
        ("b", &["c"]),
        ("c", &[]),
        ("zz", &[]),
    ] {
        let list = ListInstances {
            after: Some(after.to_owned()),
            ..ListInstances::default()
        };
        assert_eq!(
            page(&state, list),
            (expected.iter().map(|id| id.to_string()).collect(), 2, false)
        );
    }
}

#[test]
fn names_are_1_to_256_printable_bytes_and_ids_1_to_1024() {
    type Make = fn(String) -> Command;
    let makers: [(&str, Make); 7] = [
        ("machine", |name| put(&name, 1, ORDER)),
        ("instance_id", |name| create(&name, None, None)),
        ("instance_id", |name| delete(&name, None)),
        ("idempotency_key", |name| create("new", None, Some(&name))),
        ("event", |name| apply("i", &name, None, None)),
        ("expected_state", |name| {
            Command::ApplyEvent(ApplyEvent {
                instance_id: "i".to_owned(),
                event: "NOTE".to_owned(),
                expected_state: Some(name),
                ..ApplyEvent::default()
            })
        }),
        ("event_id", |name| {
            Command::ApplyEvent(ApplyEvent {
                instance_id: "i".to_owned(),
                event: "NOTE".to_owned(),
                event_id: Some(name),
                ..ApplyEvent::default()
            })
        }),
    ];
    for (field, make) in makers {
        let is_id = field.ends_with("id") || field.ends_with("key");
        let max = if is_id { ID_BYTES_MAX } else { NAME_BYTES_MAX };
        for (name, fault) in [
            (
                String::new(),
                format!("is 0 bytes long; 1 to {max} are allowed"),
            ),
            (
                "x".repeat(max + 1),
                format!("is {} bytes long; 1 to {max} are allowed", max + 1),
            ),
            (
                "é".repeat(max / 2 + 1),
                format!("is {} bytes long; 1 to {max} are allowed", max + 2),
            ),
            (
                "x".repeat(1 << 20),
                format!("is 1048576 bytes long; 1 to {max} are allowed"),
            ),
            (
                "a\nb".to_owned(),
                "holds a control character at position 2; names must be printable".to_owned(),
            ),
            (
                "\u{7f}".to_owned(),
                "holds a control character at position 1; names must be printable".to_owned(),
            ),
        ] {
            let mut state = started();
            tried(&mut state, &create("i", None, None)).unwrap();
            let refusal = tried(&mut state, &make(name)).unwrap_err();
            assert_eq!(refusal.code(), "BAD_REQUEST");
            assert_eq!(refusal.to_string(), format!("{field} {fault}"));
            assert_eq!(refusal.details(), serde_json::json!({ "field": field }));
        }
        let mut state = started();
        tried(&mut state, &create("i", None, None)).unwrap();
        if let Err(refusal) = tried(&mut state, &make("x".repeat(NAME_BYTES_MAX))) {
            assert_ne!(refusal.code(), "BAD_REQUEST", "{refusal}");
        }
    }
}

/// A context of exactly this many bytes.
fn ctx_of(ctx_bytes: usize) -> String {
    format!(r#"{{"a":"{}"}}"#, "x".repeat(ctx_bytes - 8))
}

#[test]
fn a_context_has_at_most_4_mib_of_compact_text() {
    let mut state = started();
    let spaced = format!("  {}  ", ctx_of(CTX_BYTES_MAX));
    tried(&mut state, &create("i", Some(&spaced), None)).unwrap();
    let result = tried(
        &mut state,
        &create("j", Some(&ctx_of(CTX_BYTES_MAX + 1)), None),
    );
    assert_eq!(
        message(result),
        "initial_ctx makes a context of 4194305 bytes; 4194304 are allowed"
    );
    let before = state.digest();
    let result = tried(&mut state, &apply("i", "NOTE", Some(r#"{"b":1}"#), None));
    assert_eq!(
        message(result),
        "payload makes a context of 4194310 bytes; 4194304 are allowed"
    );
    assert_eq!(state.digest(), before);
    let smaller = Some(r#"{"a":"", "b":1}"#);
    tried(&mut state, &apply("i", "NOTE", smaller, None)).unwrap();
    assert_eq!(state.digest(), state.recompute_digest());
}

#[test]
fn a_batch_is_bounded_in_bytes_and_operations() {
    let mut state = started();
    let op = |number: usize, ctx_bytes| {
        let ctx = ctx_of(ctx_bytes);
        BatchOp::Write(create(&format!("i{number}"), Some(&ctx), None))
    };
    let last_bytes = ENTRY_BYTES_MAX - 3 * CTX_BYTES_MAX;
    let mut full: Vec<BatchOp> = (0..3).map(|number| op(number, CTX_BYTES_MAX)).collect();
    full.push(op(3, last_bytes));
    let mut over = full.clone();
    over.push(op(4, 8));
    let refusal = tried(&mut state, &Command::Batch(over)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        format!(
            "operation 4 of the batch: the batch's contexts and payloads exceed {ENTRY_BYTES_MAX} bytes"
        )
    );
    assert_eq!(
        refusal.details(),
        serde_json::json!({ "field": "ops", "index": 4 })
    );
    assert_eq!(state.instance_count(), 0);
    tried(&mut state, &Command::Batch(full)).unwrap();
    assert_eq!(state.instance_count(), 4);

    let many = |count: usize| Command::Batch((10..10 + count).map(|n| op(n, 8)).collect());
    let result = tried(&mut state, &many(101));
    assert_eq!(message(result), "ops holds 101 operations; 100 are allowed");
    tried(&mut state, &many(100)).unwrap();
    assert_eq!(state.instance_count(), 104);
}

#[test]
fn json_nested_10_000_deep_is_refused() {
    let mut state = started();
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let refusal = tried(&mut state, &create("i", Some(&deep), None)).unwrap_err();
    assert_eq!(refusal.code(), "BAD_REQUEST");
    let definition = format!(
        r#"{{"states":["a"],"initial":"a","transitions":[],"meta":{}{}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let refusal = tried(&mut state, &put("deep", 1, &definition)).unwrap_err();
    assert_eq!(refusal.code(), "BAD_REQUEST");
}

#[test]
fn a_deleted_id_is_free_again_only_where_that_is_allowed() {
    let keeping = Limits {
        allow_instance_recreate: false,
        ..Limits::default()
    };
    for (limits, code) in [
        (Limits::default(), None),
        (keeping, Some("INSTANCE_EXISTS")),
    ] {
        let mut state = started();
        run(&mut state, &create("i", None, None), 1, &limits).unwrap();
        run(&mut state, &delete("i", None), 1, &limits).unwrap();
        let mut state = reload(&state);
        let again = run(&mut state, &create("i", None, None), 1, &limits);
        assert_eq!(again.err().map(|refusal| refusal.code()), code);
        // Once it is allowed, a kept id is free too.
        let allowed = run(&mut state, &create("i", None, None), 1, &Limits::default());
        assert_eq!(allowed.is_ok(), code.is_some());
        assert_eq!(state.instance_count(), 1);
        assert_eq!(reload(&state).recompute_digest(), state.digest());
    }
}

fn keys_max(idempotency_keys_max: u64) -> Limits {
    Limits {
        idempotency_keys_max,
        ..Limits::default()
    }
}

#[test]
fn a_lowered_number_of_keys_is_reached_256_at_a_time_oldest_first() {
    let mut state = started();
    for number in 0..600 {
        let key = format!("k{number}");
        tried(&mut state, &create(&key, None, Some(&key))).unwrap();
    }
    assert_eq!(state.key_count(), 600);
    for expected in [344, 88, 10, 10] {
        let id = format!("without-{}", state.last_applied());
        run(&mut state, &create(&id, None, None), 1, &keys_max(10)).unwrap();
        assert_eq!(state.key_count(), expected);
        assert_eq!(state.digest(), state.recompute_digest());
        assert_eq!(reload(&state).key_count(), expected);
    }
    let again =
        |state: &mut State, key: &str| run(state, &create(key, None, Some(key)), 1, &keys_max(10));
    assert!(again(&mut state, "k590").is_ok_and(|(entry, _)| entry.is_none()));
    assert_eq!(
        again(&mut state, "k589").unwrap_err().code(),
        "INSTANCE_EXISTS"
    );
}

#[test]
fn a_key_is_forgotten_by_the_age_of_facts() {
    let limits = Limits {
        idempotency_retention_ms: 100,
        ..Limits::default()
    };
    let mut state = started();
    run(&mut state, &create("i", None, None), 1000, &limits).unwrap();
    for number in 0..300 {
        let key = format!("k{number}");
        run(
            &mut state,
            &apply("i", "NOTE", None, Some(&key)),
            1000,
            &limits,
        )
        .unwrap();
    }
    let note = apply("i", "NOTE", None, Some("k0"));
    let (entry, reply) = run(&mut state, &note, 1099, &limits).unwrap();
    assert!(entry.is_none());
    assert!(matches!(reply, Reply::Replayed { .. }), "{reply:?}");
    // Too old: applied again, though the first of 300 are all that one entry removes.
    let (entry, reply) = run(&mut state, &note, 1100, &limits).unwrap();
    assert!(entry.is_some());
    assert!(
        matches!(reply, Reply::Applied { applied: true, .. }),
        "{reply:?}"
    );
    assert!(state.key_count() > 1);
    // Held still, but too old to count.
    let last = apply("i", "NOTE", None, Some("k299"));
    assert!(run(&mut state, &last, 1100, &limits).unwrap().0.is_some());
    run(&mut state, &delete("i", None), 1100, &limits).unwrap();
    assert_eq!(state.key_count(), 2);
    assert_eq!(state.digest(), state.recompute_digest());
}

#[test]
fn forgetting_stale_offsets_does_not_change_the_digest() {
    let mut state = started();
    for offset in 2..=6 {
        let stale = Entry {
            index: 1,
            ..Entry::default()
        };
        assert_eq!(state.apply(&stale, offset), Ok(EntryOutcome::Stale));
    }
    let digest = state.digest();
    state.forget_stale_below(5);
    let stale: Vec<u64> = (0..9).filter(|offset| state.is_stale(*offset)).collect();
    assert_eq!(stale, [5, 6]);
    let again = reload(&state);
    assert_eq!((state.digest(), again.digest()), (digest, digest));
    assert!(!again.is_stale(4) && again.is_stale(5) && again.is_stale(6));
    state.forget_stale_below(u64::MAX);
    assert!(!state.is_stale(6));
    assert_eq!(state.digest(), digest);
}

/// A definition that a newer leader accepted.
const NEWER: &str = r#"{"states":["a","b"],"initial":"a","transitions":[
{"from":"a","event":"E","to":"b","guard":"soon(ctx.x)"}]}"#;

#[test]
fn what_a_newer_leader_decided_is_applied_and_only_deciding_is_refused() {
    let mut state = started();
    let mut entry = |body: Body| {
        let index = state.last_applied() + 1;
        let facts = vec![Fact::from(body)];
        let entry = Entry {
            index,
            time_ms: 1,
            facts,
            ..Entry::default()
        };
        assert_eq!(state.apply(&entry, index), Ok(EntryOutcome::Applied));
    };
    entry(Body::PutMachine(fact::PutMachine {
        machine: "newer".to_owned(),
        version: 1,
        definition: bytes(NEWER),
        checksum: String::new(),
        format: 0,
    }));
    entry(Body::CreateInstance(fact::CreateInstance {
        instance_id: "n".to_owned(),
        machine: "newer".to_owned(),
        version: 1,
        state: "a".to_owned(),
        ctx: bytes("{}"),
        ..fact::CreateInstance::default()
    }));
    entry(Body::ApplyEvent(fact::ApplyEvent {
        instance_id: "n".to_owned(),
        machine: "newer".to_owned(),
        version: 1,
        event: "E".to_owned(),
        from_state: "a".to_owned(),
        to_state: "b".to_owned(),
        ctx: bytes("{}"),
        prev_offset: 3,
        ..fact::ApplyEvent::default()
    }));
    let mut state = reload(&state);
    let refusal = tried(&mut state, &apply("n", "E", None, None)).unwrap_err();
    assert_eq!(refusal.code(), "INTERNAL_ERROR");
    assert!(
        refusal.to_string().starts_with(
            r#"this node cannot evaluate machine "newer" version 1: transitions[0].guard: "#
        ),
        "{refusal}"
    );
    assert_eq!(
        refusal.details(),
        serde_json::json!({ "machine": "newer", "version": 1 })
    );
}

#[test]
fn an_id_no_decision_allows_stops_the_node_and_changes_nothing() {
    let mut state = started();
    let create = fact::CreateInstance {
        instance_id: "x".repeat(1 << 16),
        machine: "order".to_owned(),
        version: 1,
        state: "new".to_owned(),
        ..fact::CreateInstance::default()
    };
    let facts = vec![Fact::from(Body::CreateInstance(create))];
    let entry = Entry {
        index: 2,
        facts,
        ..Entry::default()
    };
    let before = state.digest();
    let error = state.apply(&entry, 2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "entry 2 contradicts the state: an id is too long"
    );
    assert_eq!((state.digest(), state.last_applied()), (before, 1));
}

/// So many that the engine looks up a page of a rare state in the table, and does not go through all ids.
#[test]
fn a_page_is_the_same_however_it_is_found() {
    let limits = Limits::default();
    let mut state = State::new();
    run(&mut state, &put("order", 1, ORDER), 1, &limits).unwrap();
    let count = 6000;
    let paid: Vec<String> = (0..count)
        .filter(|number| number % 1009 == 7 || *number >= count - 3)
        .map(|number| format!("i{number:05}"))
        .collect();
    for number in 0..count {
        let create = create(&format!("i{number:05}"), Some(r#"{"total":1}"#), None);
        run(&mut state, &create, 1, &limits).unwrap();
    }
    for id in &paid {
        run(&mut state, &apply(id, "PAY", None, None), 1, &limits).unwrap();
    }
    for skip in 0..paid.len() + 2 {
        for limit in [0, 1, 3, 100] {
            let query = |offset, after: Option<String>| ListInstances {
                machine: Some("order".to_owned()),
                state: Some("paid".to_owned()),
                limit: Some(limit as u64),
                offset,
                after,
            };
            let left = paid.get(skip..).unwrap_or_default();
            let items = left.iter().take(limit).cloned().collect::<Vec<_>>();
            let expected = (items, paid.len() as u64, left.len() > limit);
            let by_offset = page(&state, query(Some(skip as u64), None));
            assert_eq!(by_offset, expected, "offset {skip}, limit {limit}");
            if let Some(before) = skip.checked_sub(1).and_then(|at| paid.get(at)) {
                let after = page(&state, query(None, Some(before.clone())));
                assert_eq!(after, expected, "after {before}, limit {limit}");
            }
        }
    }
    let deep = ListInstances {
        offset: Some(5_990),
        ..ListInstances::default()
    };
    assert_eq!(page(&state, deep).0[0], "i05990");
}

#[test]
fn what_an_atomic_batch_lists_is_bounded() {
    let limits = Limits::default();
    let mut state = State::new();
    run(&mut state, &put("order", 1, ORDER), 1, &limits).unwrap();
    for number in 0..200 {
        run(
            &mut state,
            &create(&format!("i{number}"), None, None),
            1,
            &limits,
        )
        .unwrap();
    }
    let batch = |lists: usize, ctx: &str| {
        let list = BatchOp::Read(Query::ListInstances(ListInstances::default()));
        let write = BatchOp::Write(create("new", Some(ctx), None));
        Command::Batch([vec![write], vec![list; lists]].concat())
    };
    let text = format!(r#"{{"text":"{}"}}"#, "x".repeat(600 << 10));
    let refusal = message(tried(&mut state, &batch(1, &text)));
    assert!(refusal.contains("524288 bytes"), "{refusal}");
    assert!(tried(&mut state, &batch(99, "{}")).is_ok());
    for number in 200..400 {
        let create = create(&format!("i{number}"), None, None);
        run(&mut state, &create, 1, &limits).unwrap();
    }
    let list = Query::ListInstances(ListInstances {
        limit: Some(1000),
        ..ListInstances::default()
    });
    let many = Command::Batch(
        [
            vec![BatchOp::Write(create("newer", None, None))],
            vec![BatchOp::Read(list); 30],
        ]
        .concat(),
    );
    let refusal = message(tried(&mut state, &many));
    assert!(refusal.contains("10000 instances"), "{refusal}");
}
