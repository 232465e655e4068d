//! Calls of functions.

use super::{convert, parts};
use crate::machine::expression::error::Why;
use crate::machine::expression::functions::Function;
use crate::machine::expression::source::{EvalSteps, size};
use crate::machine::expression::value::ExprValue;
use crate::machine::expression::value::time::Timestamp;
use crate::machine::pattern::{COMPILE_STEPS, Pattern};

type Result<'a> = std::result::Result<ExprValue<'a>, Why>;

/// The parser has seen to the number of arguments.
pub(super) fn call<'a>(
    function: Function,
    arguments: &[ExprValue<'a>],
    steps: &mut EvalSteps,
) -> Result<'a> {
    let [first, rest @ ..] = arguments else {
        return Err(overload(function, arguments));
    };
    let value = match function {
        Function::Size => sized(first, steps)?,
        Function::Type => Some(ExprValue::Type(first.kind())),
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
            ExprValue::Int(millis) => Some(match Timestamp::from_millis(millis) {
                Some(time) => ExprValue::Timestamp(time),
                None => return Err(Why::Range(format!("timestamp_ms({millis})"))),
            }),
            _ => None,
        },
        Function::Millis => match first {
            ExprValue::Timestamp(time) => Some(ExprValue::Int(time.millis())),
            ExprValue::Duration(span) => Some(ExprValue::Int(span.0 / 1_000_000)),
            _ => None,
        },
        Function::Round => rounded(first, rest)?,
        Function::StartsWith | Function::EndsWith | Function::Contains | Function::Matches => {
            match (first, rest) {
                (ExprValue::String(text), [ExprValue::String(other)]) => {
                    strings(function, text, other, steps)?
                }
                _ => None,
            }
        }
        Function::Part(part) => parts::part(part, first, rest)?,
    };
    value.ok_or_else(|| overload(function, arguments))
}

fn overload(function: Function, arguments: &[ExprValue<'_>]) -> Why {
    let kinds: Vec<&str> = arguments.iter().map(|it| it.kind().name()).collect();
    Why::overload(format!("{}({})", function.name(), kinds.join(", ")))
}

fn sized<'a>(
    value: &ExprValue<'a>,
    steps: &mut EvalSteps,
) -> std::result::Result<Option<ExprValue<'a>>, Why> {
    let size = match value {
        ExprValue::String(text) => {
            steps.bytes(text.len())?;
            Some(text.chars().count())
        }
        ExprValue::Bytes(bytes) => Some(bytes.len()),
        _ => size(value, steps)?,
    };
    Ok(size.map(|size| ExprValue::Int(size as i64)))
}

fn rounded<'a>(
    value: &ExprValue<'a>,
    places: &[ExprValue<'a>],
) -> std::result::Result<Option<ExprValue<'a>>, Why> {
    let [places] = places else {
        return Ok(None);
    };
    let (ExprValue::Decimal(value), ExprValue::Int(places)) = (value, places.clone().plain())
    else {
        return Ok(None);
    };
    let rounded = u32::try_from(places)
        .ok()
        .and_then(|places| value.round(places));
    match rounded {
        Some(value) => Ok(Some(ExprValue::Decimal(value))),
        None => Err(Why::Range(format!("{value}.round({places})"))),
    }
}

fn strings<'a>(
    function: Function,
    text: &str,
    other: &str,
    steps: &mut EvalSteps,
) -> std::result::Result<Option<ExprValue<'a>>, Why> {
    Ok(Some(match function {
        Function::StartsWith => {
            steps.bytes(other.len())?;
            ExprValue::Bool(text.starts_with(other))
        }
        Function::EndsWith => {
            steps.bytes(other.len())?;
            ExprValue::Bool(text.ends_with(other))
        }
        Function::Contains => {
            // The search is linear, but not as fast as copying.
            steps.bytes((text.len() + other.len()).saturating_mul(4))?;
            ExprValue::Bool(text.contains(other))
        }
        _ => {
            steps.spend(COMPILE_STEPS)?;
            let pattern = Pattern::new(other).map_err(Why::Pattern)?;
            return matches(&ExprValue::string(text), &pattern, steps).map(Some);
        }
    }))
}

pub(super) fn matches<'a>(
    text: &ExprValue<'a>,
    pattern: &Pattern,
    steps: &mut EvalSteps,
) -> Result<'a> {
    let ExprValue::String(text) = text else {
        return Err(overload(Function::Matches, std::slice::from_ref(text)));
    };
    steps.spend(pattern.steps(text.len()))?;
    Ok(ExprValue::Bool(pattern.is_in(text)))
}
