#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Map, Number, Value, json};

use super::*;

fn hash(text: &str) -> u64 {
    check(text.as_bytes()).unwrap()
}

fn compacted(text: &str) -> String {
    let object = JsonObject::parse(text.as_bytes()).unwrap();
    String::from_utf8(compact(&object).to_vec()).unwrap()
}

fn merged(ctx: &str, payload: &str) -> String {
    let ctx = compacted(ctx);
    let payload = JsonObject::parse(payload.as_bytes()).unwrap();
    let mut ctx = Context::new(ctx.as_bytes(), Some(&payload));
    ctx.scan().unwrap();
    String::from_utf8(ctx.merged().to_vec()).unwrap()
}

fn same(left: &str, right: &str) -> bool {
    equal(left, right, &mut ReadBudget::new(usize::MAX)).unwrap()
}

/// The value at a path, as the context's one scan finds it.
fn found<'a>(ctx: &'a str, path: &'a str) -> Option<FoundJson<'a>> {
    let mut ctx = Context::new(ctx.as_bytes(), None);
    ctx.want(path);
    ctx.scan().unwrap();
    ctx.value(path)
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
        &[
            r#"{"a":{"b":2,"c":1}}"#,
            r#"{"a":7,"a":{"b":1,"c":1,"b":2.0}}"#,
        ],
        &["0.1", "1e-1", "0.10000000000000000000000"],
        &[
            "123456789012345678901234567890.5",
            "1.234567890123456789012345678905e29",
        ],
        &["[1,[2]]", "[ 1.0, [ 2 ] ]"],
    ] {
        let hashes: Vec<u64> = same.iter().map(|text| hash(text)).collect();
        assert!(hashes.windows(2).all(|two| two[0] == two[1]), "{same:?}");
    }
}

#[test]
fn the_least_exponent_takes_digits_behind_the_point() {
    let least = i128::MAX;
    let hashes = [least, least - 1].map(|power| hash(&format!("1.23e-{power}")));
    assert_ne!(hashes[0], hashes[1]);
    assert_ne!(hashes[0], hash("0"));
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
        "0.1",
        "0.10000000000000000001",
        "123456789012345678901234567890",
        "123456789012345678901234567891",
        "1e-999",
        "1e-998",
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
        assert!(JsonObject::parse(text.as_bytes()).is_err(), "{text}");
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
        assert_eq!(
            found(&text, &format!("f\"{}", count - 1)),
            Some(FoundJson::Text("2"))
        );
        assert_eq!(found(&text, "f"), None);
    }
}

#[test]
fn numbers_compare_by_their_exact_decimal_value() {
    // Each is less than the next.
    let ascending = [
        "-1e308",
        "-123456789012345678901234567890.1",
        "-123456789012345678901234567890",
        "-1.5",
        "-1.25e0",
        "-1e-400",
        "0",
        "1e-99999999999999999999999999",
        "1e-400",
        "2e-400",
        "0.1",
        "0.10000000000000000000000000000000000001",
        "0.3",
        "9007199254740992",
        "9007199254740993",
        "9007199254740993.000000000000001",
        "18446744073709551615",
        "18446744073709551616",
        "1e308",
    ];
    for (i, left) in ascending.iter().enumerate() {
        for (j, right) in ascending.iter().enumerate() {
            let order = JsonDecimal::new(left).cmp(&JsonDecimal::new(right));
            assert_eq!(order, i.cmp(&j), "{left} {right}");
        }
    }
    for same in [
        &[
            "0",
            "-0",
            "0.000",
            "-0e7",
            "0e999999999999999999999999999999999999999999999",
        ][..],
        &["1", "1.0", "10e-1", "0.01E+2", "1e0"],
        &["1200", "12e2", "1.2E3", "0.0012e6", "1200.00"],
        &["-0.5", "-5e-1", "-0.50"],
    ] {
        assert!(
            same.windows(2)
                .all(|two| JsonDecimal::new(two[0]) == JsonDecimal::new(two[1]))
        );
    }
    let long = format!("1{}", "0".repeat(300));
    assert_eq!(JsonDecimal::new(&long), JsonDecimal::new("1e300"));
}

