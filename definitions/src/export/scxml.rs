//! SCXML. Expressions stay as they are: the data model is `x-cel`.

use std::collections::HashSet;
use std::fmt::Write;

use super::{lose_other, name};
use crate::base::problem::Findings;
use crate::base::xml::escape;
use crate::model::graph::Graph;
use crate::model::{Act, Machine};

pub(super) fn write(machine: &Machine, findings: &mut Findings) -> String {
    lose_other(machine, &["context"], findings);
    check_names(machine, findings);
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    xml.push_str(
        "<scxml xmlns=\"http://www.w3.org/2005/07/scxml\" version=\"1.0\" datamodel=\"x-cel\"",
    );
    if let Some(name) = name(machine) {
        let _ = write!(xml, " name=\"{}\"", escape(name));
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
    xml
}

fn check_names(machine: &Machine, findings: &mut Findings) {
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
    machine: &Machine,
    graph: &Graph<'_>,
    position: usize,
    xml: &mut String,
    findings: &mut Findings,
) {
    let state = &machine.states[position];
    let tag = if state.is_final { "final" } else { "state" };
    let _ = write!(xml, "  <{tag} id=\"{}\"", escape(&state.name));
    let leaving = graph.leaving(position);
    if state.emit.is_empty() && state.always.is_empty() && leaving.is_empty() {
        xml.push_str("/>\n");
        return;
    }
    xml.push_str(">\n");
    if !state.emit.is_empty() {
        xml.push_str("    <onentry>\n");
        sends(&state.emit, 6, xml);
        xml.push_str("    </onentry>\n");
    }
    for (at, choice) in state.always.iter().enumerate() {
        let place = format!("states[{position}].always[{at}]");
        arrow(None, &choice.to, &choice.act, &place, xml, findings);
    }
    for position in leaving {
        let transition = &machine.transitions[position];
        let place = format!("transitions[{position}]");
        let is_plain_stay = transition.to == state.name && !super::EMITS_ON_STAYING;
        let target = if is_plain_stay {
            ""
        } else {
            transition.to.as_str()
        };
        arrow(
            Some(&transition.event),
            target,
            &transition.act,
            &place,
            xml,
            findings,
        );
    }
    let _ = writeln!(xml, "  </{tag}>");
}

fn sends(names: &[String], indent: usize, xml: &mut String) {
    for name in names {
        let space = " ".repeat(indent);
        let _ = writeln!(
            xml,
            "{space}<send event=\"{}\" target=\"rstmdb:emit\"/>",
            escape(name)
        );
    }
}

fn arrow(
    event: Option<&str>,
    to: &str,
    act: &Act,
    place: &str,
    xml: &mut String,
    findings: &mut Findings,
) {
    xml.push_str("    <transition");
    if let Some(event) = event {
        let _ = write!(xml, " event=\"{}\"", escape(event));
    }
    if let Some(guard) = &act.guard {
        let _ = write!(xml, " cond=\"{}\"", escape(guard));
    }
    if !to.is_empty() {
        let _ = write!(xml, " target=\"{}\"", escape(to));
    }
    if !act.unset.is_empty() {
        findings.lose(
            format!("{place}.unset"),
            "has no equal in SCXML",
            "it is left out",
        );
    }
    if act.set.is_empty() && act.emit.is_empty() {
        xml.push_str("/>\n");
        return;
    }
    xml.push_str(">\n");
    for (path, value) in &act.set {
        let _ = writeln!(
            xml,
            "      <assign location=\"{}\" expr=\"{}\"/>",
            escape(path),
            escape(value)
        );
    }
    sends(&act.emit, 6, xml);
    xml.push_str("    </transition>\n");
}
