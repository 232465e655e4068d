//! A guard as plain data, for tools that translate it.

use std::borrow::Cow;

use super::{Comparison, Guard, GuardExpr, Operand, OperandKind};
use crate::json::JsonReader;

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuardTree {
    /// One of these holds.
    Or(Vec<GuardTree>),
    /// All of these hold.
    And(Vec<GuardTree>),
    /// This does not hold.
    Not(Box<GuardTree>),
    /// Two values are compared by one of `==`, `!=`, `<`, `<=`, `>` and `>=`.
    Compare(TreeValue, String, TreeValue),
    /// A value counts as true: it is none of null, false, 0, `""`, `[]` and `{}`.
    Truthy(TreeValue),
}

/// A value in a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeValue {
    /// The names of a path below the context, at least one.
    Path(Vec<String>),
    /// null
    Null,
    /// true or false
    Bool(bool),
    /// As it is written.
    Number(String),
    /// Decoded.
    Text(String),
}

impl Guard {
    /// The guard as plain data.
    pub fn tree(&self) -> GuardTree {
        tree(&self.text, &self.expr)
    }
}

fn tree(guard: &str, expr: &GuardExpr) -> GuardTree {
    let all = |terms: &[GuardExpr]| terms.iter().map(|term| tree(guard, term)).collect();
    match expr {
        GuardExpr::Or(terms) => GuardTree::Or(all(terms)),
        GuardExpr::And(terms) => GuardTree::And(all(terms)),
        GuardExpr::Not(inner) => GuardTree::Not(Box::new(tree(guard, inner))),
        GuardExpr::Compare(left, comparison, right) => GuardTree::Compare(
            value(guard, *left),
            symbol(*comparison),
            value(guard, *right),
        ),
        GuardExpr::Truthy(operand) => GuardTree::Truthy(value(guard, *operand)),
    }
}

fn symbol(comparison: Comparison) -> String {
    comparison.to_string()
}

fn value(guard: &str, operand: Operand) -> TreeValue {
    let text = operand.text(guard);
    match operand.kind {
        OperandKind::Path => TreeValue::Path(text.split('.').map(str::to_owned).collect()),
        OperandKind::Null => TreeValue::Null,
        OperandKind::True => TreeValue::Bool(true),
        OperandKind::False => TreeValue::Bool(false),
        OperandKind::Number => TreeValue::Number(text.to_owned()),
        // The lexer has read it as a string of JSON.
        OperandKind::String => TreeValue::Text(
            JsonReader::new(text)
                .string()
                .map(Cow::into_owned)
                .unwrap_or_default(),
        ),
    }
}
