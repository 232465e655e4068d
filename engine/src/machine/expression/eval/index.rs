//! Items of lists and values of maps, by index and by `in`.

use super::compare::equal;
use crate::machine::expression::error::Why;
use crate::machine::expression::source::{self, Steps};
use crate::machine::expression::value::Value;

pub(super) fn index_of<'a>(
    value: &Value<'a>,
    index: Value<'a>,
    steps: &mut Steps,
) -> Result<Value<'a>, Why> {
    let index = index.plain();
    match (value, &index) {
        (
            Value::List(_) | Value::JsonList(_),
            Value::Int(_) | Value::Uint(_) | Value::Double(_),
        ) => item_of(value, &index, steps),
        (Value::Map(_) | Value::JsonMap(_), _) if is_key(&index) => {
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

fn item_of<'a>(list: &Value<'a>, index: &Value<'a>, steps: &mut Steps) -> Result<Value<'a>, Why> {
    let position = match index {
        Value::Int(index) => u64::try_from(*index).ok(),
        Value::Uint(index) => Some(*index),
        // A double is an index where it is a whole number.
        Value::Double(index) if index.fract() == 0.0 && (0.0..9e15).contains(index) => {
            Some(*index as u64)
        }
        Value::Double(_) => return Err(Why::overload("list[double]")),
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
        Value::JsonList(text) => match source::item(text, position, steps)? {
            Ok(text) => source::value(text, steps),
            Err(size) => Err(outside(size)),
        },
        Value::List(items) => {
            let item = usize::try_from(position).ok().and_then(|at| items.get(at));
            item.cloned().ok_or_else(|| outside(items.len()))
        }
        _ => Err(outside(0)),
    }
}

fn is_key(value: &Value<'_>) -> bool {
    matches!(
        value,
        Value::String(_) | Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_)
    )
}

pub(super) fn is_in(left: &Value<'_>, right: &Value<'_>, steps: &mut Steps) -> Result<bool, Why> {
    match right {
        Value::List(_) | Value::JsonList(_) => {
            for item in source::items(right, steps)?.iter() {
                if equal(left, item, steps)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Map(_) | Value::JsonMap(_) => {
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
