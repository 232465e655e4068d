//! Reads a machine's definition and checks every rule. Each fault names its place.

mod raw;
mod unknown;

use std::borrow::Cow;

use super::guard::{self, Guard};
use crate::hash::Map;
use crate::limits::{
    DEFINITION_BYTES_MAX, GUARD_NODES_MAX, STATES_MAX, TRANSITIONS_MAX, WARNINGS_MAX, name_fault,
};
use raw::{GuardText, Raw};

/// A definition that keeps every rule. States and events are numbers in it.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The states' names, in the order written.
    pub states: Vec<String>,
    /// The state of a new instance.
    pub initial: u16,
    /// The events' names, in the order met.
    pub events: Vec<String>,
    /// The transitions, in the order written.
    pub transitions: Vec<Transition>,
    /// What its author should look at.
    pub warnings: Vec<Warning>,
    /// By state and event, in the order written.
    pub(crate) exits: Vec<Exit>,
}

/// One transition.
#[derive(Clone, Debug)]
pub struct Transition {
    /// The states it leaves, each once.
    pub from: Vec<u16>,
    /// The event it answers to.
    pub event: u32,
    /// The state it enters.
    pub to: u16,
    /// The condition, where there is one.
    pub guard: Option<Box<Guard>>,
}

/// A way out of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Exit {
    pub(crate) state: u16,
    pub(crate) event: u32,
    /// The transition's position.
    pub(crate) transition: u32,
}

/// A warning: something that is allowed but probably a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The place, as a path like `transitions[3].label`; empty for the definition as a whole.
    pub place: String,
    /// What it is.
    pub text: String,
}

/// What is wrong with a definition, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is too long.
    #[error("the definition is {bytes} bytes long; {DEFINITION_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The text is not JSON of the right form.
    #[error("the definition is not a JSON object of the required form: {0}")]
    Json(String),
    /// A value is not allowed at its place.
    #[error("{place}: {fault}")]
    Fault {
        /// The place, as a path like `transitions[3].from`.
        place: String,
        /// What is wrong and what is allowed.
        fault: String,
    },
    /// A guard does not parse.
    #[error("{place}: {error}")]
    Guard {
        /// The place, as a path like `transitions[3].guard`.
        place: String,
        /// What is wrong, and at which column.
        error: guard::Error,
    },
}

impl Definition {
    /// Reads and checks a definition that a client puts.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        if text.len() > DEFINITION_BYTES_MAX {
            return Err(Error::TooLong { bytes: text.len() });
        }
        let raw = raw::read(text).map_err(Error::Json)?;
        check_slips(&raw)?;
        if raw.transitions.len() > TRANSITIONS_MAX {
            let count = raw.transitions.len();
            let allowed = format!("{count} transitions; {TRANSITIONS_MAX} are allowed");
            return Err(fault("transitions", allowed));
        }
        let definition = Self::build(&raw)?;
        let guards = definition
            .transitions
            .iter()
            .filter_map(|it| it.guard.as_ref());
        let nodes: usize = guards.map(|guard| guard.nodes()).sum();
        if nodes > GUARD_NODES_MAX {
            return Err(fault(
                "transitions",
                format!(
                    "the guards have {nodes} operators and operands together; {GUARD_NODES_MAX} \
                     are allowed"
                ),
            ));
        }
        Ok(Self {
            warnings: warnings(&raw, &definition),
            ..definition
        })
    }

    /// Reads a definition that was accepted once. Rules that only protect an author from mistakes are not
    /// checked, because the version that accepted it may not have had them.
    pub(crate) fn of_log(text: &[u8]) -> Result<Self, Error> {
        Self::build(&raw::read(text).map_err(Error::Json)?)
    }

    fn build(raw: &Raw<'_>) -> Result<Self, Error> {
        let numbers = check_states(&raw.states)?;
        let initial = *numbers
            .get(&*raw.initial)
            .ok_or_else(|| fault("initial", not_a_state(&raw.initial)))?;
        let mut events = Events::default();
        let mut transitions = Vec::with_capacity(raw.transitions.len());
        for (position, raw) in raw.transitions.iter().enumerate() {
            transitions.push(check_transition(position, raw, &numbers, &mut events)?);
        }
        let exits = exits(&transitions);
        let definition = Self {
            states: raw.states.iter().map(|name| name.to_string()).collect(),
            initial,
            events: events.names,
            transitions,
            warnings: Vec::new(),
            exits,
        };
        definition.check_reachable()?;
        Ok(definition)
    }

    /// Finds a transition that can never fire, because one without a guard comes first.
    fn check_reachable(&self) -> Result<(), Error> {
        let is_shadowed = |pair: &&[Exit]| {
            let same = (pair[0].state, pair[0].event) == (pair[1].state, pair[1].event);
            same && self.transitions[pair[0].transition as usize]
                .guard
                .is_none()
        };
        let shadowed = self.exits.windows(2).filter(is_shadowed);
        // In reading order: the first such transition, and the first of the states that it names.
        let first = shadowed.min_by_key(|pair| {
            let from = &self.transitions[pair[1].transition as usize].from;
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
                self.events[exit.event as usize],
                self.states[usize::from(exit.state)],
                earlier.transition,
            ),
        ))
    }
}

/// The states and the initial state of a definition. This version may not understand the rest of it.
pub(crate) fn outline(text: &[u8]) -> Result<(Vec<String>, String), String> {
    let (states, initial) = raw::outline(text)?;
    if !states.contains(&initial) || states.len() > usize::from(u16::MAX) {
        return Err("the definition's states cannot be used".to_owned());
    }
    let states = states.into_iter().map(Cow::into_owned).collect();
    Ok((states, initial.into_owned()))
}

fn fault(place: impl Into<String>, fault: impl Into<String>) -> Error {
    Error::Fault {
        place: place.into(),
        fault: fault.into(),
    }
}

/// Refuses a transition that would not do what its author meant.
fn check_slips(raw: &Raw<'_>) -> Result<(), Error> {
    for unknown in &raw.unknown {
        if let Some(meant) = unknown.meant() {
            return Err(fault(unknown.place(), unknown.refusal(meant)));
        }
    }
    let is_null = |transition: &raw::Transition<'_>| matches!(transition.guard, GuardText::Null);
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

fn not_a_state(name: &str) -> String {
    let shown: String = name.chars().take(64).collect();
    format!("{shown:?} is not one of `states`")
}

#[derive(Default)]
struct Events {
    names: Vec<String>,
    numbers: Map<String, u32>,
}

impl Events {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.names.len() as u32;
        self.numbers.insert(name.to_owned(), number);
        self.names.push(name.to_owned());
        number
    }
}

fn check_transition(
    position: usize,
    raw: &raw::Transition<'_>,
    states: &Map<&str, u16>,
    events: &mut Events,
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
            Some(Box::new(parsed))
        }
    };
    Ok(Transition {
        from,
        event: events.number(&raw.event),
        to,
        guard,
    })
}

fn exits(transitions: &[Transition]) -> Vec<Exit> {
    let count = transitions
        .iter()
        .map(|transition| transition.from.len())
        .sum();
    let mut exits = Vec::with_capacity(count);
    for (position, transition) in transitions.iter().enumerate() {
        exits.extend(transition.from.iter().map(|state| Exit {
            state: *state,
            event: transition.event,
            transition: position as u32,
        }));
    }
    exits.sort_unstable();
    exits
}

#[cfg(test)]
mod tests;
