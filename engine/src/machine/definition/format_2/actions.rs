//! Expressions, and what a transition does: `merge`, `set`, `unset`, `emit`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Input;
use super::fields::{DefinitionFields, below, text, texts};
use crate::json::{JsonNode, JsonTree};
use crate::limits::{
    CHANGES_MAX, EMITS_MAX, EXPRESSION_STEPS_MAX, EXPRESSIONS_BYTES_MAX, PATH_NAMES_MAX,
    PATTERNS_MAX, name_fault,
};
use crate::machine::definition::chart::{Actions, Assignment, Merge};
use crate::machine::expression::{ExprWarning as Finding, Expression};
use crate::machine::nearest::did_you_mean;

/// An expression that may take more steps than this whatever it reads counts in the estimate of a decision's cost.
const FIXED_STEPS_MIN: u64 = 200;

impl Input<'_> {
    /// An expression in a string.
    pub(super) fn expression(&mut self, tree: &JsonTree<'_>, place: &str) -> Option<Expression> {
        let Some(text) = tree.string() else {
            let kind = tree.kind();
            let hint = format!("expected an expression as a string, not {kind}");
            self.faults.add(place, hint);
            return None;
        };
        let expression = match Expression::parse(text) {
            Ok(expression) => expression,
            Err(error) => {
                self.faults.add(place, error.to_string());
                return None;
            }
        };
        let steps = expression.worst_steps(0);
        if self.put && steps > EXPRESSION_STEPS_MAX {
            let text = format!(
                "takes up to {steps} steps whatever it reads; {EXPRESSION_STEPS_MAX} are allowed"
            );
            self.faults.add(place, text);
        }
        self.growth.loops = self.growth.loops.max(expression.loops());
        self.growth.turn = self.growth.turn.max(expression.turn());
        if steps > FIXED_STEPS_MIN {
            self.growth.fixed = self.growth.fixed.saturating_add(steps);
        }
        self.growth.pattern = self.growth.pattern.max(expression.pattern_parts());
        self.growth.text_bytes += text.len();
        self.patterns += expression.patterns();
        self.growth.reads_now |= expression.reads_now();
        self.check_patterns(place);
        if self.growth.text_bytes > EXPRESSIONS_BYTES_MAX && !self.too_many {
            self.too_many = true;
            let text = format!(
                "the expressions of the definition have more than {EXPRESSIONS_BYTES_MAX} bytes \
                 together"
            );
            self.faults.add(place, text);
        }
        Some(expression)
    }

    pub(super) fn check_patterns(&mut self, place: &str) {
        if self.patterns > PATTERNS_MAX && !self.too_many {
            self.too_many = true;
            let text =
                format!("more than {PATTERNS_MAX} patterns in one definition are not allowed");
            self.faults.add(place, text);
        }
    }

    /// The expression of `guard`, where there is one.
    pub(super) fn guard(
        &mut self,
        fields: &DefinitionFields<'_>,
        place: &str,
    ) -> Option<Box<Expression>> {
        let tree = fields.get("guard")?;
        let place = below(place, "guard");
        let expression = self.expression(tree, &place)?;
        for warning in expression.warnings() {
            if warning != Finding::NeverFalse {
                self.warn(&place, warning.to_string());
            }
        }
        Some(Box::new(expression))
    }

    pub(super) fn actions(&mut self, fields: &DefinitionFields<'_>, place: &str) -> Actions {
        let merge = fields
            .get("merge")
            .and_then(|tree| self.merge(tree, &below(place, "merge")));
        let set = fields
            .get("set")
            .map(|tree| self.set(tree, &below(place, "set")));
        let unset = fields
            .get("unset")
            .map(|tree| self.unset(tree, &below(place, "unset")));
        let actions = Actions {
            merge,
            set: set.unwrap_or_default(),
            unset: unset.unwrap_or_default(),
            emit: self.emit(fields, place),
        };
        self.check_paths(&actions, place);
        actions
    }

    pub(super) fn merge(&mut self, tree: &JsonTree<'_>, place: &str) -> Option<Merge> {
        match &tree.node {
            JsonNode::Bool(true) => Some(Merge::Fields),
            JsonNode::Bool(false) => Some(Merge::Nothing),
            JsonNode::String(text) if text == "deep" => {
                self.growth.deep = true;
                Some(Merge::Deep)
            }
            _ => {
                self.faults.add(place, "expected true, false or \"deep\"");
                None
            }
        }
    }

    fn set(&mut self, tree: &JsonTree<'_>, place: &str) -> Box<[Assignment]> {
        let Some(fields) = tree.fields() else {
            let kind = tree.kind();
            let hint = format!("expected an object of paths and expressions, not {kind}");
            self.faults.add(place, hint);
            return Box::default();
        };
        let mut all = Vec::with_capacity(fields.len());
        for (path, value) in fields {
            let place = below(place, path);
            let is_path = self.is_path(path, &place);
            let value = self.expression(value, &place);
            if let (true, Some(value)) = (is_path, value) {
                all.push(Assignment {
                    path: Box::from(&**path),
                    value,
                });
            }
        }
        all.into()
    }

    fn unset(&mut self, tree: &JsonTree<'_>, place: &str) -> Box<[Box<str>]> {
        let all = texts(tree, place, &mut self.faults);
        let all = all.into_iter();
        all.filter(|(place, path)| self.is_path(path, place))
            .map(|(_, path)| Box::from(path))
            .collect()
    }

    fn is_path(&mut self, path: &str, place: &str) -> bool {
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '@'))
        };
        let names = path.split('.').count();
        let fits = names <= PATH_NAMES_MAX && path.split('.').all(is_name);
        if !fits {
            let text = format!(
                "is not a path: 1 to {PATH_NAMES_MAX} names of letters, digits, `_` and `-`, joined \
                 by `.`, without `ctx`"
            );
            self.faults.add(place, text);
        } else if let Some(below) = path.strip_prefix("ctx.") {
            let text = format!(
                "changes `ctx.ctx.{below}`: a path begins below the context; write {below:?}"
            );
            self.warn(place, text);
        }
        fits
    }

    /// Two paths of one transition must not touch the same value: their order would count.
    fn check_paths(&mut self, actions: &Actions, place: &str) {
        let set = actions.set.iter().map(|it| ("set", &*it.path));
        let unset = actions.unset.iter().map(|path| ("unset", &**path));
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let all: Vec<(&str, &str)> = set.chain(unset).collect();
        if all.len() > CHANGES_MAX {
            let text = format!("{} paths; {CHANGES_MAX} are allowed together", all.len());
            self.faults.add(below(place, "set"), text);
            return;
        }
        for (key, path) in &all {
            if !seen.insert(path) {
                let place = below(&below(place, key), path);
                self.faults.add(place, "this path is changed twice");
            }
        }
        for (key, path) in &all {
            let mut ends = path.match_indices('.').map(|(end, _)| &path[..end]);
            if let Some(outer) = ends.find(|outer| seen.contains(*outer)) {
                let place = below(&below(place, key), path);
                let text = format!("is inside of `{outer}`, which is changed too");
                self.faults.add(place, text);
            }
        }
    }

    pub(super) fn emit(&mut self, fields: &DefinitionFields<'_>, place: &str) -> Box<[Arc<str>]> {
        let Some(tree) = fields.get("emit") else {
            return Box::default();
        };
        let place = below(place, "emit");
        let names = texts(tree, &place, &mut self.faults);
        if names.len() > EMITS_MAX {
            let text = format!("{} names; {EMITS_MAX} are allowed", names.len());
            self.faults.add(&place, text);
            return Box::default();
        }
        let mut all: Vec<Arc<str>> = Vec::with_capacity(names.len());
        for (place, name) in names {
            if let Some(wrong) = name_fault(name) {
                self.faults.add(place, format!("the name {wrong}"));
            } else if all.iter().any(|other| **other == *name) {
                self.faults.add(place, format!("{name:?} is there twice"));
            } else {
                all.push(Arc::from(name));
            }
        }
        all.into()
    }

    /// The number of a state that must exist.
    pub(super) fn state(&mut self, tree: Option<&JsonTree<'_>>, place: &str) -> Option<u16> {
        let name = text(tree?, place, &mut self.faults)?;
        self.state_of(name, place)
    }

    pub(super) fn state_of(&mut self, name: &str, place: &str) -> Option<u16> {
        let number = self.numbers.get(name).copied();
        if number.is_none() {
            // Comparing takes long, so not for faults that are only counted.
            let names = self.state_names.iter().map(String::as_str);
            let meant = match self.faults.are_full() {
                true => String::new(),
                false => did_you_mean(name, names),
            };
            let text = format!("{}{meant}", super::super::not_a_state(name));
            self.faults.add(place, text);
        }
        number
    }
}
