//! What is wrong with a definition.

use crate::common::{ORDER, lines};
use rstmdb_definitions::check::check;

#[test]
fn a_definition_without_faults_has_neither_errors_nor_warnings() {
    let checked = check(ORDER);
    assert_eq!(lines(&checked.errors), [""; 0]);
    assert_eq!(lines(&checked.warnings), [""; 0]);
}

#[test]
fn all_errors_of_format_1_are_told_with_their_places_and_not_only_the_first() {
    let checked = check(
        r#"{"states": ["a", "b"], "initial": "a", "transitions": [
            {"from": "a", "event": "X", "to": "c"},
            {"from": "a", "event": "", "to": "b"},
            {"from": "a", "event": "Y", "to": "b", "guard": "ctx.n >"},
            {"from": "a", "event": "Z", "to": "b"},
            {"from": "a", "event": "Z", "to": "a"},
            {"from": "b", "to": "a"}]}"#,
    );
    let places: Vec<&str> = checked.errors.iter().map(|it| it.place.as_str()).collect();
    // A missing key is found while the text is read, before the other faults.
    for place in [
        "transitions[5]",
        "transitions[0].to",
        "transitions[1].event",
        "transitions[2].guard",
        "transitions[4]",
    ] {
        assert!(places.contains(&place), "{place} in {places:?}");
    }
    assert_eq!(places.len(), 5, "{:?}", checked.errors);
}

#[test]
fn all_errors_of_format_2_are_told() {
    let checked = check(
        r#"{"format": 2, "states": ["a", {"name": "b", "finall": true}], "initial": "a", "transitions": [
            {"from": "a", "event": "X", "to": "c"}, {"from": "a", "event": "Y", "to": "b", "guard": "ctx.n >"}]}"#,
    );
    assert_eq!(checked.errors.len(), 3, "{:?}", checked.errors);
}

#[test]
fn what_is_probably_a_mistake_is_a_warning() {
    let checked = check(
        r#"{"states": ["a", "b", "c", "d", "end"], "initial": "a", "transitions": [
            {"from": "a", "event": "X", "to": "b"}, {"from": "b", "event": "Y", "to": "c"},
            {"from": "c", "event": "Y", "to": "b"}, {"from": "a", "event": "END", "to": "end"},
            {"from": "d", "event": "LOST", "to": "a"}]}"#,
    );
    assert_eq!(lines(&checked.errors), [""; 0]);
    assert_eq!(
        lines(&checked.warnings),
        [
            "states[3]: \"d\" cannot be reached from the initial state",
            "states[1]: no end can be reached from \"b\"",
            "states[2]: no end can be reached from \"c\"",
            "transitions[4].event: no state that can be reached answers to \"LOST\"",
        ]
    );
}

#[test]
fn a_dead_end_and_an_event_that_nothing_handles_are_warnings_in_format_2() {
    let checked = check(
        r#"{"format": 2, "states": ["a", "b"], "initial": "a", "events": {"Z": {}},
            "transitions": [{"from": "a", "event": "X", "to": "b"}]}"#,
    );
    let warnings = lines(&checked.warnings).join("\n");
    assert!(
        warnings.contains("states[1]: nothing leaves \"b\""),
        "{warnings}"
    );
    assert!(
        warnings.contains("events.Z: no transition handles"),
        "{warnings}"
    );
}

#[test]
fn a_text_that_is_no_definition_is_one_error() {
    for text in ["", "[]", "nonsense", "{\"states\": 3}", "{}"] {
        assert_eq!(check(text).errors.len(), 1, "{text}");
    }
}
