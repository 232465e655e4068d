//! Tests that users write.

use crate::common::{ORDER, lines};
use rstmdb_definitions::cases::{MachineSource, Results, Suite, TestOutcome, report};

fn outcomes(tests: &str) -> Vec<TestOutcome> {
    Suite::read(&format!("machine: order.json\ntests:\n{tests}"))
        .unwrap()
        .run(ORDER)
}

fn failures(tests: &str) -> Vec<String> {
    outcomes(tests)
        .into_iter()
        .flat_map(|it| it.failures)
        .collect()
}

#[test]
fn tests_that_hold_pass() {
    let found = outcomes(
        "
  - name: an order is paid in two parts
    given: {ctx: {customer: {id: 7}}}
    when:
      - {event: ADD, payload: {price: 10}}
      - {event: PAY, payload: {amount: 4}, then: {state: due, emits: [capture]}}
      - {wait: 48h}
      - {event: PAY, payload: {amount: 6}}
    then:
      state: paid
      ctx: {balance: 0.0, customer: {id: 7}}
      without: [price, customer.name]
      emits: [capture, capture, send_receipt]
  - name: nothing cannot be paid
    when: {event: PAY, payload: {amount: 0}}
    then: {state: cart, refused: GUARD_FAILED}
  - name: a refusal in the middle
    when:
      - {event: SHIP, then: {refused: {code: INVALID_TRANSITION, message: 'not possible'}}}
      - CANCEL
    then: {state: cancelled}
  - name: from another state
    given: {state: due, ctx: {balance: 5}}
    when: [{event: PAY, payload: {amount: 5}}]
    then: {state: paid}
",
    );
    let failed: Vec<&TestOutcome> = found.iter().filter(|it| !it.passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(found.len(), 4);
}

#[test]
fn an_instance_that_a_timer_has_deleted_is_gone() {
    const SHORT: &str = r#"{"format": 2, "states": ["open", {"name": "done", "final": true, "delete_after": "2d"}],
        "initial": "open", "transitions": [{"from": "open", "event": "END", "to": "done"}]}"#;
    let tests = "machine: m.json
tests:
  - {name: gone, when: [END, {wait: 1d}, {wait: 1d}], then: {deleted: true}}
  - {name: not yet, when: [END, {wait: 1d23h59m59s}], then: {state: done}}
  - {name: still there, when: [END, {wait: 47h}], then: {deleted: true}}
  - {name: gone and not expected, when: [END, {wait: 1w}], then: {state: done}}
  - {name: gone and an event after that, when: [END, {wait: 1w}, END], then: {state: done}}
";
    let found = Suite::read(tests).unwrap().run(SHORT);
    let failures: Vec<&[String]> = found.iter().map(|it| it.failures.as_slice()).collect();
    assert_eq!(failures[..2], [&[] as &[String], &[]]);
    assert_eq!(
        failures[2],
        ["then: expected no instance, found one in \"done\""]
    );
    assert!(
        failures[3][0].contains("does not exist"),
        "{:?}",
        failures[3]
    );
    assert!(
        failures[4][0].starts_with("when[2] END: INSTANCE_NOT_FOUND"),
        "{:?}",
        failures[4]
    );
}

#[test]
fn what_must_hold_after_a_time_is_said_at_the_time() {
    const OPEN: &str = r#"{"format": 2, "states": [{"name": "open", "timers": {"event": "END", "after": "2d"}},
        {"name": "done", "final": true, "emit": "tell", "delete_after": "1d"}],
        "initial": "open", "transitions": [{"from": "open", "event": "END", "to": "done"}]}"#;
    let tests = "machine: m.json
tests:
  - name: in time
    when:
      - {wait: 47h, then: {state: open, emits: []}}
      - {wait: 1h, then: {state: done, emits: [tell]}}
      - {wait: 1d, then: {deleted: true}}
    then: {deleted: true}
  - name: too early
    when: [{wait: 47h, then: {state: done, emits: [tell]}}]
";
    let found = Suite::read(tests).unwrap().run(OPEN);
    assert_eq!(found[0].failures, [""; 0]);
    assert_eq!(
        found[1].failures,
        [
            "when[0] wait: emits: expected [tell], found []",
            "when[0] wait: state: expected \"done\", found \"open\"",
        ]
    );
    let wrong = "machine: m\ntests: [{name: a, when: [{wait: 1h, then: {refused: LATE}}]}]";
    let places: Vec<String> = Suite::read(wrong)
        .unwrap_err()
        .into_iter()
        .map(|it| it.place)
        .collect();
    assert_eq!(places, ["tests[0].when[0].then.refused"]);
}

#[test]
fn what_is_not_as_expected_is_told_by_path() {
    let found = failures(
        "
  - name: everything is wrong
    when: [{event: ADD, payload: {price: 3}}]
    then: {state: paid, ctx: {balance: 4, items: [1], who: x}, without: [balance], emits: [a]}
",
    );
    assert_eq!(
        found,
        [
            "then: state: expected \"paid\", found \"cart\"",
            "then: ctx.balance: expected 4, found 3",
            "then: ctx.items: expected [1], found []",
            "then: ctx.who: expected \"x\", found nothing",
            "then: ctx.balance: expected nothing, found 3",
            "then: emits: expected [a], found []",
        ]
    );
}

