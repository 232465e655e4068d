#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

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
    assert_eq!(parsed.transitions[1].from, [1, 0]);
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
    assert_eq!(
        fault(null.clone()),
        "transitions[0].guard: null is not a guard; leave `guard` out where there is no condition"
    );
    // A log may hold such a definition from before the engine refused it.
    let parsed = Definition::of_log(null.to_string().as_bytes(), 0).unwrap();
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
        let start = "the definition is not a JSON object of the required form: ";
        assert!(error.starts_with(start), "{text}: {error}");
        assert!(
            !error.contains("struct"),
            "{text} shows inner types: {error}"
        );
    }
}

fn warnings(definition: &Value) -> Vec<(String, String)> {
    let parsed = Definition::parse(definition.to_string().as_bytes()).unwrap();
    let warnings = parsed.warnings.into_iter();
    warnings
        .map(|warning| (warning.place, warning.text))
        .collect()
}

#[test]
fn a_slip_of_a_key_is_refused_with_its_place() {
    let slip = |key: &str| with(json!([{ "from": "a", "event": "E", "to": "b", key: "ctx.x" }]));
    assert_eq!(
        fault(slip("gaurd")),
        "transitions[0].gaurd: is not a key of a transition; did you mean `guard`? Allowed are \
         `from`, `event`, `to`, `guard`"
    );
    for key in [
        "gaurd",
        "Guard",
        "gard",
        "guards",
        "cond",
        "condition",
        "if",
        "when",
    ] {
        let message = fault(slip(key));
        assert!(
            message.contains("did you mean `guard`?"),
            "{key}: {message}"
        );
        assert!(Definition::of_log(slip(key).to_string().as_bytes(), 0).is_ok());
    }
    let initial = json!({ "states": ["a"], "initial": "a", "transitions": [], "intial": "b" });
    assert_eq!(
        fault(initial),
        "intial: is not a key of a definition; did you mean `initial`? Allowed are `states`, \
         `initial`, `transitions`, `meta`"
    );
}

#[test]
fn a_slip_is_told_before_the_key_that_is_missing_because_of_it() {
    let form = "the definition is not a JSON object of the required form: ";
    assert_eq!(
        fault(json!({ "states": ["a"], "initial": "a", "transition": [] })),
        format!(
            "{form}`transition` is not a key of a definition; did you mean `transitions`? Allowed are \
             `states`, `initial`, `transitions`, `meta`"
        )
    );
    assert_eq!(
        fault(with(json!([
            { "from": "a", "event": "E", "to": "b" },
            { "from": "b", "evnet": "E", "to": "a" },
        ]))),
        format!(
            "{form}transitions[1]: `evnet` is not a key of a transition; did you mean `event`? Allowed \
             are `from`, `event`, `to`, `guard`"
        )
    );
    // A key that is close to no known key explains nothing.
    let label = with(json!([{ "from": "a", "label": "E", "to": "b" }]));
    assert_eq!(
        fault(label),
        format!("{form}transitions[0]: missing field `event`")
    );
}

#[test]
fn other_unknown_keys_are_ignored_with_a_warning() {
    let mut definition = with(json!([{ "from": "a", "event": "E", "to": "b", "label": "x" }]));
    definition["description"] = json!({ "gaurd": 1 });
    definition["meta"] = json!({ "gaurd": 1, "cond": [{ "if": 2 }] });
    let known = |owner: &str, keys: &str| {
        format!("is not a key of a {owner} and is ignored; known are {keys}")
    };
    assert_eq!(
        warnings(&definition),
        [
            (
                "description".to_owned(),
                known("definition", "`states`, `initial`, `transitions`, `meta`")
            ),
            (
                "transitions[0].label".to_owned(),
                known("transition", "`from`, `event`, `to`, `guard`")
            ),
        ]
    );
}

#[test]
fn states_that_cannot_be_reached_get_a_warning() {
    let definition = json!({
        "states": ["a", "b", "c", "d", "e"], "initial": "b",
        "transitions": [
            { "from": ["b", "c"], "event": "E", "to": "d" },
            { "from": "d", "event": "E", "to": "b", "guard": "false" },
            { "from": "c", "event": "E2", "to": "a" },
        ],
    });
    let unreached = |place: &str, name: &str| {
        (
            place.to_owned(),
            format!("{name:?} cannot be reached from the initial state"),
        )
    };
    assert_eq!(
        warnings(&definition),
        [
            unreached("states[0]", "a"),
            unreached("states[2]", "c"),
            unreached("states[4]", "e")
        ]
    );
    assert!(warnings(&with(json!([{ "from": "a", "event": "E", "to": "b" }]))).is_empty());
    let many = warnings(&states((0..100).map(|number| number.to_string()).collect()));
    assert_eq!(many.len(), 21);
    assert_eq!(
        many[20],
        (String::new(), "79 more warnings are not shown".to_owned())
    );
}

#[test]
fn transitions_and_guards_are_bounded() {
    let many = |count: usize, guard: &str| {
        let one = json!({ "from": "a", "event": "E", "to": "b", "guard": guard });
        with(Value::from(vec![one; count]))
    };
    assert!(Definition::parse(many(20_000, "!0").to_string().as_bytes()).is_ok());
    let plain: Vec<Value> = (0..20_001)
        .map(|number| json!({ "from": "a", "event": number.to_string(), "to": "a" }))
        .collect();
    assert_eq!(
        fault(with(plain.into())),
        "transitions: 20001 transitions; 20000 are allowed"
    );
    let guard = vec!["0"; 500].join("||");
    assert!(Definition::parse(many(100, &guard).to_string().as_bytes()).is_ok());
    assert_eq!(
        fault(many(101, &guard)),
        "transitions: the guards have 100899 operators and operands together; 100000 are allowed"
    );
}

#[test]
fn no_key_of_a_definition_has_a_meaning() {
    let nested = |levels: usize| {
        (0..levels).fold("1".to_owned(), |text, _| {
            json!({ "$serde_json::private::RawValue": format!("[[{text}]]") }).to_string()
        })
    };
    let text =
        |meta: &str| format!(r#"{{"states":["a"],"initial":"a","transitions":[],"meta":{meta}}}"#);
    assert!(Definition::parse(text(&nested(8)).as_bytes()).is_ok());
}

/// What the definition of a full text takes, compiled: the text itself is not counted.
#[test]
fn what_a_definition_takes_is_a_small_multiple_of_its_text() {
    let exits: Vec<String> = (0..150_000_u32)
        .map(|number| format!("s{}", number % 1000))
        .collect();
    let names: Vec<String> = (0..1000).map(|number| format!("s{number}")).collect();
    let by_hundreds: Vec<Value> = exits
        .chunks(1000)
        .enumerate()
        .map(|(number, from)| json!({ "from": from, "event": format!("E{number}"), "to": "s0" }))
        .collect();
    let text = json!({ "states": names, "initial": "s0", "transitions": by_hundreds }).to_string();
    assert!(text.len() > 900_000, "{}", text.len());
    let parsed = Definition::parse(text.as_bytes()).unwrap();
    let exits = parsed.exits.len() * size_of::<Exit>();
    assert_eq!(parsed.exits.len(), 150_000);
    assert!(exits <= 2 * text.len(), "{exits} bytes");
}

/// The bytes that docs/limits.md names.
#[test]
fn the_parts_of_which_a_definition_may_have_very_many_are_small() {
    assert_eq!(size_of::<Exit>(), 12);
    assert_eq!(size_of::<crate::machine::guard::GuardExpr>(), 24);
}
