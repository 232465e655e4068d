//! Mermaid's state diagrams.
//!
//! A label is `EVENT [condition] / action, action`. A transition without an event is a choice where it leads out of a
//! `<<choice>>`, and has no equal elsewhere.

mod label;
mod titles;

use std::collections::{HashMap, HashSet};

use super::Extras;
use crate::base::problem::{Problem, TranslationFindings};
use crate::chart::{Chart, ChartArrow, ROOT};
use crate::model::MachineModel;

const DEPTH_MAX: usize = 64;

pub(super) fn read(
    source: &str,
    findings: &mut TranslationFindings,
) -> Result<MachineModel, Problem> {
    let mut lines = source.lines().zip(1..).peekable();
    let mut extras = Extras::default();
    let mut found = false;
    let mut in_front_matter = false;
    for (line, _) in lines.by_ref() {
        let line = line.trim();
        if line == "---" {
            in_front_matter = !in_front_matter;
        } else if in_front_matter {
            if let Some(title) = line.strip_prefix("title:") {
                extras.name = Some(unquoted(title.trim()));
            }
        } else if matches!(line, "stateDiagram" | "stateDiagram-v2") {
            found = true;
            break;
        }
    }
    if !found {
        let text = "there is no line `stateDiagram-v2` or `stateDiagram`";
        return Err(Problem::whole(text));
    }
    let mut reader = MermaidReader {
        findings,
        chart: Chart::new("line 1"),
        ids: HashMap::new(),
        choices: HashSet::new(),
        around: vec![ROOT],
        arrows: Vec::new(),
        ends: HashMap::new(),
        titles: HashMap::new(),
        in_note: false,
        description: None,
    };
    for (line, number) in lines {
        let place = format!("line {number}");
        let text = line.split("%%").next().unwrap_or_default().trim();
        if text.starts_with("```") {
            break;
        }
        if !reader.line(text, &place) {
            break;
        }
    }
    reader.finish(extras)
}

/// A title of YAML: in quotes, or not.
fn unquoted(title: &str) -> String {
    match rstmdb_rcp::json::Json::parse(title) {
        Ok(rstmdb_rcp::json::Json::Text(title)) => title,
        _ => title.trim_matches('"').to_owned(),
    }
}

struct MermaidReader<'a> {
    findings: &'a mut TranslationFindings,
    chart: Chart,
    ids: HashMap<String, usize>,
    /// The states with `<<choice>>`.
    choices: HashSet<usize>,
    /// The states around the current line, the innermost last.
    around: Vec<usize>,
    /// From where, and what.
    arrows: Vec<(usize, ChartArrow)>,
    /// The state that `[*]` at the end of an arrow stands for, by the state around it.
    ends: HashMap<usize, usize>,
    /// What states are called, by state.
    titles: HashMap<usize, String>,
    in_note: bool,
    description: Option<String>,
}

