#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn hash(text: &str) -> u64 {
    check(text.as_bytes()).unwrap()
}

fn compacted(text: &str) -> String {
    let object = Object::parse(text.as_bytes()).unwrap();
    String::from_utf8(compact(&object).to_vec()).unwrap()
}

fn merged(ctx: &str, payload: &str) -> String {
    let [ctx, payload] = [ctx, payload].map(|text| Object::parse(text.as_bytes()).unwrap());
    String::from_utf8(merge(ctx, payload).to_vec()).unwrap()
}

#[test]
fn the_hash_is_of_the_value_not_of_the_text() {
    for same in [
        &["1", "1.0", "10e-1", " 1 "][..],
        &["0", "-0", "-0.0", "0e5"],
        &["100000000000000000000", "1e20"],
        &["9007199254740992", "9007199254740992.0"],
        &[r#""é""#, r#""\u00e9""#, r#""\u00E9""#],
        &[r#""/""#, r#""\/""#],
        &[r#"{"a":1,"b":[]}"#, "{\"b\" : [ ] ,\n\"\\u0061\":1.0}"],
        &["[1,[2]]", "[ 1.0, [ 2 ] ]"],
    ] {
        let hashes: Vec<u64> = same.iter().map(|text| hash(text)).collect();
        assert!(hashes.windows(2).all(|two| two[0] == two[1]), "{same:?}");
    }
}

#[test]
fn different_values_have_different_hashes() {
    let texts = [
        "null",
        "true",
        "false",
        "0",
        "1",
        "-1",
        "0.5",
        "1e300",
        "-1e300",
        "\"\"",
        "\"0\"",
        "\"null\"",
        "[]",
        "{}",
        "[0]",
        "[[]]",
        "[0,1]",
        "[1,0]",
        "[[0,1]]",
        "[[0],1]",
        "18446744073709551615",
        "18446744073709551616",
        "9007199254740993",
        "9007199254740992",
        r#"{"a":1}"#,
        r#"{"a":"1"}"#,
        r#"{"b":1}"#,
        r#"{"a":{"b":1}}"#,
        r#"{"a":1,"b":2}"#,
        r#"{"a":2,"b":1}"#,
        r#"["a",1]"#,
    ];
    let mut hashes: Vec<u64> = texts.iter().map(|text| hash(text)).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), texts.len());
}

#[test]
fn check_looks_at_every_byte() {
    for wrong in [
        "",
        " ",
        "{",
        "{}x",
        "{} {}",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{1:1}",
        "01",
        "1.",
        ".5",
        "+1",
        "1e999",
        "-1e999",
        "nul",
        "'a'",
        "\"a",
        "\"\u{1}\"",
        r#""\x""#,
        r#""\ud800""#,
        r#"{"a":"\udc00"}"#,
        r#"[{"deep":[1,2,"\q"]}]"#,
    ] {
        assert!(check(wrong.as_bytes()).is_err(), "{wrong:?}");
    }
    assert!(check(b"\"\xff\"").is_err());
    assert!(check(b"{\"a\":\"\xc3\"}").is_err());
}

#[test]
fn depth_is_bounded_long_before_the_stack_is() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(check(nested(127).as_bytes()).is_ok());
    assert!(check(nested(128).as_bytes()).is_err());
    assert!(check(nested(10_000).as_bytes()).is_err());
    let objects = format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
    assert!(check(objects.as_bytes()).is_err());
}

