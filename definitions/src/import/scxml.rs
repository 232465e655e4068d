//! SCXML. Conditions in ECMAScript are translated as far as they mean the same; the data model `x-cel`, which `export`
//! writes, holds expressions of format 2.

mod content;
mod timer;

use std::collections::{HashMap, HashSet};

use roxmltree::{Document, Node, ParsingOptions};
use rstmdb_rcp::json::Json;

use super::{Extras, ecma, keep_payloads_apart};
use crate::base::problem::{Problem, TranslationFindings};
use crate::base::xml::NAMESPACE;
use crate::chart::{Chart, ChartArrow, ROOT};
use crate::model::{Act, MachineModel};

const NODES_MAX: u32 = 200_000;
const DEPTH_MAX: usize = 100;

pub(super) fn read(
    source: &str,
    findings: &mut TranslationFindings,
) -> Result<MachineModel, Problem> {
    check_depth(source)?;
    let options = ParsingOptions {
        // Neither entities nor anything outside of the file.
        allow_dtd: false,
        nodes_limit: NODES_MAX,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(source, options)
        .map_err(|error| Problem::whole(format!("not XML that can be read: {error}")))?;
    let root = document.root_element();
    let lines = LineStarts::new(source);
    let place = lines.of(&root);
    if root.tag_name().name() != "scxml" {
        let text = format!("the root is <{}>, not <scxml>", root.tag_name().name());
        return Err(Problem::new(place, text));
    }
    let mut reader = ScxmlReader {
        findings,
        chart: Chart::new(&place),
        lines,
        ids: HashMap::new(),
        variables: HashSet::new(),
        is_cel: root.attribute("datamodel") == Some("x-cel"),
        sends: timer::sends(root),
        extras: Extras::default(),
    };
    reader.extras.description = root
        .attribute((NAMESPACE, "description"))
        .map(str::to_owned);
    reader.extras.name = root.attribute("name").map(str::to_owned);
    reader.states(ROOT, root);
    reader.data(root);
    reader.node(ROOT, root);
    if reader.chart.nodes[ROOT].children.is_empty() {
        reader.findings.refuse(place, "there is no state");
    }
    let ScxmlReader { chart, extras, .. } = reader;
    let mut machine = chart.flatten(findings);
    keep_payloads_apart(&mut machine);
    extras.add_to(&mut machine);
    Ok(machine)
}

/// The depth of elements, before a parser that may go deep sees them.
fn check_depth(source: &str) -> Result<(), Problem> {
    let (mut depth, mut rest) = (0_usize, source);
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let skip_to = match rest {
            _ if rest.starts_with("!--") => "-->",
            _ if rest.starts_with("![CDATA[") => "]]>",
            _ if rest.starts_with('?') => "?>",
            _ => ">",
        };
        let Some(end) = rest.find(skip_to) else {
            break;
        };
        let tag = &rest[..end];
        if skip_to == ">" && !tag.starts_with('!') {
            if tag.starts_with('/') {
                depth = depth.saturating_sub(1);
            } else if !tag.ends_with('/') {
                depth += 1;
            }
        }
        if depth > DEPTH_MAX {
            let text = format!("elements are nested deeper than {DEPTH_MAX}");
            return Err(Problem::whole(text));
        }
        rest = &rest[end + skip_to.len()..];
    }
    Ok(())
}

/// Where the lines of a file begin: the parser counts them anew for each element.
struct LineStarts(Vec<usize>);

impl LineStarts {
    fn new(source: &str) -> Self {
        let ends = source
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n');
        Self(ends.map(|(at, _)| at).collect())
    }

    /// Where an element is.
    fn of(&self, node: &Node<'_, '_>) -> String {
        let start = node.range().start;
        format!("line {}", self.0.partition_point(|end| *end < start) + 1)
    }
}

fn elements<'a, 'i>(of: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    of.children().filter(Node::is_element)
}

fn is_state(name: &str) -> bool {
    matches!(name, "state" | "final" | "parallel" | "history")
}

/// Where executable content stands.
#[derive(Clone, Copy)]
enum ContentAt {
    /// At the entry into a state.
    Entry(usize),
    /// At the exit from a state.
    Exit,
    Transition,
}

