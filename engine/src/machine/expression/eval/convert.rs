//! Conversions between types.

use std::rc::Rc;

use crate::machine::expression::error::Why;
use crate::machine::expression::functions::Function;
use crate::machine::expression::source::EvalSteps;
use crate::machine::expression::value::decimal::Decimal;
use crate::machine::expression::value::time::{Timestamp, duration, timestamp};
use crate::machine::expression::value::{ExprText, ExprValue, double_text};

type Converted<'a> = Result<Option<ExprValue<'a>>, Why>;

/// `None`: there is no conversion from such a type.
pub(super) fn convert<'a>(
    function: Function,
    value: &ExprValue<'a>,
    steps: &mut EvalSteps,
) -> Converted<'a> {
    match value {
        ExprValue::String(text) => steps.bytes(text.len())?,
        ExprValue::Bytes(bytes) => steps.bytes(bytes.len())?,
        ExprValue::Number(text) => steps.bytes(text.len())?,
        _ => {}
    }
    if function == Function::Decimal {
        return decimal(value);
    }
    let value = value.clone().plain();
    match function {
        Function::Int => int(&value),
        Function::Uint => uint(&value),
        Function::Double => double(&value),
        Function::String => string(value),
        Function::Bytes => Ok(match value {
            ExprValue::String(text) => Some(ExprValue::Bytes(Rc::from(text.as_bytes()))),
            ExprValue::Bytes(_) => Some(value),
            _ => None,
        }),
        Function::Bool => bool(&value),
        Function::Timestamp => to_timestamp(&value),
        Function::Duration => match &value {
            ExprValue::String(text) => match duration(text) {
                Some(span) => Ok(Some(ExprValue::Duration(span))),
                None => no(&value, "duration, such as 1h30m"),
            },
            ExprValue::Duration(_) => Ok(Some(value)),
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

fn no<'a>(value: &ExprValue<'_>, wanted: &'static str) -> Converted<'a> {
    Err(Why::Conversion {
        value: value.to_string(),
        wanted,
    })
}

fn out_of_range<'a>(function: &str, value: &ExprValue<'_>) -> Converted<'a> {
    Err(Why::Range(format!("{function}({value})")))
}

/// The number of a text of digits, with a sign where it may have one.
fn parsed<T: std::str::FromStr>(text: &str) -> Option<T> {
    // The standard library also takes a plus.
    text.parse().ok().filter(|_| !text.starts_with('+'))
}

fn int<'a>(value: &ExprValue<'a>) -> Converted<'a> {
    let whole = match value {
        ExprValue::Int(value) => Some(*value),
        ExprValue::Uint(value) => i64::try_from(*value).ok(),
        // Both ends are doubles, and beyond them no double is an int.
        ExprValue::Double(value) if *value > -9_223_372_036_854_775_808.0 => {
            (*value < 9_223_372_036_854_775_808.0).then_some(*value as i64)
        }
        ExprValue::Double(_) => None,
        ExprValue::Decimal(value) => value.truncate(),
        ExprValue::Timestamp(time) => Some(time.seconds()),
        ExprValue::String(text) => match parsed(text) {
            Some(whole) => Some(whole),
            None => return no(value, "int"),
        },
        _ => return Ok(None),
    };
    match whole {
        Some(whole) => Ok(Some(ExprValue::Int(whole))),
        None => out_of_range("int", value),
    }
}

fn uint<'a>(value: &ExprValue<'a>) -> Converted<'a> {
    let whole = match value {
        ExprValue::Uint(value) => Some(*value),
        ExprValue::Int(value) => u64::try_from(*value).ok(),
        ExprValue::Double(value) => (0.0..18_446_744_073_709_551_616.0)
            .contains(value)
            .then_some(*value as u64),
        ExprValue::String(text) => match parsed(text) {
            Some(whole) => Some(whole),
            None => return no(value, "uint"),
        },
        _ => return Ok(None),
    };
    match whole {
        Some(whole) => Ok(Some(ExprValue::Uint(whole))),
        None => out_of_range("uint", value),
    }
}

fn double<'a>(value: &ExprValue<'a>) -> Converted<'a> {
    let double = match value {
        ExprValue::Double(value) => *value,
        ExprValue::Int(value) => *value as f64,
        ExprValue::Uint(value) => *value as f64,
        ExprValue::Decimal(number) => number.to_string().parse().unwrap_or(f64::NAN),
        ExprValue::String(text) => match text.parse() {
            Ok(value) => value,
            Err(_) => return no(value, "double"),
        },
        _ => return Ok(None),
    };
    Ok(Some(ExprValue::Double(double)))
}

fn string(value: ExprValue<'_>) -> Converted<'_> {
    let text = match &value {
        ExprValue::String(_) => return Ok(Some(value)),
        ExprValue::Bool(value) => value.to_string(),
        ExprValue::Int(value) => value.to_string(),
        ExprValue::Uint(value) => value.to_string(),
        ExprValue::Double(value) => double_text(*value),
        ExprValue::Decimal(value) => value.to_string(),
        ExprValue::Timestamp(time) => time.to_string(),
        ExprValue::Duration(span) => span.to_string(),
        ExprValue::Bytes(bytes) => match str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => return no(&value, "UTF-8"),
        },
        _ => return Ok(None),
    };
    Ok(Some(ExprValue::String(ExprText::Owned(text.into()))))
}

fn bool<'a>(value: &ExprValue<'a>) -> Converted<'a> {
    match value {
        ExprValue::Bool(_) => Ok(Some(value.clone())),
        ExprValue::String(text) => match &**text {
            "true" | "True" | "TRUE" | "t" | "1" => Ok(Some(ExprValue::Bool(true))),
            "false" | "False" | "FALSE" | "f" | "0" => Ok(Some(ExprValue::Bool(false))),
            _ => no(value, "bool"),
        },
        _ => Ok(None),
    }
}

fn to_timestamp<'a>(value: &ExprValue<'a>) -> Converted<'a> {
    match value {
        ExprValue::Timestamp(_) => Ok(Some(value.clone())),
        ExprValue::String(text) => match timestamp(text) {
            Some(time) => Ok(Some(ExprValue::Timestamp(time))),
            None => no(value, "timestamp, such as 2026-01-31T12:00:00Z"),
        },
        ExprValue::Int(seconds) => match Timestamp::new(*seconds, 0) {
            Some(time) => Ok(Some(ExprValue::Timestamp(time))),
            None => Err(Why::Range(format!(
                "timestamp({seconds}), which takes seconds (timestamp_ms takes milliseconds),"
            ))),
        },
        _ => Ok(None),
    }
}

/// A number from JSON by its digits as written; a double by the shortest digits that read back as this double.
fn decimal<'a>(value: &ExprValue<'a>) -> Converted<'a> {
    let text = match value {
        ExprValue::Decimal(_) => return Ok(Some(value.clone())),
        ExprValue::Number(text) => (*text).to_owned(),
        ExprValue::Int(value) => value.to_string(),
        ExprValue::Uint(value) => value.to_string(),
        ExprValue::Double(value) => double_text(*value),
        ExprValue::String(text) => text.to_string(),
        _ => return Ok(None),
    };
    match Decimal::parse(&text) {
        Some(number) => Ok(Some(ExprValue::Decimal(number))),
        None => no(
            value,
            "decimal of at most 38 digits, 28 of them behind the point",
        ),
    }
}
