//! Values as JSON text.

use crate::machine::expression::error::Why;
use crate::machine::expression::source::EvalSteps;
use crate::machine::expression::value::ExprValue;

/// Adds a value to a text. What came from JSON is as it was written there.
pub(in crate::machine::expression) fn to_json(
    value: &ExprValue<'_>,
    out: &mut String,
    steps: &mut EvalSteps,
) -> Result<(), Why> {
    steps.spend(1)?;
    let before = out.len();
    match value {
        ExprValue::Null => out.push_str("null"),
        ExprValue::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        ExprValue::Int(value) => out.push_str(&value.to_string()),
        ExprValue::Uint(value) => out.push_str(&value.to_string()),
        ExprValue::Double(value) if value.is_finite() => out.push_str(&format!("{value:?}")),
        ExprValue::Double(_) => return Err(Why::NotJson("double that is no number")),
        ExprValue::Decimal(value) => out.push_str(&value.to_string()),
        ExprValue::String(text) => string(text, out)?,
        ExprValue::Timestamp(time) => string(&time.to_string(), out)?,
        ExprValue::Duration(span) => string(&span.to_string(), out)?,
        ExprValue::Number(text) | ExprValue::JsonList(text) | ExprValue::JsonMap(text) => {
            out.push_str(text)
        }
        ExprValue::Bytes(_) => return Err(Why::NotJson("value of type bytes")),
        ExprValue::Type(_) => return Err(Why::NotJson("type")),
        ExprValue::List(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                to_json(item, out, steps)?;
            }
            out.push(']');
        }
        ExprValue::Map(entries) => {
            out.push('{');
            for (position, (key, value)) in entries.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                let ExprValue::String(key) = key else {
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
