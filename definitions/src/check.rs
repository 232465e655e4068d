//! All errors of a definition, and its warnings: what its author should check.

use std::collections::HashMap;

use rstmdb_engine::definition::{Definition, Error};
use rstmdb_rcp::json::Json;

use crate::base::json::{object, text};
use crate::base::problem::Problem;
use crate::model::MachineModel;
use crate::model::graph::{Graph, Reach};

/// Most errors of one definition that are looked for.
const ERRORS_MAX: usize = 50;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckedDefinition {
    /// What a server refuses.
    pub errors: Vec<Problem>,
    /// What is allowed and probably a mistake.
    pub warnings: Vec<Problem>,
}

/// Checks the text of a definition as a server does, but goes on behind the first error.
pub fn check(definition: &str) -> CheckedDefinition {
    let mut checked = CheckedDefinition::default();
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
    let machine = json.as_ref().and_then(|json| MachineModel::read(json).ok());
    // What a broken definition leads to is not known.
    if let Some(machine) = machine.filter(|_| checked.errors.is_empty()) {
        checked.warnings.extend(warnings(&machine));
    }
    checked
}

/// All errors of a definition of format 2.
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
    // No user's name begins like this, because it would be hard to type.
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
fn warnings(machine: &MachineModel) -> Vec<Problem> {
    let graph = Graph::new(machine);
    let reach = graph.reach();
    let (ending, _) = graph.ending();
    let has_end = ending.contains(&true);
    let mut found = Vec::new();
    for (number, state) in machine.states.iter().enumerate() {
        if has_end && reach.states[number] && !ending[number] {
            let text = format!("no end can be reached from {:?}", state.name);
            found.push(Problem::new(format!("states[{number}]"), text));
        }
    }
    found.extend(idle_events(machine, &reach));
    found
}

/// Events that no state which can be reached answers to.
fn idle_events(machine: &MachineModel, reach: &Reach) -> Vec<Problem> {
    // The first transition of each event, and whether one of them can be taken.
    let mut answered: HashMap<&str, bool> = HashMap::new();
    let mut firsts = Vec::new();
    for (number, transition) in machine.transitions.iter().enumerate() {
        let answers = answered.entry(&transition.event).or_insert_with(|| {
            firsts.push(number);
            false
        });
        *answers |= reach.transitions[number];
    }
    let idle = |number: &usize| !answered[machine.transitions[*number].event.as_str()];
    let idle = firsts.into_iter().filter(idle);
    idle.map(|number| {
        let event = &machine.transitions[number].event;
        let text = format!("no state that can be reached answers to {event:?}");
        Problem::new(format!("transitions[{number}].event"), text)
    })
    .collect()
}
