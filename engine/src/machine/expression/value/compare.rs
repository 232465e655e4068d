//! Numbers and keys by value, whatever their types.

use std::cmp::Ordering;

use super::ExprValue;

/// Whether two keys of maps are the same: numbers by value.
pub(in crate::machine::expression) fn key_equal(
    left: &ExprValue<'_>,
    right: &ExprValue<'_>,
) -> bool {
    match (left, right) {
        (ExprValue::String(left), ExprValue::String(right)) => **left == **right,
        (ExprValue::Bool(left), ExprValue::Bool(right)) => left == right,
        (ExprValue::String(_) | ExprValue::Bool(_), _)
        | (_, ExprValue::String(_) | ExprValue::Bool(_)) => false,
        _ => compare_plain(left, right) == Some(Ordering::Equal),
    }
}

/// The order of two numbers that are neither decimals nor JSON text.
pub(in crate::machine::expression) fn compare_plain(
    left: &ExprValue<'_>,
    right: &ExprValue<'_>,
) -> Option<Ordering> {
    let whole = |value: &ExprValue<'_>| match value {
        ExprValue::Int(value) => Some(i128::from(*value)),
        ExprValue::Uint(value) => Some(i128::from(*value)),
        _ => None,
    };
    match (left, right) {
        (ExprValue::Double(left), ExprValue::Double(right)) => left.partial_cmp(right),
        (ExprValue::Double(left), _) => compare_double(*left, whole(right)?),
        (_, ExprValue::Double(right)) => {
            compare_double(*right, whole(left)?).map(Ordering::reverse)
        }
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
