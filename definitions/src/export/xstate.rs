//! XState's machines as JSON, version 5.

use std::collections::HashMap;

use rstmdb_rcp::json::Json;

use super::{Says, lose_other, name, note_merging, timer};
use crate::base::json::{object, pretty, text, texts};
use crate::base::problem::TranslationFindings;
use crate::model::graph::Graph;
use crate::model::{Act, MachineModel, Merge, ModelState};

/// Keys of a `meta` that XState has, too.
pub(super) const ABOUT: [&str; 3] = ["description", "tags", "meta"];

pub(super) fn write(machine: &MachineModel, findings: &mut TranslationFindings) -> String {
    let says = Says {
        context: true,
        about: true,
        merge: true,
        reenter: true,
        timers: true,
    };
    lose_other(machine, says, findings);
    check_names(machine, findings);
    let how = "the action `rstmdb.merge` of a transition stands for it, so the program has to do it there";
    note_merging(machine, how, findings);
    let mut fields = Vec::new();
    if let Some(name) = name(machine) {
        fields.push(("id", text(name)));
    }
    fields.extend(about(machine.other("meta")));
    fields.push(("initial", text(machine.initial.as_str())));
    let context = &machine.other("context")["default"];
    if !context.is_null() {
        fields.push(("context", context.clone()));
    }
    let graph = Graph::new(machine);
    let mut states = Vec::with_capacity(machine.states.len());
    for (position, it) in machine.states.iter().enumerate() {
        let written = state(machine, &graph, position, findings);
        states.push((it.name.as_str(), written));
    }
    fields.push(("states", object(states)));
    pretty(&object(fields))
}

/// What XState has keys of its own for.
fn about(meta: &Json) -> impl Iterator<Item = (&str, Json)> {
    let fields = meta
        .fields()
        .iter()
        .map(|(key, value)| (key.as_str(), value.clone()));
    fields.filter(|(key, _)| ABOUT.contains(key))
}

fn check_names(machine: &MachineModel, findings: &mut TranslationFindings) {
    for (position, state) in machine.states.iter().enumerate() {
        if state.name.contains('.') || state.name.starts_with('#') {
            let why =
                "XState reads a dot in a target as a path, and `#` as an id; rename the state";
            findings.refuse(
                format!("states[{position}]"),
                format!("{:?}: {why}", state.name),
            );
        }
        check_emits(&format!("states[{position}]"), &state.emit, findings);
        for (at, choice) in state.always.iter().enumerate() {
            let place = format!("states[{position}].always[{at}]");
            check_emits(&place, &choice.act.emit, findings);
        }
    }
    for (position, transition) in machine.transitions.iter().enumerate() {
        if transition.event.contains('*') {
            let why = "`*` stands for any event in XState; rename the event";
            let place = format!("transitions[{position}].event");
            findings.refuse(place, format!("{:?}: {why}", transition.event));
        }
        check_emits(
            &format!("transitions[{position}]"),
            &transition.act.emit,
            findings,
        );
    }
}

/// Names of actions that XState or this export uses for something else.
fn check_emits(place: &str, names: &[String], findings: &mut TranslationFindings) {
    let is_taken = |name: &&String| {
        matches!(name.as_str(), "assign" | "raise")
            || name.starts_with("xstate.")
            || name.starts_with("rstmdb.")
    };
    for name in names.iter().filter(is_taken) {
        let text = format!("{name:?} is an action with another meaning in XState; rename it");
        findings.refuse(format!("{place}.emit"), text);
    }
}

