//! The Amazon States Language. A state that waits for events becomes a task that waits for a token, and a choice by the
//! name of the event that the token brought.

use std::collections::HashSet;

use rstmdb_rcp::json::Json;

use super::{Says, lose_other, note_merging};
use crate::base::json::{object, pretty, text, texts};
use crate::base::problem::TranslationFindings;
use crate::model::graph::Graph;
use crate::model::{Act, MachineModel, ModelState};

const TASK: &str = "arn:aws:states:::sqs:sendMessage.waitForTaskToken";
const QUEUE: &str = "https://sqs.REGION.amazonaws.com/ACCOUNT/QUEUE";

pub(super) fn write(machine: &MachineModel, findings: &mut TranslationFindings) -> String {
    lose_other(machine, Says::default(), findings);
    note_merging(machine, "the whole event is at `$.event`", findings);
    let mut states: Vec<(String, Json)> = Vec::new();
    let graph = Graph::new(machine);
    for position in 0..machine.states.len() {
        one(machine, &graph, position, &mut states, findings);
    }
    let mut fields = Vec::new();
    if let Some(description) = machine.other("meta")["description"].as_str() {
        fields.push(("Comment", text(description)));
    }
    fields.push(("StartAt", text(machine.initial.as_str())));
    fields.push(("States", Json::Object(states)));
    pretty(&object(fields))
}

fn one(
    machine: &MachineModel,
    graph: &Graph<'_>,
    position: usize,
    states: &mut Vec<(String, Json)>,
    findings: &mut TranslationFindings,
) {
    let state = &machine.states[position];
    let place = format!("states[{position}]");
    if graph.is_end(position) {
        if !state.emit.is_empty() {
            findings.lose(
                format!("{place}.emit"),
                "an end emits nothing there",
                "it is left out",
            );
        }
        states.push((state.name.clone(), object([("Type", text("Succeed"))])));
        return;
    }
    if !state.always.is_empty() {
        choice(position, state, states, findings);
        if !state.is_choice() {
            let text = "a state whose `always` may leave it where it is has no equal; split it into two states";
            findings.refuse(place, text);
        }
        return;
    }
    waiting(machine, graph, position, states, findings);
}

/// A state that waits for events.
fn waiting(
    machine: &MachineModel,
    graph: &Graph<'_>,
    position: usize,
    states: &mut Vec<(String, Json)>,
    findings: &mut TranslationFindings,
) {
    let state = &machine.states[position];
    let mut next = format!("{} event", state.name);
    while graph.number(&next).is_some() {
        next.push('_');
    }
    let body = object([
        ("token.$", text("$$.Task.Token")),
        ("state", text(state.name.as_str())),
        ("emit", texts(&state.emit)),
    ]);
    let parameters = object([("QueueUrl", text(QUEUE)), ("MessageBody", body)]);
    let task = object([
        ("Type", text("Task")),
        ("Resource", text(TASK)),
        ("Parameters", parameters),
        ("ResultPath", text("$.event")),
        ("Next", text(next.as_str())),
    ]);
    states.push((state.name.clone(), task));
    let mut rules = Vec::new();
    // Without conditions, a later transition for the same event is never taken.
    let mut taken: HashSet<&str> = HashSet::new();
    for position in graph.leaving(position) {
        let transition = &machine.transitions[position];
        if !taken.insert(&transition.event) {
            continue;
        }
        lose_act(
            &format!("transitions[{position}]"),
            &transition.act,
            findings,
        );
        rules.push(object([
            ("Variable", text("$.event.name")),
            ("StringEquals", text(transition.event.as_str())),
            ("Next", text(transition.to.as_str())),
        ]));
    }
    let choice = object([
        ("Type", text("Choice")),
        ("Choices", Json::List(rules)),
        ("Default", text(state.name.as_str())),
    ]);
    states.push((next, choice));
}

fn choice(
    position: usize,
    state: &ModelState,
    states: &mut Vec<(String, Json)>,
    findings: &mut TranslationFindings,
) {
    for (at, choice) in state.always.iter().enumerate() {
        lose_act(
            &format!("states[{position}].always[{at}]"),
            &choice.act,
            findings,
        );
    }
    if !state.emit.is_empty() {
        findings.lose(
            format!("states[{position}].emit"),
            "a choice emits nothing there",
            "it is left out",
        );
    }
    // Without its conditions only the last way is left.
    let last = state.always.last().map_or("", |choice| choice.to.as_str());
    let pass = object([("Type", text("Pass")), ("Next", text(last))]);
    states.push((state.name.clone(), pass));
}

fn lose_act(place: &str, act: &Act, findings: &mut TranslationFindings) {
    if let Some(guard) = &act.guard {
        let what = format!("the condition {guard} has no equal");
        let instead = "it is left out, and the program that sends the token has to check it";
        findings.lose(format!("{place}.guard"), what, instead);
    }
    let effects = [
        ("set", act.set.is_empty()),
        ("unset", act.unset.is_empty()),
        ("emit", act.emit.is_empty()),
    ];
    for (key, is_empty) in effects {
        if !is_empty {
            findings.lose(format!("{place}.{key}"), "has no equal", "it is left out");
        }
    }
}
