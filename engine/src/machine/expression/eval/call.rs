//! Calls of functions.

use super::{convert, parts};
use crate::machine::expression::error::Why;
use crate::machine::expression::functions::Function;
use crate::machine::expression::source::{Steps, size};
use crate::machine::expression::value::Value;
use crate::machine::expression::value::time::Timestamp;
use crate::machine::pattern::{COMPILE_STEPS, Pattern};

type Result<'a> = std::result::Result<Value<'a>, Why>;

/// The parser has seen to the number of arguments.
pub(super) fn call<'a>(
    function: Function,
    arguments: &[Value<'a>],
    steps: &mut Steps,
) -> Result<'a> {
    let [first, rest @ ..] = arguments else {
        return Err(overload(function, arguments));
    };
    let value = match function {
        Function::Size => sized(first, steps)?,
        Function::Type => Some(Value::Type(first.kind())),
        Function::Dyn => Some(first.clone().plain()),
        Function::Int
        | Function::Uint
        | Function::Double
        | Function::String
        | Function::Bytes
        | Function::Bool
        | Function::Timestamp
        | Function::Duration
        | Function::Decimal => convert::convert(function, first, steps)?,
        Function::TimestampMs => match first.clone().plain() {
            Value::Int(millis) => Some(match Timestamp::from_millis(millis) {
                Some(time) => Value::Timestamp(time),
                None => return Err(Why::Range(format!("timestamp_ms({millis})"))),
            }),
            _ => None,
        },
        Function::Millis => match first {
            Value::Timestamp(time) => Some(Value::Int(time.millis())),
            Value::Duration(span) => Some(Value::Int(span.0 / 1_000_000)),
            _ => None,
        },
        Function::Round => rounded(first, rest)?,
        Function::StartsWith | Function::EndsWith | Function::Contains | Function::Matches => {
            match (first, rest) {
                (Value::String(text), [Value::String(other)]) => {
                    strings(function, text, other, steps)?
                }
                _ => None,
            }
        }
        Function::Part(part) => parts::part(part, first, rest)?,
    };
    value.ok_or_else(|| overload(function, arguments))
}

fn overload(function: Function, arguments: &[Value<'_>]) -> Why {
    let kinds: Vec<&str> = arguments.iter().map(|it| it.kind().name()).collect();
    Why::overload(format!("{}({})", function.name(), kinds.join(", ")))
}

fn sized<'a>(value: &Value<'a>, steps: &mut Steps) -> std::result::Result<Option<Value<'a>>, Why> {
    let size = match value {
        Value::String(text) => {
            steps.bytes(text.len())?;
            Some(text.chars().count())
        }
        Value::Bytes(bytes) => Some(bytes.len()),
        _ => size(value, steps)?,
    };
    Ok(size.map(|size| Value::Int(size as i64)))
}

fn rounded<'a>(
    value: &Value<'a>,
    places: &[Value<'a>],
) -> std::result::Result<Option<Value<'a>>, Why> {
    let [places] = places else {
        return Ok(None);
    };
    let (Value::Decimal(value), Value::Int(places)) = (value, places.clone().plain()) else {
        return Ok(None);
    };
    let rounded = u32::try_from(places)
        .ok()
        .and_then(|places| value.round(places));
    match rounded {
        Some(value) => Ok(Some(Value::Decimal(value))),
        None => Err(Why::Range(format!("{value}.round({places})"))),
    }
}

fn strings<'a>(
    function: Function,
    text: &str,
    other: &str,
    steps: &mut Steps,
) -> std::result::Result<Option<Value<'a>>, Why> {
    Ok(Some(match function {
        Function::StartsWith => {
            steps.bytes(other.len())?;
            Value::Bool(text.starts_with(other))
        }
        Function::EndsWith => {
            steps.bytes(other.len())?;
            Value::Bool(text.ends_with(other))
        }
        Function::Contains => {
            // The search is linear, but not as fast as copying.
            steps.bytes((text.len() + other.len()).saturating_mul(4))?;
            Value::Bool(text.contains(other))
        }
        _ => {
            steps.spend(COMPILE_STEPS)?;
            let pattern = Pattern::new(other).map_err(Why::Pattern)?;
            return matches(&Value::string(text), &pattern, steps).map(Some);
        }
    }))
}

pub(super) fn matches<'a>(text: &Value<'a>, pattern: &Pattern, steps: &mut Steps) -> Result<'a> {
    let Value::String(text) = text else {
        return Err(overload(Function::Matches, std::slice::from_ref(text)));
    };
    steps.spend(pattern.steps(text.len()))?;
    Ok(Value::Bool(pattern.is_in(text)))
}
