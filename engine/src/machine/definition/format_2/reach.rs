//! Warnings for its author: states that nothing enters, or that nothing leaves.

use crate::machine::definition::chart::{ChartSettings, StateParts};
use crate::machine::definition::{Definition, Warning};

pub(super) fn warnings(definition: &Definition) -> Vec<Warning> {
    let Some(chart) = &definition.chart else {
        return Vec::new();
    };
    let reached = reached(definition, chart);
    let mut all = Vec::new();
    for (state, parts) in chart.states.iter().enumerate() {
        let name = &definition.states[state];
        let place = format!("states[{state}]");
        if !reached[state] {
            let text = format!("{name:?} cannot be reached from the initial state");
            all.push(Warning { place, text });
            continue;
        }
        let number = state as u16;
        if !parts.is_final && parts.always.is_empty() && !is_left(definition, chart, number) {
            let text =
                format!("nothing leaves {name:?}; if that is meant, it is `\"final\": true`");
            all.push(Warning { place, text });
        }
        if is_choice(parts) && exits_of(definition, number).next().is_some() {
            let text = format!(
                "nothing rests in {name:?}, because its `always` leaves it at once: its transitions \
                 are never taken"
            );
            let place = format!("states[{state}]");
            all.push(Warning { place, text });
        }
    }
    all
}

/// Whether the state is left as soon as it is entered.
fn is_choice(parts: &StateParts) -> bool {
    parts.always.iter().any(|always| always.guard.is_none())
}

fn exits_of(definition: &Definition, state: u16) -> impl Iterator<Item = u32> {
    let from = definition.exits.partition_point(|exit| exit.state < state);
    let exits = definition.exits[from..].iter();
    exits
        .take_while(move |exit| exit.state == state)
        .map(|exit| exit.transition)
}

fn is_left(definition: &Definition, chart: &ChartSettings, state: u16) -> bool {
    let leads_on = |number: u32| definition.transitions[number as usize].to != state;
    // Few of the transitions from every state leave this state out, because each of those names it.
    let mut every = chart.everywhere.iter().filter(|it| {
        let transition = &definition.transitions[it.transition as usize];
        transition.leaves(state)
    });
    exits_of(definition, state).any(leads_on) || every.any(|it| leads_on(it.transition))
}

/// Which states an instance can come to be in, guards aside.
fn reached(definition: &Definition, chart: &ChartSettings) -> Vec<bool> {
    let mut reached = vec![false; definition.states.len()];
    let mut next = vec![definition.initial];
    let mut every: Vec<u32> = chart.everywhere.iter().map(|it| it.transition).collect();
    reached[usize::from(definition.initial)] = true;
    while let Some(state) = next.pop() {
        let parts = &chart.states[usize::from(state)];
        let unguarded = parts
            .always
            .iter()
            .position(|always| always.guard.is_none());
        let tried = unguarded.map_or(parts.always.len(), |last| last + 1);
        let mut enter: Vec<u16> = parts.always[..tried]
            .iter()
            .map(|always| always.to)
            .collect();
        if unguarded.is_none() {
            let exits = exits_of(definition, state);
            enter.extend(exits.map(|number| definition.transitions[number as usize].to));
            if !parts.is_final {
                every.retain(|number| {
                    let transition = &definition.transitions[*number as usize];
                    let leaves = transition.leaves(state);
                    if leaves {
                        enter.push(transition.to);
                    }
                    !leaves
                });
            }
        }
        for to in enter {
            if !std::mem::replace(&mut reached[usize::from(to)], true) {
                next.push(to);
            }
        }
    }
    reached
}
