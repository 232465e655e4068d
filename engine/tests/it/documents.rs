//! Whole documents against serde_json: the same texts are taken, and what is stored has the same value.

use crate::common;
use proptest::collection::vec;
use proptest::prelude::*;
use rstmdb_engine::command::Query;
use rstmdb_engine::{Limits, Reply, State};
use serde_json::{Map, Value};

/// A JSON text that no printer would write: any spaces, escapes where none are needed, names more than once.
fn text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["null", "true", "false", "0", "-0.0", "1e2", "1.50E-3"])
            .prop_map(str::to_owned),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?",
        string(),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let list =
            vec(spaced(inner.clone()), 0..5).prop_map(|items| format!("[{}]", items.join(",")));
        prop_oneof![list, object(inner)]
    })
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let field =
        (spaced(string()), spaced(value)).prop_map(|(name, value)| format!("{name}:{value}"));
    let fields = vec(field, 0..6).prop_map(|fields| fields.join(","));
    (fields, space()).prop_map(|(fields, space)| format!("{{{space}{fields}}}"))
}

/// Few names, so that they are repeated, each in more than one form.
fn string() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "\\u0061",
        "b",
        "\\n",
        "\\u000A",
        "\\\"",
        "\\\\",
        "/",
        "\\/",
        "é",
        "\\u00e9",
        "\\ud83d\\ude00",
        "😀",
        " ",
        "\u{7f}",
        "\\u0000",
    ]);
    vec(piece, 0..3).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", "", " ", "\n", "\t \r"])
}

fn spaced(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (space(), value, space()).prop_map(|(before, value, after)| format!("{before}{value}{after}"))
}

const OPEN: &str =
    r#"{"states":["s"],"initial":"s","transitions":[{"from":"s","event":"SET","to":"s"}]}"#;

fn open() -> State {
    let mut state = State::new();
    common::run(
        &mut state,
        &common::put("order", 1, OPEN),
        1,
        &Limits::default(),
    )
    .unwrap();
    state
}

/// The instance's context, which is compact.
fn stored(state: &State) -> Value {
    let instance_id = "i".to_owned();
    let Ok(Reply::Instance(instance)) = state.query(&Query::GetInstance { instance_id }) else {
        panic!("the instance is gone");
    };
    let value: Value = serde_json::from_slice(&instance.ctx).unwrap();
    assert!(spaces(&instance.ctx) == 0, "{:?}", instance.ctx);
    value
}

/// How many spaces lie outside of strings.
fn spaces(text: &[u8]) -> usize {
    let (mut in_string, mut escaped, mut spaces) = (false, false, 0);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b' ' | b'\n' | b'\t' | b'\r' if !in_string => spaces += 1,
            _ => {}
        }
    }
    spaces
}

fn fields(text: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(text) {
        Ok(Value::Object(fields)) => Some(fields),
        Ok(Value::Null) => Some(Map::new()),
        Ok(_) | Err(_) => None,
    }
}

/// Creates an instance with this context and sends it this payload: both succeed exactly where serde_json reads an
/// object or null.
fn check(ctx: &[u8], payload: &[u8]) -> Result<(), TestCaseError> {
    let mut state = open();
    let limits = Limits::default();
    let text = |bytes: &[u8]| Some(bytes::Bytes::copy_from_slice(bytes));
    let mut create = common::create("i", None, None);
    if let rstmdb_engine::Command::CreateInstance(create) = &mut create {
        create.initial_ctx = text(ctx);
    }
    let created = common::run(&mut state, &create, 1, &limits);
    let Some(mut expected) = fields(ctx) else {
        prop_assert!(created.is_err(), "{}", ctx.escape_ascii());
        return Ok(());
    };
    prop_assert!(created.is_ok(), "{}: {:?}", ctx.escape_ascii(), created);
    prop_assert_eq!(stored(&state), Value::from(expected.clone()));
    let mut apply = common::apply("i", "SET", None, None);
    if let rstmdb_engine::Command::ApplyEvent(apply) = &mut apply {
        apply.payload = text(payload);
    }
    let applied = common::run(&mut state, &apply, 1, &limits);
    let Some(more) = fields(payload) else {
        prop_assert!(applied.is_err(), "{}", payload.escape_ascii());
        return Ok(());
    };
    prop_assert!(applied.is_ok(), "{}: {:?}", payload.escape_ascii(), applied);
    expected.extend(more);
    let order: Vec<String> = expected.keys().cloned().collect();
    let ctx = stored(&state);
    let names: Vec<String> = ctx.as_object().unwrap().keys().cloned().collect();
    prop_assert_eq!(names, order);
    prop_assert_eq!(ctx, Value::from(expected));
    prop_assert_eq!(state.check_invariants(), Ok(()));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn documents_are_stored_by_value(ctx in spaced(object(text())), payload in spaced(object(text()))) {
        check(ctx.as_bytes(), payload.as_bytes())?;
    }

    #[test]
    fn damaged_documents_are_refused_where_serde_json_refuses_them(
        ctx in spaced(object(text())),
        payload in spaced(text()),
        at in any::<prop::sample::Index>(),
        byte in prop::sample::select(b"{}[]\",:\\u0e-.x \x01\xff".to_vec()),
        cut in any::<bool>(),
    ) {
        let mut damaged = ctx.into_bytes();
        let at = at.index(damaged.len());
        match cut {
            true => damaged.truncate(at),
            false => damaged[at] = byte,
        }
        check(&damaged, payload.as_bytes())?;
    }
}
