//! A guard as plain data, for tools that translate it.

use std::borrow::Cow;

use super::{Comparison, Expr, Guard, Operand, OperandKind};
use crate::json::Reader;

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// One of these holds.
    Or(Vec<Tree>),
    /// All of these hold.
    And(Vec<Tree>),
    /// This does not hold.
    Not(Box<Tree>),
    /// Two values are compared by one of `==`, `!=`, `<`, `<=`, `>` and `>=`.
    Compare(Value, String, Value),
    /// A value counts as true: it is none of null, false, 0, `""`, `[]` and `{}`.
    Truthy(Value),
}

/// A value in a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
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
    pub fn tree(&self) -> Tree {
        tree(&self.text, &self.expr)
    }
}

fn tree(guard: &str, expr: &Expr) -> Tree {
    let all = |terms: &[Expr]| terms.iter().map(|term| tree(guard, term)).collect();
    match expr {
        Expr::Or(terms) => Tree::Or(all(terms)),
        Expr::And(terms) => Tree::And(all(terms)),
        Expr::Not(inner) => Tree::Not(Box::new(tree(guard, inner))),
        Expr::Compare(left, comparison, right) => Tree::Compare(
            value(guard, *left),
            symbol(*comparison),
            value(guard, *right),
        ),
        Expr::Truthy(operand) => Tree::Truthy(value(guard, *operand)),
    }
}

fn symbol(comparison: Comparison) -> String {
    comparison.to_string()
}

fn value(guard: &str, operand: Operand) -> Value {
    let text = operand.text(guard);
    match operand.kind {
        OperandKind::Path => Value::Path(text.split('.').map(str::to_owned).collect()),
        OperandKind::Null => Value::Null,
        OperandKind::True => Value::Bool(true),
        OperandKind::False => Value::Bool(false),
        OperandKind::Number => Value::Number(text.to_owned()),
        // The lexer has read it as a string of JSON.
        OperandKind::String => Value::Text(
            Reader::new(text)
                .string()
                .map(Cow::into_owned)
                .unwrap_or_default(),
        ),
    }
}
