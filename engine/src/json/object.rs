//! The top level of a JSON object: its fields as slices of the text.

use std::borrow::Cow;

use bytes::Bytes;

use super::reader::{JsonFault, JsonKind, JsonReader};
use crate::hash::Map;

/// From this many fields on, names are found by a map.
const MAP_FIELDS_MIN: usize = 16;

/// The fields of an object in the order written; of a repeated name the last value counts.
#[derive(Debug, Default)]
pub(crate) struct JsonObject<'a> {
    fields: Vec<(FieldName<'a>, &'a str)>,
    positions: Option<Map<FieldName<'a>, usize>>,
}

type FieldName<'a> = Cow<'a, str>;

impl<'a> JsonObject<'a> {
    /// Reads an object and looks at every byte of it.
    pub(crate) fn parse(text: &'a [u8]) -> Result<Self, JsonFault> {
        let mut reader = JsonReader::of_bytes(text)?;
        if reader.kind()? != JsonKind::Object {
            return Err(reader.fault("expected a JSON object"));
        }
        reader.enter()?;
        let mut object = Self::default();
        while let Some(name) = reader.field()? {
            object.put(name, reader.pass()?);
        }
        reader.end()?;
        Ok(object)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// Names and values, in the order written.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.fields.iter().map(|(name, value)| (&**name, *value))
    }

    /// The value of a field.
    pub(crate) fn value(&self, name: &str) -> Option<&'a str> {
        self.position(name).map(|at| self.fields[at].1)
    }

    /// Where a field stands among the others.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        match &self.positions {
            Some(positions) => positions.get(name).copied(),
            None => self.fields.iter().position(|(other, _)| other == name),
        }
    }

    fn put(&mut self, name: FieldName<'a>, value: &'a str) {
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

    /// The bytes of the object's compact text, if no value has spaces between its tokens and no name needs escapes;
    /// otherwise a guess. If a text fills its memory exactly, `Bytes` takes it over without an allocation.
    fn text_bytes(&self) -> usize {
        let fields: usize = (0..self.len()).map(|at| self.field_bytes(at)).sum();
        let commas = self.len().saturating_sub(1);
        2 + fields + commas
    }

    /// The bytes of a field's name and value, as [`JsonObject::text_bytes`].
    pub(crate) fn field_bytes(&self, position: usize) -> usize {
        self.fields[position].0.len() + 3 + self.value_bytes(position)
    }

    /// The bytes of a field's value, as [`JsonObject::text_bytes`].
    pub(crate) fn value_bytes(&self, position: usize) -> usize {
        self.fields[position].1.len()
    }

    /// Writes a field's name and value.
    pub(crate) fn write_field(&self, text: &mut Vec<u8>, position: usize) {
        write_name(text, &self.fields[position].0);
        text.push(b':');
        self.write_value(text, position);
    }

    /// Writes a field's value, without spaces.
    pub(crate) fn write_value(&self, text: &mut Vec<u8>, position: usize) {
        compact_into(text, self.fields[position].1.as_bytes());
    }
}

pub(super) fn write_name(text: &mut Vec<u8>, name: &str) {
    if name
        .bytes()
        .all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\')
    {
        text.push(b'"');
        text.extend_from_slice(name.as_bytes());
        text.push(b'"');
    } else {
        text.extend_from_slice(serde_json::Value::from(name).to_string().as_bytes());
    }
}

/// The object's text without spaces and repeated names. Always a copy, because a slice of a request would keep the
/// whole request in memory.
pub(crate) fn compact(object: &JsonObject<'_>) -> Bytes {
    let mut text = Vec::with_capacity(object.text_bytes());
    text.push(b'{');
    for position in 0..object.len() {
        if position > 0 {
            text.push(b',');
        }
        object.write_field(&mut text, position);
    }
    text.push(b'}');
    Bytes::from(text)
}

/// Whether a value surely has no spaces between its tokens: every value except a list or an object is one token.
fn is_compact(value: &[u8]) -> bool {
    let is_nested = matches!(value.first(), Some(b'{' | b'['));
    !is_nested || !value.iter().any(u8::is_ascii_whitespace)
}

/// Copies valid JSON without the spaces between its tokens.
pub(super) fn compact_into(out: &mut Vec<u8>, text: &[u8]) {
    if is_compact(text) {
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
