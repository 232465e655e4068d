//! SCXML. Expressions stay as they are: the data model is `x-cel`. What SCXML has no element for is in a namespace of its
//! own.

use std::collections::HashSet;
use std::fmt::Write;

use super::timer::{self, PlainTimer, TimerDelay};
use super::{Says, lose_other, name, note_merging};
use crate::base::problem::TranslationFindings;
use crate::base::xml::{NAMESPACE, REPLACED, escape};
use crate::chart::mentions;
use crate::model::graph::Graph;
use crate::model::{Act, MachineModel, Merge, ModelState};

pub(super) fn write(machine: &MachineModel, findings: &mut TranslationFindings) -> String {
    let says = Says {
        context: true,
        merge: true,
        reenter: true,
        timers: true,
        ..Says::default()
    };
    lose_other(machine, says, findings);
    check_names(machine, findings);
    let how = "the element `rstmdb:merge` of a transition stands for it, so the interpreter has to do it there";
    note_merging(machine, how, findings);
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    xml.push_str("<scxml xmlns=\"http://www.w3.org/2005/07/scxml\"");
    let description = machine.other("meta")["description"].as_str();
    let mut transitions = machine.transitions.iter();
    let has_own_elements = description.is_some()
        || transitions.any(|it| machine.merge(&it.act) != Merge::Not || !it.act.unset.is_empty())
        || machine
            .states
            .iter()
            .flat_map(|it| &it.always)
            .any(|it| !it.act.unset.is_empty());
    if has_own_elements {
        let _ = write!(xml, " xmlns:rstmdb=\"{NAMESPACE}\"");
    }
    xml.push_str(" version=\"1.0\" datamodel=\"x-cel\"");
    if let Some(name) = name(machine) {
        let _ = write!(xml, " name=\"{}\"", escape(name));
    }
    if let Some(description) = description {
        let _ = write!(xml, " rstmdb:description=\"{}\"", escape(description));
    }
    let _ = writeln!(xml, " initial=\"{}\">", escape(&machine.initial));
    let default = machine.other("context")["default"].fields();
    if !default.is_empty() {
        xml.push_str("  <datamodel>\n");
        for (id, value) in default {
            let value = escape(&value.to_string());
            let _ = writeln!(xml, "    <data id=\"{}\" expr=\"{value}\"/>", escape(id));
        }
        xml.push_str("  </datamodel>\n");
    }
    let graph = Graph::new(machine);
    for position in 0..machine.states.len() {
        state(machine, &graph, position, &mut xml, findings);
    }
    xml.push_str("</scxml>\n");
    let is_replaced = xml.contains(REPLACED) && !machine.to_json().to_string().contains(REPLACED);
    if is_replaced {
        let text = "a name or an expression has a character that XML cannot hold";
        findings.refuse("", text);
    }
    xml
}

fn check_names(machine: &MachineModel, findings: &mut TranslationFindings) {
    for (position, state) in machine.states.iter().enumerate() {
        if state.name.contains(char::is_whitespace) {
            let text = format!(
                "{:?}: an id of SCXML has no spaces; rename the state",
                state.name
            );
            findings.refuse(format!("states[{position}]"), text);
        }
    }
    let mut seen: HashSet<&str> = HashSet::new();
    let mut sorted = machine.events();
    sorted.sort_unstable();
    for (position, transition) in machine.transitions.iter().enumerate() {
        let event = transition.event.as_str();
        if !seen.insert(event) {
            continue;
        }
        let place = format!("transitions[{position}].event");
        if event.contains(char::is_whitespace) || event.contains('*') || event.ends_with('.') {
            let text =
                format!("{event:?}: an event of SCXML has no spaces, no `*` and no dot at its end");
            findings.refuse(place.as_str(), text);
        }
        let prefix = format!("{event}.");
        let longer = sorted.get(sorted.partition_point(|other| *other < prefix.as_str()));
        if let Some(longer) = longer.filter(|other| other.starts_with(&prefix)) {
            let text = format!("{event:?} would also answer to {longer:?} in SCXML; rename one");
            findings.refuse(place, text);
        }
    }
}

fn state(
    machine: &MachineModel,
    graph: &Graph<'_>,
    position: usize,
    xml: &mut String,
    findings: &mut TranslationFindings,
) {
    let state = &machine.states[position];
    let tag = if state.is_final { "final" } else { "state" };
    let _ = write!(xml, "  <{tag} id=\"{}\"", escape(&state.name));
    let leaving = graph.leaving(position);
    let timers = timer::plain(position, state, findings);
    let is_empty = state.emit.is_empty() && state.always.is_empty() && timers.is_empty();
    if is_empty && leaving.is_empty() {
        xml.push_str("/>\n");
        return;
    }
    xml.push_str(">\n");
    entry(state, &timers, xml, findings);
    for (at, choice) in state.always.iter().enumerate() {
        let one = TransitionTag {
            event: None,
            to: &choice.to,
            stays: choice.to == state.name,
            act: &choice.act,
            merge: Merge::Not,
            place: format!("states[{position}].always[{at}]"),
        };
        arrow(&one, xml, findings);
    }
    for position in leaving {
        let it = &machine.transitions[position];
        let one = TransitionTag {
            event: Some(&it.event),
            to: &it.to,
            stays: it.to == state.name && !it.act.reenters(),
            act: &it.act,
            merge: machine.merge(&it.act),
            place: format!("transitions[{position}]"),
        };
        arrow(&one, xml, findings);
    }
    let _ = writeln!(xml, "  </{tag}>");
}

