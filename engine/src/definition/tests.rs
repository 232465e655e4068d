#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn fault(definition: Value) -> String {
    Definition::parse(definition.to_string().as_bytes())
        .unwrap_err()
        .to_string()
}

/// States `a` and `b`, and these transitions.
fn with(transitions: Value) -> Value {
    json!({ "states": ["a", "b"], "initial": "a", "transitions": transitions })
}

fn states(states: Vec<String>) -> Value {
    let initial = states.last().cloned().unwrap_or_default();
    json!({ "states": states, "initial": initial, "transitions": [] })
}

#[test]
fn states_are_1_to_10_000_different_names() {
    let many = |count: usize| states((0..count).map(|number| number.to_string()).collect());
    let full = Definition::parse(many(10_000).to_string().as_bytes()).unwrap();
    assert_eq!(full.states.len(), 10_000);
    assert_eq!(
        fault(many(10_001)),
        "states: 10001 states; 1 to 10000 are allowed"
    );
    assert_eq!(fault(many(0)), "states: 0 states; 1 to 10000 are allowed");
    for (name, message) in [
        (
            String::new(),
            "states[1]: the name is 0 bytes long; 1 to 256 are allowed",
        ),
        (
            "x".repeat(257),
            "states[1]: the name is 257 bytes long; 1 to 256 are allowed",
        ),
        (
            "é\u{0}".to_owned(),
            "states[1]: the name holds a control character at position 2; names must be printable",
        ),
        ("a".to_owned(), "states[1]: \"a\" is there twice"),
    ] {
        assert_eq!(fault(states(vec!["a".to_owned(), name])), message);
    }
}

#[test]
fn the_initial_state_is_one_of_them() {
    let initial = |name: &str| json!({ "states": ["a"], "initial": name, "transitions": [] });
    assert_eq!(fault(initial("b")), "initial: \"b\" is not one of `states`");
    let shown = "y".repeat(64);
    assert_eq!(
        fault(initial(&"y".repeat(1000))),
        format!("initial: {shown:?} is not one of `states`")
    );
}

#[test]
fn transitions_name_known_states_and_printable_events() {
    let one = |from: Value, event: &str, to: &str| {
        with(json!([
            { "from": "a", "event": "FIRST", "to": "b" },
            { "from": from, "event": event, "to": to },
        ]))
    };
    for (definition, message) in [
        (
            one(json!([]), "E", "a"),
            "transitions[1].from: must name at least one state",
        ),
        (
            one(json!("c"), "E", "a"),
            "transitions[1].from: \"c\" is not one of `states`",
        ),
        (
            one(json!(["a", "c"]), "E", "a"),
            "transitions[1].from: \"c\" is not one of `states`",
        ),
        (
            one(json!("a"), "E", "c"),
            "transitions[1].to: \"c\" is not one of `states`",
        ),
        (
            one(json!("a"), "", "a"),
            "transitions[1].event: the name is 0 bytes long; 1 to 256 are allowed",
        ),
        (
            one(json!("a"), "\t", "a"),
            "transitions[1].event: the name holds a control character at position 1; names must \
             be printable",
        ),
    ] {
        assert_eq!(fault(definition), message);
    }
    let twice = one(json!(["b", "a", "b"]), "E", "a");
    let parsed = Definition::parse(twice.to_string().as_bytes()).unwrap();
    assert_eq!(parsed.transitions[1].from, ["b", "a"]);
}

#[test]
fn a_guard_that_does_not_parse_is_named_with_its_column() {
    let guarded =
        |guard: &str| with(json!([{ "from": "a", "event": "E", "to": "b", "guard": guard }]));
    assert_eq!(
        fault(guarded("ctx.a = 1")),
        "transitions[0].guard: expected `==` at column 8, found ` `"
    );
    let null = with(json!([{ "from": "a", "event": "E", "to": "b", "guard": null }]));
    let parsed = Definition::parse(null.to_string().as_bytes()).unwrap();
    assert!(parsed.transitions[0].guard.is_none());
}

#[test]
fn a_transition_that_can_never_fire_is_refused() {
    let pair = |first: Value, second: Value| with(json!([first, second]));
    let always = json!({ "from": ["a", "b"], "event": "E", "to": "b" });
    let guarded = json!({ "from": "b", "event": "E", "to": "a", "guard": "ctx.x" });
    assert_eq!(
        fault(pair(always.clone(), guarded.clone())),
        "transitions[1]: can never fire for event \"E\" from state \"b\": transitions[0] has no \
         guard and comes first"
    );
    assert!(
        Definition::parse(pair(guarded.clone(), always.clone()).to_string().as_bytes()).is_ok()
    );
    assert!(Definition::parse(pair(guarded.clone(), guarded).to_string().as_bytes()).is_ok());
    let other = json!({ "from": "a", "event": "F", "to": "b" });
    assert!(Definition::parse(pair(always, other).to_string().as_bytes()).is_ok());
}

#[test]
fn the_text_has_at_most_1_mib() {
    let text = |bytes: usize| {
        let empty = r#"{"states":["a"],"initial":"a","transitions":[],"meta":""}"#;
        empty.replace(
            "\"\"}",
            &format!("\"{}\"}}", "x".repeat(bytes - empty.len())),
        )
    };
    let full = text(1 << 20);
    assert_eq!(full.len(), 1 << 20);
    assert!(Definition::parse(full.as_bytes()).is_ok());
    assert_eq!(
        Definition::parse(text((1 << 20) + 1).as_bytes())
            .unwrap_err()
            .to_string(),
        "the definition is 1048577 bytes long; 1048576 are allowed"
    );
}

#[test]
fn only_objects_of_the_right_form_are_definitions() {
    for text in [
        "",
        "null",
        "[]",
        r#"[["a"],"a",[],null]"#,
        r#"{"initial":"a","transitions":[]}"#,
        r#"{"states":["a"],"transitions":[]}"#,
        r#"{"states":["a"],"initial":"a"}"#,
        r#"{"states":["a"],"states":["a"],"initial":"a","transitions":[]}"#,
        r#"{"states":"a","initial":"a","transitions":[]}"#,
        r#"{"states":[1],"initial":"a","transitions":[]}"#,
        r#"{"states":["a"],"initial":"a","transitions":{}}"#,
        r#"{"states":["a"],"initial":"a","transitions":[["a","E","a",null]]}"#,
        r#"{"states":["a"],"initial":"a","transitions":[{"from":1,"event":"E","to":"a"}]}"#,
        r#"{"states":["a"],"initial":"a","transitions":[{"from":"a","event":"E"}]}"#,
        r#"{"states":["a"],"initial":"a","transitions":[]} x"#,
    ] {
        let error = Definition::parse(text.as_bytes()).unwrap_err().to_string();
        let start = "the definition is not a valid JSON object of its form: ";
        assert!(error.starts_with(start), "{text}: {error}");
        assert!(
            !error.contains("struct"),
            "{text} shows inner types: {error}"
        );
    }
}
