//! All errors of a definition, and its warnings: what its author should check.

use std::collections::HashSet;

use rstmdb_engine::definition::{Definition, Error};
use rstmdb_rcp::json::Json;

use crate::base::json::{object, text};
use crate::base::problem::Problem;
use crate::model::{Machine, State};

/// Most errors of one definition that are looked for.
const ERRORS_MAX: usize = 50;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What a server refuses.
    pub errors: Vec<Problem>,
    /// What is allowed and probably a mistake.
    pub warnings: Vec<Problem>,
}

/// Checks the text of a definition as a server does, but goes on behind the first error.
pub fn check(definition: &str) -> Checked {
    let mut checked = Checked::default();
    let json = Json::parse(definition).ok();
    match Definition::parse(definition.as_bytes()) {
        Ok(definition) => {
            let warnings = definition.warnings.into_iter();
            checked.warnings = warnings.map(|it| Problem::new(it.place, it.text)).collect();
        }
        Err(error @ Error::Faults(_)) => checked.errors = faults(&error),
        Err(error) => {
            // Format 1 tells the first fault only.
            let error = problem(&error.to_string());
            checked.errors = match &json {
                Some(json) => all_errors(json, error),
                None => vec![error],
            };
        }
    }
    let machine = json.as_ref().and_then(|json| Machine::read(json).ok());
    // What a broken definition leads to is not known.
    if let Some(machine) = machine.filter(|_| checked.errors.is_empty()) {
        checked.warnings.extend(warnings(&machine));
    }
    checked
}

/// All that is wrong with a definition of format 2.
pub(crate) fn faults(error: &Error) -> Vec<Problem> {
    let faults = error.faults().into_iter();
    faults.map(|it| Problem::new(it.place, it.text)).collect()
}

/// The place that the engine's message begins with, and the rest of it.
fn problem(message: &str) -> Problem {
    const FORM: &str = "the definition is not a JSON object of the required form: ";
    let message = message.strip_prefix(FORM).unwrap_or(message);
    let is_place = |place: &str| {
        [
            "transitions",
            "states",
            "initial",
            "format",
            "context",
            "events",
            "merge",
            "meta",
        ]
        .iter()
        .any(|key| {
            place
                .strip_prefix(key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']))
        })
    };
    match message.split_once(": ") {
        Some((place, text)) if is_place(place) => Problem::new(place, text),
        _ => Problem::whole(message),
    }
}

/// Puts something harmless at the place of each error and reads the definition again, so that the positions of all
/// others stay what they are.
fn all_errors(json: &Json, first: Problem) -> Vec<Problem> {
    let mut json = json.clone();
    let mut errors: Vec<Problem> = vec![first];
    while errors.len() < ERRORS_MAX {
        let Some(last) = errors.last() else { break };
        if !mend(&mut json, &last.place) {
            break;
        }
        match Definition::parse(json.to_string().as_bytes()) {
            Ok(_) => break,
            Err(error) => {
                let error = problem(&error.to_string());
                if errors.contains(&error) {
                    break;
                }
                errors.push(error);
            }
        }
    }
    errors
}

fn mend(json: &mut Json, place: &str) -> bool {
    let Json::Object(fields) = json else {
        return false;
    };
    let initial = fields.iter().find(|(key, _)| key == "initial");
    let initial = initial.and_then(|(_, name)| name.as_str().map(str::to_owned));
    let (Some((list, rest)), Some(initial)) = (place.split_once('['), initial) else {
        return false;
    };
    let Some(position) = rest
        .split(']')
        .next()
        .and_then(|it| it.parse::<usize>().ok())
    else {
        return false;
    };
    let items = fields.iter_mut().find(|(key, _)| key == list);
    let Some((_, Json::List(items))) = items else {
        return false;
    };
    let Some(item) = items.get_mut(position) else {
        return false;
    };
    // No name of a user begins so: it would be hard to type.
    let spare = format!("\u{fffd}{list}-{position}");
    match list {
        "transitions" => {
            *item = object([
                ("from", text(initial.as_str())),
                ("event", text(spare)),
                ("to", text(initial)),
            ]);
        }
        "states" => {
            let name = item["name"].as_str().map(str::to_owned);
            *item = text(name.unwrap_or(spare));
        }
        _ => return false,
    }
    true
}

/// What the engine does not warn of.
fn warnings(machine: &Machine) -> Vec<Problem> {
    let mut found = Vec::new();
    let reached = reached(machine);
    let ends = ends(machine);
    for (position, state) in machine.states.iter().enumerate() {
        let place = format!("states[{position}]");
        let name = &state.name;
        if !reached.contains(name.as_str()) {
            continue;
        }
        if !ends.is_empty() && !ends.contains(name.as_str()) {
            let text = format!("no end can be reached from {name:?}");
            found.push(Problem::new(place, text));
        }
    }
    found.extend(idle_events(machine, &reached));
    found
}

/// Events that no state which can be reached answers to.
fn idle_events(machine: &Machine, reached: &HashSet<&str>) -> Vec<Problem> {
    let mut found = Vec::new();
    for event in machine.events() {
        let answers = |state: &&State| {
            let mut leaving = machine.leaving(state);
            leaving.any(|it| machine.transitions[it].event == event)
        };
        let mut states = machine.states.iter();
        if !states.any(|state| reached.contains(state.name.as_str()) && answers(&state)) {
            let position = machine.transitions.iter().position(|it| it.event == event);
            let place = format!("transitions[{}].event", position.unwrap_or_default());
            let text = format!("no state that can be reached answers to {event:?}");
            found.push(Problem::new(place, text));
        }
    }
    found
}

/// The states that an instance can come to be in, conditions aside.
pub(crate) fn reached(machine: &Machine) -> HashSet<&str> {
    let mut reached: HashSet<&str> = HashSet::new();
    let mut next = vec![machine.initial.as_str()];
    while let Some(name) = next.pop() {
        let Some(state) = machine.state(name) else {
            continue;
        };
        if !reached.insert(&state.name) {
            continue;
        }
        next.extend(targets(machine, state));
    }
    reached
}

fn targets<'a>(machine: &'a Machine, state: &'a State) -> Vec<&'a str> {
    let chosen = state.always.iter().map(|choice| choice.to.as_str());
    let leaving = machine.leaving(state);
    chosen
        .chain(leaving.map(|it| machine.transitions[it].to.as_str()))
        .collect()
}

/// The states from which an end can be reached; empty where the machine has no end.
fn ends(machine: &Machine) -> HashSet<&str> {
    let mut before: std::collections::HashMap<&str, Vec<&str>> = std::collections::HashMap::new();
    let mut next = Vec::new();
    for state in &machine.states {
        if machine.is_end(state) {
            next.push(state.name.as_str());
        }
        for target in targets(machine, state) {
            before.entry(target).or_default().push(&state.name);
        }
    }
    let mut found = HashSet::new();
    while let Some(name) = next.pop() {
        if found.insert(name) {
            next.extend(before.get(name).into_iter().flatten());
        }
    }
    found
}
