//! Whether a guard holds.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

pub(crate) use crate::json::Object;
use crate::json::{compare_numbers, equal};

use super::{Comparison, Expr, Operand};

pub(super) fn holds(expr: &Expr, ctx: &Object<'_>) -> bool {
    match expr {
        Expr::Or(terms) => terms.iter().any(|term| holds(term, ctx)),
        Expr::And(terms) => terms.iter().all(|term| holds(term, ctx)),
        Expr::Not(inner) => !holds(inner, ctx),
        Expr::Compare(left, comparison, right) => {
            compare(&value(left, ctx), *comparison, &value(right, ctx))
        }
        Expr::Truthy(operand) => truthy(&value(operand, ctx)),
    }
}

fn value<'a>(operand: &'a Operand, ctx: &Object<'_>) -> Cow<'a, Value> {
    match operand {
        Operand::Literal(value) => Cow::Borrowed(value),
        Operand::Path(names) => Cow::Owned(lookup(names, ctx)),
    }
}

fn lookup(names: &[String], ctx: &Object<'_>) -> Value {
    let Some((first, rest)) = names.split_first() else {
        return Value::Null;
    };
    let mut value = ctx.value(first);
    for name in rest {
        value = match value {
            Value::Object(mut fields) => fields.swap_remove(name).unwrap_or(Value::Null),
            Value::Array(items) if name == "length" => Value::from(items.len()),
            _ => return Value::Null,
        };
    }
    value
}

fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

fn compare(left: &Value, comparison: Comparison, right: &Value) -> bool {
    let ordering = match (left, right) {
        (Value::Number(left), Value::Number(right)) => Some(compare_numbers(left, right)),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    };
    match comparison {
        Comparison::Equal => equal(left, right),
        Comparison::NotEqual => !equal(left, right),
        Comparison::Less => ordering == Some(Ordering::Less),
        Comparison::LessOrEqual => ordering.is_some_and(Ordering::is_le),
        Comparison::Greater => ordering == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => ordering.is_some_and(Ordering::is_ge),
    }
}
