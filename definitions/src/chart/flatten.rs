//! From nested states to one level.

use std::collections::{HashMap, HashSet};

use rstmdb_rcp::json::Json;

use super::{Chart, ChartArrow, InnerTransition, ROOT, compress};
use crate::base::problem::TranslationFindings;
use crate::model::{Act, Choice, MachineModel, ModelState};

/// Most transitions that nested states may come to before equal ones are joined.
const WAYS_MAX: usize = 20_000;

pub(super) fn machine(chart: &Chart, findings: &mut TranslationFindings) -> MachineModel {
    let mut flat = Flat {
        chart,
        names: names(chart),
        findings,
        ways: 0,
    };
    let initial = flat.initial();
    let mut states = Vec::new();
    let mut leaving = Vec::new();
    for leaf in flat.leaves() {
        if flat.ways > WAYS_MAX {
            let text = format!("the nested states come to more than {WAYS_MAX} transitions");
            flat.findings.refuse(chart.nodes[ROOT].place.as_str(), text);
            break;
        }
        let state = flat.state(leaf);
        let ways = flat.ways_of(leaf);
        leaving.push((state.name.clone(), state.is_final, ways));
        states.push(state);
    }
    let about = flat.outer_states();
    MachineModel {
        format: 2,
        initial,
        states,
        transitions: compress::transitions(&leaving),
        other: about,
    }
}

/// The names of innermost states: their own, or their whole path where two have the same.
fn names(chart: &Chart) -> HashMap<usize, String> {
    let mut uses: HashMap<&str, usize> = HashMap::new();
    let leaves = || (1..chart.nodes.len()).filter(|node| chart.nodes[*node].children.is_empty());
    for leaf in leaves() {
        *uses.entry(&chart.nodes[leaf].name).or_default() += 1;
    }
    let path = |leaf: usize| {
        let mut names: Vec<&str> = chart
            .ancestry(leaf)
            .into_iter()
            .filter(|node| *node != ROOT)
            .map(|node| chart.nodes[node].name.as_str())
            .collect();
        names.reverse();
        names.join(".")
    };
    leaves()
        .map(|leaf| {
            let name = &chart.nodes[leaf].name;
            match uses.get(name.as_str()) {
                Some(1) => (leaf, name.clone()),
                _ => (leaf, path(leaf)),
            }
        })
        .collect()
}

struct Flat<'a> {
    chart: &'a Chart,
    names: HashMap<usize, String>,
    findings: &'a mut TranslationFindings,
    ways: usize,
}

