//! Format 1 to format 2, with the same meaning.

use proptest::prelude::*;
use rstmdb_definitions::convert::{convert, converted};
use rstmdb_definitions::run::Runner;
use rstmdb_rcp::json::Json;
use serde_json::{Value, json};

use crate::common::{OLD_ORDER, ORDER, json as parsed, lines};

#[test]
fn an_order_is_converted() {
    let translated = convert(&parsed(OLD_ORDER)).unwrap();
    let definition = &translated.result;
    assert_eq!(definition["format"].to_string(), "2");
    assert_eq!(
        definition["states"].to_string(),
        r#"["CREATED","PAID",{"name":"SHIPPED","final":true}]"#
    );
    assert_eq!(definition["meta"].to_string(), r#"{"owner":"sales"}"#);
    let ship = &definition["transitions"].items()[2];
    assert_eq!(ship["meta"].to_string(), r#"{"label":"go"}"#);
    assert!(
        ship["guard"]
            .as_str()
            .unwrap()
            .ends_with(" && ctx.total > 0")
    );
    let notes = lines(&translated.notes);
    assert!(
        notes
            .iter()
            .any(|it| it.starts_with("transitions[2].label: ")),
        "{notes:?}"
    );
    assert!(
        notes.iter().any(|it| it.starts_with("owner: ")),
        "{notes:?}"
    );
}

#[test]
fn conditions_stay_readable_where_they_may() {
    for (old, new) in [
        ("ctx.total > 100", "ctx.total > 100"),
        (
            "ctx.a.b == \"x\" && 3 <= ctx.n",
            "ctx.a.b == 'x' && 3 <= ctx.n",
        ),
        (
            "(ctx.a == 1 || ctx.b == 2) && ctx.c < \"z\"",
            "(ctx.a == 1 || ctx.b == 2) && ctx.c < 'z'",
        ),
        ("ctx.in-stock >= 1", "ctx['in-stock'] >= 1"),
        ("ctx.a < true", "false"),
        ("ctx.a < null", "false"),
        ("ctx.a == null", "(has(ctx.a) ? ctx.a : null) == null"),
        ("ctx.a != 1", "(has(ctx.a) ? ctx.a : null) != 1"),
        (
            "ctx.items.length > 0",
            "(type(ctx.items) == list ? size(ctx.items) : ctx.items.length) > 0",
        ),
    ] {
        assert_eq!(converted(old).as_deref(), Ok(new), "{old}");
    }
}

#[test]
fn what_format_2_cannot_say_is_refused_with_all_its_places() {
    let definition = r#"{"states": ["a"], "initial": "a", "transitions": [
        {"from": "a", "event": "X", "to": "a", "guard": "ctx.n == 123456789012345678901234567890"},
        {"from": "a", "event": "Y", "to": "a", "guard": "ctx.n < 0.12345678901234567890"}]}"#;
    let problems = convert(&parsed(definition)).unwrap_err();
    let places: Vec<&str> = problems.iter().map(|it| it.place.as_str()).collect();
    assert_eq!(places, ["transitions[0].guard", "transitions[1].guard"]);
    assert_eq!(convert(&parsed(ORDER)).unwrap_err()[0].place, "format");
}

/// A few names, so that paths often meet values.
fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "length", "c-d", "in", "é"]).prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..4i64).prop_map(Value::from),
        prop::sample::select(vec![0.0, -0.0, 1.0, 1.5, -2.5, 3.0]).prop_map(Value::from),
        prop::sample::select(vec!["", "a", "b", "é", "1", "it's"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn context() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(name(), value(), 0..5)
        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

fn operand() -> impl Strategy<Value = String> {
    let path =
        prop::collection::vec(name(), 1..4).prop_map(|names| format!("ctx.{}", names.join(".")));
    let literal = prop::sample::select(vec![
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1",
        "-2",
        "1.5",
        "3e0",
        "0.0",
        "\"\"",
        "\"a\"",
        "\"é\"",
        "\"it's\"",
        "\"\\u0041\\n\"",
    ]);
    prop_oneof![3 => path, 2 => literal.prop_map(str::to_owned)]
}

fn guard() -> impl Strategy<Value = String> {
    let operator = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        2 => (operand(), operator, operand()).prop_map(|(l, o, r)| format!("{l} {o} {r}")),
        1 => operand(),
    ];
    leaf.prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|it| format!("!({it})")),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|terms| terms
                .iter()
                .map(|it| format!("({it})"))
                .collect::<Vec<_>>()
                .join(" && ")),
            prop::collection::vec(inner, 2..4).prop_map(|terms| terms
                .iter()
                .map(|it| format!("({it})"))
                .collect::<Vec<_>>()
                .join(" || ")),
        ]
    })
}

/// States after each event, or the code of the refusal.
fn course(definition: &str, ctx: &str, events: &[(String, Value)]) -> Vec<String> {
    let mut runner = Runner::new(definition, 1).unwrap();
    runner.create(Some(ctx), "").unwrap();
    let events = events.iter();
    events
        .map(|(event, payload)| {
            let payload = payload.to_string();
            match runner.apply(event, Some(&payload), "") {
                Ok(step) => format!("{} {}", step.to, step.ctx),
                Err(refusal) => refusal.code().to_owned(),
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_converted_definition_does_the_same(
        guards in prop::collection::vec(guard(), 3),
        ctx in context(),
        events in prop::collection::vec((prop::sample::select(vec!["X", "Y", "NOPE"]), context()), 1..5),
    ) {
        let definition = json!({
            "states": ["a", "b", "end"],
            "initial": "a",
            "transitions": [
                {"from": "a", "event": "X", "to": "b", "guard": guards[0]},
                {"from": ["a", "b"], "event": "X", "to": "a", "guard": guards[1]},
                {"from": "a", "event": "Y", "to": "a"},
                {"from": "b", "event": "Y", "to": "end", "guard": guards[2]},
            ],
            "owner": "x",
        })
        .to_string();
        let json = Json::parse(&definition).unwrap();
        let converted = convert(&json).unwrap().result.to_string();
        let events: Vec<(String, Value)> =
            events.into_iter().map(|(event, payload)| (event.to_owned(), payload)).collect();
        let ctx = ctx.to_string();
        prop_assert_eq!(
            course(&definition, &ctx, &events),
            course(&converted, &ctx, &events),
            "{}", converted
        );
    }
}
