//! Rules about several parts of a definition together.

use crate::hash::Map;
use crate::machine::definition::chart::ChartSettings;
use crate::machine::definition::fault::Faults;
use crate::machine::definition::{Definition, Transition};

/// How many earlier transitions from every state a later one is compared with.
const COMPARED_MAX: usize = 64;

pub(super) fn check(definition: &Definition, put: bool, faults: &mut Faults) {
    let Some(chart) = &definition.chart else {
        return;
    };
    final_states(definition, chart, faults);
    endless(definition, chart, faults);
    if put {
        shadowed(definition, chart, faults);
        unhandled(definition, chart, faults);
    }
}

fn final_states(definition: &Definition, chart: &ChartSettings, faults: &mut Faults) {
    for (position, transition) in definition.transitions.iter().enumerate() {
        let is_final = |state: &&u16| chart.states[usize::from(**state)].is_final;
        if let Some(state) = transition.from.iter().find(is_final) {
            let name = &definition.states[usize::from(*state)];
            let text = format!("{name:?} is final: no transition leaves it");
            faults.add(format!("transitions[{position}].from"), text);
        }
    }
}

/// States whose first `always` has no guard lead on for sure. A circle of them never ends.
fn endless(definition: &Definition, chart: &ChartSettings, faults: &mut Faults) {
    let next = |state: usize| {
        let first = chart.states[state].always.first()?;
        first.guard.is_none().then_some(usize::from(first.to))
    };
    // 0: not seen, 1: on the way, 2: known to end.
    let mut seen = vec![0_u8; chart.states.len()];
    for start in 0..seen.len() {
        let mut way = Vec::new();
        let mut at = Some(start);
        while let Some(state) = at.filter(|state| seen[*state] == 0) {
            seen[state] = 1;
            way.push(state);
            at = next(state);
        }
        if let Some(state) = at.filter(|state| seen[*state] == 1) {
            let name = &definition.states[state];
            let text = format!("leads back to {name:?} without any guard: it would not end");
            faults.add(format!("states[{state}].always"), text);
        }
        for state in way {
            seen[state] = 2;
        }
    }
}

/// Finds transitions that can never be taken, because one without a guard comes first.
fn shadowed(definition: &Definition, chart: &ChartSettings, faults: &mut Faults) {
    let transition = |number: u32| &definition.transitions[number as usize];
    for pair in definition.exits.windows(2) {
        let same = (pair[0].state, pair[0].event) == (pair[1].state, pair[1].event);
        if same && transition(pair[0].transition).guard.is_none() {
            tell(definition, pair[1].transition, pair[0].transition, faults);
        }
    }
    let by_event = chart
        .everywhere
        .chunk_by(|one, next| one.event == next.event);
    for every in by_event {
        let unguarded: Vec<u32> = every
            .iter()
            .map(|it| it.transition)
            .filter(|number| transition(*number).guard.is_none())
            .take(COMPARED_MAX)
            .collect();
        for later in every {
            let hides = |earlier: &&u32| {
                **earlier < later.transition
                    && covers(transition(**earlier), transition(later.transition))
            };
            if let Some(earlier) = unguarded.iter().find(hides) {
                tell(definition, later.transition, *earlier, faults);
            }
        }
    }
    for exit in &definition.exits {
        let from = chart.everywhere.partition_point(|it| it.event < exit.event);
        let same = chart.everywhere[from..].iter();
        let earlier = same
            .take_while(|it| it.event == exit.event && it.transition < exit.transition)
            .take(COMPARED_MAX);
        let hides = |it: &&crate::machine::definition::chart::Everywhere| {
            let every = transition(it.transition);
            every.guard.is_none() && every.leaves(exit.state)
        };
        let mut earlier = earlier;
        if let Some(earlier) = earlier.find(hides) {
            tell(definition, exit.transition, earlier.transition, faults);
        }
    }
}

/// Finds timers whose event no transition of their state takes: each firing would be refused.
fn unhandled(definition: &Definition, chart: &ChartSettings, faults: &mut Faults) {
    let names = definition.events.iter().map(String::as_str).zip(0_u32..);
    let numbers: Map<&str, u32> = names.collect();
    let is_taken = |state: u16, event: u32| {
        let at = definition
            .exits
            .partition_point(|exit| (exit.state, exit.event) < (state, event));
        let exit = definition.exits.get(at);
        let from = chart.everywhere.partition_point(|it| it.event < event);
        let mut every = chart.everywhere[from..].iter();
        exit.is_some_and(|exit| (exit.state, exit.event) == (state, event))
            || every.by_ref().take_while(|it| it.event == event).any(|it| {
                let transition = &definition.transitions[it.transition as usize];
                transition.leaves(state)
            })
    };
    for (position, parts) in chart.states.iter().enumerate() {
        for (number, timer) in parts.timers.iter().enumerate() {
            let Some(name) = &timer.event else { continue };
            let event = numbers.get(&**name);
            if parts.is_final || event.is_some_and(|event| is_taken(position as u16, *event)) {
                continue;
            }
            let text = format!(
                "no transition takes {name:?} in state {:?}, so the timer would do nothing",
                definition.states[position]
            );
            faults.add(format!("states[{position}].timers[{number}].event"), text);
        }
    }
}

/// Whether a transition from every state leaves each state that a later one leaves.
fn covers(earlier: &Transition, later: &Transition) -> bool {
    let except = |it: &Transition| it.every.as_ref().map(|every| every.except.clone());
    match (except(earlier), except(later)) {
        (Some(earlier), Some(later)) => earlier
            .iter()
            .all(|state| later.binary_search(state).is_ok()),
        _ => false,
    }
}

fn tell(definition: &Definition, number: u32, earlier: u32, faults: &mut Faults) {
    let event = &definition.events[definition.transitions[number as usize].event as usize];
    let text = format!(
        "can never be taken for event {event:?}: transitions[{earlier}] has no guard and comes first"
    );
    faults.add(format!("transitions[{number}]"), text);
}
