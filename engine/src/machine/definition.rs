//! Reads a machine's definition and checks every rule. Each fault names its place.

pub(crate) mod chart;
mod fault;
mod format_1;
mod format_2;
mod raw;
pub(crate) mod timer;
mod unknown;

use std::borrow::Cow;

use super::guard;
use crate::hash::Map;
use crate::limits::DEFINITION_BYTES_MAX;
pub use chart::{Actions, Always, Assignment, ChartSettings, Condition, Merge, StateParts};
pub use fault::DefinitionFault;
pub use timer::{Retry, TimerDefinition, TimerWhen};

/// A definition that keeps every rule. States and events are numbers in it.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The format in which it is written: 1 or 2.
    pub format: u32,
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
    /// What only format 2 has.
    pub chart: Option<Box<ChartSettings>>,
}

/// One transition.
#[derive(Clone, Debug)]
pub struct Transition {
    /// The states it leaves, each once; empty where it leaves every state.
    pub from: Vec<u16>,
    /// Set if it leaves every state that is not final, except some.
    pub every: Option<Every>,
    /// The event it answers to.
    pub event: u32,
    /// The state it enters.
    pub to: u16,
    /// The condition, where there is one.
    pub guard: Option<Condition>,
    /// What it does beside moving.
    pub actions: Option<Box<Actions>>,
    /// It leaves and enters its state, also where that is the same.
    pub reenter: bool,
}

/// Every state that is not final, but for some.
#[derive(Clone, Debug)]
pub struct Every {
    /// The exceptions, ascending.
    pub except: Box<[u16]>,
}

impl Transition {
    /// Whether it leaves this state, which is not final.
    pub fn leaves(&self, state: u16) -> bool {
        match &self.every {
            Some(every) => every.except.binary_search(&state).is_err(),
            None => self.from.contains(&state),
        }
    }
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
    /// One or more faults of a definition of format 2.
    #[error("{}", fault::joined(.0))]
    Faults(Vec<DefinitionFault>),
    /// A guard does not parse.
    #[error("{place}: {error}")]
    Guard {
        /// The place, as a path like `transitions[3].guard`.
        place: String,
        /// What is wrong, and at which column.
        error: guard::Error,
    },
}

impl Error {
    /// Each fault with its place.
    pub fn faults(&self) -> Vec<DefinitionFault> {
        let (place, text) = match self {
            Self::Faults(all) => return all.clone(),
            Self::Fault { place, fault } => (place.as_str(), fault.clone()),
            Self::Guard { place, error } => (place.as_str(), error.to_string()),
            Self::TooLong { .. } | Self::Json(_) => ("", self.to_string()),
        };
        vec![DefinitionFault {
            place: place.to_owned(),
            text,
        }]
    }
}

impl Definition {
    /// Reads and checks a definition that a client puts.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        if text.len() > DEFINITION_BYTES_MAX {
            return Err(Error::TooLong { bytes: text.len() });
        }
        match raw::format(text).map_err(|wrong| fault("format", wrong))? {
            1 => format_1::parse(text),
            _ => format_2::parse(text, true),
        }
    }

    /// Reads a definition that was accepted once, in the format as which it was.
    pub(crate) fn of_log(text: &[u8], format: u32) -> Result<Self, Error> {
        match format {
            0 | 1 => format_1::of_log(text),
            2 => format_2::parse(text, false),
            _ => Err(fault(
                "format",
                format!("{format} is not one that this version knows"),
            )),
        }
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

fn not_a_state(name: &str) -> String {
    let shown: String = name.chars().take(64).collect();
    format!("{shown:?} is not one of `states`")
}

#[derive(Default)]
struct EventNumbers {
    names: Vec<String>,
    numbers: Map<String, u32>,
}

impl EventNumbers {
    fn has(&self, name: &str) -> bool {
        self.numbers.contains_key(name)
    }

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
