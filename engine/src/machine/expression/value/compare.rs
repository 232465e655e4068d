//! Numbers and keys by value, whatever their types.

use std::cmp::Ordering;

use super::Value;

/// Whether two keys of maps are the same: numbers by value.
pub(in crate::machine::expression) fn key_equal(left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::String(left), Value::String(right)) => **left == **right,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::String(_) | Value::Bool(_), _) | (_, Value::String(_) | Value::Bool(_)) => false,
        _ => compare_plain(left, right) == Some(Ordering::Equal),
    }
}

/// The order of two numbers that are neither decimals nor JSON text.
pub(in crate::machine::expression) fn compare_plain(
    left: &Value<'_>,
    right: &Value<'_>,
) -> Option<Ordering> {
    let whole = |value: &Value<'_>| match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::Uint(value) => Some(i128::from(*value)),
        _ => None,
    };
    match (left, right) {
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(right),
        (Value::Double(left), _) => compare_double(*left, whole(right)?),
        (_, Value::Double(right)) => compare_double(*right, whole(left)?).map(Ordering::reverse),
        _ => Some(whole(left)?.cmp(&whole(right)?)),
    }
}

/// A double with a whole number of at most 65 bits, exactly: neither is rounded.
fn compare_double(left: f64, right: i128) -> Option<Ordering> {
    if left.is_nan() {
        return None;
    }
    // Beyond the range of the cast it saturates, far from any such whole number.
    let whole = left.trunc() as i128;
    let part = left.trunc().partial_cmp(&left).map(Ordering::reverse)?;
    Some(whole.cmp(&right).then(part))
}
