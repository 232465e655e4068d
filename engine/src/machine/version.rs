//! A machine version, compiled for deciding: names are numbers, guards are parsed.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_128;

use super::definition::{self, Definition, Exit};
use super::guard::Guard;
use crate::hash::Map;

/// One version of a machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: Arc<str>,
    pub(crate) version: u32,
    /// The text as put, in an allocation of its own.
    pub(crate) definition: Bytes,
    pub(crate) checksum: Arc<str>,
    /// What stands for the machine in digests.
    pub(crate) digest: u128,
    pub(crate) states: Vec<Arc<str>>,
    pub(crate) initial: u16,
    state_numbers: Map<Arc<str>, u16>,
    rules: Result<Rules, String>,
}

/// A transition, for deciding.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) to: u16,
    pub(crate) guard: Option<Box<Guard>>,
}

/// Kept small: a definition's text may hold very many of each.
#[derive(Debug)]
struct Rules {
    events: Map<Box<str>, u32>,
    /// Sorted.
    exits: Box<[Exit]>,
    /// By the transition's position.
    all: Box<[Rule]>,
    /// The most bytes of guards that one state and event have.
    guard_bytes: usize,
}

/// SHA-256 in hex.
pub(crate) fn checksum(text: &[u8]) -> String {
    hex::encode(Sha256::digest(text))
}

impl Machine {
    /// Compiles a definition that was checked.
    pub(crate) fn new(name: &str, version: u32, text: &[u8], definition: Definition) -> Self {
        let all: Box<[Rule]> = definition
            .transitions
            .into_iter()
            .map(|transition| Rule {
                to: transition.to,
                guard: transition.guard,
            })
            .collect();
        let rules = Rules {
            guard_bytes: guard_bytes_max(&definition.exits, &all),
            events: definition
                .events
                .into_iter()
                .map(String::into_boxed_str)
                .zip(0..)
                .collect(),
            exits: definition.exits.into_boxed_slice(),
            all,
        };
        let (states, initial) = (definition.states, definition.initial);
        Self::build(name, version, text, states, initial, Ok(rules))
    }

    /// Takes a definition from the log. A newer leader may have accepted rules that this version does not
    /// understand. Every fact needs the states, but only decisions need the rules.
    pub(crate) fn from_log(name: &str, version: u32, text: &[u8]) -> Result<Self, String> {
        match Definition::of_log(text) {
            Ok(definition) => Ok(Self::new(name, version, text, definition)),
            Err(error) => {
                let (states, initial) = definition::outline(text)?;
                let number = states.iter().position(|state| *state == initial);
                let number = number.unwrap_or(0) as u16;
                let reason = Err(error.to_string());
                Ok(Self::build(name, version, text, states, number, reason))
            }
        }
    }

    fn build(
        name: &str,
        version: u32,
        text: &[u8],
        states: Vec<String>,
        initial: u16,
        rules: Result<Rules, String>,
    ) -> Self {
        let states: Vec<Arc<str>> = states.into_iter().map(Arc::from).collect();
        let state_numbers: Map<Arc<str>, u16> = states
            .iter()
            .enumerate()
            .map(|(number, state)| (state.clone(), number as u16))
            .collect();
        Self {
            name: Arc::from(name),
            version,
            definition: Bytes::copy_from_slice(text),
            checksum: Arc::from(checksum(text)),
            digest: digest(name, version, text),
            initial,
            states,
            state_numbers,
            rules,
        }
    }

    pub(crate) fn state_number(&self, state: &str) -> Option<u16> {
        self.state_numbers.get(state).copied()
    }

    /// The name of a state of this machine.
    pub(crate) fn state_name(&self, number: u16) -> &Arc<str> {
        &self.states[usize::from(number)]
    }

    /// How many bytes of guards one event may have to evaluate.
    pub(crate) fn guard_bytes(&self) -> usize {
        self.rules.as_ref().map_or(0, |rules| rules.guard_bytes)
    }

    /// The events of a state, in the order in which its transitions first name them, each with its transitions in
    /// order; the error is why they are not known.
    pub(crate) fn events(&self, state: u16) -> Result<Vec<(&str, Vec<&Rule>)>, &str> {
        let rules = self.rules.as_ref().map_err(String::as_str)?;
        let from = rules.exits.partition_point(|it| it.state < state);
        let exits = &rules.exits[from..];
        let exits = &exits[..exits.partition_point(|it| it.state <= state)];
        let mut of_events: Vec<&[Exit]> = exits
            .chunk_by(|one, next| one.event == next.event)
            .collect();
        of_events.sort_by_key(|exits| exits.first().map(|exit| exit.transition));
        let names = rules.events.iter().map(|(name, number)| (*number, &**name));
        let names: BTreeMap<u32, &str> = names.collect();
        let events = of_events.into_iter().filter_map(|exits| {
            let event = names.get(&exits.first()?.event)?;
            let rules = exits
                .iter()
                .map(|exit| &rules.all[exit.transition as usize]);
            Some((*event, rules.collect()))
        });
        Ok(events.collect())
    }

    /// How many bytes the guards of a state have.
    pub(crate) fn guard_bytes_of(&self, state: u16) -> usize {
        let Ok(rules) = &self.rules else { return 0 };
        let from = rules.exits.partition_point(|it| it.state < state);
        let exits = rules.exits[from..]
            .iter()
            .take_while(|it| it.state == state);
        let guards = exits.filter_map(|it| rules.all[it.transition as usize].guard.as_ref());
        guards.map(|guard| guard.text().len()).sum()
    }

    /// The transitions of a state for an event, in order; the error is why they are not known.
    pub(crate) fn rules(
        &self,
        state: u16,
        event: &str,
    ) -> Result<impl Iterator<Item = &Rule> + Clone, &str> {
        let rules = self.rules.as_ref().map_err(String::as_str)?;
        let exits: &[Exit] = match rules.events.get(event) {
            None => &[],
            Some(event) => {
                let wanted = (state, *event);
                let from = rules
                    .exits
                    .partition_point(|it| (it.state, it.event) < wanted);
                let rest = &rules.exits[from..];
                &rest[..rest.partition_point(|it| (it.state, it.event) <= wanted)]
            }
        };
        Ok(exits
            .iter()
            .map(|exit| &rules.all[exit.transition as usize]))
    }
}

/// The most bytes of guards that the exits of one state and event have.
fn guard_bytes_max(exits: &[Exit], all: &[Rule]) -> usize {
    exits
        .chunk_by(|one, next| (one.state, one.event) == (next.state, next.event))
        .map(|exits| {
            let rules = exits.iter().map(|exit| &all[exit.transition as usize]);
            let guards = rules.filter_map(|rule| rule.guard.as_ref());
            guards.map(|guard| guard.text().len()).sum()
        })
        .max()
        .unwrap_or(0)
}

fn digest(name: &str, version: u32, text: &[u8]) -> u128 {
    let mut buffer = Vec::with_capacity(9 + name.len() + text.len());
    buffer.push(b'm');
    buffer.extend_from_slice(&version.to_le_bytes());
    buffer.extend_from_slice(&(name.len() as u32).to_le_bytes());
    buffer.extend_from_slice(name.as_bytes());
    buffer.extend_from_slice(text);
    xxh3_128(&buffer)
}
