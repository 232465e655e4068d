//! Writes a transition that leads out of several states only once.

use std::collections::HashMap;

use super::InnerTransition;
use crate::model::{From, ModelTransition};

/// From this many states on, all that are not final are written as `*`.
const ANY_MIN: usize = 3;

/// The transitions of states, given as name, whether it is final, and the ways out of it in the order in which they are
/// tried. The order within a state and an event stays.
pub(super) fn transitions(states: &[(String, bool, Vec<InnerTransition>)]) -> Vec<ModelTransition> {
    let mut all: Vec<(Vec<String>, InnerTransition)> = Vec::new();
    // By event, target and condition: where in `all` such ways are, ascending.
    let mut alike: HashMap<(&str, &str, Option<&str>), Vec<usize>> = HashMap::new();
    for (name, _, ways) in states {
        // By event: behind all that this state tries earlier. A transition may be joined only with one from there on.
        let mut behind: HashMap<&str, usize> = HashMap::new();
        for way in ways {
            let from = behind.entry(&way.event).or_default();
            let key = (
                way.event.as_str(),
                way.to.as_str(),
                way.act.guard.as_deref(),
            );
            let alike = alike.entry(key).or_default();
            let later = &alike[alike.partition_point(|at| at < from)..];
            let at = match later.iter().find(|at| all[**at].1 == *way) {
                Some(at) => {
                    all[*at].0.push(name.clone());
                    *at
                }
                None => {
                    alike.push(all.len());
                    all.push((vec![name.clone()], way.clone()));
                    all.len() - 1
                }
            };
            *from = at + 1;
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
            ModelTransition {
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
