//! Conversions between types.

use std::rc::Rc;

use crate::machine::expression::error::Why;
use crate::machine::expression::functions::Function;
use crate::machine::expression::source::Steps;
use crate::machine::expression::value::decimal::Decimal;
use crate::machine::expression::value::time::{Timestamp, duration, timestamp};
use crate::machine::expression::value::{Text, Value, double_text};

type Converted<'a> = Result<Option<Value<'a>>, Why>;

/// `None`: there is no conversion from such a type.
pub(super) fn convert<'a>(
    function: Function,
    value: &Value<'a>,
    steps: &mut Steps,
) -> Converted<'a> {
    match value {
        Value::String(text) => steps.bytes(text.len())?,
        Value::Bytes(bytes) => steps.bytes(bytes.len())?,
        Value::Number(text) => steps.bytes(text.len())?,
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
            Value::String(text) => Some(Value::Bytes(Rc::from(text.as_bytes()))),
            Value::Bytes(_) => Some(value),
            _ => None,
        }),
        Function::Bool => bool(&value),
        Function::Timestamp => to_timestamp(&value),
        Function::Duration => match &value {
            Value::String(text) => match duration(text) {
                Some(span) => Ok(Some(Value::Duration(span))),
                None => no(&value, "duration, such as 1h30m"),
            },
            Value::Duration(_) => Ok(Some(value)),
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

fn no<'a>(value: &Value<'_>, wanted: &'static str) -> Converted<'a> {
    Err(Why::Conversion {
        value: value.to_string(),
        wanted,
    })
}

fn out_of_range<'a>(function: &str, value: &Value<'_>) -> Converted<'a> {
    Err(Why::Range(format!("{function}({value})")))
}

/// The number of a text of digits, with a sign where it may have one.
fn parsed<T: std::str::FromStr>(text: &str) -> Option<T> {
    // The standard library also takes a plus.
    text.parse().ok().filter(|_| !text.starts_with('+'))
}

fn int<'a>(value: &Value<'a>) -> Converted<'a> {
    let whole = match value {
        Value::Int(value) => Some(*value),
        Value::Uint(value) => i64::try_from(*value).ok(),
        // Both ends are doubles, and beyond them no double is an int.
        Value::Double(value) if *value > -9_223_372_036_854_775_808.0 => {
            (*value < 9_223_372_036_854_775_808.0).then_some(*value as i64)
        }
        Value::Double(_) => None,
        Value::Decimal(value) => value.truncate(),
        Value::Timestamp(time) => Some(time.seconds()),
        Value::String(text) => match parsed(text) {
            Some(whole) => Some(whole),
            None => return no(value, "int"),
        },
        _ => return Ok(None),
    };
    match whole {
        Some(whole) => Ok(Some(Value::Int(whole))),
        None => out_of_range("int", value),
    }
}

fn uint<'a>(value: &Value<'a>) -> Converted<'a> {
    let whole = match value {
        Value::Uint(value) => Some(*value),
        Value::Int(value) => u64::try_from(*value).ok(),
        Value::Double(value) => (0.0..18_446_744_073_709_551_616.0)
            .contains(value)
            .then_some(*value as u64),
        Value::String(text) => match parsed(text) {
            Some(whole) => Some(whole),
            None => return no(value, "uint"),
        },
        _ => return Ok(None),
    };
    match whole {
        Some(whole) => Ok(Some(Value::Uint(whole))),
        None => out_of_range("uint", value),
    }
}

fn double<'a>(value: &Value<'a>) -> Converted<'a> {
    let double = match value {
        Value::Double(value) => *value,
        Value::Int(value) => *value as f64,
        Value::Uint(value) => *value as f64,
        Value::Decimal(number) => number.to_string().parse().unwrap_or(f64::NAN),
        Value::String(text) => match text.parse() {
            Ok(value) => value,
            Err(_) => return no(value, "double"),
        },
        _ => return Ok(None),
    };
    Ok(Some(Value::Double(double)))
}

fn string(value: Value<'_>) -> Converted<'_> {
    let text = match &value {
        Value::String(_) => return Ok(Some(value)),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => double_text(*value),
        Value::Decimal(value) => value.to_string(),
        Value::Timestamp(time) => time.to_string(),
        Value::Duration(span) => span.to_string(),
        Value::Bytes(bytes) => match str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => return no(&value, "UTF-8"),
        },
        _ => return Ok(None),
    };
    Ok(Some(Value::String(Text::Owned(text.into()))))
}

fn bool<'a>(value: &Value<'a>) -> Converted<'a> {
    match value {
        Value::Bool(_) => Ok(Some(value.clone())),
        Value::String(text) => match &**text {
            "true" | "True" | "TRUE" | "t" | "1" => Ok(Some(Value::Bool(true))),
            "false" | "False" | "FALSE" | "f" | "0" => Ok(Some(Value::Bool(false))),
            _ => no(value, "bool"),
        },
        _ => Ok(None),
    }
}

fn to_timestamp<'a>(value: &Value<'a>) -> Converted<'a> {
    match value {
        Value::Timestamp(_) => Ok(Some(value.clone())),
        Value::String(text) => match timestamp(text) {
            Some(time) => Ok(Some(Value::Timestamp(time))),
            None => no(value, "timestamp, such as 2026-01-31T12:00:00Z"),
        },
        Value::Int(seconds) => match Timestamp::new(*seconds, 0) {
            Some(time) => Ok(Some(Value::Timestamp(time))),
            None => Err(Why::Range(format!(
                "timestamp({seconds}), which takes seconds (timestamp_ms takes milliseconds),"
            ))),
        },
        _ => Ok(None),
    }
}

/// A number from JSON by its digits as written; a double by the shortest digits that read back as this double.
fn decimal<'a>(value: &Value<'a>) -> Converted<'a> {
    let text = match value {
        Value::Decimal(_) => return Ok(Some(value.clone())),
        Value::Number(text) => (*text).to_owned(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => double_text(*value),
        Value::String(text) => text.to_string(),
        _ => return Ok(None),
    };
    match Decimal::parse(&text) {
        Some(number) => Ok(Some(Value::Decimal(number))),
        None => no(
            value,
            "decimal of at most 38 digits, 28 of them behind the point",
        ),
    }
}
