//! What changed between two definitions.

use crate::common::{OLD_ORDER, ORDER, json, machine};
use rstmdb_definitions::convert::convert;
use rstmdb_definitions::diff::{ChangeEffect, diff, gravest};
use rstmdb_definitions::model::MachineModel;

fn changes(edit: impl Fn(&str) -> String) -> (Vec<String>, ChangeEffect) {
    let found = diff(&machine(ORDER), &machine(&edit(ORDER)));
    (
        found.iter().map(ToString::to_string).collect(),
        gravest(&found),
    )
}

#[test]
fn the_same_definition_has_no_changes() {
    assert_eq!(changes(str::to_owned), (Vec::new(), ChangeEffect::None));
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
    assert_eq!(effect, ChangeEffect::None);
}

#[test]
fn a_condition_that_changed_matters_to_instances_in_flight() {
    let (found, effect) = changes(|it| it.replace("event.amount > 0", "event.amount > 1"));
    assert_eq!(effect, ChangeEffect::Different);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("\"PAY\" from cart, due: was to checking if event.amount > 0"),
        "{found:?}"
    );
}

#[test]
fn a_state_that_is_gone_strands_instances() {
    let (found, effect) = changes(|it| it.replace("cancelled", "canceled"));
    assert_eq!(effect, ChangeEffect::Stranded);
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
    assert_eq!(effect, ChangeEffect::None);
    assert_eq!(found.len(), 2, "{found:?}");
}

/// The states, guards and keys of a conversion are written in another way. They mean the same.
#[test]
fn a_definition_of_format_1_and_its_conversion_say_the_same() {
    let old = machine(OLD_ORDER);
    let new = MachineModel::read(&convert(&json(OLD_ORDER)).unwrap().result).unwrap();
    assert_ne!(old, new);
    assert_eq!(diff(&old, &new), []);
    assert_eq!(diff(&new, &old), []);
    // By hand, without the final state and with other spaces.
    let by_hand = r#"{"format": 2, "states": ["CREATED", "PAID", "SHIPPED"], "initial": "CREATED", "transitions": [
        {"from": "CREATED", "event": "PAY", "to": "PAID"}, {"from": ["PAID"], "event": "PACK", "to": "PAID"},
        {"from": "PAID", "event": "SHIP", "to": "SHIPPED", "guard": "GUARD", "meta": {"label": "go"}}],
        "meta": {"owner": "sales"}}"#;
    let guard = new.transitions[2].act.guard.as_ref().unwrap();
    let spaced = guard.replace("&&", "  &&  ");
    assert_eq!(diff(&old, &machine(&by_hand.replace("GUARD", &spaced))), []);
    let other = guard.replace("> 0", "> 1");
    assert_ne!(other, *guard);
    let found = diff(&old, &machine(&by_hand.replace("GUARD", &other)));
    assert_eq!(gravest(&found), ChangeEffect::Different, "{found:?}");
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn what_is_only_written_in_another_way_is_no_change() {
    let spelt = |it: &str| {
        it.replace("event.amount > 0", "(event.amount)>0")
            .replace("ctx.balance - event.amount", "ctx['balance']-event.amount")
            .replace("\"due\", {", "{\"name\": \"due\"}, {")
            .replace(r#"["cart", "due"]"#, r#"["due", "cart", "due"]"#)
            .replace(
                r#""from": "*""#,
                r#""from": ["cart", "checking", "due", "paid"]"#,
            )
    };
    assert_eq!(changes(spelt), (Vec::new(), ChangeEffect::None));
    assert_ne!(spelt(ORDER), ORDER);

    let old = r#"{"states": ["a"], "initial": "a", "transitions": [
        {"from": "a", "event": "X", "to": "a", "guard": "ctx.n > 0 && (ctx.a || ctx.b)"}]}"#;
    let spaced = old.replace("ctx.n > 0 &&", "(ctx.n>0)&&");
    assert_eq!(diff(&machine(old), &machine(&spaced)), []);
    let other = old.replace("||", "&&");
    assert_eq!(
        gravest(&diff(&machine(old), &machine(&other))),
        ChangeEffect::Different
    );
}

#[test]
fn what_is_said_to_people_is_harmless() {
    let (found, effect) = changes(|it| {
        it.replace(
            "\"emit\": [\"capture\"]",
            "\"emit\": [\"capture\"], \"meta\": {\"why\": \"money\"}",
        )
        .replace(
            "\"due\", {",
            "{\"name\": \"due\", \"meta\": {\"color\": 1}}, {",
        )
    });
    assert_eq!(effect, ChangeEffect::None);
    assert_eq!(
        found,
        [
            "state \"due\": was {}, is {\"meta\":{\"color\":1}}",
            "\"PAY\" from cart, due: `meta` was [], is [{\"why\":\"money\"}]",
        ]
    );
}
