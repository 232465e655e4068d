//! XState's machines as JSON.
//!
//! An action is a name for work that the program does, as `emit` is in format 2. A guard by name and a delay by name have
//! no equal.

mod action;
mod after;
mod arrow;
mod guard;
mod target;

use std::collections::{HashMap, HashSet};

use rstmdb_rcp::json::Json;

use super::{Extras, keep_payloads_apart};
use crate::base::json::kind;
use crate::base::problem::{Problem, TranslationFindings};
use crate::chart::{Chart, ROOT};
use crate::document;
use crate::model::{Act, MachineModel};

/// Keys of the interpreter and of editors, without a meaning for the machine.
const SETTINGS: [&str; 16] = [
    "$schema",
    "version",
    "strict",
    "delimiter",
    "predictableActionArguments",
    "preserveActionOrder",
    "schema",
    "schemas",
    "tsTypes",
    "types",
    "key",
    "order",
    "path",
    "actions",
    "guards",
    "services",
];

pub(super) fn read(
    source: &str,
    findings: &mut TranslationFindings,
) -> Result<MachineModel, Problem> {
    let json = document::read(source)?;
    if !json.is_object() {
        let text = format!("a machine of XState is an object, not {}", kind(&json));
        return Err(Problem::new("$", text));
    }
    // `createMachine` in an editor's export, and lists of machines, keep the machine one level below.
    if json.get("states").is_none() {
        let text = "there is no `states`; the machine's configuration itself is read, not a file around it";
        return Err(Problem::new("$", text));
    }
    let mut reader = XstateReader {
        findings,
        chart: Chart::new("$"),
        ids: HashMap::new(),
        is_old: is_old(&json, 0),
        events: HashSet::new(),
        extras: Extras::default(),
    };
    after::events(&json, 0, &mut reader.events);
    reader.extras.name = json["id"].as_str().map(str::to_owned);
    reader.extras.description = json["description"].as_str().map(str::to_owned);
    match &json["context"] {
        Json::Null => {}
        Json::Object(fields) => reader.extras.context.clone_from(fields),
        other => {
            let text = format!("must be an object, not {}", kind(other));
            reader.findings.refuse("$.context", text);
        }
    }
    reader.states(ROOT, &json);
    reader.node(ROOT, &json);
    let XstateReader { chart, extras, .. } = reader;
    let mut machine = chart.flatten(findings);
    keep_payloads_apart(&mut machine);
    extras.add_to(&mut machine);
    Ok(machine)
}

/// Whether a key shows that the machine was written for version 4, where a transition to the own state leaves and enters
/// it.
fn is_old(json: &Json, depth: usize) -> bool {
    const OLD: [&str; 6] = [
        "cond",
        "internal",
        "onEntry",
        "onExit",
        "predictableActionArguments",
        "activities",
    ];
    const DEPTH_MAX: usize = 128;
    depth < DEPTH_MAX
        && match json {
            Json::List(items) => items.iter().any(|item| is_old(item, depth + 1)),
            Json::Object(fields) => fields
                .iter()
                .any(|(key, value)| OLD.contains(&key.as_str()) || is_old(value, depth + 1)),
            _ => false,
        }
}

/// Why a key of a state is not taken.
fn unknown(key: &str) -> &'static str {
    match key {
        "data" | "output" => "a final state gives no result here",
        "activities" => "an activity that goes on while the state lasts has no equal",
        _ => "is not a key of a state that this version knows",
    }
}

struct XstateReader<'a> {
    findings: &'a mut TranslationFindings,
    chart: Chart,
    /// The states that have an id of their own.
    ids: HashMap<String, usize>,
    is_old: bool,
    /// The events that the machine's author has named.
    events: HashSet<String>,
    extras: Extras,
}

