//! Equality and order.
//!
//! Numbers are compared by value whatever their types. Values of other different types are not equal, and have no
//! order.

use std::cmp::Ordering;

use crate::json;
use crate::machine::expression::error::Why;
use crate::machine::expression::source::{self, EvalSteps};
use crate::machine::expression::value::decimal::Decimal;
use crate::machine::expression::value::{ExprValue, compare_plain, double_text, key_equal};

/// Whether two values are equal. Recurses as deep as values are nested, which the parser and the JSON reader bound.
pub(super) fn equal<'a>(
    left: &ExprValue<'a>,
    right: &ExprValue<'a>,
    steps: &mut EvalSteps,
) -> Result<bool, Why> {
    steps.spend(1)?;
    Ok(match (left, right) {
        (ExprValue::Null, ExprValue::Null) => true,
        (ExprValue::Bool(left), ExprValue::Bool(right)) => left == right,
        (ExprValue::String(left), ExprValue::String(right)) => {
            steps.bytes(left.len().min(right.len()))?;
            **left == **right
        }
        (ExprValue::Bytes(left), ExprValue::Bytes(right)) => {
            steps.bytes(left.len().min(right.len()))?;
            left == right
        }
        (ExprValue::Timestamp(left), ExprValue::Timestamp(right)) => left == right,
        (ExprValue::Duration(left), ExprValue::Duration(right)) => left == right,
        (ExprValue::Type(left), ExprValue::Type(right)) => left == right,
        (
            ExprValue::List(_) | ExprValue::JsonList(_),
            ExprValue::List(_) | ExprValue::JsonList(_),
        ) => lists(left, right, steps)?,
        (ExprValue::Map(_) | ExprValue::JsonMap(_), ExprValue::Map(_) | ExprValue::JsonMap(_)) => {
            maps(left, right, steps)?
        }
        _ => numbers(left, right, steps)? == Some(Ordering::Equal),
    })
}

fn lists<'a>(
    left: &ExprValue<'a>,
    right: &ExprValue<'a>,
    steps: &mut EvalSteps,
) -> Result<bool, Why> {
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

fn maps<'a>(
    left: &ExprValue<'a>,
    right: &ExprValue<'a>,
    steps: &mut EvalSteps,
) -> Result<bool, Why> {
    let (left, right) = (
        source::entries(left, steps)?,
        source::entries(right, steps)?,
    );
    if left.len() != right.len() {
        return Ok(false);
    }
    let sorted = |entries: &[(ExprValue<'a>, ExprValue<'a>)]| {
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
fn key_order(left: &ExprValue<'_>, right: &ExprValue<'_>) -> Ordering {
    let rank = |key: &ExprValue<'_>| match key {
        ExprValue::Bool(value) => (0, i128::from(*value)),
        ExprValue::Int(value) => (1, i128::from(*value)),
        ExprValue::Uint(value) => (1, i128::from(*value)),
        _ => (2, 0),
    };
    match (left, right) {
        (ExprValue::String(left), ExprValue::String(right)) => left.cmp(right),
        _ => rank(left).cmp(&rank(right)),
    }
}

/// The order of two values. The outer `None`: their types have none; the inner: one of them is not a number.
pub(super) fn order(
    left: &ExprValue<'_>,
    right: &ExprValue<'_>,
    steps: &mut EvalSteps,
) -> Result<Option<Option<Ordering>>, Why> {
    Ok(Some(Some(match (left, right) {
        (ExprValue::Bool(left), ExprValue::Bool(right)) => left.cmp(right),
        (ExprValue::String(left), ExprValue::String(right)) => {
            steps.bytes(left.len().min(right.len()))?;
            // Bytes of UTF-8 have the order of their code points.
            left.cmp(right)
        }
        (ExprValue::Bytes(left), ExprValue::Bytes(right)) => {
            steps.bytes(left.len().min(right.len()))?;
            left.cmp(right)
        }
        (ExprValue::Timestamp(left), ExprValue::Timestamp(right)) => left.cmp(right),
        (ExprValue::Duration(left), ExprValue::Duration(right)) => left.cmp(right),
        _ if left.kind().is_number() && right.kind().is_number() => {
            return Ok(Some(numbers(left, right, steps)?));
        }
        _ => return Ok(None),
    })))
}

fn numbers(
    left: &ExprValue<'_>,
    right: &ExprValue<'_>,
    steps: &mut EvalSteps,
) -> Result<Option<Ordering>, Why> {
    for value in [left, right] {
        if let ExprValue::Number(text) = value {
            steps.bytes(text.len())?;
        }
    }
    Ok(match (left, right) {
        (ExprValue::Decimal(left), _) => compare_decimal(left, right),
        (_, ExprValue::Decimal(right)) => compare_decimal(right, left).map(Ordering::reverse),
        _ => compare_plain(&left.clone().plain(), &right.clone().plain()),
    })
}

/// A number from JSON by its digits as written; a double by the shortest digits that read back as this double.
fn compare_decimal(left: &Decimal, right: &ExprValue<'_>) -> Option<Ordering> {
    let right = match right {
        ExprValue::Number(text) => (*text).to_owned(),
        ExprValue::Int(value) => value.to_string(),
        ExprValue::Uint(value) => value.to_string(),
        ExprValue::Decimal(value) => value.to_string(),
        ExprValue::Double(value) if value.is_finite() => double_text(*value),
        ExprValue::Double(value) if value.is_nan() => return None,
        ExprValue::Double(value) if *value > 0.0 => return Some(Ordering::Less),
        ExprValue::Double(_) => return Some(Ordering::Greater),
        _ => return None,
    };
    let left = left.to_string();
    Some(json::JsonDecimal::new(&left).cmp(&json::JsonDecimal::new(&right)))
}
