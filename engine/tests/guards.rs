//! The guard language from outside: what parses, where faults are, what holds.

#![allow(clippy::unwrap_used)]

mod common;

use proptest::prelude::*;
use rstmdb_engine::guard::{Error, Guard};
use rstmdb_engine::{Limits, State};

/// Whether a guard holds, by deciding an event that has it.
fn holds(guard: &str, ctx: &str) -> bool {
    let definition = serde_json::json!({
        "states": ["s"], "initial": "s",
        "transitions": [{"from": "s", "event": "E", "to": "s", "guard": guard}],
    });
    let mut state = State::new();
    let limits = Limits::default();
    let put = common::put("order", 1, &definition.to_string());
    common::run(&mut state, &put, 1, &limits).unwrap();
    common::run(
        &mut state,
        &common::create("i", Some(ctx), None),
        1,
        &limits,
    )
    .unwrap();
    match common::run(&mut state, &common::apply("i", "E", None, None), 1, &limits) {
        Ok(_) => true,
        Err(refusal) => {
            assert_eq!(refusal.code(), "GUARD_FAILED", "{refusal}");
            false
        }
    }
}

#[test]
fn guards_hold_as_documented() {
    let ctx = r#"{"n":1,"f":1.0,"big":9007199254740993,"s":"b","e":"","l":[1,2],"el":[],
        "o":{"length":7,"x":null},"eo":{},"t":true,"z":0,"a":{"b":{"c":"deep"}},"x-y":1}"#;
    for (guard, expected) in [
        ("ctx.n == 1.0", true),
        ("ctx.n == ctx.f", true),
        ("ctx.n != ctx.f", false),
        ("ctx.big == 9007199254740993", true),
        ("ctx.big == 9007199254740992", false),
        ("ctx.big > 9007199254740992.0", true),
        ("ctx.n < 1.5 && 1.5 > ctx.n", true),
        ("-1 < ctx.z", true),
        ("ctx.s < \"c\" && ctx.s >= \"b\"", true),
        ("ctx.s < 1", false),
        ("ctx.s >= 1", false),
        ("ctx.s == \"\\u0062\"", true),
        ("ctx.missing == null", true),
        ("ctx.missing.deeper == null", true),
        ("ctx.o.x == null", true),
        ("ctx.missing < 1", false),
        ("ctx.l.length == 2", true),
        ("ctx.o.length == 7", true),
        ("ctx.s.length == null", true),
        ("ctx.a.b.c == \"deep\"", true),
        ("ctx.x-y == 1", true),
        ("ctx.l", true),
        (
            "ctx.el || ctx.eo || ctx.e || ctx.z || ctx.missing || false || null || 0 || \"\"",
            false,
        ),
        ("!ctx.n == 2", true),
        ("!(ctx.t && ctx.z)", true),
        ("ctx.t || ctx.t && ctx.z", true),
        ("(ctx.t || ctx.t) && ctx.z", false),
        ("(ctx.n) == (1)", true),
        ("ctx.l == ctx.l && ctx.o == ctx.o && ctx.l != ctx.el", true),
    ] {
        assert_eq!(holds(guard, ctx), expected, "{guard}");
    }
}

