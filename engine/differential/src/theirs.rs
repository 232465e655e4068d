//! The crate `cel`, with a document as the variable `ctx`.

use std::collections::HashMap;
use std::sync::Arc;

use cel::objects::{Key, Map};
use cel::{Context, Program, Value};

pub struct TheirDocument(Context<'static, 'static>);

impl TheirDocument {
    pub fn new(text: &str) -> Self {
        let mut context = Context::default();
        context.add_variable_from_value("ctx", value(&serde_json::from_str(text).unwrap()));
        Self(context)
    }

    /// The value as JSON, or why there is none.
    pub fn value(&self, text: &str) -> Result<String, String> {
        let program = Program::compile(text).map_err(|error| error.to_string())?;
        let value = program
            .execute(&self.0)
            .map_err(|error| error.to_string())?;
        json(&value).ok_or_else(|| "JSON cannot hold it".to_owned())
    }
}

/// A value of JSON as ours are: whole numbers that fit are ints.
fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap()),
        },
        serde_json::Value::String(text) => Value::String(Arc::new(text.clone())),
        serde_json::Value::Array(items) => Value::List(Arc::new(items.iter().map(value).collect())),
        serde_json::Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, field)| (Key::String(Arc::new(name.clone())), value(field)));
            Value::Map(Map {
                map: Arc::new(fields.collect::<HashMap<_, _>>()),
            })
        }
    }
}

fn json(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::UInt(value) => value.to_string(),
        Value::Float(value) if value.is_finite() => format!("{value:?}"),
        Value::String(text) => serde_json::to_string(&**text).unwrap(),
        Value::List(items) => {
            let items: Option<Vec<String>> = items.iter().map(json).collect();
            format!("[{}]", items?.join(","))
        }
        Value::Map(map) => {
            let mut fields = Vec::new();
            for (key, value) in map.map.iter() {
                let Key::String(key) = key else {
                    return None;
                };
                fields.push(format!(
                    "{}:{}",
                    serde_json::to_string(&**key).unwrap(),
                    json(value)?
                ));
            }
            fields.sort();
            format!("{{{}}}", fields.join(","))
        }
        _ => return None,
    })
}
