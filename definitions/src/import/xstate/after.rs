//! Delays: timers of an innermost state.

use std::collections::HashSet;

use rstmdb_engine::span;
use rstmdb_rcp::json::Json;

use super::XstateReader;
use crate::base::json::{object, text};
use crate::chart::ROOT;

/// What XState raises after a delay.
struct Raise<'j> {
    event: &'j str,
    /// The fields of the event but its name.
    payload: Vec<(String, Json)>,
    id: Option<&'j str>,
}

/// Collects the events that `on` names anywhere.
pub(super) fn events(json: &Json, depth: usize, found: &mut HashSet<String>) {
    const DEPTH_MAX: usize = 128;
    if depth == DEPTH_MAX {
        return;
    }
    for item in json.items() {
        events(item, depth + 1, found);
    }
    for (key, value) in json.fields() {
        if key == "on" {
            found.extend(value.fields().iter().map(|(event, _)| event.clone()));
        }
        events(value, depth + 1, found);
    }
}

/// The event that a delay raises, where it does nothing else. `export` writes timers like this.
fn raise(json: &Json) -> Option<Raise<'_>> {
    let mut arrow = json;
    if let [one] = json.items() {
        arrow = one;
    }
    let [(_, actions)] = arrow.fields() else {
        return None;
    };
    let is_alone = arrow.get("actions").is_some();
    let mut action = actions;
    if let [one] = actions.items() {
        action = one;
    }
    let kind = action["type"].as_str()?;
    let known = |(key, _): &(String, Json)| matches!(key.as_str(), "type" | "event" | "id");
    let is_raise = matches!(kind, "xstate.raise" | "raise") && action.fields().iter().all(known);
    let event = match &action["event"] {
        Json::Text(event) => event.as_str(),
        other => other["type"].as_str()?,
    };
    let payload = action["event"].fields().iter();
    let payload = payload.filter(|(key, _)| key != "type").cloned();
    (is_alone && is_raise).then(|| Raise {
        event,
        payload: payload.collect(),
        id: action["id"].as_str().filter(|id| *id != event),
    })
}

impl XstateReader<'_> {
    pub(super) fn after(&mut self, node: usize, json: &Json, place: &str) {
        // Version 4 also takes a list.
        let delays: Vec<(String, &Json)> = match json {
            Json::List(items) => items
                .iter()
                .map(|item| (item["delay"].to_string(), item))
                .collect(),
            other => other
                .fields()
                .iter()
                .map(|(delay, value)| (delay.clone(), value))
                .collect(),
        };
        for (delay, value) in delays {
            self.delay(node, delay.trim_matches('"'), value, place);
        }
    }

    fn delay(&mut self, node: usize, delay: &str, value: &Json, place: &str) {
        let at = format!("{place}.{delay}");
        let ms = self.delay_ms(node, delay);
        if let (Some(ms), Some(raise)) = (ms, raise(value)) {
            let mut timer = vec![
                ("event", text(raise.event)),
                ("after", text(span::written(ms))),
            ];
            if let Some(id) = raise.id {
                timer.push(("name", text(id)));
            }
            if !raise.payload.is_empty() {
                timer.push(("payload", Json::Object(raise.payload)));
            }
            self.chart.nodes[node].timers.push((at, object(timer)));
            return;
        }
        let mut event = format!("AFTER_{delay}");
        while self.events.contains(&event) {
            event.push('_');
        }
        match ms {
            Some(ms) => {
                let name = text(event.as_str());
                let timers = &mut self.chart.nodes[node].timers;
                // A list of version 4 may name a delay more than once.
                if !timers.iter().any(|(_, timer)| timer["event"] == name) {
                    let after = text(span::written(ms));
                    timers.push((at.clone(), object([("event", name), ("after", after)])));
                }
            }
            None => {
                let what = "this delay has no equal";
                let instead = format!("the client applies {event:?} when the time is over");
                self.findings.lose(at.as_str(), what, instead);
            }
        }
        let arrows = self.arrows(&event, value, node, &at);
        self.chart.nodes[node].on.extend(arrows);
    }

    /// The milliseconds of a delay that a timer can have. The name of a delay stands for code; the timer of a state that
    /// has others inside goes on while these change, and a timer of an inner state would not.
    fn delay_ms(&self, node: usize, delay: &str) -> Option<u64> {
        let is_inner = node != ROOT && self.chart.nodes[node].children.is_empty();
        delay.parse().ok().filter(|_| is_inner)
    }
}