#[test]
fn faults_name_the_column_and_both_sides() {
    for (guard, message) in [
        (
            "",
            "expected a path, a number, a string, true, false, null or `(` at column 1, found the end",
        ),
        (
            "ctx",
            "expected `.` and a field name after `ctx` at column 4, found the end",
        ),
        (
            "ctx.",
            "expected a field name after `.` at column 5, found the end",
        ),
        ("ctx.a = 1", "expected `==` at column 8, found ` `"),
        ("ctx.a & ctx.b", "expected `&&` at column 8, found ` `"),
        (
            "ctx.é == ",
            "expected a path, a number, a string, true, false, null or `(` at column 10, found the end",
        ),
        (
            "ctx.a == 1 2",
            "expected `&&`, `||`, a comparison or the end at column 12, found `2`",
        ),
        ("(ctx.a", "expected `)` at column 7, found the end"),
        (
            "total > 1",
            "expected a path that starts with `ctx.`, or true, false or null at column 1, found `total`",
        ),
        (
            "ctx.a == 01",
            "expected a number as JSON writes it, within the range of a double at column 10, found `01`",
        ),
        (
            "ctx.a == 1e999",
            "expected a number as JSON writes it, within the range of a double at column 10, found `1e999`",
        ),
        (
            "ctx.a == \"x",
            "expected `\"` at the end of the string at column 12, found the end",
        ),
        (
            "ctx.a == \"\\q\"",
            "expected one of \" \\ / b f n r t u after `\\` at column 12, found `q`",
        ),
        (
            "ctx.a == \"\\ud800\"",
            "expected a character or a whole surrogate pair at column 13, found `d800`",
        ),
        (
            "ctx.a == (ctx.b && ctx.c)",
            "expected a path or a literal to compare with at column 10, found `(`",
        ),
        (
            "ctx.a < 1 < 2",
            "expected `&&`, `||`, a comparison or the end at column 11, found `<`",
        ),
        (
            "ctx.a # 1",
            "expected a path, a number, a string, true, false, null, `!` or `(` at column 7, found `#`",
        ),
    ] {
        assert_eq!(
            Guard::parse(guard).unwrap_err().to_string(),
            message,
            "{guard}"
        );
    }
}

#[test]
fn depth_and_length_are_bounded_to_the_last_one() {
    let nested = |depth: usize| format!("{}ctx.a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Guard::parse(&nested(64)).is_ok());
    assert_eq!(
        Guard::parse(&nested(65)),
        Err(Error::TooDeep { column: 65 })
    );
    assert!(Guard::parse(&format!("{}ctx.a", "!".repeat(64))).is_ok());
    assert!(Guard::parse(&format!("{}ctx.a", "!".repeat(65))).is_err());
    assert!(Guard::parse(&format!("ctx.{}", "a".repeat(4092))).is_ok());
    let long = Guard::parse(&format!("ctx.{}", "a".repeat(4093)));
    assert_eq!(long, Err(Error::TooLong { bytes: 4097 }));
    assert!(Guard::parse(&"(".repeat(10_000)).is_err());
}

fn expr() -> impl Strategy<Value = String> {
    let operand = prop_oneof![
        "ctx(\\.[a-z_][a-z0-9_-]{0,3}){1,3}",
        any::<i64>().prop_map(|number| number.to_string()),
        (-1e9..1e9f64).prop_map(|number| number.to_string()),
        ".{0,4}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just("null".to_owned()),
    ];
    let comparison = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        operand.clone(),
        (operand.clone(), comparison, operand)
            .prop_map(|(left, comparison, right)| format!("{left}{comparison} {right}")),
    ];
    leaf.prop_recursive(6, 32, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(|terms| terms.join("&&")),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|terms| terms.join(" || ")),
            inner.clone().prop_map(|inner| format!("!{inner}")),
            inner.prop_map(|inner| format!("( {inner} )")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_parses_to_the_same(text in expr()) {
        let Ok(guard) = Guard::parse(&text) else { return Ok(()) };
        let printed = guard.to_string();
        let again = Guard::parse(&printed).unwrap();
        prop_assert_eq!(again.to_string(), printed);
        let ctx = r#"{"a":1,"b":{"c":[1]},"d":"x"}"#;
        prop_assert_eq!(holds(&text, ctx), holds(&again.to_string(), ctx));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[ctx.a-z0-9\"\\\\()&|!=<> é\u{0}]{0,40}|.{0,60}") {
        if let Err(error) = Guard::parse(&text) {
            let column = error.column().unwrap();
            prop_assert!((1..=text.chars().count() + 1).contains(&column), "{}", error);
        }
    }
}
