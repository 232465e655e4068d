//! The top level of a JSON object: its fields as slices of the text.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::hash::Map;

/// From this many fields on, names are found by a map.
const MAP_FIELDS_MIN: usize = 16;

/// The fields of an object in the order written; of a repeated name the last value counts.
#[derive(Debug, Default)]
pub(crate) struct Object<'a> {
    fields: Vec<(Name<'a>, &'a RawValue)>,
    positions: Option<Map<Name<'a>, usize>>,
}

type Name<'a> = Cow<'a, str>;

impl<'a> Object<'a> {
    pub(crate) fn parse(text: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The value of a field, null when there is none.
    pub(crate) fn value(&self, name: &str) -> Value {
        self.position(name)
            .and_then(|at| serde_json::from_str(self.fields[at].1.get()).ok())
            .unwrap_or(Value::Null)
    }

    fn position(&self, name: &str) -> Option<usize> {
        match &self.positions {
            Some(positions) => positions.get(name).copied(),
            None => self.fields.iter().position(|(other, _)| other == name),
        }
    }

    fn put(&mut self, name: Name<'a>, value: &'a RawValue) {
        if let Some(at) = self.position(&name) {
            self.fields[at].1 = value;
            return;
        }
        if let Some(positions) = &mut self.positions {
            positions.insert(name.clone(), self.fields.len());
        }
        self.fields.push((name, value));
        if self.positions.is_none() && self.fields.len() >= MAP_FIELDS_MIN {
            let names = self.fields.iter().map(|(name, _)| name.clone());
            self.positions = Some(names.zip(0..).collect());
        }
    }

    fn write(&self) -> Vec<u8> {
        let bytes: usize = self
            .fields
            .iter()
            .map(|(name, value)| name.len() + value.get().len() + 4)
            .sum();
        let mut text = Vec::with_capacity(bytes + 2);
        text.push(b'{');
        for (position, (name, value)) in self.fields.iter().enumerate() {
            if position > 0 {
                text.push(b',');
            }
            write_name(&mut text, name);
            text.push(b':');
            compact_into(&mut text, value.get().as_bytes());
        }
        text.push(b'}');
        text
    }
}

fn write_name(text: &mut Vec<u8>, name: &str) {
    if name
        .bytes()
        .all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\')
    {
        text.push(b'"');
        text.extend_from_slice(name.as_bytes());
        text.push(b'"');
    } else {
        text.extend_from_slice(Value::from(name).to_string().as_bytes());
    }
}

/// The context after an event: the payload's fields replace the context's, new ones follow.
pub(crate) fn merge<'a>(mut ctx: Object<'a>, payload: Object<'a>) -> Bytes {
    for (name, value) in payload.fields {
        ctx.put(name, value);
    }
    Bytes::from(ctx.write())
}

/// The object's text without spaces and repeated names.
pub(crate) fn compact(object: &Object<'_>) -> Bytes {
    Bytes::from(object.write())
}

/// Copies valid JSON without the spaces between its tokens.
fn compact_into(out: &mut Vec<u8>, text: &[u8]) {
    if !text.iter().any(|byte| byte.is_ascii_whitespace()) {
        out.extend_from_slice(text);
        return;
    }
    let mut in_string = false;
    let mut escaped = false;
    for &byte in text {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_string = byte == b'"';
        }
        out.push(byte);
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut object = Object::default();
                while let Some(FieldName(name)) = map.next_key()? {
                    object.put(name, map.next_value()?);
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// Borrowed from the text unless it holds escapes.
struct FieldName<'a>(Name<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for FieldName<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = FieldName<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(FieldName(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(FieldName(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}
