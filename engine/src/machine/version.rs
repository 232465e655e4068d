//! A machine version, compiled for deciding: names are numbers, guards are parsed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_128;

use super::definition::chart::Everywhere;
use super::definition::{
    self, Actions, ChartSettings, Condition, Definition, Every, Exit, TimerDefinition, Warning,
};
use super::schema::Schema;
use crate::hash::Map;

/// One version of a machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: Arc<str>,
    pub(crate) version: u32,
    /// The format as which its definition is read.
    pub(crate) format: u32,
    /// What its author should look at.
    pub(crate) warnings: Arc<[Warning]>,
    /// The text as put, in an allocation of its own.
    pub(crate) definition: Bytes,
    pub(crate) checksum: Arc<str>,
    /// The machine's own digest, which other digests contain in its place.
    pub(crate) digest: u128,
    pub(crate) states: Vec<Arc<str>>,
    pub(crate) initial: u16,
    state_numbers: Map<Arc<str>, u16>,
    rules: Result<TransitionRules, String>,
}

/// A transition, for deciding.
#[derive(Debug)]
pub(crate) struct TransitionRule {
    pub(crate) to: u16,
    pub(crate) guard: Option<Condition>,
    /// What it does beside moving.
    pub(crate) actions: Option<Box<Actions>>,
    /// It enters its state anew.
    pub(crate) reenter: bool,
    /// It leaves every state, but for some.
    every: Option<Every>,
}

/// Kept small: a definition's text may hold very many of each.
#[derive(Debug)]
struct TransitionRules {
    events: Map<Box<str>, u32>,
    /// Sorted.
    exits: Box<[Exit]>,
    /// By the transition's position.
    all: Box<[TransitionRule]>,
    /// The most bytes of guards that one state and event have.
    guard_bytes: usize,
    chart: Option<Box<ChartSettings>>,
}

/// The transitions of a state for an event with their positions, in the order written.
#[derive(Clone)]
pub(crate) struct Choices<'a> {
    rules: &'a TransitionRules,
    state: u16,
    exits: &'a [Exit],
    /// Transitions from every state, where there are some.
    every: &'a [Everywhere],
}

/// SHA-256 in hex.
pub(crate) fn checksum(text: &[u8]) -> String {
    hex::encode(Sha256::digest(text))
}

impl Machine {
    /// Compiles a definition that was checked.
    pub(crate) fn new(name: &str, version: u32, text: &[u8], definition: Definition) -> Self {
        let all: Box<[TransitionRule]> = definition
            .transitions
            .into_iter()
            .map(|transition| TransitionRule {
                to: transition.to,
                guard: transition.guard,
                actions: transition.actions,
                reenter: transition.reenter,
                every: transition.every,
            })
            .collect();
        let rules = TransitionRules {
            guard_bytes: guard_bytes_max(&definition.exits, &all),
            events: definition
                .events
                .into_iter()
                .map(String::into_boxed_str)
                .zip(0..)
                .collect(),
            exits: definition.exits.into_boxed_slice(),
            all,
            chart: definition.chart,
        };
        let head = MachineHead {
            name,
            version,
            text,
            format: definition.format,
            warnings: definition.warnings,
        };
        Self::build(head, definition.states, definition.initial, Ok(rules))
    }

    /// Takes a definition from the log. A newer leader may have accepted rules that this version does not
    /// understand. Every fact needs the states, but only decisions need the rules.
    pub(crate) fn from_log(
        name: &str,
        version: u32,
        format: u32,
        text: &[u8],
    ) -> Result<Self, String> {
        match Definition::of_log(text, format) {
            Ok(definition) => Ok(Self::new(name, version, text, definition)),
            Err(error) => {
                let (states, initial) = definition::outline(text)?;
                let number = states.iter().position(|state| *state == initial);
                let number = number.unwrap_or(0) as u16;
                let head = MachineHead {
                    name,
                    version,
                    text,
                    format: format.max(1),
                    warnings: Vec::new(),
                };
                Ok(Self::build(head, states, number, Err(error.to_string())))
            }
        }
    }

