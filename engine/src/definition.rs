//! A machine's definition: read, and every rule checked, each fault with its place.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::guard::{self, Guard};
use crate::hash::Map;
use crate::limits::{DEFINITION_BYTES_MAX, STATES_MAX, name_fault};

/// A definition that keeps every rule.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The states, in the order written.
    pub states: Vec<String>,
    /// The state of a new instance.
    pub initial: String,
    /// The transitions, in the order written.
    pub transitions: Vec<Transition>,
    /// Whatever the user attached.
    pub meta: Option<Value>,
}

/// One transition.
#[derive(Clone, Debug)]
pub struct Transition {
    /// The states it leaves, each once.
    pub from: Vec<String>,
    /// The event it answers to.
    pub event: String,
    /// The state it enters.
    pub to: String,
    /// The condition, where there is one.
    pub guard: Option<Guard>,
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
    #[error("the definition is not a valid JSON object of its form: {0}")]
    Json(String),
    /// A value is not allowed where it stands.
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

#[derive(Deserialize)]
struct Raw {
    states: Vec<String>,
    initial: String,
    transitions: Vec<FromObject<RawTransition>>,
    #[serde(default)]
    meta: Option<Value>,
}

#[derive(Deserialize)]
struct RawTransition {
    from: OneOrMany,
    event: String,
    to: String,
    #[serde(default)]
    guard: Option<String>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "`from` must be a state's name or a list of names"
)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Read from an object only: serde alone would also take a list of the fields' values.
struct FromObject<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for FromObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = FromObject<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(FromObject)
            }
        }
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

impl Definition {
    /// Reads and checks a definition.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        if text.len() > DEFINITION_BYTES_MAX {
            return Err(Error::TooLong { bytes: text.len() });
        }
        let FromObject(raw) = serde_json::from_slice::<FromObject<Raw>>(text)
            .map_err(|error| Error::Json(error.to_string()))?;
        let numbers = check_states(&raw.states, &raw.initial)?;
        let mut reachable = Reachable::default();
        let mut transitions = Vec::with_capacity(raw.transitions.len());
        for (position, FromObject(transition)) in raw.transitions.into_iter().enumerate() {
            let transition = check_transition(position, transition, &numbers)?;
            reachable.check(position, &transition)?;
            transitions.push(transition);
        }
        drop(numbers);
        Ok(Self {
            states: raw.states,
            initial: raw.initial,
            transitions,
            meta: raw.meta,
        })
    }
}

/// The states and the initial one of a definition this version may not understand otherwise.
pub(crate) fn outline(text: &[u8]) -> Result<(Vec<String>, String), String> {
    #[derive(Deserialize)]
    struct Outline {
        states: Vec<String>,
        initial: String,
    }
    let FromObject(outline) =
        serde_json::from_slice::<FromObject<Outline>>(text).map_err(|error| error.to_string())?;
    if !outline.states.contains(&outline.initial) || outline.states.len() > usize::from(u16::MAX) {
        return Err("the definition's states cannot be used".to_owned());
    }
    Ok((outline.states, outline.initial))
}

fn fault(place: impl Into<String>, fault: impl Into<String>) -> Error {
    Error::Fault {
        place: place.into(),
        fault: fault.into(),
    }
}

fn check_states<'a>(states: &'a [String], initial: &str) -> Result<Map<&'a str, ()>, Error> {
    if states.is_empty() || states.len() > STATES_MAX {
        return Err(fault(
            "states",
            format!("{} states; 1 to {STATES_MAX} are allowed", states.len()),
        ));
    }
    let mut known: Map<&str, ()> = Map::default();
    for (position, state) in states.iter().enumerate() {
        let place = || format!("states[{position}]");
        if let Some(wrong) = name_fault(state) {
            return Err(fault(place(), format!("the name {wrong}")));
        }
        if known.insert(state, ()).is_some() {
            return Err(fault(place(), format!("{state:?} is there twice")));
        }
    }
    if !known.contains_key(initial) {
        return Err(fault("initial", not_a_state(initial)));
    }
    Ok(known)
}

fn not_a_state(name: &str) -> String {
    let shown: String = name.chars().take(64).collect();
    format!("{shown:?} is not one of `states`")
}

fn check_transition(
    position: usize,
    raw: RawTransition,
    states: &Map<&str, ()>,
) -> Result<Transition, Error> {
    let place = |field: &str| format!("transitions[{position}].{field}");
    let names = match raw.from {
        OneOrMany::One(name) => vec![name],
        OneOrMany::Many(names) => names,
    };
    if names.is_empty() {
        return Err(fault(place("from"), "must name at least one state"));
    }
    let mut seen: Map<&str, ()> = Map::default();
    let mut from = Vec::with_capacity(names.len());
    for name in &names {
        if !states.contains_key(name.as_str()) {
            return Err(fault(place("from"), not_a_state(name)));
        }
        if seen.insert(name, ()).is_none() {
            from.push(name.clone());
        }
    }
    if let Some(wrong) = name_fault(&raw.event) {
        return Err(fault(place("event"), format!("the name {wrong}")));
    }
    if !states.contains_key(raw.to.as_str()) {
        return Err(fault(place("to"), not_a_state(&raw.to)));
    }
    let guard = raw
        .guard
        .map(|text| Guard::parse(&text))
        .transpose()
        .map_err(|error| Error::Guard {
            place: place("guard"),
            error,
        })?;
    Ok(Transition {
        from,
        event: raw.event,
        to: raw.to,
        guard,
    })
}

/// Finds transitions that can never fire, because one without a guard comes first.
#[derive(Default)]
struct Reachable {
    always: Map<(String, String), usize>,
}

impl Reachable {
    fn check(&mut self, position: usize, transition: &Transition) -> Result<(), Error> {
        for from in &transition.from {
            let key = (from.clone(), transition.event.clone());
            if let Some(earlier) = self.always.get(&key) {
                return Err(fault(
                    format!("transitions[{position}]"),
                    format!(
                        "can never fire for event {:?} from state {from:?}: transitions[{earlier}] \
                         has no guard and comes first",
                        transition.event
                    ),
                ));
            }
            if transition.guard.is_none() {
                self.always.insert(key, position);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