impl XstateReader<'_> {
    /// First all states, so that targets can be found.
    fn states(&mut self, node: usize, json: &Json) {
        let place = self.chart.nodes[node].place.clone();
        if let Some(id) = json["id"].as_str() {
            self.ids.entry(id.to_owned()).or_insert(node);
        }
        let states = match json.get("states") {
            None | Some(Json::Null) => return,
            Some(Json::Object(states)) => states,
            Some(other) => {
                let text = format!("must be an object, not {}", kind(other));
                self.findings.refuse(format!("{place}.states"), text);
                return;
            }
        };
        for (name, inner) in states {
            let place = format!("{place}.states.{name}");
            if !inner.is_object() && !inner.is_null() {
                let text = format!("must be an object, not {}", kind(inner));
                self.findings.refuse(place.as_str(), text);
            }
            match self.chart.add(node, name, &place) {
                Some(new) => self.states(new, inner),
                None => {
                    self.findings.refuse(place, "there are too many states");
                    return;
                }
            }
        }
    }

    /// Reads all keys of a state, and then the states inside it.
    fn node(&mut self, node: usize, json: &Json) {
        let place = self.chart.nodes[node].place.clone();
        self.kind(node, json, &place);
        self.initial(node, json, &place);
        let mut about = Vec::new();
        for (key, value) in json.fields() {
            let at = format!("{place}.{key}");
            match key.as_str() {
                "id" | "initial" | "states" | "type" | "parallel" | "history" => {}
                "context" if node == ROOT => {}
                "description" if node == ROOT => {}
                "on" => self.on(node, value, &at),
                "always" => {
                    let arrows = self.arrows("", value, node, &at);
                    self.chart.nodes[node].always.extend(arrows);
                }
                "after" => self.after(node, value, &at),
                "onDone" => {
                    let arrows = self.arrows("", value, node, &at);
                    self.chart.nodes[node].done.extend(arrows);
                }
                "entry" | "onEntry" => {
                    let mut act = std::mem::take(&mut self.chart.nodes[node].entry);
                    self.actions_of_state(value, &at, &mut act);
                    self.chart.nodes[node].entry = act;
                }
                "exit" | "onExit" => {
                    let mut act = std::mem::take(&mut self.chart.nodes[node].exit);
                    self.actions_of_state(value, &at, &mut act);
                    self.chart.nodes[node].exit = act;
                }
                "invoke" => self.invokes(node, value, &at),
                "tags" | "meta" | "description" => about.push((key.clone(), value.clone())),
                _ if SETTINGS.contains(&key.as_str()) => {
                    self.findings
                        .note(at, "is a setting of XState and means nothing here");
                }
                other => self.findings.lose(at, unknown(other), "it is left out"),
            }
        }
        match node {
            ROOT => self.extras.about = about,
            _ => self.chart.nodes[node].about = about,
        }
        let children = self.chart.nodes[node].children.clone();
        for child in children {
            let name = self.chart.nodes[child].name.clone();
            self.node(child, &json["states"][name.as_str()]);
        }
    }

    fn kind(&mut self, node: usize, json: &Json, place: &str) {
        let is_compound = !self.chart.nodes[node].children.is_empty();
        let at = format!("{place}.type");
        match json["type"].as_str() {
            Some("parallel") => self.parallel(node, &at),
            Some("history") => self.findings.refuse(at, "history has no equal in format 2"),
            Some("final") => {
                self.chart.nodes[node].is_final = true;
                if is_compound {
                    self.findings
                        .refuse(at, "a final state has no states inside it");
                }
            }
            Some("atomic" | "compound") | None => {}
            Some(other) => {
                let text = format!("{other:?} is not a type of a state that this version knows");
                self.findings.refuse(at, text);
            }
        }
        if json["parallel"] == Json::Bool(true) {
            self.parallel(node, &format!("{place}.parallel"));
        }
    }

    fn parallel(&mut self, node: usize, place: &str) {
        let regions = self.chart.nodes[node].children.iter();
        let names: Vec<&str> = regions
            .map(|child| self.chart.nodes[*child].name.as_str())
            .collect();
        let text = format!(
            "parallel regions have no equal in format 2; make an instance for each of {}",
            names.join(", ")
        );
        self.findings.refuse(place, text);
    }

    fn initial(&mut self, node: usize, json: &Json, place: &str) {
        let is_compound = !self.chart.nodes[node].children.is_empty();
        let (name, at) = match &json["initial"] {
            Json::Text(name) => (name.clone(), format!("{place}.initial")),
            Json::Object(_) => {
                let at = format!("{place}.initial");
                let mut act = Act::default();
                self.actions(&json["initial"]["actions"], &at, &mut act);
                if !act.is_plain() {
                    let what = "actions of an initial transition have no equal";
                    self.findings.lose(at.as_str(), what, "they are left out");
                }
                let name = json["initial"]["target"].as_str();
                (name.unwrap_or_default().to_owned(), at)
            }
            Json::Null if is_compound => {
                if json["type"].as_str() != Some("parallel") && json["parallel"] != Json::Bool(true)
                {
                    let text = "has states inside it and no `initial`";
                    self.findings.refuse(place, text);
                }
                return;
            }
            Json::Null => return,
            other => {
                let text = format!("must be a name, not {}", kind(other));
                self.findings.refuse(format!("{place}.initial"), text);
                return;
            }
        };
        match self.within(node, name.trim_start_matches('.')) {
            Some(child) if child != node => self.chart.nodes[node].initial = Some(child),
            _ => {
                let text = format!("{name:?} is not a state inside this one");
                self.findings.refuse(at, text);
            }
        }
    }

    fn on(&mut self, node: usize, json: &Json, place: &str) {
        match json {
            Json::Null => {}
            Json::Object(events) => {
                for (event, value) in events {
                    self.event(node, event, value, &format!("{place}.{event}"));
                }
            }
            // Version 4 also takes a list.
            Json::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    let place = format!("{place}[{at}]");
                    match item["event"].as_str() {
                        Some(event) => self.event(node, event, item, &place),
                        None => self.findings.refuse(place, "has no `event`"),
                    }
                }
            }
            other => {
                let text = format!("must be an object, not {}", kind(other));
                self.findings.refuse(place, text);
            }
        }
    }

    fn event(&mut self, node: usize, event: &str, value: &Json, place: &str) {
        if event.is_empty() {
            let arrows = self.arrows("", value, node, place);
            self.chart.nodes[node].always.extend(arrows);
            return;
        }
        if event == "*" || event.ends_with(".*") {
            let text = "a transition for any event has no equal: name the events";
            self.findings.refuse(place, text);
            return;
        }
        let arrows = self.arrows(event, value, node, place);
        self.chart.nodes[node].on.extend(arrows);
    }

    /// A service that is started at the entry: its name is emitted, and its consumer applies an event.
    fn invokes(&mut self, node: usize, json: &Json, place: &str) {
        let items: Vec<(String, &Json)> = match json {
            Json::List(items) => items
                .iter()
                .enumerate()
                .map(|(at, item)| (format!("{place}[{at}]"), item))
                .collect(),
            one => vec![(place.to_owned(), one)],
        };
        for (at, item) in items {
            let src = item["src"].as_str().or(item["src"]["type"].as_str());
            let Some(name) = src
                .or(item["id"].as_str())
                .or(item.as_str())
                .map(str::to_owned)
            else {
                self.findings
                    .refuse(at, "has no name in `src` that could be emitted");
                continue;
            };
            for (key, value) in item.fields() {
                let at = format!("{at}.{key}");
                let event = match key.as_str() {
                    "src" | "id" => continue,
                    "onDone" => format!("done.{name}"),
                    "onError" => format!("error.{name}"),
                    _ => {
                        self.findings.lose(at, "has no equal", "it is left out");
                        continue;
                    }
                };
                let arrows = self.arrows(&event, value, node, &at);
                self.chart.nodes[node].on.extend(arrows);
            }
            let text = format!(
                "{name:?} is emitted at the entry; its consumer applies \"done.{name}\" or \"error.{name}\""
            );
            self.findings.note(at, text);
            self.chart.nodes[node].entry.emit.push(name);
        }
    }
}
