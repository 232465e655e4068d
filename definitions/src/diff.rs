//! What changed between two definitions, and what that means for instances of the older one.

mod meaning;

use std::collections::HashMap;
use std::fmt;

use rstmdb_rcp::json::Json;

use crate::model::graph::Graph;
use crate::model::{Act, Choice, MachineModel, ModelState};
use meaning::{Meaning, in_one_format, without_meta};

/// What a change means for an instance of the older definition that goes on under the newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeEffect {
    /// Nothing: it can do all that it could.
    None,
    /// The instance goes on, but some events may be refused or lead to another state.
    Different,
    /// The instance may be in a state that the newer definition does not have.
    Stranded,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionChange {
    /// What changed, like `state "paid"` or `"PAY" from cart`.
    pub subject: String,
    /// In which way.
    pub text: String,
    /// What it means for instances in flight.
    pub effect: ChangeEffect,
}

impl fmt::Display for DefinitionChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.text)
    }
}

/// All changes from one definition to another. What means the same is no change, however it is written: a definition of
/// format 1 is compared as the one of format 2 that it converts to.
pub fn diff(old: &MachineModel, new: &MachineModel) -> Vec<DefinitionChange> {
    let (old, new, is_converted) = in_one_format(old, new);
    let sides = Sides {
        old: &old,
        new: &new,
        before: Graph::new(&old),
        after: Graph::new(&new),
        is_converted,
        meaning: Meaning::new(&old, &new),
    };
    let mut changes = Vec::new();
    whole(&old, &new, &mut changes);
    sides.states(&mut changes);
    changes.extend(joined(sides.events()));
    changes
}

/// Two definitions that are compared.
struct Sides<'a> {
    old: &'a MachineModel,
    new: &'a MachineModel,
    before: Graph<'a>,
    after: Graph<'a>,
    /// One of them was of format 1.
    is_converted: bool,
    meaning: Meaning,
}

/// The gravest effect of all changes.
pub fn gravest(changes: &[DefinitionChange]) -> ChangeEffect {
    let effects = changes.iter().map(|change| change.effect);
    effects.max().unwrap_or(ChangeEffect::None)
}

fn change(
    subject: impl Into<String>,
    text: impl Into<String>,
    effect: ChangeEffect,
) -> DefinitionChange {
    DefinitionChange {
        subject: subject.into(),
        text: text.into(),
        effect,
    }
}

fn whole(old: &MachineModel, new: &MachineModel, changes: &mut Vec<DefinitionChange>) {
    if old.format != new.format {
        let text = format!(
            "was {}, is {}: conditions are read differently",
            old.format, new.format
        );
        changes.push(change("format", text, ChangeEffect::Different));
    }
    if old.initial != new.initial {
        let text = format!("was {:?}, is {:?}", old.initial, new.initial);
        changes.push(change("initial state", text, ChangeEffect::None));
    }
    let mut keys: Vec<&str> = old.other.iter().map(|(key, _)| key.as_str()).collect();
    keys.extend(new.other.iter().map(|(key, _)| key.as_str()));
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let effect = match key {
            "context" | "events" | "merge" => ChangeEffect::Different,
            _ => ChangeEffect::None,
        };
        if let Some(text) = value_change(old.other(key), new.other(key)) {
            changes.push(change(format!("`{key}`"), text, effect));
        }
    }
}

fn value_change(old: &Json, new: &Json) -> Option<String> {
    const CHARS_MAX: usize = 80;
    if old == new {
        return None;
    }
    let short = |json: &Json| {
        let text = json.to_string();
        match text.chars().count() > CHARS_MAX {
            true => None,
            false => Some(text),
        }
    };
    Some(match (old, new) {
        (Json::Null, _) => "added".to_owned(),
        (_, Json::Null) => "removed".to_owned(),
        _ => match (short(old), short(new)) {
            (Some(old), Some(new)) => format!("was {old}, is {new}"),
            _ => "changed".to_owned(),
        },
    })
}

impl<'a> Sides<'a> {
    fn states(&self, changes: &mut Vec<DefinitionChange>) {
        for state in &self.old.states {
            if self.after.number(&state.name).is_none() {
                let text = "removed: an instance in it needs a mapping to another state";
                changes.push(change(subject(state), text, ChangeEffect::Stranded));
            }
        }
        for (number, state) in self.new.states.iter().enumerate() {
            match self.before.number(&state.name) {
                Some(before) => self.state(before, number, changes),
                None => changes.push(change(subject(state), "added", ChangeEffect::None)),
            }
        }
    }

    fn state(&self, before: usize, after: usize, changes: &mut Vec<DefinitionChange>) {
        let (old, new) = (&self.old.states[before], &self.new.states[after]);
        let both_end = || self.before.is_end(before) && self.after.is_end(after);
        if old.is_final != new.is_final && !(self.is_converted && both_end()) {
            let text = if new.is_final {
                "is final now"
            } else {
                "is no longer final"
            };
            changes.push(change(subject(new), text, ChangeEffect::None));
        }
        if old.emit != new.emit {
            let text = list_change("emits", &old.emit, &new.emit);
            changes.push(change(subject(new), text, ChangeEffect::None));
        }
        if !self.meaning.same_choices(&old.always, &new.always) {
            let (left, right) = (choices(&old.always), choices(&new.always));
            let text = list_change("always", &left, &right);
            changes.push(change(subject(new), text, ChangeEffect::Different));
        }
        let other = |state: &ModelState| Json::Object(state.other.clone());
        if let Some(text) = value_change(&other(old), &other(new)) {
            let effect = match without_meta(&old.other).eq(without_meta(&new.other)) {
                true => ChangeEffect::None,
                false => ChangeEffect::Different,
            };
            changes.push(change(subject(new), text, effect));
        }
    }

