//! The guard language from outside: what parses, where faults are, what holds.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use crate::common;
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
fn numbers_are_never_rounded_and_keys_have_no_meaning() {
    let ctx = r#"{"a":123456789012345678901234567890,"b":0.1,"tiny":1e-400,
        "raw":{"$serde_json::private::RawValue":"7"},
        "twice":{"x":1,"x":2},"list":[{"y":1,"y":2}],"want":[{"y":2}]}"#;
    for (guard, expected) in [
        ("ctx.a == 123456789012345678901234567890", true),
        ("ctx.a == 123456789012345678901234567891", false),
        ("ctx.a < 123456789012345678901234567890.5", true),
        ("ctx.b == 0.10000000000000000001", false),
        ("ctx.b == 1e-1", true),
        ("ctx.tiny", true),
        ("ctx.tiny == 0", false),
        ("ctx.raw == 7", false),
        ("ctx.raw == ctx.raw && ctx.raw != null", true),
        ("ctx.twice.x == 2", true),
        ("ctx.list == ctx.want", true),
    ] {
        assert_eq!(holds(guard, ctx), expected, "{guard}");
    }
}

/// What a stranger may put into a context must not be read as JSON once more.
#[test]
fn text_inside_text_stays_text_however_deep() {
    let text = (0..45).fold("1".to_owned(), |text, _| {
        let inner = format!("{}{text}{}", "[".repeat(100), "]".repeat(100));
        let escaped = inner.replace('\\', "\\u005c").replace('"', "\\u0022");
        format!(r#"{{"$serde_json::private::RawValue":"{escaped}"}}"#)
    });
    let ctx = format!(r#"{{"a":{text}}}"#);
    assert!(!holds("ctx.a == 1", &ctx));
    assert!(holds("ctx.a", &ctx));
}

#[test]
fn guards_that_cost_too_much_are_refused_and_the_rest_reads_once() {
    let list = |last: &str| format!("[{}{last}]", "[1,2],".repeat(100_000));
    let ctx = format!(r#"{{"a":{},"b":{}}}"#, list("1"), list("1.0"));
    let often = |term: &str, count: usize| vec![term; count].join("&&");
    let started = std::time::Instant::now();
    assert!(holds(&often("ctx.a", 500), &ctx));
    assert!(holds(&often("ctx.a==ctx.b", 3), &ctx));
    // One pass over a megabyte and three comparisons; a pass for each path would take half a minute.
    assert!(started.elapsed() < std::time::Duration::from_secs(2));
    let mut state = State::new();
    let limits = Limits::default();
    let definition = serde_json::json!({
        "states": ["s"], "initial": "s",
        "transitions": [{"from": "s", "event": "E", "to": "s", "guard": often("ctx.a==ctx.b", 250)}],
    });
    common::run(
        &mut state,
        &common::put("m", 1, &definition.to_string()),
        1,
        &limits,
    )
    .unwrap();
    let create = common::create("i", Some(&ctx), None);
    let create = match create {
        rstmdb_engine::Command::CreateInstance(create) => {
            rstmdb_engine::Command::CreateInstance(rstmdb_engine::CreateInstance {
                machine: "m".to_owned(),
                ..create
            })
        }
        other => other,
    };
    common::run(&mut state, &create, 1, &limits).unwrap();
    let apply = common::apply("i", "E", None, None);
    let refusal = common::run(&mut state, &apply, 1, &limits).unwrap_err();
    assert_eq!(refusal.code(), "BAD_REQUEST");
    let message = refusal.to_string();
    assert!(
        message.contains("cost too much") && message.contains("ctx.a==ctx.b"),
        "{message}"
    );
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
