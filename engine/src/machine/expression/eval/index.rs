//! Items of lists and values of maps, by index and by `in`.

use super::compare::equal;
use crate::machine::expression::error::Why;
use crate::machine::expression::source::{self, EvalSteps};
use crate::machine::expression::value::ExprValue;

pub(super) fn index_of<'a>(
    value: &ExprValue<'a>,
    index: ExprValue<'a>,
    steps: &mut EvalSteps,
) -> Result<ExprValue<'a>, Why> {
    let index = index.plain();
    match (value, &index) {
        (
            ExprValue::List(_) | ExprValue::JsonList(_),
            ExprValue::Int(_) | ExprValue::Uint(_) | ExprValue::Double(_),
        ) => item_of(value, &index, steps),
        (ExprValue::Map(_) | ExprValue::JsonMap(_), _) if is_key(&index) => {
            match source::lookup(value, &index, steps)? {
                Some(found) => Ok(found),
                None => Err(Why::NoSuchKey(index.to_string())),
            }
        }
        _ => {
            let (value, index) = (value.kind().name(), index.kind().name());
            Err(Why::overload(format!("{value}[{index}]")))
        }
    }
}

fn item_of<'a>(
    list: &ExprValue<'a>,
    index: &ExprValue<'a>,
    steps: &mut EvalSteps,
) -> Result<ExprValue<'a>, Why> {
    let position = match index {
        ExprValue::Int(index) => u64::try_from(*index).ok(),
        ExprValue::Uint(index) => Some(*index),
        // A double is an index where it is a whole number.
        ExprValue::Double(index) if index.fract() == 0.0 && (0.0..9e15).contains(index) => {
            Some(*index as u64)
        }
        ExprValue::Double(_) => return Err(Why::overload("list[double]")),
        _ => None,
    };
    let outside = |size| Why::OutOfRange {
        index: index.to_string(),
        size,
    };
    let Some(position) = position else {
        return Err(outside(source::size(list, steps)?.unwrap_or_default()));
    };
    match list {
        ExprValue::JsonList(text) => match source::item(text, position, steps)? {
            Ok(text) => source::value(text, steps),
            Err(size) => Err(outside(size)),
        },
        ExprValue::List(items) => {
            let item = usize::try_from(position).ok().and_then(|at| items.get(at));
            item.cloned().ok_or_else(|| outside(items.len()))
        }
        _ => Err(outside(0)),
    }
}

fn is_key(value: &ExprValue<'_>) -> bool {
    matches!(
        value,
        ExprValue::String(_)
            | ExprValue::Bool(_)
            | ExprValue::Int(_)
            | ExprValue::Uint(_)
            | ExprValue::Double(_)
    )
}

pub(super) fn is_in(
    left: &ExprValue<'_>,
    right: &ExprValue<'_>,
    steps: &mut EvalSteps,
) -> Result<bool, Why> {
    match right {
        ExprValue::List(_) | ExprValue::JsonList(_) => {
            for item in source::items(right, steps)?.iter() {
                if equal(left, item, steps)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        ExprValue::Map(_) | ExprValue::JsonMap(_) => {
            let key = left.clone().plain();
            if !is_key(&key) {
                return Err(Why::overload(format!("{} in map", key.kind().name())));
            }
            source::lookup(right, &key, steps).map(|found| found.is_some())
        }
        _ => {
            let (left, right) = (left.kind().name(), right.kind().name());
            Err(Why::overload(format!("{left} in {right}")))
        }
    }
}
