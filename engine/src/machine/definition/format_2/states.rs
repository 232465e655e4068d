//! The states: their names first, because everything else names them.

use super::Input;
use super::fields::{DefinitionFields, below, text};
use crate::json::JsonTree;
use crate::limits::{ALWAYS_MAX, STATES_MAX, name_fault};
use crate::machine::definition::chart::{Always, StateParts};

const STATE_KEYS: [&str; 7] = [
    "name",
    "final",
    "emit",
    "always",
    "timers",
    "delete_after",
    "meta",
];
const ALWAYS_KEYS: [&str; 6] = ["to", "guard", "set", "unset", "emit", "meta"];

/// A state as it is written.
pub(super) enum WrittenState<'t> {
    Name,
    Object(DefinitionFields<'t>),
}

impl<'t> Input<'t> {
    /// The names of the states, each with the rest of its text.
    pub(super) fn states(&mut self, tree: &'t JsonTree<'t>) -> Vec<WrittenState<'t>> {
        let Some(items) = tree.items() else {
            let kind = tree.kind();
            self.faults
                .add("states", format!("expected a list, not {kind}"));
            return Vec::new();
        };
        if items.is_empty() || items.len() > STATES_MAX {
            let text = format!("{} states; 1 to {STATES_MAX} are allowed", items.len());
            self.faults.add("states", text);
            return Vec::new();
        }
        let mut all = Vec::with_capacity(items.len());
        for (position, item) in items.iter().enumerate() {
            let place = format!("states[{position}]");
            let (name, written) = match item.string() {
                Some(name) => (Some(name), WrittenState::Name),
                None if item.fields().is_none() => {
                    let kind = item.kind();
                    let hint = format!("expected a name or an object with one, not {kind}");
                    self.faults.add(&place, hint);
                    (None, WrittenState::Name)
                }
                None => match DefinitionFields::of(item, &place, &STATE_KEYS, &mut self.faults) {
                    Some(fields) => {
                        let name = fields.text("name", &place, &mut self.faults);
                        (name, WrittenState::Object(fields))
                    }
                    None => (None, WrittenState::Name),
                },
            };
            self.name_state(name.unwrap_or_default(), name.is_some(), &place);
            all.push(written);
        }
        all
    }

    fn name_state(&mut self, name: &'t str, is_there: bool, place: &str) {
        let number = self.state_names.len() as u16;
        self.state_names.push(name.to_owned());
        if !is_there {
            return;
        }
        if name == "*" {
            self.faults.add(
                place,
                "`*` stands for every state and cannot be the name of one",
            );
        } else if let Some(wrong) = name_fault(name) {
            self.faults.add(place, format!("the name {wrong}"));
        }
        if self.numbers.insert(name, number).is_some() {
            self.faults.add(place, format!("{name:?} is there twice"));
        }
    }

    /// What a state is beside its name.
    pub(super) fn state_parts(
        &mut self,
        position: usize,
        written: &WrittenState<'t>,
    ) -> StateParts {
        let WrittenState::Object(fields) = written else {
            return StateParts::default();
        };
        let place = format!("states[{position}]");
        let is_final = fields.flag("final", &place, &mut self.faults);
        let parts = StateParts {
            is_final,
            emit: self.emit(fields, &place),
            always: self.always(position, fields, &place),
            timers: self.timers(fields, &place, is_final),
        };
        let changes = |it: &Always| !it.actions.set.is_empty() || !it.actions.unset.is_empty();
        self.growth.rewrites |= parts.always.iter().any(changes);
        if parts.is_final && !parts.always.is_empty() {
            let text = "a final state has no transition out";
            self.faults.add(below(&place, "always"), text);
        }
        parts
    }

    fn always(
        &mut self,
        position: usize,
        fields: &DefinitionFields<'t>,
        place: &str,
    ) -> Box<[Always]> {
        let Some(tree) = fields.get("always") else {
            return Box::default();
        };
        let place = below(place, "always");
        let items = match (tree.items(), tree.fields()) {
            (Some(items), _) => items,
            // One alone need not stand in a list.
            (None, Some(_)) => std::slice::from_ref(tree),
            (None, None) => {
                let hint = format!("expected a list of objects, not {}", tree.kind());
                self.faults.add(&place, hint);
                return Box::default();
            }
        };
        if items.is_empty() || items.len() > ALWAYS_MAX {
            let text = format!("{} transitions; 1 to {ALWAYS_MAX} are allowed", items.len());
            self.faults.add(&place, text);
            return Box::default();
        }
        let mut all: Vec<Always> = Vec::with_capacity(items.len());
        for (number, item) in items.iter().enumerate() {
            let place = format!("{place}[{number}]");
            let Some(fields) = DefinitionFields::of(item, &place, &ALWAYS_KEYS, &mut self.faults)
            else {
                continue;
            };
            let to = fields.required("to", &place, &mut self.faults);
            let to = self.state(to, &below(&place, "to"));
            let guard = self.guard(&fields, &place);
            let actions = self.actions(&fields, &place);
            if all.last().is_some_and(|before| before.guard.is_none()) {
                let text = "is never taken: the one before it has no guard";
                self.faults.add(&place, text);
            }
            let unguarded = fields.get("guard").is_none();
            if unguarded && to.is_some_and(|to| usize::from(to) == position) {
                self.faults.add(
                    &place,
                    "leads to its own state without a guard: it would not end",
                );
            }
            // Of a guard with a fault nothing is known.
            if let (Some(to), true) = (to, unguarded || guard.is_some()) {
                all.push(Always { to, guard, actions });
            }
        }
        all.into()
    }

    /// The initial state.
    pub(super) fn initial(&mut self, tree: Option<&'t JsonTree<'t>>) -> u16 {
        let Some(tree) = tree else {
            return 0;
        };
        let name = text(tree, "initial", &mut self.faults);
        name.and_then(|name| self.state_of(name, "initial"))
            .unwrap_or(0)
    }
}