    /// The changes of each state of the newer definition.
    fn events(&self) -> Vec<OfState> {
        // In the order in which the definitions name the events.
        let mut order: HashMap<&str, usize> = HashMap::new();
        for event in self.old.events().into_iter().chain(self.new.events()) {
            let next = order.len();
            order.entry(event).or_insert(next);
        }
        let mut changes = Vec::new();
        for (number, state) in self.new.states.iter().enumerate() {
            let before = self.before.number(&state.name);
            let mut left = before.map_or_else(HashMap::new, |it| ways(self.old, &self.before, it));
            let mut right = ways(self.new, &self.after, number);
            let mut events: Vec<&str> = left.keys().chain(right.keys()).copied().collect();
            events.sort_unstable_by_key(|event| order.get(event));
            events.dedup();
            for event in events {
                let left = left.remove(event).unwrap_or_default();
                let right = right.remove(event).unwrap_or_default();
                if let Some((text, effect)) = self.event(&left, &right) {
                    changes.push((event.to_owned(), state.name.clone(), text, effect));
                }
            }
        }
        changes
    }

    /// What changed about one event in one state.
    fn event(
        &self,
        left: &[DiffedTransition<'a>],
        right: &[DiffedTransition<'a>],
    ) -> Option<(String, ChangeEffect)> {
        let shown = |ways: &[DiffedTransition<'_>]| {
            let ways: Vec<String> = ways.iter().map(|(to, act)| way(to, act)).collect();
            ways.join("; ")
        };
        if left == right {
            return None;
        }
        let begins_the_same = right.len() >= left.len()
            && left
                .iter()
                .zip(right)
                .all(|(left, right)| self.meaning.same_way(*left, *right));
        if begins_the_same && left.len() == right.len() {
            let meta = |ways: &[DiffedTransition<'_>]| -> Vec<Json> {
                let other = ways.iter().flat_map(|(_, act)| &act.other);
                let meta = other.filter(|(key, _)| key == "meta");
                meta.map(|(_, value)| value.clone()).collect()
            };
            let text = value_change(&Json::List(meta(left)), &Json::List(meta(right)))?;
            return Some((format!("`meta` {text}"), ChangeEffect::None));
        }
        Some(match (left, right) {
            ([], _) => (format!("added: {}", shown(right)), ChangeEffect::None),
            (_, []) => (
                format!("removed: was {}", shown(left)),
                ChangeEffect::Different,
            ),
            _ => {
                let text = format!("was {}, is {}", shown(left), shown(right));
                // What comes later is tried only where nothing was taken before.
                let effect = match begins_the_same {
                    true => ChangeEffect::None,
                    false => ChangeEffect::Different,
                };
                (text, effect)
            }
        })
    }
}

fn subject(state: &ModelState) -> String {
    format!("state {:?}", state.name)
}

fn list_change(what: &str, old: &[String], new: &[String]) -> String {
    let list = |items: &[String]| match items.is_empty() {
        true => "nothing".to_owned(),
        false => items.join(", "),
    };
    format!("{what}: was {}, is {}", list(old), list(new))
}

fn choices(always: &[Choice]) -> Vec<String> {
    let way = |choice: &Choice| way(&choice.to, &choice.act);
    always.iter().map(way).collect()
}

/// A transition without its event and the states it leaves.
fn way(to: &str, act: &Act) -> String {
    let mut text = format!("to {to}");
    if let Some(guard) = &act.guard {
        text.push_str(&format!(" if {guard}"));
    }
    for (path, value) in &act.set {
        text.push_str(&format!(", set {path} = {value}"));
    }
    for path in &act.unset {
        text.push_str(&format!(", unset {path}"));
    }
    if !act.emit.is_empty() {
        text.push_str(&format!(", emit {}", act.emit.join(" ")));
    }
    for (key, value) in &act.other {
        text.push_str(&format!(", {key} {value}"));
    }
    text
}

/// Where a transition leads, and what it does.
type DiffedTransition<'a> = (&'a str, &'a Act);

/// What a state answers to each event, in the order in which it is tried.
fn ways<'a>(
    machine: &'a MachineModel,
    graph: &Graph<'a>,
    state: usize,
) -> HashMap<&'a str, Vec<DiffedTransition<'a>>> {
    let mut ways: HashMap<&str, Vec<DiffedTransition<'a>>> = HashMap::new();
    for number in graph.leaving(state) {
        let it = &machine.transitions[number];
        let of_event = ways.entry(&it.event).or_default();
        of_event.push((&it.to, &it.act));
    }
    ways
}

/// A change of one event from one state, before those of several states are joined.
type OfState = (String, String, String, ChangeEffect);

/// One line for a change that is the same in several states.
fn joined(changes: Vec<OfState>) -> Vec<DefinitionChange> {
    let mut numbers: HashMap<(String, String, ChangeEffect), usize> = HashMap::new();
    let mut groups: Vec<(String, Vec<String>, String, ChangeEffect)> = Vec::new();
    for (event, state, text, effect) in changes {
        let group = numbers
            .entry((event.clone(), text.clone(), effect))
            .or_insert(groups.len());
        match groups.get_mut(*group) {
            Some((_, states, _, _)) => states.push(state),
            None => groups.push((event, vec![state], text, effect)),
        }
    }
    let line = |(event, states, text, effect): (String, Vec<String>, String, ChangeEffect)| {
        change(
            format!("{event:?} from {}", states.join(", ")),
            text,
            effect,
        )
    };
    groups.into_iter().map(line).collect()
}
