//! Timers of innermost states, as format 2 allows them: each has a name of its own, and an event that its state takes.

use std::collections::HashSet;

use rstmdb_rcp::json::Json;

use super::{Chart, ROOT};
use crate::base::json::text;
use crate::base::problem::TranslationFindings;

/// Leaves out what no state takes, and tells apart what has one name.
pub(super) fn settle(chart: &mut Chart, findings: &mut TranslationFindings) {
    for node in 1..chart.nodes.len() {
        if chart.nodes[node].timers.is_empty() {
            continue;
        }
        let mut timers = std::mem::take(&mut chart.nodes[node].timers);
        let taken = events(chart, node);
        timers.retain(|(place, timer)| {
            let event = timer["event"].as_str().unwrap_or_default();
            let is_taken = taken.contains(event);
            if !is_taken {
                let state = &chart.nodes[node].name;
                let what = format!("state {state:?} does not take the delayed {event:?}");
                findings.lose(place.as_str(), what, "it is left out");
            }
            is_taken
        });
        name(&mut timers, findings);
        chart.nodes[node].timers = timers;
    }
}

/// The events that an innermost state takes.
fn events(chart: &Chart, leaf: usize) -> HashSet<&str> {
    let own = &chart.nodes[leaf];
    if own.is_final && own.parent == Some(ROOT) {
        return HashSet::new();
    }
    let around = chart.ancestry(leaf).into_iter();
    let arrows = around.flat_map(|node| &chart.nodes[node].on);
    arrows.map(|arrow| arrow.event.as_str()).collect()
}

/// A timer whose name an earlier one has gets a number behind it.
fn name(timers: &mut [(String, Json)], findings: &mut TranslationFindings) {
    let named = timers.iter().map(|(_, timer)| name_of(timer).to_owned());
    let all: HashSet<String> = named.collect();
    let mut given: HashSet<String> = HashSet::new();
    for (place, timer) in timers {
        let own = name_of(timer).to_owned();
        if given.insert(own.clone()) {
            continue;
        }
        let free = |name: &String| !all.contains(name) && !given.contains(name);
        let Some(other) = (2_u64..).map(|n| format!("{own}_{n}")).find(free) else {
            continue;
        };
        let told = format!("the timer is named {other:?}, because another one is named {own:?}");
        findings.note(place.as_str(), told);
        if let Json::Object(fields) = timer {
            fields.retain(|(key, _)| key != "name");
            let at = fields.len().min(2);
            fields.insert(at, ("name".to_owned(), text(other.as_str())));
        }
        given.insert(other);
    }
}

/// The name of a timer is its event, if it has none of its own.
fn name_of(timer: &Json) -> &str {
    let own = timer["name"].as_str().or(timer["event"].as_str());
    own.unwrap_or_default()
}
