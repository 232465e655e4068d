//! What changed between two definitions, and what that means for instances of the older one.

use std::fmt;

use rstmdb_rcp::json::Json;

use crate::model::{Act, Choice, Machine, State};

/// What a change means for an instance of the older definition that goes on under the newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing: it can do all that it could.
    None,
    /// The instance goes on, but some events may be refused or lead to another state.
    Different,
    /// The instance may be in a state that the newer definition does not have.
    Stranded,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What changed, like `state "paid"` or `"PAY" from cart`.
    pub subject: String,
    /// In which way.
    pub text: String,
    /// What it means for instances in flight.
    pub effect: Effect,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.text)
    }
}

/// All changes from one definition to another.
pub fn diff(old: &Machine, new: &Machine) -> Vec<Change> {
    let mut changes = Vec::new();
    whole(old, new, &mut changes);
    states(old, new, &mut changes);
    let mut of_events = Vec::new();
    for state in &new.states {
        let before = old.state(&state.name);
        events(old, new, before, state, &mut of_events);
    }
    changes.extend(joined(of_events));
    changes
}

/// The gravest effect of all changes.
pub fn gravest(changes: &[Change]) -> Effect {
    let effects = changes.iter().map(|change| change.effect);
    effects.max().unwrap_or(Effect::None)
}

fn change(subject: impl Into<String>, text: impl Into<String>, effect: Effect) -> Change {
    Change {
        subject: subject.into(),
        text: text.into(),
        effect,
    }
}

fn whole(old: &Machine, new: &Machine, changes: &mut Vec<Change>) {
    if old.format != new.format {
        let text = format!(
            "was {}, is {}: conditions are read differently",
            old.format, new.format
        );
        changes.push(change("format", text, Effect::Different));
    }
    if old.initial != new.initial {
        let text = format!("was {:?}, is {:?}", old.initial, new.initial);
        changes.push(change("initial state", text, Effect::None));
    }
    let mut keys: Vec<&str> = old.other.iter().map(|(key, _)| key.as_str()).collect();
    keys.extend(new.other.iter().map(|(key, _)| key.as_str()));
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let effect = match key {
            "context" | "events" | "merge" => Effect::Different,
            _ => Effect::None,
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

fn states(old: &Machine, new: &Machine, changes: &mut Vec<Change>) {
    for state in &old.states {
        if new.state(&state.name).is_none() {
            let text = "removed: an instance in it needs a mapping to another state";
            changes.push(change(subject(state), text, Effect::Stranded));
        }
    }
    for state in &new.states {
        let Some(before) = old.state(&state.name) else {
            changes.push(change(subject(state), "added", Effect::None));
            continue;
        };
        if before.is_final != state.is_final {
            let text = if state.is_final {
                "is final now"
            } else {
                "is no longer final"
            };
            changes.push(change(subject(state), text, Effect::None));
        }
        if before.emit != state.emit {
            let text = list_change("emits", &before.emit, &state.emit);
            changes.push(change(subject(state), text, Effect::None));
        }
        if before.always != state.always {
            let (left, right) = (choices(&before.always), choices(&state.always));
            let text = list_change("always", &left, &right);
            changes.push(change(subject(state), text, Effect::Different));
        }
        let other = |state: &State| Json::Object(state.other.clone());
        if let Some(text) = value_change(&other(before), &other(state)) {
            changes.push(change(subject(state), text, Effect::Different));
        }
    }
}

fn subject(state: &State) -> String {
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

/// What a state answers to one event, in the order in which it is tried.
fn ways<'a>(machine: &'a Machine, state: &'a State, event: &str) -> Vec<(&'a str, &'a Act)> {
    let leaving = machine.leaving(state).map(|it| &machine.transitions[it]);
    leaving
        .filter(|transition| transition.event == event)
        .map(|transition| (transition.to.as_str(), &transition.act))
        .collect()
}

/// A change of one event from one state, before those of several states are joined.
type OfState = (String, String, String, Effect);

fn events(
    old: &Machine,
    new: &Machine,
    before: Option<&State>,
    state: &State,
    changes: &mut Vec<OfState>,
) {
    let mut names = old.events();
    names.extend(new.events());
    let mut seen: Vec<&str> = Vec::new();
    for event in names {
        if seen.contains(&event) {
            continue;
        }
        seen.push(event);
        let left = before.map_or_else(Vec::new, |state| ways(old, state, event));
        let right = ways(new, state, event);
        if left == right {
            continue;
        }
        let shown = |ways: &[(&str, &Act)]| {
            let ways: Vec<String> = ways.iter().map(|(to, act)| way(to, act)).collect();
            ways.join("; ")
        };
        let (text, effect) = if left.is_empty() {
            (format!("added: {}", shown(&right)), Effect::None)
        } else if right.is_empty() {
            (format!("removed: was {}", shown(&left)), Effect::Different)
        } else {
            let text = format!("was {}, is {}", shown(&left), shown(&right));
            let effect = match right.starts_with(&left) {
                // Tried only where nothing was taken before.
                true => Effect::None,
                false => Effect::Different,
            };
            (text, effect)
        };
        changes.push((event.to_owned(), state.name.clone(), text, effect));
    }
}

/// One line for a change that is the same in several states.
fn joined(changes: Vec<OfState>) -> Vec<Change> {
    let mut groups: Vec<(String, Vec<String>, String, Effect)> = Vec::new();
    for (event, state, text, effect) in changes {
        let group = groups.iter_mut().find(|(other, _, its_text, its_effect)| {
            *other == event && *its_text == text && *its_effect == effect
        });
        match group {
            Some((_, states, _, _)) => states.push(state),
            None => groups.push((event, vec![state], text, effect)),
        }
    }
    groups
        .into_iter()
        .map(|(event, states, text, effect)| {
            change(
                format!("{event:?} from {}", states.join(", ")),
                text,
                effect,
            )
        })
        .collect()
}
