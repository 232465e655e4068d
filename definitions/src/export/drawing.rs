//! Mermaid and Graphviz. A label is `EVENT [condition] / path = value, emitted name`.

use std::fmt::Write;

use super::{Says, lose_other, name};
use crate::base::problem::TranslationFindings;
use crate::model::graph::Graph;
use crate::model::{Act, MachineModel};

/// The drawing: for each state its arrows. An arrow has an event (empty if there is none), the state that it leads to,
/// and its actions.
fn arrows<'a>(
    machine: &'a MachineModel,
    graph: &Graph<'a>,
    position: usize,
) -> Vec<(&'a str, &'a str, &'a Act)> {
    let state = &machine.states[position];
    let always = state.always.iter().map(|it| ("", it.to.as_str(), &it.act));
    let leaving = graph.leaving(position).into_iter().map(|position| {
        let it = &machine.transitions[position];
        (it.event.as_str(), it.to.as_str(), &it.act)
    });
    // An instance never stays in a choice, so a choice takes no event.
    always
        .chain(leaving.filter(|_| !state.is_choice()))
        .collect()
}

pub(super) fn mermaid(machine: &MachineModel, findings: &mut TranslationFindings) -> String {
    let says = Says {
        // What the state emits stands at the arrow.
        reenter: true,
        ..Says::default()
    };
    lose_other(machine, says, findings);
    let graph = Graph::new(machine);
    let mut out = String::new();
    if let Some(name) = name(machine) {
        let _ = writeln!(out, "---\ntitle: {}\n---", serde_json::Value::from(name));
    }
    out.push_str("stateDiagram-v2\n");
    if let Some(description) = machine.other("meta")["description"].as_str() {
        let _ = writeln!(out, "    accDescr: {}", code(description));
    }
    for (position, state) in machine.states.iter().enumerate() {
        let _ = writeln!(out, "    state \"{}\" as s{position}", code(&state.name));
        if state.name == machine.initial && !state.emit.is_empty() {
            let what = "what the initial state emits at the creation has no place in a diagram";
            findings.lose(format!("states[{position}].emit"), what, "it is left out");
        }
    }
    let initial = graph.number(&machine.initial).unwrap_or_default();
    let _ = writeln!(out, "    [*] --> s{initial}");
    for (position, state) in machine.states.iter().enumerate() {
        let arrows = arrows(machine, &graph, position);
        for (event, to, act) in &arrows {
            let Some(target) = graph.number(to) else {
                continue;
            };
            // What a state emits at its entry stands at the arrows that lead to it.
            let entered = &machine.states[target];
            let stays = target == position && !act.reenters();
            let entry = if stays { &[] } else { entered.emit.as_slice() };
            if event.is_empty() && act.guard.is_none() && !state.is_choice() {
                let place = format!("states[{position}].always");
                let what = "a way without an event and a condition";
                findings.lose(place, what, "it is drawn without a label");
            }
            let label = label(event, act, entry, &code);
            let label = if label.is_empty() {
                label
            } else {
                format!(" : {label}")
            };
            let _ = writeln!(out, "    s{position} --> s{target}{label}");
        }
        if arrows.is_empty() {
            let _ = writeln!(out, "    s{position} --> [*]");
        }
    }
    for (position, state) in machine.states.iter().enumerate() {
        if state.is_choice() {
            let _ = writeln!(out, "    state s{position} <<choice>>");
        }
    }
    out
}

pub(super) fn dot(machine: &MachineModel, findings: &mut TranslationFindings) -> String {
    lose_other(machine, Says::default(), findings);
    let graph = Graph::new(machine);
    let mut out = format!(
        "digraph {} {{\n",
        quoted(name(machine).unwrap_or("machine"))
    );
    out.push_str("    rankdir=LR;\n");
    out.push_str("    node [shape=box, style=\"rounded\", fontname=\"Helvetica\"];\n");
    out.push_str("    edge [fontname=\"Helvetica\", fontsize=10];\n");
    out.push_str("    start [shape=point, width=0.15, label=\"\"];\n");
    for (position, state) in machine.states.iter().enumerate() {
        let mut text = state.name.clone();
        if !state.emit.is_empty() {
            text.push_str(&format!("\nentry / {}", state.emit.join(", ")));
        }
        let shape = match (graph.is_end(position), state.is_choice()) {
            (true, _) => ", peripheries=2",
            (_, true) => ", shape=diamond, style=\"\"",
            _ => "",
        };
        let _ = writeln!(out, "    s{position} [label={}{shape}];", quoted(&text));
    }
    let initial = graph.number(&machine.initial).unwrap_or_default();
    let _ = writeln!(out, "    start -> s{initial};");
    for position in 0..machine.states.len() {
        for (event, to, act) in arrows(machine, &graph, position) {
            let Some(target) = graph.number(to) else {
                continue;
            };
            let label = quoted(&label(event, act, &[], &str::to_owned));
            let _ = writeln!(out, "    s{position} -> s{target} [label={label}];");
        }
    }
    out.push_str("}\n");
    out
}

fn label(event: &str, act: &Act, entry: &[String], escape: &dyn Fn(&str) -> String) -> String {
    let mut label = escape(event);
    if let Some(guard) = &act.guard {
        let space = if label.is_empty() { "" } else { " " };
        label.push_str(&format!("{space}[{}]", escape(guard)));
    }
    let set = act
        .set
        .iter()
        .map(|(path, value)| format!("{} = {}", unlike_others(escape(path)), escape(value)));
    let unset = act
        .unset
        .iter()
        .map(|path| format!("unset {}", escape(path)));
    let emits = act.emit.iter().chain(entry);
    let emits = emits.map(|name| unlike_others(escape(name)));
    let actions: Vec<String> = set.chain(unset).chain(emits).collect();
    if !actions.is_empty() {
        let space = if label.is_empty() { "" } else { " " };
        label.push_str(&format!("{space}/ {}", actions.join(", ")));
    }
    label
}

/// A path, or a name that is emitted. One that looks like another action has codes for its spaces.
fn unlike_others(escaped: String) -> String {
    match escaped.contains(" = ") || escaped.starts_with("unset ") {
        true => escaped.replace(' ', SPACE),
        false => escaped,
    }
}

/// Mermaid's code for a space.
const SPACE: &str = "#32;";

/// Mermaid has no escapes but its own codes for characters. Spaces at the ends would be lost.
fn code(text: &str) -> String {
    let inside = text.trim_matches(' ');
    let begin = text.len() - text.trim_start_matches(' ').len();
    let end = text.len() - begin - inside.len();
    let mut escaped = SPACE.repeat(begin);
    for c in inside.chars() {
        match c {
            '"' | '#' | ';' | ':' | '<' | '>' | '{' | '}' | '[' | ']' | '`' | '\\' | '/' | ','
            | '%' => {
                let _ = write!(escaped, "#{};", u32::from(c));
            }
            // Other spaces, too: a line ends at some of them, and the reader trims its parts.
            c if c.is_control() || c != ' ' && c.is_whitespace() => {
                let _ = write!(escaped, "#{};", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped.push_str(&SPACE.repeat(end));
    escaped
}

/// A text of Graphviz.
fn quoted(text: &str) -> String {
    let mut escaped = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped.push('"');
    escaped
}
