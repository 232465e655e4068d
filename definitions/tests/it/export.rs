//! Definitions in the languages of other systems.

use crate::common::{OLD_ORDER, ORDER, json, lines, machine};
use rstmdb_definitions::export::{ExportLanguage, export};
use rstmdb_definitions::import::{self, import};
use rstmdb_definitions::model::MachineModel;
use rstmdb_definitions::run::Runner;

/// What a definition does with some events.
fn course(definition: &str) -> Vec<String> {
    let mut runner = Runner::new(definition, 1).unwrap();
    let created = runner.create(None, "").unwrap();
    let mut all = vec![format!("{} {}", created.to, created.ctx)];
    for (event, payload) in [
        ("PAY", r#"{"amount":0}"#),
        ("ADD", r#"{"price":7}"#),
        ("ADD", r#"{"price":5}"#),
        ("PAY", r#"{"amount":4}"#),
        ("PAY", r#"{"amount":8}"#),
        ("CANCEL", "{}"),
        ("CANCEL", "{}"),
    ] {
        all.push(match runner.apply(event, Some(payload), "") {
            Ok(step) => format!("{} {} {:?} {:?}", step.to, step.ctx, step.emits, step.via),
            Err(refusal) => refusal.code().to_owned(),
        });
    }
    all
}

/// Without what no other system has.
fn order() -> MachineModel {
    machine(&ORDER.replace(", \"merge\": false", ""))
}

#[test]
fn what_was_exported_does_the_same_when_it_is_imported_again() {
    let definition = ORDER.to_owned();
    for (to, from) in [
        (ExportLanguage::Xstate, import::ImportLanguage::Xstate),
        (ExportLanguage::Scxml, import::ImportLanguage::Scxml),
    ] {
        let exported = export(to, &machine(ORDER), false).unwrap();
        // CANCEL merges its payload.
        let notes = lines(&exported.notes);
        assert!(notes[0].starts_with("in format 2 the payload"), "{notes:?}");
        let again = import(from, &exported.result, false);
        let again =
            again.unwrap_or_else(|it| panic!("{}\n{}", lines(&it).join("\n"), exported.result));
        assert_eq!(
            course(&again.result.to_string()),
            course(&definition),
            "{}",
            exported.result
        );
    }
    let order = order();
    let definition = order.to_json().to_string();
    let lossy = export(ExportLanguage::Mermaid, &order, true).unwrap();
    assert_eq!(lossy.losses.len(), 1, "{:?}", lossy.losses);
    let again = import(import::ImportLanguage::Mermaid, &lossy.result, false)
        .unwrap_or_else(|it| panic!("{}\n{}", lines(&it).join("\n"), lossy.result));
    let mut again = MachineModel::read(&again.result).unwrap();
    again
        .other
        .push(("context".to_owned(), order.other("context").clone()));
    assert_eq!(
        course(&again.to_json().to_string()),
        course(&definition),
        "{}",
        lossy.result
    );
}

#[test]
fn what_another_language_cannot_say_is_refused_with_all_places() {
    let places = |to: ExportLanguage, definition: &str| -> Vec<String> {
        let problems = export(to, &machine(definition), false).unwrap_err();
        problems.into_iter().map(|it| it.place).collect()
    };
    let schemas = ORDER.replace("\"meta\"", "\"events\": {\"PAY\": {}}, \"meta\"");
    assert_eq!(places(ExportLanguage::Xstate, &schemas), ["events"]);
    assert_eq!(places(ExportLanguage::Scxml, &schemas), ["events"]);
    let asl = places(ExportLanguage::Asl, ORDER);
    for place in [
        "context",
        "transitions[1].guard",
        "transitions[1].set",
        "states[1].always[0].guard",
        "transitions[1].emit",
    ] {
        assert!(asl.iter().any(|it| it == place), "{place} in {asl:?}");
    }
    let odd = r#"{"format": 2, "initial": "a.b c", "states": ["a.b c"], "transitions": [
        {"from": "a.b c", "event": "x *", "to": "a.b c"}]}"#;
    assert_eq!(
        places(ExportLanguage::Xstate, odd),
        ["states[0]", "transitions[0].event"]
    );
    assert_eq!(
        places(ExportLanguage::Scxml, odd),
        ["states[0]", "transitions[0].event"]
    );
}

#[test]
fn states_without_conditions_become_tasks_that_wait_for_a_token() {
    let definition = r#"{"format": 2, "initial": "a", "states": [{"name": "a", "emit": ["ask"]}, {"name": "b", "final": true}],
        "transitions": [{"from": "a", "event": "YES", "to": "b"}]}"#;
    let exported = export(ExportLanguage::Asl, &machine(definition), false)
        .unwrap()
        .result;
    let states = json(&exported);
    assert_eq!(states["StartAt"].to_string(), "\"a\"");
    assert_eq!(states["States"]["a"]["Next"].to_string(), "\"a event\"");
    assert_eq!(
        states["States"]["a event"]["Choices"].items()[0]["Next"].to_string(),
        "\"b\""
    );
    assert_eq!(states["States"]["b"]["Type"].to_string(), "\"Succeed\"");
}

#[test]
fn a_definition_of_format_1_is_exported_as_one_of_format_2() {
    let plain = machine(
        &OLD_ORDER
            .replace(", \"label\": \"go\"", "")
            .replace(",\n   \"owner\": \"sales\"", ""),
    );
    let exported = export(ExportLanguage::Xstate, &plain, false).unwrap();
    let again = import(import::ImportLanguage::Xstate, &exported.result, false).unwrap();
    let mut runner = Runner::new(&again.result.to_string(), 1).unwrap();
    runner
        .put_into("PAID", Some(r#"{"packed":1,"total":1}"#))
        .unwrap();
    assert_eq!(runner.apply("SHIP", None, "").unwrap().to, "SHIPPED");
}

#[test]
fn a_drawing_for_graphviz_shows_states_and_labels() {
    let dot = export(ExportLanguage::Dot, &order(), true).unwrap().result;
    for part in [
        "digraph \"order\" {",
        "s1 [label=\"checking\", shape=diamond, style=\"\"];",
        "s3 [label=\"paid\\nentry / send_receipt\"",
        "s0 -> s1 [label=\"PAY [event.amount > 0] / balance = ctx.balance - event.amount, capture\"];",
        "s1 -> s3 [label=\"[ctx.balance <= 0]\"];",
    ] {
        assert!(dot.contains(part), "{part}\nin\n{dot}");
    }
}