fn state(
    machine: &MachineModel,
    graph: &Graph<'_>,
    position: usize,
    findings: &mut TranslationFindings,
) -> Json {
    let state = &machine.states[position];
    let mut fields = Vec::new();
    for (_, meta) in state.other.iter().filter(|(key, _)| key == "meta") {
        fields.extend(about(meta));
    }
    if state.is_final {
        fields.push(("type", text("final")));
    }
    if !state.emit.is_empty() {
        fields.push(("entry", texts(&state.emit)));
    }
    if !state.always.is_empty() {
        let always = state.always.iter();
        let always = always.map(|it| arrow(state, &it.to, &it.act, Merge::Not));
        fields.push(("always", Json::List(always.collect())));
    }
    let mut on: Vec<(String, Vec<Json>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for position in graph.leaving(position) {
        let transition = &machine.transitions[position];
        let merge = machine.merge(&transition.act);
        let arrow = arrow(state, &transition.to, &transition.act, merge);
        let place = *places.entry(&transition.event).or_insert(on.len());
        match on.get_mut(place) {
            Some((_, arrows)) => arrows.push(arrow),
            None => on.push((transition.event.clone(), vec![arrow])),
        }
    }
    if !on.is_empty() {
        let on = on
            .into_iter()
            .map(|(event, arrows)| (event, Json::List(arrows)));
        fields.push(("on", object(on)));
    }
    let after = after(position, state, findings);
    if !after.is_empty() {
        fields.push(("after", object(after)));
    }
    object(fields)
}

/// A timer is a transition that stays and sends the event to the machine itself: guards and order are those of the
/// event, and a client may send it earlier.
fn after(
    position: usize,
    state: &ModelState,
    findings: &mut TranslationFindings,
) -> Vec<(String, Json)> {
    let mut all: Vec<(String, Json)> = Vec::new();
    for timer in timer::plain(position, state, findings) {
        let Some(ms) = timer.fixed(findings) else {
            continue;
        };
        if all.iter().any(|(other, _)| *other == ms.to_string()) {
            let what = "a second timer of the state with the same delay has no equal";
            findings.lose(timer.place, what, super::LEFT_OUT);
            continue;
        }
        let mut event = vec![("type", text(timer.event))];
        let payload = timer.payload.map_or(&[][..], Json::fields);
        if payload.iter().any(|(key, _)| key == "type") {
            let place = format!("{}.payload", timer.place);
            let what = "the name of the event takes the place of the field `type`";
            findings.lose(place, what, "the field is left out");
        }
        let fields = payload.iter().filter(|(key, _)| key != "type");
        event.extend(fields.map(|(key, value)| (key.as_str(), value.clone())));
        let mut raise = vec![("type", text("xstate.raise")), ("event", object(event))];
        if timer.name != timer.event {
            raise.push(("id", text(timer.name)));
        }
        all.push((ms.to_string(), object([("actions", object(raise))])));
    }
    all
}

fn arrow(from: &ModelState, to: &str, act: &Act, merge: Merge) -> Json {
    let mut fields = vec![("target", text(to))];
    fields.extend(about(act.other("meta")));
    if from.name == to && act.reenters() {
        fields.push(("reenter", Json::Bool(true)));
    }
    if let Some(guard) = &act.guard {
        let params = object([("expression", text(guard.as_str()))]);
        fields.push(("guard", object([("type", text("cel")), ("params", params)])));
    }
    let mut actions = Vec::new();
    if !act.set.is_empty() {
        let set = act
            .set
            .iter()
            .map(|(path, value)| (path.as_str(), text(value.as_str())));
        actions.push(object([
            ("type", text("rstmdb.set")),
            ("params", object(set)),
        ]));
    }
    if !act.unset.is_empty() {
        let params = object([("paths", texts(&act.unset))]);
        actions.push(object([("type", text("rstmdb.unset")), ("params", params)]));
    }
    // Last, because the values of `set` are taken from before it; it leaves them as they are.
    match merge {
        Merge::Not => {}
        Merge::Shallow => actions.push(object([("type", text("rstmdb.merge"))])),
        Merge::Deep => {
            let params = object([("deep", Json::Bool(true))]);
            actions.push(object([("type", text("rstmdb.merge")), ("params", params)]));
        }
    }
    actions.extend(act.emit.iter().map(|name| text(name.as_str())));
    if !actions.is_empty() {
        fields.push(("actions", Json::List(actions)));
    }
    object(fields)
}
