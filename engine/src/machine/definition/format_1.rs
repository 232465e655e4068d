//! Definitions of format 1: keys that are not known are ignored, unless format 2 gives them a meaning.

use std::borrow::Cow;

use super::chart::Condition;
use super::raw::{self, GuardText, Raw};
use super::{
    Definition, Error, EventNumbers, Exit, Transition, Warning, exits, fault, not_a_state,
};
use crate::hash::Map;
use crate::limits::{GUARD_NODES_MAX, STATES_MAX, TRANSITIONS_MAX, WARNINGS_MAX, name_fault};
use crate::machine::guard::Guard;

/// Keys that mean something in format 2 only. Were they ignored, the definition would do less than it says.
const OF_FORMAT_2: [&str; 23] = [
    "timers",
    "after",
    "at",
    "every",
    "entry",
    "exit",
    "emit",
    "set",
    "unset",
    "merge",
    "type",
    "parallel",
    "regions",
    "history",
    "final",
    "always",
    "on_done",
    "invoke",
    "schema",
    "context",
    "events",
    "indexes",
    "delete_after",
];
const REENTER: &str = "reenter";

/// Reads and checks a definition that a client puts.
pub(super) fn parse(text: &[u8]) -> Result<Definition, Error> {
    let raw = raw::read(text).map_err(Error::Json)?;
    check_slips(&raw)?;
    if raw.transitions.len() > TRANSITIONS_MAX {
        let count = raw.transitions.len();
        let allowed = format!("{count} transitions; {TRANSITIONS_MAX} are allowed");
        return Err(fault("transitions", allowed));
    }
    let definition = build(&raw)?;
    let guards = definition
        .transitions
        .iter()
        .filter_map(|it| it.guard.as_ref());
    let nodes: usize = guards
        .map(|guard| match guard {
            Condition::Guard(guard) => guard.nodes(),
            Condition::Expression(_) => 0,
        })
        .sum();
    if nodes > GUARD_NODES_MAX {
        return Err(fault(
            "transitions",
            format!(
                "the guards have {nodes} operators and operands together; {GUARD_NODES_MAX} are \
                 allowed"
            ),
        ));
    }
    Ok(Definition {
        warnings: warnings(&raw, &definition),
        ..definition
    })
}

/// Reads a definition that was accepted once. Rules that only protect an author from mistakes are not
/// checked, because the version that accepted it may not have had them.
pub(super) fn of_log(text: &[u8]) -> Result<Definition, Error> {
    build(&raw::read(text).map_err(Error::Json)?)
}

fn build(raw: &Raw<'_>) -> Result<Definition, Error> {
    let numbers = check_states(&raw.states)?;
    let initial = *numbers
        .get(&*raw.initial)
        .ok_or_else(|| fault("initial", not_a_state(&raw.initial)))?;
    let mut events = EventNumbers::default();
    let mut transitions = Vec::with_capacity(raw.transitions.len());
    for (position, raw) in raw.transitions.iter().enumerate() {
        transitions.push(check_transition(position, raw, &numbers, &mut events)?);
    }
    let exits = exits(&transitions);
    let definition = Definition {
        format: 1,
        states: raw.states.iter().map(|name| name.to_string()).collect(),
        initial,
        events: events.names,
        transitions,
        warnings: Vec::new(),
        exits,
        chart: None,
    };
    check_reachable(&definition)?;
    Ok(definition)
}

/// Finds a transition that can never fire, because one without a guard comes first.
fn check_reachable(definition: &Definition) -> Result<(), Error> {
    let is_shadowed = |pair: &&[Exit]| {
        let same = (pair[0].state, pair[0].event) == (pair[1].state, pair[1].event);
        same && definition.transitions[pair[0].transition as usize]
            .guard
            .is_none()
    };
    let shadowed = definition.exits.windows(2).filter(is_shadowed);
    // In reading order: the first such transition, and the first of the states that it names.
    let first = shadowed.min_by_key(|pair| {
        let from = &definition.transitions[pair[1].transition as usize].from;
        let place = from.iter().position(|state| *state == pair[1].state);
        (pair[1].transition, place)
    });
    let Some([earlier, exit]) = first else {
        return Ok(());
    };
    Err(fault(
        format!("transitions[{}]", exit.transition),
        format!(
            "can never fire for event {:?} from state {:?}: transitions[{}] has no guard and \
             comes first",
            definition.events[exit.event as usize],
            definition.states[usize::from(exit.state)],
            earlier.transition,
        ),
    ))
}

