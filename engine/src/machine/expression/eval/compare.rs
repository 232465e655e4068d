//! Equality and order.
//!
//! Numbers are compared by value whatever their types. Values of other different types are not equal, and have no
//! order.

use std::cmp::Ordering;

use crate::json;
use crate::machine::expression::error::Why;
use crate::machine::expression::source::{self, Steps};
use crate::machine::expression::value::decimal::Decimal;
use crate::machine::expression::value::{Value, compare_plain, double_text, key_equal};

/// Whether two values are equal. Recurses as deep as values are nested, which the parser and the JSON reader bound.
pub(super) fn equal<'a>(
    left: &Value<'a>,
    right: &Value<'a>,
    steps: &mut Steps,
) -> Result<bool, Why> {
    steps.spend(1)?;
    Ok(match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::String(left), Value::String(right)) => {
            steps.bytes(left.len().min(right.len()))?;
            **left == **right
        }
        (Value::Bytes(left), Value::Bytes(right)) => {
            steps.bytes(left.len().min(right.len()))?;
            left == right
        }
        (Value::Timestamp(left), Value::Timestamp(right)) => left == right,
        (Value::Duration(left), Value::Duration(right)) => left == right,
        (Value::Type(left), Value::Type(right)) => left == right,
        (Value::List(_) | Value::JsonList(_), Value::List(_) | Value::JsonList(_)) => {
            lists(left, right, steps)?
        }
        (Value::Map(_) | Value::JsonMap(_), Value::Map(_) | Value::JsonMap(_)) => {
            maps(left, right, steps)?
        }
        _ => numbers(left, right, steps)? == Some(Ordering::Equal),
    })
}

fn lists<'a>(left: &Value<'a>, right: &Value<'a>, steps: &mut Steps) -> Result<bool, Why> {
    let (left, right) = (source::items(left, steps)?, source::items(right, steps)?);
    if left.len() != right.len() {
        return Ok(false);
    }
    for (left, right) in left.iter().zip(right.iter()) {
        if !equal(left, right, steps)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn maps<'a>(left: &Value<'a>, right: &Value<'a>, steps: &mut Steps) -> Result<bool, Why> {
    let (left, right) = (
        source::entries(left, steps)?,
        source::entries(right, steps)?,
    );
    if left.len() != right.len() {
        return Ok(false);
    }
    let sorted = |entries: &[(Value<'a>, Value<'a>)]| {
        let mut entries = entries.to_vec();
        entries.sort_by(|left, right| key_order(&left.0, &right.0));
        entries
    };
    steps.spend(left.len() as u64)?;
    for (left, right) in sorted(&left).iter().zip(&sorted(&right)) {
        if !key_equal(&left.0, &right.0) || !equal(&left.1, &right.1, steps)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// An order of keys in which equal keys are neighbours; no other property of it is used.
fn key_order(left: &Value<'_>, right: &Value<'_>) -> Ordering {
    let rank = |key: &Value<'_>| match key {
        Value::Bool(value) => (0, i128::from(*value)),
        Value::Int(value) => (1, i128::from(*value)),
        Value::Uint(value) => (1, i128::from(*value)),
        _ => (2, 0),
    };
    match (left, right) {
        (Value::String(left), Value::String(right)) => left.cmp(right),
        _ => rank(left).cmp(&rank(right)),
    }
}

/// The order of two values. The outer `None`: their types have none; the inner: one of them is not a number.
pub(super) fn order(
    left: &Value<'_>,
    right: &Value<'_>,
    steps: &mut Steps,
) -> Result<Option<Option<Ordering>>, Why> {
    Ok(Some(Some(match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::String(left), Value::String(right)) => {
            steps.bytes(left.len().min(right.len()))?;
            // Bytes of UTF-8 have the order of their code points.
            left.cmp(right)
        }
        (Value::Bytes(left), Value::Bytes(right)) => {
            steps.bytes(left.len().min(right.len()))?;
            left.cmp(right)
        }
        (Value::Timestamp(left), Value::Timestamp(right)) => left.cmp(right),
        (Value::Duration(left), Value::Duration(right)) => left.cmp(right),
        _ if left.kind().is_number() && right.kind().is_number() => {
            return Ok(Some(numbers(left, right, steps)?));
        }
        _ => return Ok(None),
    })))
}

fn numbers(
    left: &Value<'_>,
    right: &Value<'_>,
    steps: &mut Steps,
) -> Result<Option<Ordering>, Why> {
    for value in [left, right] {
        if let Value::Number(text) = value {
            steps.bytes(text.len())?;
        }
    }
    Ok(match (left, right) {
        (Value::Decimal(left), _) => compare_decimal(left, right),
        (_, Value::Decimal(right)) => compare_decimal(right, left).map(Ordering::reverse),
        _ => compare_plain(&left.clone().plain(), &right.clone().plain()),
    })
}

/// A number from JSON by its digits as written; a double by the shortest digits that read back as this double.
fn compare_decimal(left: &Decimal, right: &Value<'_>) -> Option<Ordering> {
    let right = match right {
        Value::Number(text) => (*text).to_owned(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Decimal(value) => value.to_string(),
        Value::Double(value) if value.is_finite() => double_text(*value),
        Value::Double(value) if value.is_nan() => return None,
        Value::Double(value) if *value > 0.0 => return Some(Ordering::Less),
        Value::Double(_) => return Some(Ordering::Greater),
        _ => return None,
    };
    let left = left.to_string();
    Some(json::Decimal::new(&left).cmp(&json::Decimal::new(&right)))
}
