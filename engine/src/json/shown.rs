//! Short JSON text of users as a value of serde_json, to be shown in the details of an error.

use serde_json::{Map, Number, Value};

use super::reader::{JsonFault, JsonKind, JsonReader};

/// The value of a text. A number that would be rounded becomes a string; so does what is no JSON.
pub(crate) fn shown(text: &str) -> Value {
    let mut reader = JsonReader::new(text);
    value(&mut reader).unwrap_or_else(|_| Value::from(text))
}

/// Recurses as deep as the text is nested, which the reader bounds.
fn value(reader: &mut JsonReader<'_>) -> Result<Value, JsonFault> {
    Ok(match reader.kind()? {
        JsonKind::Null | JsonKind::True | JsonKind::False => match reader.pass()? {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => Value::Null,
        },
        JsonKind::Number => number(reader.number()?),
        JsonKind::String => Value::from(reader.string()?),
        JsonKind::List => {
            reader.enter()?;
            let mut items = Vec::new();
            while reader.item()? {
                items.push(value(reader)?);
            }
            Value::Array(items)
        }
        JsonKind::Object => {
            reader.enter()?;
            let mut fields = Map::new();
            while let Some(name) = reader.field()? {
                fields.insert(name.into_owned(), value(reader)?);
            }
            Value::Object(fields)
        }
    })
}

fn number(text: &str) -> Value {
    let integer = text.parse::<i64>().map(Number::from);
    let integer = integer.or_else(|_| text.parse::<u64>().map(Number::from));
    let number = integer.ok().or_else(|| {
        let double = text.parse().ok().and_then(Number::from_f64);
        double.filter(|double| double.to_string() == text)
    });
    number.map_or_else(|| Value::from(text), Value::Number)
}