struct ScxmlReader<'a> {
    findings: &'a mut TranslationFindings,
    chart: Chart,
    lines: LineStarts,
    ids: HashMap<String, usize>,
    variables: HashSet<String>,
    is_cel: bool,
    /// How often the file sends and cancels each id.
    sends: HashMap<String, timer::SendUses>,
    extras: Extras,
}

impl ScxmlReader<'_> {
    fn states(&mut self, node: usize, element: Node<'_, '_>) {
        let inner = elements(element).filter(|it| is_state(it.tag_name().name()));
        for (position, inner) in inner.enumerate() {
            let place = self.lines.of(&inner);
            let name = match inner.attribute("id") {
                Some(id) => id.to_owned(),
                None => format!("{}_{}", inner.tag_name().name(), position + 1),
            };
            let Some(new) = self.chart.add(node, &name, &place) else {
                self.findings.refuse(place, "there are too many states");
                return;
            };
            if self.ids.insert(name.clone(), new).is_some() {
                self.findings
                    .refuse(place.as_str(), format!("the id {name:?} is there twice"));
            }
            self.states(new, inner);
        }
    }

    /// Data of the whole machine and of its states alike: it is one context.
    fn data(&mut self, root: Node<'_, '_>) {
        let all = root
            .descendants()
            .filter(|it| it.tag_name().name() == "data");
        for data in all {
            let place = self.lines.of(&data);
            let Some(id) = data.attribute("id") else {
                self.findings.refuse(place, "<data> has no id");
                continue;
            };
            self.variables.insert(id.to_owned());
            if data.attribute("src").is_some() {
                self.findings
                    .lose(place.as_str(), "`src` names a file", "it is left out");
            }
            let text = data
                .attribute("expr")
                .or(data.text())
                .unwrap_or_default()
                .trim();
            if text.is_empty() {
                continue;
            }
            let single = text
                .strip_prefix('\'')
                .and_then(|text| text.strip_suffix('\''));
            let value = match single {
                Some(inside) if !inside.contains(['\'', '\\']) => {
                    Some(Json::Text(inside.to_owned()))
                }
                _ => crate::document::read(&format!("[{text}]"))
                    .ok()
                    .and_then(|it| it.items().first().cloned()),
            };
            let is_code =
                matches!(&value, Some(Json::Text(_))) && single.is_none() && !text.starts_with('"');
            match value.filter(|_| !is_code) {
                Some(value) => self.extras.context.push((id.to_owned(), value)),
                None => {
                    let what = format!("the first value of {id:?} is code");
                    self.findings.lose(place, what, "it has no first value");
                }
            }
        }
    }

    fn node(&mut self, node: usize, element: Node<'_, '_>) {
        let place = self.lines.of(&element);
        match element.tag_name().name() {
            "final" => self.chart.nodes[node].is_final = true,
            "parallel" => {
                let text =
                    "parallel regions have no equal in format 2; make an instance for each region";
                self.findings.refuse(place.as_str(), text);
            }
            "history" => {
                self.findings
                    .refuse(place.as_str(), "history has no equal in format 2");
                return;
            }
            _ => {}
        }
        if let Some(initial) = element.attribute("initial") {
            let found = self.target(initial, &place);
            self.set_initial(node, found, &place);
        }
        let mut children = self.chart.nodes[node].children.clone().into_iter();
        for inner in elements(element) {
            let at = self.lines.of(&inner);
            match inner.tag_name().name() {
                name if is_state(name) => {
                    if let Some(child) = children.next() {
                        self.node(child, inner);
                    }
                }
                "datamodel" => {}
                "initial" => self.initial(node, inner, &at),
                "transition" => self.transition(node, inner),
                "onentry" => {
                    let mut act = std::mem::take(&mut self.chart.nodes[node].entry);
                    self.content(inner, ContentAt::Entry(node), &mut act);
                    self.chart.nodes[node].entry = act;
                }
                "onexit" => {
                    let mut act = std::mem::take(&mut self.chart.nodes[node].exit);
                    self.content(inner, ContentAt::Exit, &mut act);
                    self.chart.nodes[node].exit = act;
                }
                "invoke" => self.invoke(node, inner, &at),
                "donedata" => {
                    self.findings
                        .lose(at, "a final state gives no result here", "it is left out")
                }
                other => {
                    let what = format!("<{other}> has no equal");
                    self.findings.lose(at, what, "it is left out");
                }
            }
        }
    }

    fn initial(&mut self, node: usize, element: Node<'_, '_>, place: &str) {
        let transition = elements(element).find(|it| it.tag_name().name() == "transition");
        let target = transition.and_then(|it| it.attribute("target"));
        let found = target.and_then(|target| self.target(target, place));
        self.set_initial(node, found, place);
        if transition.is_some_and(|it| elements(it).next().is_some()) {
            let what = "actions of an initial transition have no equal";
            self.findings.lose(place, what, "they are left out");
        }
    }

    fn invoke(&mut self, node: usize, element: Node<'_, '_>, place: &str) {
        let names = ["id", "src", "type"].iter();
        let name = names.filter_map(|name| element.attribute(*name)).next();
        let Some(name) = name.map(str::to_owned) else {
            self.findings.refuse(place, "<invoke> has no name to emit");
            return;
        };
        let instead =
            format!("{name:?} is emitted at the entry, and its consumer applies the events");
        self.findings.lose(place, "<invoke> has no equal", instead);
        self.chart.nodes[node].entry.emit.push(name);
    }

    fn set_initial(&mut self, node: usize, found: Option<usize>, place: &str) {
        let Some(found) = found else { return };
        match found != node && self.chart.ancestry(found).contains(&node) {
            true => self.chart.nodes[node].initial = Some(found),
            false => self
                .findings
                .refuse(place, "the initial state is not inside this one"),
        }
    }

    fn target(&mut self, text: &str, place: &str) -> Option<usize> {
        let mut names = text.split_whitespace();
        let (Some(name), None) = (names.next(), names.next()) else {
            let text = "several targets are parallel regions, which have no equal in format 2";
            self.findings.refuse(place, text);
            return None;
        };
        if let Some(found) = self.ids.get(name) {
            return Some(*found);
        }
        let meant = self
            .findings
            .meant(name, self.ids.keys().map(String::as_str));
        self.findings
            .refuse(place, format!("there is no state {name:?}{meant}"));
        None
    }

    fn transition(&mut self, node: usize, element: Node<'_, '_>) {
        let place = self.lines.of(&element);
        let mut act = Act::default();
        if let Some(cond) = element.attribute("cond") {
            act.guard = self.expression(cond, &place);
        }
        self.content(element, ContentAt::Transition, &mut act);
        let target = match element.attribute("target") {
            None => None,
            Some(text) => match self.target(text, &place) {
                None => return,
                found => found,
            },
        };
        let arrow = |event: &str| ChartArrow {
            event: event.to_owned(),
            target,
            act: act.clone(),
            external: element.attribute("type") != Some("internal"),
            place: place.clone(),
        };
        let Some(events) = element.attribute("event") else {
            let arrow = arrow("");
            self.chart.nodes[node].always.push(arrow);
            return;
        };
        for event in events.split_whitespace() {
            if !self.chart.count_arrow() {
                self.findings
                    .refuse(place.as_str(), "there are too many transitions");
                return;
            }
            let done = event
                .strip_prefix("done.state.")
                .and_then(|id| self.ids.get(id));
            if let Some(state) = done {
                let state = *state;
                if state == node {
                    let arrow = arrow("");
                    self.chart.nodes[node].done.push(arrow);
                } else {
                    self.findings.refuse(
                        place.as_str(),
                        format!("{event} is answered by another state"),
                    );
                }
                continue;
            }
            if event == "*" || event.ends_with(".*") {
                let text =
                    format!("a transition for any event ({event}) has no equal: name the events");
                self.findings.refuse(place.as_str(), text);
                continue;
            }
            let arrow = arrow(event);
            self.chart.nodes[node].on.push(arrow);
        }
    }

    /// A condition or a value; none after a refusal.
    fn expression(&mut self, text: &str, place: &str) -> Option<String> {
        if self.is_cel {
            return Some(text.to_owned());
        }
        match ecma::translate(text, &self.variables) {
            Ok(translated) => Some(translated),
            Err(why) => {
                self.findings.refuse(place, format!("{text:?}: {why}"));
                None
            }
        }
    }
}
