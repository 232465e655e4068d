//! The transitions, and the schemas of their events' payloads.

use super::Input;
use super::fields::{DefinitionFields, below, texts};
use crate::json::JsonTree;
use crate::limits::{TRANSITIONS_MAX, name_fault};
use crate::machine::definition::chart::{Actions, Condition, CostGrowth};
use crate::machine::definition::{Every, Transition};
use crate::machine::schema::Schema;

const TRANSITION_KEYS: [&str; 11] = [
    "from", "except", "event", "to", "reenter", "guard", "merge", "set", "unset", "emit", "meta",
];
const EVENT_KEYS: [&str; 2] = ["schema", "meta"];

impl<'t> Input<'t> {
    pub(super) fn transitions(&mut self, tree: &'t JsonTree<'t>) -> Vec<Transition> {
        let Some(items) = tree.items() else {
            let kind = tree.kind();
            self.faults
                .add("transitions", format!("expected a list, not {kind}"));
            return Vec::new();
        };
        if items.len() > TRANSITIONS_MAX {
            let text = format!("{} transitions; {TRANSITIONS_MAX} are allowed", items.len());
            self.faults.add("transitions", text);
            return Vec::new();
        }
        let all = items.iter().enumerate();
        all.filter_map(|(position, item)| self.transition(position, item))
            .collect()
    }

    fn transition(&mut self, position: usize, item: &'t JsonTree<'t>) -> Option<Transition> {
        let place = format!("transitions[{position}]");
        let fields = DefinitionFields::of(item, &place, &TRANSITION_KEYS, &mut self.faults)?;
        let from = fields.required("from", &place, &mut self.faults);
        let (from, every) = match from {
            Some(tree) => self.from(tree, &fields, &place),
            None => (Vec::new(), None),
        };
        let event = fields.text("event", &place, &mut self.faults);
        if let Some(wrong) = event.and_then(name_fault) {
            self.faults
                .add(below(&place, "event"), format!("the name {wrong}"));
        }
        let to = fields.required("to", &place, &mut self.faults);
        let to = self.state(to, &below(&place, "to"));
        let guard = self.guard(&fields, &place).map(Condition::Expression);
        let actions = self.actions(&fields, &place);
        Some(Transition {
            from,
            every,
            event: self.events.number(event?),
            to: to?,
            guard,
            actions: boxed(actions),
            reenter: fields.flag("reenter", &place, &mut self.faults),
        })
    }

    fn from(
        &mut self,
        tree: &'t JsonTree<'t>,
        fields: &DefinitionFields<'t>,
        place: &str,
    ) -> (Vec<u16>, Option<Every>) {
        let except = fields.get("except");
        let from = below(place, "from");
        if tree.string() == Some("*") {
            let names = except.map(|tree| self.named(tree, &below(place, "except")));
            let mut except = names.unwrap_or_default();
            except.sort_unstable();
            return (
                Vec::new(),
                Some(Every {
                    except: except.into(),
                }),
            );
        }
        if except.is_some() {
            let text = "is only for `\"from\": \"*\"`";
            self.faults.add(below(place, "except"), text);
        }
        let states = self.named(tree, &from);
        if states.is_empty() && tree.items().is_some_and(<[_]>::is_empty) {
            self.faults.add(&from, "no state; 1 or more are needed");
        }
        (states, None)
    }

    /// Numbers of states, each once.
    fn named(&mut self, tree: &'t JsonTree<'t>, place: &str) -> Vec<u16> {
        let mut all = Vec::new();
        let mut seen = crate::hash::Map::<u16, ()>::default();
        for (place, name) in texts(tree, place, &mut self.faults) {
            if name == "*" {
                self.faults.add(place, "`*` stands alone, not in a list");
                continue;
            }
            let Some(number) = self.state_of(name, &place) else {
                continue;
            };
            if seen.insert(number, ()).is_some() {
                self.faults.add(place, format!("{name:?} is there twice"));
                continue;
            }
            all.push(number);
        }
        all
    }

    /// `events`: what payloads must be. Gives the schemas by the events' numbers.
    pub(super) fn payloads(&mut self, tree: &'t JsonTree<'t>) -> Vec<Option<Schema>> {
        let mut schemas = Vec::new();
        let Some(fields) = tree.fields() else {
            let kind = tree.kind();
            let hint = format!("expected an object of events, not {kind}");
            self.faults.add("events", hint);
            return schemas;
        };
        let mut seen = crate::hash::Map::<&str, ()>::default();
        for (name, value) in fields {
            let place = below("events", name);
            if seen.insert(name, ()).is_some() {
                self.faults.add(&place, "is there twice");
                continue;
            }
            if let Some(wrong) = name_fault(name) {
                self.faults.add(&place, format!("the name {wrong}"));
                continue;
            }
            if !self.events.has(name) {
                self.warn(&place, "no transition handles this event".to_owned());
            }
            let number = self.events.number(name) as usize;
            let Some(fields) = DefinitionFields::of(value, &place, &EVENT_KEYS, &mut self.faults)
            else {
                continue;
            };
            if let Some(tree) = fields.get("schema") {
                let schema = self.schema(tree, &below(&place, "schema"));
                schemas.resize_with(schemas.len().max(number + 1), || None);
                schemas[number] = schema;
            }
        }
        schemas
    }

    pub(super) fn schema(&mut self, tree: &'t JsonTree<'t>, place: &str) -> Option<Schema> {
        let before = self.patterns;
        match Schema::compile(tree, &mut self.patterns) {
            Ok(schema) => {
                if self.patterns > before {
                    self.growth.pattern = self.growth.pattern.max(CostGrowth::SCHEMA_PATTERN);
                }
                self.growth.schemas = true;
                self.growth.branches = self.growth.branches.max(schema.branches());
                self.check_patterns(place);
                Some(schema)
            }
            Err(faults) => {
                for (inside, text) in faults {
                    self.faults.add(format!("{place}{inside}"), text);
                }
                None
            }
        }
    }
}

/// Most transitions of most definitions do nothing but move.
fn boxed(actions: Actions) -> Option<Box<Actions>> {
    let is_empty = actions.merge.is_none()
        && actions.set.is_empty()
        && actions.unset.is_empty()
        && actions.emit.is_empty();
    (!is_empty).then(|| Box::new(actions))
}