#[test]
fn of_a_repeated_key_the_last_value_counts_at_any_depth() {
    let text = r#"{"a":{"b":1,"c":9,"b":{"d":1,"d":2}},"l":[{"x":1,"x":2}],"a.b":0}"#;
    assert_eq!(found(text, "a.b.d"), Some(FoundJson::Text("2")));
    let replaced = r#"{"a":{"b":{"c":1},"b":{"d":1}}}"#;
    assert_eq!(found(replaced, "a.b.c"), None);
    assert_eq!(found(replaced, "a.b"), Some(FoundJson::Text(r#"{"d":1}"#)));
    let by_a_number = r#"{"a":{"b":{"c":1},"b":7},"a":{"b":{"c":2},"\u0062":[1,2]}}"#;
    assert_eq!(found(by_a_number, "a.b.c"), None);
    assert_eq!(found(by_a_number, "a.b.length"), Some(FoundJson::Length(2)));
    assert_eq!(found(by_a_number, "a.b.length.x"), None);
    assert!(same(r#"[{"x":1,"x":2}]"#, r#"[{"x":2}]"#));
    assert!(!same(r#"[{"x":1,"x":2}]"#, r#"[{"x":1}]"#));
    assert!(same(
        r#"{"b":1,"a":{"y":[],"x":0}}"#,
        r#"{"a":{"x":0.0,"y":[ ]},"b":2,"b":1}"#
    ));
}

#[test]
fn no_key_has_a_meaning() {
    let key = "$serde_json::private::RawValue";
    let text = format!(r#"{{"a":{{"{key}":"7"}},"{key}":"{{\"x\":1}}"}}"#);
    assert_eq!(
        found(&text, "a"),
        Some(FoundJson::Text(&format!(r#"{{"{key}":"7"}}"#)))
    );
    assert_eq!(compacted(&text), text);
    assert_ne!(hash(&format!(r#"{{"{key}":"7"}}"#)), hash("7"));
    assert!(!same(&format!(r#"{{"{key}":"7"}}"#), "7"));
    assert!(!same(
        &format!(r#"{{"{key}":"7"}}"#),
        &format!(r#"{{"{key}":"7.0"}}"#)
    ));
}

#[test]
fn what_comparing_costs_is_bounded() {
    let list = |last: &str| format!("[{}{last}]", "1,".repeat(1000));
    let (left, right) = (list("1"), list("1.0"));
    assert!(equal(&left, &right, &mut ReadBudget::new(10_000)).unwrap());
    assert!(equal(&left, &right, &mut ReadBudget::new(4_010)).is_err());
    assert!(equal(&left, &left, &mut ReadBudget::new(4_010)).unwrap());
    let chain = |end: &str| format!("{}{end}{}", r#"{"a":"#.repeat(120), "}".repeat(120));
    assert!(equal(&chain("1"), &chain("1.0"), &mut ReadBudget::new(50_000)).is_err());
    assert!(equal(&chain("1"), &chain("1.0"), &mut ReadBudget::new(usize::MAX)).unwrap());
}

/// Equality as serde_json's values tell it.
fn model_equal(left: &Value, right: &Value) -> bool {
    let number = |number: &Number| {
        number
            .as_i128()
            .map_or(number.as_f64().unwrap(), |it| it as f64)
    };
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            let both = left.as_i128().zip(right.as_i128());
            both.map_or(number(left) == number(right), |(left, right)| left == right)
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| model_equal(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, left)| right.get(key).is_some_and(|right| model_equal(left, right)))
        }
        _ => left == right,
    }
}

/// What a path finds, as serde_json's values tell it.
fn model_found(value: &Value, path: &str) -> Option<String> {
    let mut value = value.clone();
    for name in path.split('.') {
        value = match value {
            Value::Object(fields) => fields.get(name)?.clone(),
            Value::Array(items) if name == "length" => json!(items.len()),
            _ => return None,
        };
    }
    Some(value.to_string())
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
        prop_assert_eq!(same, model_equal(&left, &right));
        let [left, right] = [&left, &right].map(Value::to_string);
        prop_assert_eq!(same, super::tests::same(&left, &right));
    }

    #[test]
    fn a_value_equals_itself_however_it_is_written(object in object_of(value())) {
        let spaced = serde_json::to_string_pretty(&object).unwrap();
        let Value::Object(fields) = &object else { unreachable!() };
        let reversed: Map<String, Value> = fields.clone().into_iter().rev().collect();
        prop_assert!(same(&object.to_string(), &spaced));
        prop_assert!(same(&object.to_string(), &Value::from(reversed).to_string()));
    }

    #[test]
    fn one_scan_finds_what_values_hold(object in object_of(value()), paths in prop::collection::vec("[ab](\\.([ab]|length)){0,2}", 1..12)) {
        let text = object.to_string();
        let mut ctx = Context::new(text.as_bytes(), None);
        paths.iter().for_each(|path| ctx.want(path));
        ctx.scan().unwrap();
        for path in &paths {
            let found = ctx.value(path).map(|found| match found {
                FoundJson::Text(text) => text.to_owned(),
                FoundJson::Length(length) => length.to_string(),
            });
            prop_assert_eq!(found, model_found(&object, path), "{} in {}", path, text);
        }
    }

    #[test]
    fn the_reader_takes_exactly_what_serde_json_takes(object in object_of(value()), at in any::<prop::sample::Index>(), byte in prop::sample::select(b"{}[]\",:\\u0e-.x \x01\xff".to_vec())) {
        let mut text = object.to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        prop_assert_eq!(check(&text).is_ok(), serde_json::from_slice::<Value>(&text).is_ok());
        let passed = JsonReader::of_bytes(&text).ok().and_then(|mut reader| reader.pass().ok());
        let skipped = JsonReader::of_bytes(&text).ok().and_then(|mut reader| reader.skip().ok());
        if passed.is_some() {
            prop_assert_eq!(skipped, passed);
        }
        // An invalid text may give anything, but must not cause a panic.
        let mut ctx = Context::new(&text, None);
        ctx.want("a.b.length");
        if ctx.scan().is_ok() {
            ctx.value("a.b.length");
            ctx.merged();
        }
    }

    #[test]
    fn no_bytes_make_the_walk_panic(text in prop::collection::vec(any::<u8>(), 0..64)) {
        let whole: Result<Value, _> = serde_json::from_slice(&text);
        prop_assert_eq!(check(&text).is_ok(), whole.is_ok());
        if let Ok(object) = JsonObject::parse(&text) {
            compact(&object);
        }
    }
}
