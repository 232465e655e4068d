//! Values as JSON text.

use crate::machine::expression::error::Why;
use crate::machine::expression::source::Steps;
use crate::machine::expression::value::Value;

/// Adds a value to a text. What came from JSON is as it was written there.
pub(in crate::machine::expression) fn to_json(
    value: &Value<'_>,
    out: &mut String,
    steps: &mut Steps,
) -> Result<(), Why> {
    steps.spend(1)?;
    let before = out.len();
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Uint(value) => out.push_str(&value.to_string()),
        Value::Double(value) if value.is_finite() => out.push_str(&format!("{value:?}")),
        Value::Double(_) => return Err(Why::NotJson("double that is no number")),
        Value::Decimal(value) => out.push_str(&value.to_string()),
        Value::String(text) => string(text, out)?,
        Value::Timestamp(time) => string(&time.to_string(), out)?,
        Value::Duration(span) => string(&span.to_string(), out)?,
        Value::Number(text) | Value::JsonList(text) | Value::JsonMap(text) => out.push_str(text),
        Value::Bytes(_) => return Err(Why::NotJson("value of type bytes")),
        Value::Type(_) => return Err(Why::NotJson("type")),
        Value::List(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                to_json(item, out, steps)?;
            }
            out.push(']');
        }
        Value::Map(entries) => {
            out.push('{');
            for (position, (key, value)) in entries.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                let Value::String(key) = key else {
                    return Err(Why::NotJson("map with a key that is no string"));
                };
                string(key, out)?;
                out.push(':');
                to_json(value, out, steps)?;
            }
            out.push('}');
        }
    }
    steps.bytes(out.len() - before)
}

fn string(text: &str, out: &mut String) -> Result<(), Why> {
    out.push_str(&serde_json::to_string(text).map_err(|_| Why::Damaged)?);
    Ok(())
}
