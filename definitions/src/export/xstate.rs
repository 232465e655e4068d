//! XState's machines as JSON, version 5.

use std::collections::HashMap;

use rstmdb_rcp::json::Json;

use super::{lose_other, name};
use crate::base::json::{object, pretty, text, texts};
use crate::base::problem::Findings;
use crate::model::graph::Graph;
use crate::model::{Act, Machine, State};

/// Keys of a state's `meta` that XState has, too.
pub(super) const ABOUT: [&str; 3] = ["description", "tags", "meta"];

pub(super) fn write(machine: &Machine, findings: &mut Findings) -> String {
    lose_other(machine, &["context", "about"], findings);
    for (position, state) in machine.states.iter().enumerate() {
        if state.name.contains('.') || state.name.starts_with('#') {
            let why =
                "XState reads a dot in a target as a path, and `#` as an id; rename the state";
            findings.refuse(
                format!("states[{position}]"),
                format!("{:?}: {why}", state.name),
            );
        }
    }
    for (position, transition) in machine.transitions.iter().enumerate() {
        if transition.event.contains('*') {
            let why = "`*` stands for any event in XState; rename the event";
            let place = format!("transitions[{position}].event");
            findings.refuse(place, format!("{:?}: {why}", transition.event));
        }
    }
    let mut fields = Vec::new();
    if let Some(name) = name(machine) {
        fields.push(("id", text(name)));
    }
    if let Some(description) = machine.other("meta")["description"].as_str() {
        fields.push(("description", text(description)));
    }
    fields.push(("initial", text(machine.initial.as_str())));
    let context = &machine.other("context")["default"];
    if !context.is_null() {
        fields.push(("context", context.clone()));
    }
    let graph = Graph::new(machine);
    let states = machine.states.iter().enumerate();
    let states = states.map(|(at, it)| (it.name.as_str(), state(machine, &graph, at)));
    fields.push(("states", object(states)));
    pretty(&object(fields))
}

fn state(machine: &Machine, graph: &Graph<'_>, position: usize) -> Json {
    let state = &machine.states[position];
    let mut fields = Vec::new();
    for (key, value) in state.other.iter().flat_map(|(_, meta)| meta.fields()) {
        if ABOUT.contains(&key.as_str()) {
            fields.push((key.as_str(), value.clone()));
        }
    }
    if state.is_final {
        fields.push(("type", text("final")));
    }
    if !state.emit.is_empty() {
        fields.push(("entry", texts(&state.emit)));
    }
    if !state.always.is_empty() {
        let always = state
            .always
            .iter()
            .map(|choice| arrow(state, &choice.to, &choice.act));
        fields.push(("always", Json::List(always.collect())));
    }
    let mut on: Vec<(String, Vec<Json>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for position in graph.leaving(position) {
        let transition = &machine.transitions[position];
        let arrow = arrow(state, &transition.to, &transition.act);
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
    object(fields)
}

fn arrow(from: &State, to: &str, act: &Act) -> Json {
    let mut fields = vec![("target", text(to))];
    if from.name == to && !from.emit.is_empty() {
        fields.push(("reenter", Json::Bool(super::EMITS_ON_STAYING)));
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
    actions.extend(act.emit.iter().map(|name| text(name.as_str())));
    if !actions.is_empty() {
        fields.push(("actions", Json::List(actions)));
    }
    object(fields)
}