    fn build(
        head: MachineHead<'_>,
        states: Vec<String>,
        initial: u16,
        rules: Result<TransitionRules, String>,
    ) -> Self {
        let MachineHead {
            name,
            version,
            text,
            format,
            warnings,
        } = head;
        let states: Vec<Arc<str>> = states.into_iter().map(Arc::from).collect();
        let state_numbers: Map<Arc<str>, u16> = states
            .iter()
            .enumerate()
            .map(|(number, state)| (state.clone(), number as u16))
            .collect();
        Self {
            name: Arc::from(name),
            version,
            format,
            warnings: warnings.into(),
            definition: Bytes::copy_from_slice(text),
            checksum: Arc::from(checksum(text)),
            digest: digest(name, version, format, text),
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

    /// About how many bytes of guards and other expressions one event may read or evaluate, on documents of this
    /// many bytes.
    pub(crate) fn guard_bytes(&self, documents: usize) -> usize {
        let Ok(rules) = &self.rules else {
            return 0;
        };
        let growth = rules
            .chart
            .as_ref()
            .map_or(0, |chart| chart.growth.bytes(documents));
        rules.guard_bytes + growth
    }

    /// About how many bytes a creation reads beside the documents that it brings.
    pub(crate) fn creation_bytes(&self, documents: usize) -> usize {
        let Ok(Some(chart)) = self.chart() else {
            return 0;
        };
        let default = chart.default.as_ref().map_or(0, |text| text.len());
        default + self.guard_bytes(documents + default)
    }

    /// Whether a decision may depend on the time.
    pub(crate) fn reads_now(&self) -> bool {
        let chart = self.chart().ok().flatten();
        chart.is_some_and(|chart| chart.growth.reads_now)
    }

    /// The events of a state, in the order in which its transitions first name them, each with its transitions in
    /// order; the error is why they are not known.
    pub(crate) fn events(&self, state: u16) -> Result<Vec<(&str, Vec<&TransitionRule>)>, &str> {
        let rules = self.rules.as_ref().map_err(String::as_str)?;
        let of_state = rules.of_state(state).iter().map(|exit| exit.event);
        let numbers: BTreeSet<u32> = of_state.chain(rules.everywhere(state)).collect();
        let names = rules.events.iter().map(|(name, number)| (*number, &**name));
        let names: BTreeMap<u32, &str> = names.collect();
        let mut events = Vec::new();
        for number in numbers {
            let choices: Vec<(u32, &TransitionRule)> = rules.choices(state, number).collect();
            if let (Some(event), Some((first, _))) = (names.get(&number), choices.first()) {
                let rules = choices.iter().map(|(_, rule)| *rule).collect();
                events.push((*first, (*event, rules)));
            }
        }
        events.sort_by_key(|(first, _)| *first);
        Ok(events.into_iter().map(|(_, event)| event).collect())
    }

    /// How many bytes the guards of a state have.
    pub(crate) fn guard_bytes_of(&self, state: u16) -> usize {
        let Ok(rules) = &self.rules else { return 0 };
        let exits = rules.of_state(state).iter().map(|exit| exit.transition);
        let every = rules.chart.iter().flat_map(|chart| &chart.everywhere);
        let numbers = exits.chain(every.map(|it| it.transition));
        let guards = numbers.filter_map(|number| rules.all[number as usize].guard.as_ref());
        guards.map(|guard| guard.text().len()).sum()
    }

    /// The transitions of a state for an event, in order; the error is why they are not known.
    pub(crate) fn rules(
        &self,
        state: u16,
        event: &str,
    ) -> Result<impl Iterator<Item = &TransitionRule> + Clone, &str> {
        Ok(self.choices(state, event)?.map(|(_, rule)| rule))
    }

    /// [`Machine::rules`] with the transitions' positions.
    pub(crate) fn choices(&self, state: u16, event: &str) -> Result<Choices<'_>, &str> {
        let rules = self.rules.as_ref().map_err(String::as_str)?;
        Ok(match rules.events.get(event) {
            None => Choices {
                rules,
                state,
                exits: &[],
                every: &[],
            },
            Some(event) => rules.choices(state, *event),
        })
    }

    /// What only format 2 has; the error is why it is not known.
    pub(crate) fn chart(&self) -> Result<Option<&ChartSettings>, &str> {
        match &self.rules {
            Ok(rules) => Ok(rules.chart.as_deref()),
            Err(reason) if self.format > 1 => Err(reason),
            Err(_) => Ok(None),
        }
    }

    /// A timer of a state, by its name.
    pub(crate) fn timer(&self, state: u16, name: &str) -> Option<&TimerDefinition> {
        self.chart().ok().flatten()?.timer(state, name)
    }

    /// What the payload of an event must be.
    pub(crate) fn payload_schema(&self, event: &str) -> Option<&Schema> {
        let rules = self.rules.as_ref().ok()?;
        let number = *rules.events.get(event)? as usize;
        rules.chart.as_ref()?.events.get(number)?.as_ref()
    }
}

/// What a machine is, beside its rules.
struct MachineHead<'a> {
    name: &'a str,
    version: u32,
    text: &'a [u8],
    format: u32,
    warnings: Vec<Warning>,
}

