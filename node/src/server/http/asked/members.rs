//! What path, query and headers say, as members of a JSON object.

use bytes::{BufMut, BytesMut};
use serde_json::value::RawValue;

use crate::server::http::operations::{Field, Kind};
use crate::server::messages::json;

/// Members of an object, without its brackets.
#[derive(Debug, Default)]
pub(crate) struct Members {
    text: BytesMut,
    names: Vec<&'static str>,
}

impl Members {
    /// Their text.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether there is one of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains(&name)
    }

    /// Adds one that is a text.
    pub(crate) fn add_text(&mut self, name: &'static str, value: &str) {
        json::string(self.begin(name), value);
    }

    /// Adds one that is a number.
    pub(crate) fn add_number(&mut self, name: &'static str, value: u64) {
        self.begin(name).put_slice(value.to_string().as_bytes());
    }

    /// Adds a list of texts.
    pub(crate) fn add_texts(&mut self, name: &'static str, values: &[&str]) {
        let out = self.begin(name);
        json::array(out, values, usize::MAX, |out, value| {
            json::string(out, value)
        });
    }

    /// Adds a value as the type of its field wants it. A value of another type is passed on as a text: the operation
    /// refuses it, and says what it expects.
    ///
    /// # Errors
    /// When JSON is expected and this is none.
    pub(crate) fn add(&mut self, field: &'static Field, value: &str) -> Result<(), &'static str> {
        match field.kind {
            Kind::Text => self.add_text(field.name, value),
            Kind::Texts => self.add_texts(field.name, &[value]),
            Kind::Integer | Kind::Number if is_whole(value) => {
                self.begin(field.name).put_slice(value.as_bytes());
            }
            Kind::Bool if matches!(value, "true" | "false") => {
                self.begin(field.name).put_slice(value.as_bytes());
            }
            Kind::Integer | Kind::Number | Kind::Bool => self.add_text(field.name, value),
            Kind::Object | Kind::Integers | Kind::List => {
                let raw: &RawValue = serde_json::from_str(value).map_err(|_| "is not JSON")?;
                self.begin(field.name).put_slice(raw.get().as_bytes());
            }
        }
        Ok(())
    }

    fn begin(&mut self, name: &'static str) -> &mut BytesMut {
        if !self.names.is_empty() {
            self.text.put_u8(b',');
        }
        self.names.push(name);
        self.text.put_u8(b'"');
        self.text.put_slice(name.as_bytes());
        self.text.put_slice(b"\":");
        &mut self.text
    }
}

/// Whether JSON has the same number in the same digits.
fn is_whole(text: &str) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    !text.is_empty() && digits && (text == "0" || !text.starts_with('0'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::server::http::operations::shape;
    use crate::server::messages::op::Op;

    fn added(op: Op, name: &str, value: &str) -> Result<String, &'static str> {
        let field = shape(op).unwrap().param(name).unwrap();
        let mut members = Members::default();
        members.add_text("x", "y");
        members.add(field, value)?;
        Ok(String::from_utf8(members.text().to_vec()).unwrap())
    }

    #[test]
    fn a_value_has_the_type_of_its_field_or_is_a_text() {
        for (name, value, expected) in [
            ("limit", "10", "\"limit\":10"),
            ("limit", "010", "\"limit\":\"010\""),
            ("limit", "1,\"op\":2", "\"limit\":\"1,\\\"op\\\":2\""),
            ("limit", "", "\"limit\":\"\""),
            ("suspended", "true", "\"suspended\":true"),
            ("suspended", "yes", "\"suspended\":\"yes\""),
            ("machine", "7", "\"machine\":\"7\""),
            ("after", "{\"name\": \"a\"}", "\"after\":{\"name\": \"a\"}"),
        ] {
            let members = added(Op::TimerList, name, value).unwrap();
            assert_eq!(members, format!("\"x\":\"y\",{expected}"));
        }
        for wrong in ["{", "{},\"op\":1", "", "{}}"] {
            assert!(added(Op::TimerList, "after", wrong).is_err(), "{wrong}");
        }
    }
}
