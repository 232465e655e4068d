//! A list, one item a line: `application/x-ndjson`. What the result has besides the list stands in a header.

use std::fmt;

use axum::http::HeaderValue;
use bytes::{BufMut, Bytes, BytesMut};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The lines, and the other fields of the result as JSON.
pub(crate) struct Page {
    pub(crate) lines: Bytes,
    pub(crate) rest: Option<HeaderValue>,
}

/// Splits a result whose list is in the field `items`.
pub(crate) fn split(result: &[u8], items: &'static str) -> serde_json::Result<Page> {
    let mut split = Split {
        items,
        lines: BytesMut::with_capacity(result.len()),
        rest: String::from("{"),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(result);
    deserializer.deserialize_map(&mut split)?;
    split.rest.push('}');
    Ok(Page {
        lines: split.lines.freeze(),
        rest: HeaderValue::from_str(&ascii(&split.rest)).ok(),
    })
}

/// Adds a document as a line: a line end in it can only be white space between its parts.
pub(crate) fn put_line(out: &mut BytesMut, json: &[u8]) {
    put_without_line_ends(out, json);
    out.put_u8(b'\n');
}

/// Adds a document without the line ends in it.
pub(crate) fn put_without_line_ends(out: &mut BytesMut, json: &[u8]) {
    let begin = out.len();
    out.put_slice(json);
    for byte in &mut out[begin..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

/// JSON in letters that a header may have.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for unit in json.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ b' '..=b'~') => text.push(char::from(byte)),
            // White space between the parts.
            Ok(b'\n' | b'\r' | b'\t') => text.push(' '),
            _ => text.push_str(&format!("\\u{unit:04x}")),
        }
    }
    text
}

struct Split {
    items: &'static str,
    lines: BytesMut,
    rest: String,
}

impl<'de> Visitor<'de> for &mut Split {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a result")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == self.items {
                map.next_value_seed(Lines(&mut self.lines))?;
                continue;
            }
            let value: &RawValue = map.next_value()?;
            if self.rest.len() > 1 {
                self.rest.push(',');
            }
            // The names of a result need no escapes.
            self.rest.push_str(&format!("\"{name}\":{}", value.get()));
        }
        Ok(())
    }
}

struct Lines<'a>(&'a mut BytesMut);

impl<'de> DeserializeSeed<'de> for Lines<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Lines<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(item) = seq.next_element::<&RawValue>()? {
            put_line(self.0, item.get().as_bytes());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_item_is_a_line_and_the_rest_a_header() {
        let result =
            "{\"items\":[{\"a\":1},{\"b\":[\n2]}],\"next\":\"größe\\n\u{1F600}\",\"total\":3}";
        let page = split(result.as_bytes(), "items").unwrap();
        assert_eq!(&page.lines[..], b"{\"a\":1}\n{\"b\":[ 2]}\n");
        let rest = page.rest.unwrap();
        let text = rest.to_str().unwrap();
        assert_eq!(
            text,
            "{\"next\":\"gr\\u00f6\\u00dfe\\n\\ud83d\\ude00\",\"total\":3}"
        );
        let value = rstmdb_rcp::json::value_of_bytes(text.as_bytes()).unwrap();
        assert_eq!(value["next"], "größe\n\u{1F600}");
    }

    #[test]
    fn an_empty_list_is_no_line() {
        let page = split(b"{\"items\":[]}", "items").unwrap();
        assert!(page.lines.is_empty());
        assert_eq!(page.rest.unwrap(), "{}");
    }
}