#[test]
fn compact_text_has_no_spaces_and_each_name_once() {
    for (text, expected) in [
        ("{}", "{}"),
        (" { } ", "{}"),
        ("{ \"a\" : [ 1 , { \"b\" : 2 } ] }", r#"{"a":[1,{"b":2}]}"#),
        (
            r#"{"a":" x \" y \\","b": "\\\" "}"#,
            r#"{"a":" x \" y \\","b":"\\\" "}"#,
        ),
        (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
        (r#"{"\u0061":1,"a":2}"#, r#"{"a":2}"#),
        (r#"{"a\"b\\c\n":1}"#, r#"{"a\"b\\c\n":1}"#),
        (r#"{"\u0001":1,"":2}"#, r#"{"\u0001":1,"":2}"#),
        (
            r#"{"n":1.50e+2,"big":123456789012345678901234567890}"#,
            r#"{"n":1.50e+2,"big":123456789012345678901234567890}"#,
        ),
    ] {
        assert_eq!(compacted(text), expected, "{text}");
    }
}

#[test]
fn what_is_not_an_object_is_refused() {
    for text in ["", "[]", "1", "null", "\"{}\"", "{", "{} x", "{\"a\" 1}"] {
        assert!(Object::parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn a_payload_replaces_top_level_fields_and_adds_new_ones_last() {
    for (ctx, payload, expected) in [
        ("{}", "{}", "{}"),
        (r#"{"a":1}"#, "{}", r#"{"a":1}"#),
        ("{}", r#"{ "a" : 1 }"#, r#"{"a":1}"#),
        (
            r#"{"a":1,"b":2}"#,
            r#"{"c":3,"a":null}"#,
            r#"{"a":null,"b":2,"c":3}"#,
        ),
        (
            r#"{"o":{"x":1,"y":2}}"#,
            r#"{"o":{"z":3}}"#,
            r#"{"o":{"z":3}}"#,
        ),
        (
            r#"{"a":1}"#,
            r#"{"\u0061":2,"b":1,"b":2}"#,
            r#"{"a":2,"b":2}"#,
        ),
    ] {
        assert_eq!(merged(ctx, payload), expected, "{ctx} {payload}");
    }
}

#[test]
fn many_fields_are_found_as_few_are() {
    for count in [15, 16, 17, 40] {
        let fields = |value: u32| -> Map<String, Value> {
            (0..count)
                .map(|n| (format!("f\"{n}"), json!(value)))
                .collect()
        };
        let (old, new) = (Value::from(fields(1)), Value::from(fields(2)));
        assert_eq!(merged(&old.to_string(), &new.to_string()), new.to_string());
        let text = new.to_string();
        let object = Object::parse(text.as_bytes()).unwrap();
        assert_eq!(object.value(&format!("f\"{}", count - 1)), json!(2));
        assert_eq!(object.value("f"), Value::Null);
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e12..1e12f64).prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            object_of(inner),
        ]
    })
}

fn object_of(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[ab\"\\\\é ]{0,2}", value, 0..20)
        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

proptest! {
    #[test]
    fn spaces_change_neither_the_hash_nor_the_compact_text(object in object_of(value())) {
        let (dense, spaced) = (object.to_string(), serde_json::to_string_pretty(&object).unwrap());
        prop_assert_eq!(hash(&dense), hash(&spaced));
        prop_assert_eq!(compacted(&spaced), dense);
    }

    #[test]
    fn merging_is_what_it_is_on_values(ctx in object_of(value()), payload in object_of(value())) {
        let mut expected = ctx.as_object().unwrap().clone();
        expected.extend(payload.as_object().unwrap().clone());
        prop_assert_eq!(
            merged(&ctx.to_string(), &payload.to_string()),
            Value::from(expected).to_string()
        );
    }

    #[test]
    fn hashes_agree_exactly_where_values_are_equal(left in value(), right in value()) {
        let same = hash(&left.to_string()) == hash(&right.to_string());
        prop_assert_eq!(same, equal(&left, &right));
    }

    #[test]
    fn no_bytes_make_the_walk_panic(text in prop::collection::vec(any::<u8>(), 0..64)) {
        let whole: Result<Value, _> = serde_json::from_slice(&text);
        prop_assert_eq!(check(&text).is_ok(), whole.is_ok());
        if let Ok(object) = Object::parse(&text) {
            compact(&object);
        }
    }
}
