//! What changed between two definitions.

use crate::common::{ORDER, machine};
use rstmdb_definitions::diff::{Effect, diff, gravest};

fn changes(edit: impl Fn(&str) -> String) -> (Vec<String>, Effect) {
    let found = diff(&machine(ORDER), &machine(&edit(ORDER)));
    (
        found.iter().map(ToString::to_string).collect(),
        gravest(&found),
    )
}

#[test]
fn the_same_definition_has_no_changes() {
    assert_eq!(changes(str::to_owned), (Vec::new(), Effect::None));
}

#[test]
fn what_is_added_is_harmless() {
    let (found, effect) = changes(|it| {
        it.replace("\"due\", {", "\"due\", \"held\", {").replace(
            "{\"from\": \"*\"",
            "{\"from\": \"cart\", \"event\": \"HOLD\", \"to\": \"held\"}, {\"from\": \"*\"",
        )
    });
    assert_eq!(
        found,
        [
            "state \"held\": added",
            "\"HOLD\" from cart: added: to held",
            "\"CANCEL\" from held: added: to cancelled",
        ]
    );
    assert_eq!(effect, Effect::None);
}

#[test]
fn a_condition_that_changed_matters_to_instances_in_flight() {
    let (found, effect) = changes(|it| it.replace("event.amount > 0", "event.amount > 1"));
    assert_eq!(effect, Effect::Different);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("\"PAY\" from cart, due: was to checking if event.amount > 0"),
        "{found:?}"
    );
}

#[test]
fn a_state_that_is_gone_strands_instances() {
    let (found, effect) = changes(|it| it.replace("cancelled", "canceled"));
    assert_eq!(effect, Effect::Stranded);
    assert!(
        found
            .iter()
            .any(|it| it.starts_with("state \"cancelled\": removed")),
        "{found:?}"
    );
}

#[test]
fn what_is_not_about_instances_in_flight_is_told_and_harmless() {
    let (found, effect) = changes(|it| {
        it.replace("An order", "Orders")
            .replace("\"initial\": \"cart\"", "\"initial\": \"due\"")
    });
    assert_eq!(effect, Effect::None);
    assert_eq!(found.len(), 2, "{found:?}");
}