impl Flat<'_> {
    fn leaves(&self) -> Vec<usize> {
        // In the order of the document.
        let mut all = Vec::new();
        let mut next = vec![ROOT];
        while let Some(node) = next.pop() {
            let children = &self.chart.nodes[node].children;
            if children.is_empty() && node != ROOT {
                all.push(node);
            }
            next.extend(children.iter().rev());
        }
        all
    }

    /// The descriptions of states that have others inside.
    fn outer_states(&self) -> Vec<(String, Json)> {
        let nodes = self.chart.nodes.iter().skip(1);
        let outer = nodes.filter(|node| !node.children.is_empty() && !node.about.is_empty());
        let about: Vec<(String, Json)> = outer
            .map(|node| (node.name.clone(), Json::Object(node.about.clone())))
            .collect();
        match about.is_empty() {
            true => Vec::new(),
            false => {
                let states = Json::Object(vec![("states".to_owned(), Json::Object(about))]);
                vec![("meta".to_owned(), states)]
            }
        }
    }

    fn name(&self, leaf: usize) -> String {
        self.names.get(&leaf).cloned().unwrap_or_default()
    }

    /// The innermost state that is entered with a state.
    fn enter(&self, node: usize) -> usize {
        let mut at = node;
        // Each step goes further inside, because the readers let `initial` name only what is inside.
        for _ in 0..self.chart.nodes.len() {
            let node = &self.chart.nodes[at];
            match node.initial.or(node.children.first().copied()) {
                Some(inner) => at = inner,
                None => break,
            }
        }
        at
    }

    fn initial(&mut self) -> String {
        let leaf = self.enter(ROOT);
        for node in self.chart.ancestry(leaf) {
            let node = &self.chart.nodes[node];
            let is_leaf = node.children.is_empty();
            let mut act = node.entry.clone();
            if is_leaf {
                act.emit.clear();
            }
            if !act.is_plain() {
                let what = "the actions at the entry of the initial state have no equal at the creation of an instance";
                self.findings.lose(
                    node.place.as_str(),
                    what,
                    "they are not done at the creation",
                );
            }
        }
        self.name(leaf)
    }

    fn state(&mut self, leaf: usize) -> ModelState {
        let mut always = Vec::new();
        for arrow in self.always_of(leaf) {
            let (to, mut act) = self.way(leaf, arrow.0, &arrow.1);
            if act.reenters() {
                // In format 2 a transition without an event does not enter its own state again.
                act.other.retain(|(key, _)| key != "reenter");
                let node = &self.chart.nodes[leaf];
                add_emits(&mut act.emit, &node.entry.emit);
                if !node.timers.is_empty() {
                    let text = "arms the timers of its own state anew without an event, which has no equal in format 2";
                    self.findings.refuse(arrow.1.place.as_str(), text);
                }
            }
            let last = act.guard.is_none();
            always.push(Choice { to, act });
            if last {
                break;
            }
        }
        let node = &self.chart.nodes[leaf];
        let meta = (!node.about.is_empty()).then(|| Json::Object(node.about.clone()));
        let mut emit = Vec::new();
        add_emits(&mut emit, &node.entry.emit);
        let timers: Vec<Json> = node.timers.iter().map(|(_, timer)| timer.clone()).collect();
        let timers = (!timers.is_empty()).then_some(Json::List(timers));
        let timers = timers.map(|timers| ("timers".to_owned(), timers));
        ModelState {
            name: self.name(leaf),
            is_final: node.is_final && node.parent == Some(ROOT),
            emit,
            always,
            other: timers
                .into_iter()
                .chain(meta.map(|meta| ("meta".to_owned(), meta)))
                .collect(),
        }
    }

    /// With the state that each belongs to.
    fn always_of(&self, leaf: usize) -> Vec<(usize, ChartArrow)> {
        let mut all = Vec::new();
        let own = &self.chart.nodes[leaf];
        for node in self.chart.ancestry(leaf) {
            let arrows = self.chart.nodes[node].always.iter();
            all.extend(arrows.map(|arrow| (node, arrow.clone())));
        }
        if let Some(parent) = own.parent.filter(|_| own.is_final) {
            let arrows = self.chart.nodes[parent].done.iter();
            all.extend(arrows.map(|arrow| (parent, arrow.clone())));
        }
        all
    }

    fn ways_of(&mut self, leaf: usize) -> Vec<InnerTransition> {
        let mut ways: Vec<InnerTransition> = Vec::new();
        let own = &self.chart.nodes[leaf];
        if own.is_final && own.parent == Some(ROOT) {
            return ways;
        }
        // Events that an earlier transition without a condition takes.
        let mut taken: HashSet<&str> = HashSet::new();
        let chart = self.chart;
        for node in chart.ancestry(leaf) {
            let mut here: HashSet<&str> = HashSet::new();
            for arrow in &chart.nodes[node].on {
                let event = arrow.event.as_str();
                if here.contains(event) {
                    let text = "is never taken: one without a condition comes before it";
                    self.findings.note(arrow.place.as_str(), text);
                }
                if taken.contains(event) || here.contains(event) {
                    continue;
                }
                self.ways += 1;
                let (to, act) = self.way(leaf, node, arrow);
                if act.guard.is_none() {
                    here.insert(event);
                }
                ways.push(InnerTransition {
                    event: arrow.event.clone(),
                    to,
                    act,
                });
            }
            taken.extend(here);
        }
        ways
    }

    /// The state to which a transition of `owner` leads from an innermost state, and all actions on the way.
    fn way(&mut self, leaf: usize, owner: usize, arrow: &ChartArrow) -> (String, Act) {
        let Some(target) = arrow.target else {
            let mut act = arrow.act.clone();
            act.emit.clear();
            add_emits(&mut act.emit, &arrow.act.emit);
            return (self.name(leaf), act);
        };
        let to = self.enter(target);
        let domain = self.domain(owner, target, arrow.external);
        let mut act = Act {
            guard: arrow.act.guard.clone(),
            other: arrow.act.other.clone(),
            ..Act::default()
        };
        let left = self.inside(domain, leaf);
        let mut entered = self.inside(domain, to);
        entered.reverse();
        let node = &self.chart.nodes[to];
        let has_entry = !node.entry.emit.is_empty() || !node.timers.is_empty();
        let reenters = leaf == to && has_entry && entered.contains(&to);
        if reenters {
            act.other.push(("reenter".to_owned(), Json::Bool(true)));
        }
        for node in left {
            self.join(&mut act, &self.chart.nodes[node].exit.clone(), &arrow.place);
        }
        self.join(&mut act, &arrow.act.clone(), &arrow.place);
        for node in entered {
            let mut entry = self.chart.nodes[node].entry.clone();
            if node == to {
                // The emissions of an innermost state stand at that state.
                entry.emit.clear();
            }
            self.join(&mut act, &entry, &arrow.place);
        }
        (self.name(to), act)
    }

    /// A state and those around it, as far as they are inside of the domain.
    fn inside(&self, domain: usize, node: usize) -> Vec<usize> {
        let mut around = self.chart.ancestry(node);
        let end = around.iter().position(|it| *it == domain);
        around.truncate(end.unwrap_or_default());
        around
    }

    /// The innermost state that is neither left nor entered.
    fn domain(&self, owner: usize, target: usize, external: bool) -> usize {
        let around = self.chart.ancestry(owner);
        let of_target = self.chart.ancestry(target);
        if !external && of_target.contains(&owner) {
            return owner;
        }
        let common = around.iter().skip(1);
        common
            .copied()
            .find(|node| of_target.iter().skip(1).any(|it| it == node))
            .unwrap_or(ROOT)
    }

    /// Adds actions that come later in the same step.
    fn join(&mut self, act: &mut Act, later: &Act, place: &str) {
        // The values of one act are all taken from before it.
        let before = act.set.len();
        for (path, value) in &later.set {
            let earlier = |(other, _): &&(String, String)| other == path || mentions(value, other);
            if let Some((other, _)) = act.set[..before].iter().find(earlier) {
                let text = format!(
                    "in one step, {path:?} is set after {other:?}, and the later one overwrites or reads the earlier; \
                     in format 2 all values are taken from before the step"
                );
                self.findings.refuse(place, text);
            }
            act.set.push((path.clone(), value.clone()));
        }
        act.unset.extend(later.unset.iter().cloned());
        add_emits(&mut act.emit, &later.emit);
    }
}

/// A name is emitted once in a step.
fn add_emits(emit: &mut Vec<String>, later: &[String]) {
    for name in later {
        if !emit.contains(name) {
            emit.push(name.clone());
        }
    }
}

/// Whether an expression reads a path of the context, or something below or above it.
pub(crate) fn mentions(expression: &str, path: &str) -> bool {
    let first = path.split('.').next().unwrap_or(path);
    let needle = crate::base::cel::field("ctx", first);
    expression.match_indices(&needle).any(|(at, _)| {
        let rest = &expression[at + needle.len()..];
        !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
    })
}