impl MermaidReader<'_> {
    /// Whether to go on.
    fn line(&mut self, text: &str, place: &str) -> bool {
        if self.in_note {
            self.in_note = text != "end note";
            return true;
        }
        let word = text.split_whitespace().next().unwrap_or_default();
        match word {
            "" | "direction" | "classDef" | "class" | "style" | "hide" | "scale" | "accTitle:"
            | "click" => {}
            "accDescr:" => {
                let text = text["accDescr:".len()..].trim();
                self.description = Some(label::decoded(text));
            }
            "note" => {
                self.in_note = !text.contains(':');
                self.findings.note(
                    place,
                    "a note has no meaning for the machine and is left out",
                );
            }
            "state" => self.state(text["state".len()..].trim(), place),
            "}" => {
                if self.around.len() > 1 {
                    self.around.pop();
                }
            }
            "--" => {
                let text =
                    "parallel regions have no equal in format 2; make an instance for each region";
                self.findings.refuse(place, text);
            }
            _ => match text.split_once("-->") {
                Some((from, rest)) => return self.arrow(from.trim(), rest.trim(), place),
                None => self.title(text, place),
            },
        }
        true
    }

    fn here(&self) -> usize {
        self.around.last().copied().unwrap_or(ROOT)
    }

    fn id(&mut self, name: &str, place: &str) -> Option<usize> {
        // A class of its looks: `name:::class`.
        let name = name.split(":::").next().unwrap_or(name).trim();
        if let Some(found) = self.ids.get(name) {
            return Some(*found);
        }
        if name.is_empty() || name.contains(char::is_whitespace) {
            self.findings
                .refuse(place, format!("{name:?} is not the name of a state"));
            return None;
        }
        let new = self.chart.add(self.here(), name, place);
        match new {
            Some(new) => {
                self.ids.insert(name.to_owned(), new);
            }
            None => self.findings.refuse(place, "there are too many states"),
        }
        new
    }

    /// `state NAME {`, `state "title" as NAME`, `state NAME <<choice>>`.
    fn state(&mut self, text: &str, place: &str) {
        let (text, opens) = match text.strip_suffix('{') {
            Some(text) => (text.trim(), true),
            None => (text, false),
        };
        let (text, kind) = match text.split_once("<<") {
            Some((text, kind)) => (text.trim(), kind.trim_end_matches('>').trim()),
            None => (text, ""),
        };
        let (title, name) = match text.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
            Some((title, rest)) => {
                let name = rest.trim().strip_prefix("as ").unwrap_or(title).trim();
                (Some(title), name)
            }
            None => (None, text),
        };
        let Some(node) = self.id(name, place) else {
            return;
        };
        if let Some(title) = title {
            self.titles.insert(node, label::decoded(title));
        }
        match kind {
            "" => {}
            "choice" => drop(self.choices.insert(node)),
            "fork" | "join" => {
                let text = format!(
                    "<<{kind}>> is about parallel regions, which have no equal in format 2"
                );
                self.findings.refuse(place, text);
            }
            other => self
                .findings
                .refuse(place, format!("<<{other}>> has no equal in format 2")),
        }
        if opens {
            if self.around.len() > DEPTH_MAX {
                self.findings
                    .refuse(place, format!("nested deeper than {DEPTH_MAX}"));
            }
            self.around.push(node);
        }
    }

    /// `NAME : title`, or a name alone.
    fn title(&mut self, text: &str, place: &str) {
        match text.split_once(':') {
            Some((name, title)) if !title.starts_with("::") => {
                if let Some(node) = self.id(name.trim(), place) {
                    self.titles.insert(node, label::decoded(title.trim()));
                }
            }
            _ => drop(self.id(text, place)),
        }
    }

    fn arrow(&mut self, from: &str, rest: &str, place: &str) -> bool {
        let (to, text) = match rest
            .match_indices(':')
            .find(|(at, _)| !rest[..*at].ends_with(':') && !rest[at + 1..].starts_with(':'))
        {
            Some((at, _)) => (rest[..at].trim(), rest[at + 1..].trim()),
            None => (rest, ""),
        };
        if !self.chart.count_arrow() {
            self.findings
                .refuse(place, "there are too many transitions");
            return false;
        }
        let around = self.here();
        if from == "[*]" {
            self.begin(to, text, place);
            return true;
        }
        let Some(from) = self.id(from, place) else {
            return true;
        };
        let (event, act) = label::read(text);
        let target = match to == "[*]" {
            // The reader resolves these when it knows all other arrows out of the state.
            true => None,
            false => match self.id(to, place) {
                None => return true,
                found => found,
            },
        };
        if target.is_none() && text.is_empty() {
            self.ends.entry(from).or_insert(from);
            return true;
        }
        let target = target.or_else(|| self.end(around, place));
        let arrow = ChartArrow {
            event,
            target,
            act,
            external: true,
            place: place.to_owned(),
        };
        self.arrows.push((from, arrow));
        true
    }

    /// The initial state of the state around the line.
    fn begin(&mut self, to: &str, label: &str, place: &str) {
        if to == "[*]" {
            let text = "leads from the beginning to the end";
            self.findings.refuse(place, text);
            return;
        }
        let Some(to) = self.id(to, place) else {
            return;
        };
        let around = self.here();
        let before = self.chart.nodes[around].initial.replace(to);
        if before.is_some_and(|before| before != to) {
            self.findings.refuse(place, "is a second initial state");
        }
        if !label.is_empty() {
            let text = "the label of the initial transition has no meaning and is left out";
            self.findings.note(place, text);
        }
    }

    /// A final state for labelled arrows to `[*]`.
    fn end(&mut self, around: usize, place: &str) -> Option<usize> {
        let name = match around {
            ROOT => "end".to_owned(),
            node => format!("{}_end", self.chart.nodes[node].name),
        };
        if let Some(found) = self.ids.get(&name) {
            return Some(*found);
        }
        let new = self.chart.add(around, &name, place)?;
        self.ids.insert(name, new);
        self.chart.nodes[new].is_final = true;
        Some(new)
    }

    fn finish(mut self, mut extras: Extras) -> Result<MachineModel, Problem> {
        if self.chart.nodes[ROOT].children.is_empty() {
            return Err(Problem::whole("the diagram has no states"));
        }
        if self.chart.nodes[ROOT].initial.is_none() {
            let text = "there is no `[*] --> STATE`, so no state is the initial one";
            self.findings.refuse("", text);
        }
        for (node, initial) in self.initials() {
            if !self.chart.ancestry(initial).contains(&node) {
                let place = self.chart.nodes[node].place.clone();
                self.findings
                    .refuse(place, "its initial state is not inside it");
                self.chart.nodes[node].initial = None;
            }
        }
        for node in 1..self.chart.nodes.len() {
            let node = &self.chart.nodes[node];
            if !node.children.is_empty() && node.initial.is_none() {
                let what = format!("{:?} has states inside it and no `[*] -->`", node.name);
                let instead = "the first one is entered";
                self.findings.lose(node.place.as_str(), what, instead);
            }
        }
        let arrows = std::mem::take(&mut self.arrows);
        for (from, mut arrow) in arrows {
            if self.choices.contains(&from) && !arrow.event.is_empty() {
                let text = format!(
                    "{:?} is a way out of a choice, so it is a condition: write it in brackets, like [ctx.n > 0]",
                    arrow.event
                );
                self.findings.refuse(arrow.place, text);
            } else if !arrow.event.is_empty() {
                self.chart.nodes[from].on.push(arrow);
            } else if self.choices.contains(&from) || arrow.act.guard.is_some() {
                self.chart.nodes[from].always.push(arrow);
            } else {
                let to = arrow
                    .target
                    .map_or("end", |to| self.chart.nodes[to].name.as_str());
                arrow.event = format!("TO_{to}");
                let instead = format!("its event is {:?}", arrow.event);
                let place = arrow.place.clone();
                self.findings
                    .lose(place, "the transition has no event", instead);
                self.chart.nodes[from].on.push(arrow);
            }
        }
        self.finals();
        self.rename();
        extras.description = self.description.take();
        let mut machine = self.chart.flatten(self.findings);
        extras.add_to(&mut machine);
        Ok(machine)
    }

    fn initials(&self) -> Vec<(usize, usize)> {
        let nodes = self.chart.nodes.iter().enumerate();
        nodes
            .filter_map(|(node, it)| Some((node, it.initial?)))
            .collect()
    }

    /// States with an arrow to `[*]` that has no label.
    fn finals(&mut self) {
        let mut ends: Vec<usize> = self.ends.keys().copied().collect();
        ends.sort_unstable();
        for state in ends {
            let node = &self.chart.nodes[state];
            let leads_on =
                !node.on.is_empty() || !node.always.is_empty() || !node.children.is_empty();
            if leads_on {
                let place = node.place.clone();
                let name = node.name.clone();
                let what =
                    format!("{name:?} ends without an event, and other transitions lead out of it");
                self.findings.lose(place, what, "it is an ordinary state");
            } else {
                self.chart.nodes[state].is_final = true;
            }
        }
    }
}