/// Refuses a transition that would not do what its author meant.
fn check_slips(raw: &Raw<'_>) -> Result<(), Error> {
    for unknown in &raw.unknown {
        if let Some(meant) = unknown.meant() {
            return Err(fault(unknown.place(), unknown.refusal(meant)));
        }
        if OF_FORMAT_2.contains(&&*unknown.key) || unknown.key == REENTER {
            let text =
                "needs format 2: say `\"format\": 2` in the definition, or keep the key in `meta`";
            return Err(fault(unknown.place(), text));
        }
    }
    let is_null = |transition: &raw::RawTransition<'_>| matches!(transition.guard, GuardText::Null);
    match raw.transitions.iter().position(is_null) {
        None => Ok(()),
        Some(position) => Err(fault(
            format!("transitions[{position}].guard"),
            "null is not a guard; leave `guard` out where there is no condition",
        )),
    }
}

fn warnings(raw: &Raw<'_>, definition: &Definition) -> Vec<Warning> {
    let ignored = raw.unknown.iter().map(|unknown| Warning {
        place: unknown.place(),
        text: unknown.warning(),
    });
    let reached = reached(definition);
    let unreached = (0..reached.len()).filter(|state| !reached[*state]);
    let unreached = unreached.map(|state| Warning {
        place: format!("states[{state}]"),
        text: format!(
            "{:?} cannot be reached from the initial state",
            definition.states[state]
        ),
    });
    let mut all = ignored.chain(unreached);
    let mut shown: Vec<Warning> = all.by_ref().take(WARNINGS_MAX).collect();
    let more = all.count();
    if more > 0 {
        shown.push(Warning {
            place: String::new(),
            text: format!("{more} more warnings are not shown"),
        });
    }
    shown
}

/// Which states an instance can come to be in, guards aside.
fn reached(definition: &Definition) -> Vec<bool> {
    let mut reached = vec![false; definition.states.len()];
    reached[usize::from(definition.initial)] = true;
    let mut next = vec![definition.initial];
    while let Some(state) = next.pop() {
        let from = definition.exits.partition_point(|exit| exit.state < state);
        let exits = definition.exits[from..].iter();
        for exit in exits.take_while(|exit| exit.state == state) {
            let to = definition.transitions[exit.transition as usize].to;
            if !std::mem::replace(&mut reached[usize::from(to)], true) {
                next.push(to);
            }
        }
    }
    reached
}

fn check_states<'a>(states: &'a [Cow<'_, str>]) -> Result<Map<&'a str, u16>, Error> {
    if states.is_empty() || states.len() > STATES_MAX {
        return Err(fault(
            "states",
            format!("{} states; 1 to {STATES_MAX} are allowed", states.len()),
        ));
    }
    let mut numbers: Map<&str, u16> = Map::default();
    for (position, state) in states.iter().enumerate() {
        let place = || format!("states[{position}]");
        if let Some(wrong) = name_fault(state) {
            return Err(fault(place(), format!("the name {wrong}")));
        }
        if numbers.insert(state, position as u16).is_some() {
            return Err(fault(place(), format!("{state:?} is there twice")));
        }
    }
    Ok(numbers)
}

fn check_transition(
    position: usize,
    raw: &raw::RawTransition<'_>,
    states: &Map<&str, u16>,
    events: &mut EventNumbers,
) -> Result<Transition, Error> {
    let place = |field: &str| format!("transitions[{position}].{field}");
    let state = |field: &str, name: &str| match states.get(name) {
        Some(number) => Ok(*number),
        None => Err(fault(place(field), not_a_state(name))),
    };
    if raw.from.is_empty() {
        return Err(fault(place("from"), "must name at least one state"));
    }
    let mut seen: Map<u16, ()> = Map::default();
    let mut from = Vec::with_capacity(raw.from.len());
    for name in &raw.from {
        let number = state("from", name)?;
        if seen.insert(number, ()).is_none() {
            from.push(number);
        }
    }
    if let Some(wrong) = name_fault(&raw.event) {
        return Err(fault(place("event"), format!("the name {wrong}")));
    }
    let to = state("to", &raw.to)?;
    let guard = match &raw.guard {
        GuardText::Absent | GuardText::Null => None,
        GuardText::Text(text) => {
            let parsed = Guard::parse(text).map_err(|error| Error::Guard {
                place: place("guard"),
                error,
            })?;
            Some(Condition::Guard(Box::new(parsed)))
        }
    };
    Ok(Transition {
        from,
        every: None,
        event: events.number(&raw.event),
        to,
        guard,
        actions: None,
        reenter: false,
    })
}
