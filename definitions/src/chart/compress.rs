//! Writes a transition that leads out of several states only once.

use super::Way;
use crate::model::{From, Transition};

/// From this many states on, all that are not final are written as `*`.
const ANY_MIN: usize = 3;

/// The transitions of states, given as name, whether it is final, and the ways out of it in the order in which they are
/// tried. The order within a state and an event stays.
pub(super) fn transitions(states: &[(String, bool, Vec<Way>)]) -> Vec<Transition> {
    let mut all: Vec<(Vec<String>, Way)> = Vec::new();
    for (name, _, ways) in states {
        for (position, way) in ways.iter().enumerate() {
            // A transition may join only another one that stands behind all transitions that this state tries earlier.
            let earlier = &ways[..position];
            let is_earlier =
                |other: &(Vec<String>, Way)| other.0.contains(name) && other.1.event == way.event;
            let from = match earlier.iter().any(|it| it.event == way.event) {
                true => all.iter().rposition(is_earlier).map_or(0, |last| last + 1),
                false => 0,
            };
            let same = all[from..].iter_mut().find(|(_, other)| other == way);
            match same {
                Some((names, _)) => names.push(name.clone()),
                None => all.push((vec![name.clone()], way.clone())),
            }
        }
    }
    let open: Vec<&String> = states
        .iter()
        .filter(|(_, is_final, _)| !is_final)
        .map(|(name, _, _)| name)
        .collect();
    all.into_iter()
        .map(|(names, way)| {
            let is_any = names.len() >= ANY_MIN && names.iter().eq(open.iter().copied());
            Transition {
                from: match is_any {
                    true => From::Any { except: Vec::new() },
                    false => From::States(names),
                },
                event: way.event,
                to: way.to,
                act: way.act,
            }
        })
        .collect()
}
