//! JSON written straight into an output buffer.
//!
//! Contexts and payloads are JSON already, and are copied as they are. If they were values to serialize, each answer
//! would have to parse them again.

use bytes::{BufMut, BytesMut};
use serde::Serialize;

/// An object being written. It is whole only after [`ObjectWriter::end`].
pub(crate) struct ObjectWriter<'a> {
    out: &'a mut BytesMut,
    empty: bool,
}

impl<'a> ObjectWriter<'a> {
    /// Begins an object.
    pub(crate) fn begin(out: &'a mut BytesMut) -> Self {
        out.put_u8(b'{');
        Self { out, empty: true }
    }

    /// How many bytes the buffer has so far.
    pub(crate) fn written(&self) -> usize {
        self.out.len()
    }

    /// Ends it.
    pub(crate) fn end(self) {
        self.out.put_u8(b'}');
    }

    /// Writes a key, and gives the buffer for its value. `name` must need no escaping.
    pub(crate) fn key(&mut self, name: &'static str) -> &mut BytesMut {
        if !self.empty {
            self.out.put_u8(b',');
        }
        self.empty = false;
        self.out.put_u8(b'"');
        self.out.put_slice(name.as_bytes());
        self.out.put_slice(b"\":");
        self.out
    }

    /// The buffer, to write on into a value that was begun.
    pub(crate) fn open(&mut self) -> &mut BytesMut {
        self.out
    }

    /// A string.
    pub(crate) fn str(&mut self, name: &'static str, value: &str) -> &mut Self {
        string(self.key(name), value);
        self
    }

    /// A whole number.
    pub(crate) fn int(&mut self, name: &'static str, value: u64) -> &mut Self {
        serialized(self.key(name), &value);
        self
    }

    /// true or false.
    pub(crate) fn flag(&mut self, name: &'static str, value: bool) -> &mut Self {
        let text: &[u8] = if value { b"true" } else { b"false" };
        self.key(name).put_slice(text);
        self
    }

    /// What is JSON already.
    pub(crate) fn raw(&mut self, name: &'static str, json: &[u8]) -> &mut Self {
        self.key(name).put_slice(json);
        self
    }

    /// Anything that serializes.
    pub(crate) fn value(&mut self, name: &'static str, value: &impl Serialize) -> &mut Self {
        serialized(self.key(name), value);
        self
    }

    /// An object inside this one.
    pub(crate) fn object(&mut self, name: &'static str) -> ObjectWriter<'_> {
        ObjectWriter::begin(self.key(name))
    }
}

/// Writes an array; `item` writes one element. Stops early, still well-formed, once the buffer
/// exceeds `bytes_max`, and says whether everything was written.
pub(crate) fn array<T>(
    out: &mut BytesMut,
    items: impl IntoIterator<Item = T>,
    bytes_max: usize,
    mut item: impl FnMut(&mut BytesMut, T),
) -> bool {
    out.put_u8(b'[');
    let mut whole = true;
    for (i, value) in items.into_iter().enumerate() {
        if out.len() > bytes_max {
            whole = false;
            break;
        }
        if i > 0 {
            out.put_u8(b',');
        }
        item(out, value);
    }
    out.put_u8(b']');
    whole
}

/// Writes an object of strings, whatever their names are.
pub(crate) fn map<'a>(out: &mut BytesMut, fields: impl IntoIterator<Item = (&'a str, &'a str)>) {
    out.put_u8(b'{');
    for (i, (name, value)) in fields.into_iter().enumerate() {
        if i > 0 {
            out.put_u8(b',');
        }
        string(out, name);
        out.put_u8(b':');
        string(out, value);
    }
    out.put_u8(b'}');
}

/// Writes a JSON string.
pub(crate) fn string(out: &mut BytesMut, value: &str) {
    let plain = value
        .bytes()
        .all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    if plain {
        out.reserve(value.len() + 2);
        out.put_u8(b'"');
        out.put_slice(value.as_bytes());
        out.put_u8(b'"');
    } else {
        serialized(out, value);
    }
}

/// Writes anything that serializes; a value that does not (a map with keys that are no text)
/// becomes null, which no type of the protocol is.
pub(crate) fn serialized<T: Serialize + ?Sized>(out: &mut BytesMut, value: &T) {
    let start = out.len();
    if serde_json::to_writer(out.writer(), value).is_err() {
        out.truncate(start);
        out.put_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn objects_nest_and_strings_are_escaped() {
        let mut out = BytesMut::new();
        let mut object = ObjectWriter::begin(&mut out);
        object
            .str("a", "x\"\n\\ü")
            .int("b", u64::MAX)
            .flag("c", true)
            .raw("d", b"[1]");
        let mut inner = object.object("e");
        inner.value("f", &Option::<u8>::None);
        inner.end();
        object.end();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            value,
            serde_json::json!({"a": "x\"\n\\ü", "b": u64::MAX, "c": true, "d": [1], "e": {"f": null}})
        );
    }

    #[test]
    fn an_array_stops_at_its_bound_and_stays_well_formed() {
        let mut out = BytesMut::new();
        assert!(!array(&mut out, 0..1000u32, 10, |out, n| serialized(
            out, &n
        )));
        let short: Vec<u32> = serde_json::from_slice(&out).unwrap();
        assert!(short.len() < 10 && short.first() == Some(&0));
        out.clear();
        assert!(array(&mut out, 0..3u32, 100, |out, n| serialized(out, &n)));
        assert_eq!(&out[..], b"[0,1,2]");
    }
}
