//! A machine version, compiled for deciding: names are numbers, guards are parsed.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_128;

use crate::definition::{self, Definition};
use crate::guard::Guard;
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

/// A way out of a state.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) to: u16,
    pub(crate) guard: Option<Guard>,
}

#[derive(Debug)]
struct Rules {
    events: Map<String, u32>,
    /// By state and event, in the order written.
    table: Map<(u16, u32), Vec<Rule>>,
    /// The most bytes of guards that one state and event have.
    guard_bytes: usize,
}

/// SHA-256 in hex.
pub(crate) fn checksum(text: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    Sha256::digest(text)
        .iter()
        .flat_map(|byte| [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

impl Machine {
    /// Compiles a definition that was checked.
    pub(crate) fn new(name: &str, version: u32, text: &[u8], definition: Definition) -> Self {
        let rules = Rules::new(&definition);
        Self::build(
            name,
            version,
            text,
            definition.states,
            &definition.initial,
            Ok(rules),
        )
    }

    /// Takes a definition from the log, where a newer leader may have accepted what this version
    /// does not understand: its states are needed for every fact, its rules only for deciding.
    pub(crate) fn from_log(name: &str, version: u32, text: &[u8]) -> Result<Self, String> {
        match Definition::parse(text) {
            Ok(definition) => Ok(Self::new(name, version, text, definition)),
            Err(error) => {
                let (states, initial) = definition::outline(text)?;
                let reason = Err(error.to_string());
                Ok(Self::build(name, version, text, states, &initial, reason))
            }
        }
    }

    fn build(
        name: &str,
        version: u32,
        text: &[u8],
        states: Vec<String>,
        initial: &str,
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
            initial: state_numbers.get(initial).copied().unwrap_or(0),
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

    /// The transitions of a state for an event, in order; the error is why they are not known.
    pub(crate) fn rules(&self, state: u16, event: &str) -> Result<&[Rule], &str> {
        let rules = self.rules.as_ref().map_err(String::as_str)?;
        Ok(rules
            .events
            .get(event)
            .and_then(|event| rules.table.get(&(state, *event)))
            .map_or(&[], Vec::as_slice))
    }
}

impl Rules {
    fn new(definition: &Definition) -> Self {
        let numbers: Map<&str, u16> = definition
            .states
            .iter()
            .enumerate()
            .map(|(number, state)| (state.as_str(), number as u16))
            .collect();
        let mut events: Map<String, u32> = Map::default();
        let mut table: Map<(u16, u32), Vec<Rule>> = Map::default();
        for transition in &definition.transitions {
            let next = events.len() as u32;
            let event = *events.entry(transition.event.clone()).or_insert(next);
            for from in &transition.from {
                table
                    .entry((numbers[from.as_str()], event))
                    .or_default()
                    .push(Rule {
                        to: numbers[transition.to.as_str()],
                        guard: transition.guard.clone(),
                    });
            }
        }
        let guard_bytes = table.values().map(|rules| {
            let guards = rules.iter().filter_map(|rule| rule.guard.as_ref());
            guards.map(|guard| guard.text().len()).sum()
        });
        Self {
            guard_bytes: guard_bytes.max().unwrap_or(0),
            events,
            table,
        }
    }
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