#[test]
fn refusals_that_are_not_expected_and_expected_ones_that_do_not_come_fail() {
    let found = failures(
        "
  - name: refused
    when: [SHIP, CANCEL]
    then: {state: cancelled}
  - name: taken
    when: [CANCEL]
    then: {refused: GUARD_FAILED}
  - name: another refusal
    when: [SHIP]
    then: {refused: GUARD_FAILED}
  - name: no such state
    given: {state: nowhere}
    when: [SHIP]
",
    );
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found[0].starts_with("when[0] SHIP: INVALID_TRANSITION: "));
    assert_eq!(
        found[1],
        "then: expected the refusal GUARD_FAILED, but the event was taken"
    );
    assert!(found[2].contains("expected the refusal GUARD_FAILED, found INVALID_TRANSITION: "));
    assert!(found[3].starts_with("given: "), "{}", found[3]);
}

#[test]
fn all_faults_of_a_file_are_told_with_their_places() {
    let problems = Suite::read(
        "
machine: x
tests:
  - name: a
    given: {stat: x, now: tomorrow}
    when: [{evnt: X}, {wait: long}, 3]
    thn: {}
  - then: {state: 3}
",
    )
    .unwrap_err();
    let places: Vec<&str> = problems.iter().map(|it| it.place.as_str()).collect();
    for place in [
        "tests[0].given.stat",
        "tests[0].given.now",
        "tests[0].when[0].evnt",
        "tests[0].when[0].event",
        "tests[0].when[1].wait",
        "tests[0].when[2]",
        "tests[0].thn",
        "tests[1].name",
        "tests[1].then.state",
    ] {
        assert!(places.contains(&place), "{place} in {places:?}");
    }
    let all = lines(&problems).join("\n");
    assert!(all.contains("did you mean \"then\"?"), "{all}");
    for text in [
        "",
        "tests: []",
        "machine: x",
        "machine: x\ntests: []",
        "- 1",
    ] {
        assert!(Suite::read(text).is_err(), "{text}");
    }
}

#[test]
fn a_suite_may_hold_its_machine() {
    let text = "definition: {states: [a], initial: a, transitions: []}\ntests: [{name: x, then: {state: a}}]";
    let suite = Suite::read(text).unwrap();
    let MachineSource::Inline(definition) = &suite.machine else {
        panic!("{suite:?}");
    };
    assert!(suite.run(&definition.to_string())[0].passed());
}

#[test]
fn the_report_is_xml_that_says_what_failed() {
    let outcome = |name: &str, failures: &[&str]| TestOutcome {
        name: name.to_owned(),
        failures: failures.iter().map(|it| (*it).to_owned()).collect(),
        trace: vec!["created in a".to_owned()],
    };
    let results = Results {
        file: "a&b.yaml".to_owned(),
        outcomes: vec![
            outcome("fine", &[]),
            outcome("<bad>", &["x \"1\"\u{1}", "y"]),
        ],
    };
    let xml = report(&[results]);
    let document = roxmltree::Document::parse(&xml).unwrap();
    let root = document.root_element();
    assert_eq!(
        (root.attribute("tests"), root.attribute("failures")),
        (Some("2"), Some("1"))
    );
    let failure = root
        .descendants()
        .find(|it| it.has_tag_name("failure"))
        .unwrap();
    assert_eq!(failure.attribute("message"), Some("x \"1\"\u{fffd}"));
    assert_eq!(failure.text(), Some("x \"1\"\u{fffd}\ny\n\ncreated in a"));
}

#[test]
fn headers_and_the_reason_of_an_event_are_those_of_its_step() {
    const SIGNED: &str = r#"{"format": 2, "states": ["open", {"name": "done", "final": true}], "initial": "open",
        "transitions": [{"from": "open", "event": "SIGN", "to": "done", "guard": "headers.role == 'officer'",
            "set": {"trace": "headers['x-trace']"}}]}"#;
    let run = |tests: &str| -> Vec<TestOutcome> {
        Suite::read(&format!("machine: m.json\ntests:\n{tests}"))
            .unwrap()
            .run(SIGNED)
    };
    let found = run("
  - name: an officer signs
    when: {event: SIGN, headers: {role: officer, x-trace: t1}, reason: checked, actor: ann}
    then: {state: done, ctx: {trace: t1}}
  - name: the headers of all events
    given: {headers: {role: officer, x-trace: t2}}
    when: SIGN
    then: {state: done, ctx: {trace: t2}}
  - name: a step's own headers replace all of them
    given: {headers: {role: officer, x-trace: t2}}
    when: {event: SIGN, headers: {x-trace: t3}}
    then: {state: open, refused: GUARD_FAILED}
  - name: no headers
    when: {event: SIGN, headers: {}}
    then: {refused: GUARD_FAILED}
");
    let failed: Vec<&TestOutcome> = found.iter().filter(|it| !it.passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");

    // The bounds are those of the server.
    let long = "x".repeat(5000);
    let outcome = &run(&format!(
        "  - {{name: long, when: {{event: SIGN, headers: {{role: {long}}}}}, then: {{state: open}}}}"
    ))[0];
    assert!(outcome.failures[0].contains("4096"), "{outcome:?}");

    let wrong = Suite::read(
        "machine: m\ntests: [{name: a, when: [{event: X, headers: [a]}, {event: X, headers: {a: 1, b: null}}]}]",
    );
    assert_eq!(
        lines(&wrong.unwrap_err()),
        [
            "tests[0].when[0].headers: must be an object of strings, not a list",
            "tests[0].when[1].headers.a: must be a string, not a number",
            "tests[0].when[1].headers.b: must be a string, not null",
        ]
    );
}