impl TransitionRules {
    fn choices(&self, state: u16, event: u32) -> Choices<'_> {
        Choices {
            rules: self,
            state,
            exits: self.exits(state, event),
            every: self.every(state, event),
        }
    }

    /// The exits of a state, by event.
    fn of_state(&self, state: u16) -> &[Exit] {
        let from = self.exits.partition_point(|it| it.state < state);
        let rest = &self.exits[from..];
        &rest[..rest.partition_point(|it| it.state <= state)]
    }

    /// The events of the transitions from every state that is not final.
    fn everywhere(&self, state: u16) -> impl Iterator<Item = u32> {
        let chart = self.chart.as_ref();
        let chart = chart.filter(|chart| !chart.states[usize::from(state)].is_final);
        let all = chart.into_iter().flat_map(|chart| &chart.everywhere);
        all.map(|it| it.event)
    }

    fn exits(&self, state: u16, event: u32) -> &[Exit] {
        let wanted = (state, event);
        let from = self
            .exits
            .partition_point(|it| (it.state, it.event) < wanted);
        let rest = &self.exits[from..];
        &rest[..rest.partition_point(|it| (it.state, it.event) <= wanted)]
    }

    fn every(&self, state: u16, event: u32) -> &[Everywhere] {
        let Some(chart) = &self.chart else {
            return &[];
        };
        if chart.states[usize::from(state)].is_final {
            return &[];
        }
        let from = chart.everywhere.partition_point(|it| it.event < event);
        let rest = &chart.everywhere[from..];
        &rest[..rest.partition_point(|it| it.event <= event)]
    }
}

impl<'a> Choices<'a> {
    fn rule(&self, number: u32) -> (u32, &'a TransitionRule) {
        (number, &self.rules.all[number as usize])
    }
}

impl<'a> Iterator for Choices<'a> {
    type Item = (u32, &'a TransitionRule);

    fn next(&mut self) -> Option<Self::Item> {
        while let [first, rest @ ..] = self.every {
            if self
                .exits
                .first()
                .is_some_and(|exit| exit.transition < first.transition)
            {
                break;
            }
            self.every = rest;
            let (number, rule) = self.rule(first.transition);
            let is_excepted = |every: &Every| every.except.binary_search(&self.state).is_ok();
            if !rule.every.as_ref().is_some_and(is_excepted) {
                return Some((number, rule));
            }
        }
        let (first, rest) = self.exits.split_first()?;
        self.exits = rest;
        Some(self.rule(first.transition))
    }
}

/// The most bytes of guards that the exits of one state and event have.
fn guard_bytes_max(exits: &[Exit], all: &[TransitionRule]) -> usize {
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

fn digest(name: &str, version: u32, format: u32, text: &[u8]) -> u128 {
    let mut buffer = Vec::with_capacity(14 + name.len() + text.len());
    buffer.push(b'm');
    buffer.extend_from_slice(&version.to_le_bytes());
    buffer.extend_from_slice(&(name.len() as u32).to_le_bytes());
    buffer.extend_from_slice(name.as_bytes());
    buffer.extend_from_slice(text);
    // The same text means something else in another format.
    if format > 1 {
        buffer.push(b'f');
        buffer.extend_from_slice(&format.to_le_bytes());
    }
    xxh3_128(&buffer)
}