/// What is emitted at the entry, and the timers: armed at the entry, disarmed at the exit.
fn entry(
    state: &ModelState,
    timers: &[PlainTimer<'_>],
    xml: &mut String,
    findings: &mut TranslationFindings,
) {
    if !state.emit.is_empty() || !timers.is_empty() {
        xml.push_str("    <onentry>\n");
        sends(&state.emit, xml);
        for timer in timers {
            if timer.name.contains(char::is_whitespace) {
                let text = format!(
                    "{:?}: an id of SCXML has no spaces; rename the timer",
                    timer.name
                );
                findings.refuse(timer.place.as_str(), text);
            }
            let delay = match timer.after {
                TimerDelay::Ms(ms) if ms % 1000 == 0 => format!("delay=\"{}s\"", ms / 1000),
                TimerDelay::Ms(ms) => format!("delay=\"{ms}ms\""),
                TimerDelay::Value(value) => format!("delayexpr=\"{}\"", escape(value)),
            };
            let event = escape(timer.event);
            let id = escape(&id(state, timer));
            let _ = write!(xml, "      <send event=\"{event}\" id=\"{id}\" {delay}");
            match timer.payload {
                Some(payload) => {
                    let payload = escape(&payload.to_string());
                    let _ = writeln!(xml, "><content>{payload}</content></send>");
                }
                None => xml.push_str("/>\n"),
            }
        }
        xml.push_str("    </onentry>\n");
    }
    if !timers.is_empty() {
        xml.push_str("    <onexit>\n");
        for timer in timers {
            let id = escape(&id(state, timer));
            let _ = writeln!(xml, "      <cancel sendid=\"{id}\"/>");
        }
        xml.push_str("    </onexit>\n");
    }
}

/// Unique in the file: two states may have timers of the same name.
fn id(state: &ModelState, timer: &PlainTimer<'_>) -> String {
    format!("{}.{}", state.name, timer.name)
}

fn sends(names: &[String], xml: &mut String) {
    for name in names {
        let name = escape(name);
        let _ = writeln!(xml, "      <send event=\"{name}\" target=\"rstmdb:emit\"/>");
    }
}

/// Assignments in an order in which none reads what an earlier one has changed: SCXML does them one by one, format 2 all
/// at once.
fn in_order<'a>(
    act: &'a Act,
    place: &str,
    findings: &mut TranslationFindings,
) -> Vec<&'a (String, String)> {
    const ASSIGNMENTS_MAX: usize = 100;
    let mut left: Vec<&(String, String)> = act.set.iter().collect();
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() && left.len() <= ASSIGNMENTS_MAX {
        let is_read = |at: &usize| {
            let mut others = left.iter().enumerate();
            others.any(|(other, (_, value))| other != *at && mentions(value, &left[*at].0))
        };
        let Some(first) = (0..left.len()).find(|at| !is_read(at)) else {
            break;
        };
        ordered.push(left.remove(first));
    }
    if !left.is_empty() {
        let text = "its values read what the others change, and SCXML assigns one after the other";
        findings.refuse(format!("{place}.set"), text);
    }
    ordered
}

/// A transition of a state.
struct TransitionTag<'a> {
    event: Option<&'a str>,
    to: &'a str,
    /// It neither leaves nor enters anything: without a target.
    stays: bool,
    act: &'a Act,
    merge: Merge,
    place: String,
}

fn arrow(arrow: &TransitionTag<'_>, xml: &mut String, findings: &mut TranslationFindings) {
    let TransitionTag {
        event, act, place, ..
    } = arrow;
    xml.push_str("    <transition");
    if let Some(event) = event {
        let _ = write!(xml, " event=\"{}\"", escape(event));
    }
    if let Some(guard) = &act.guard {
        let _ = write!(xml, " cond=\"{}\"", escape(guard));
    }
    if !arrow.stays {
        let _ = write!(xml, " target=\"{}\"", escape(arrow.to));
    }
    let is_plain = act.set.is_empty() && act.unset.is_empty() && act.emit.is_empty();
    if is_plain && arrow.merge == Merge::Not {
        xml.push_str("/>\n");
        return;
    }
    xml.push_str(">\n");
    for (path, value) in in_order(act, place, findings) {
        let (path, value) = (escape(path), escape(value));
        let _ = writeln!(xml, "      <assign location=\"{path}\" expr=\"{value}\"/>");
    }
    for path in &act.unset {
        let _ = writeln!(xml, "      <rstmdb:unset path=\"{}\"/>", escape(path));
    }
    // Last, because values are taken from before it; it leaves them as they are.
    match arrow.merge {
        Merge::Not => {}
        Merge::Shallow => xml.push_str("      <rstmdb:merge/>\n"),
        Merge::Deep => xml.push_str("      <rstmdb:merge deep=\"true\"/>\n"),
    }
    sends(&act.emit, xml);
    xml.push_str("    </transition>\n");
}
