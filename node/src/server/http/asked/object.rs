//! The body of a request on its way into the parameters of an operation: the same text, with what path, query and
//! headers say added at its end. There it overrides a field of the same name in the body, because the last value of a
//! repeated key counts.
//!
//! This module does not parse the body. It only makes sure that the body is one object, so that no body can reach
//! beyond its place in the request. Whether the body is JSON is checked later. If it is, its brackets and quotes are
//! those that were counted here.

use bytes::{BufMut, BytesMut};

/// A body that is not one JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAnObject;

/// Where in the body the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    Inside,
    Text,
    /// Behind a backslash in a text.
    Escape,
    After,
}

/// Passes a body on, piece by piece.
#[derive(Debug)]
pub(crate) struct ObjectPasser {
    place: Place,
    depth: usize,
    /// Nothing but white space so far stands in the object.
    is_empty: bool,
}

impl ObjectPasser {
    pub(crate) fn new() -> Self {
        Self {
            place: Place::Before,
            depth: 0,
            is_empty: true,
        }
    }

    /// The length of what is passed on for a body of `body_bytes` and these members.
    pub(crate) fn passed_bytes(body_bytes: usize, members: &[u8]) -> usize {
        // A comma, or a space where there is nothing to separate.
        body_bytes + members.len() + 1
    }

    /// Passes a piece on to `out`. The object's last bracket comes behind `members`.
    ///
    /// # Errors
    /// When the pieces so far are not the beginning of one object.
    pub(crate) fn pass(
        &mut self,
        piece: &[u8],
        members: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), NotAnObject> {
        let mut passed = 0;
        for (at, byte) in piece.iter().enumerate() {
            if self.step(*byte)? {
                out.put_slice(&piece[passed..at]);
                let is_lonely = self.is_empty || members.is_empty();
                out.put_u8(if is_lonely { b' ' } else { b',' });
                out.put_slice(members);
                passed = at;
            }
        }
        out.put_slice(&piece[passed..]);
        Ok(())
    }

    /// The body ends here.
    ///
    /// # Errors
    /// When the object does not.
    pub(crate) fn end(&self) -> Result<(), NotAnObject> {
        match self.place {
            Place::After => Ok(()),
            _ => Err(NotAnObject),
        }
    }

    /// Takes the next byte; `true` if it is the object's last.
    fn step(&mut self, byte: u8) -> Result<bool, NotAnObject> {
        let is_space = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        match (self.place, byte) {
            (Place::Before | Place::After, _) if is_space => {}
            (Place::Before, b'{') => {
                self.place = Place::Inside;
                self.depth = 1;
            }
            (Place::Before | Place::After, _) => return Err(NotAnObject),
            (Place::Text, b'"') => self.place = Place::Inside,
            (Place::Text, b'\\') => self.place = Place::Escape,
            (Place::Text, _) => {}
            (Place::Escape, _) => self.place = Place::Text,
            (Place::Inside, b'}' | b']') => {
                self.depth -= 1;
                if self.depth == 0 {
                    self.place = Place::After;
                    return Ok(true);
                }
            }
            (Place::Inside, byte) => {
                self.is_empty &= is_space;
                match byte {
                    b'"' => self.place = Place::Text,
                    b'{' | b'[' => self.depth += 1,
                    _ => {}
                }
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn passed(body: &str, members: &str, cut: usize) -> Result<String, NotAnObject> {
        let mut passer = ObjectPasser::new();
        let mut out = BytesMut::new();
        for piece in body.as_bytes().chunks(cut.max(1)) {
            passer.pass(piece, members.as_bytes(), &mut out)?;
        }
        passer.end()?;
        let expected = ObjectPasser::passed_bytes(body.len(), members.as_bytes());
        assert_eq!(out.len(), expected, "{body}");
        Ok(String::from_utf8(out.to_vec()).unwrap())
    }

    fn value(text: &str) -> Value {
        rstmdb_rcp::json::value_of_bytes(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_the_path_says_is_added_and_counts_more_than_the_body() {
        for (body, members, expected) in [
            ("{}", "", json!({})),
            (" {\n} ", "\"a\":1", json!({"a": 1})),
            ("{\"b\":[{}]}", "\"a\":1", json!({"b": [{}], "a": 1})),
            ("{\"a\":2}\n", "\"a\":1", json!({"a": 1})),
            (
                "{\"b\":\"}{\\\"\"}",
                "\"a\":1",
                json!({"b": "}{\"", "a": 1}),
            ),
        ] {
            for cut in 1..body.len() {
                assert_eq!(
                    value(&passed(body, members, cut).unwrap()),
                    expected,
                    "{body}"
                );
            }
        }
    }

    #[test]
    fn a_body_cannot_leave_its_place() {
        for body in [
            "",
            " ",
            "[]",
            "1",
            "null",
            "{",
            "{\"a\":1",
            "{}}",
            "{}{}",
            "{},\"op\":\"FLUSH_ALL\"",
            "{},\"op\":\"FLUSH_ALL\",\"params\":{}",
            "{\"a\":\"}",
            "}{",
            "{\"a\":1],\"op\":[1}",
        ] {
            assert_eq!(passed(body, "\"a\":1", 3), Err(NotAnObject), "{body}");
        }
    }

    proptest! {
        /// If what is passed on is JSON in its place, then the body was, and nothing around it has changed.
        #[test]
        fn whatever_the_body_is_it_stays_inside(body in "[ {}\\[\\]\",:\\\\a1]{0,24}", cut in 1usize..9) {
            let is_object = rstmdb_rcp::json::value_of_bytes(body.as_bytes()).is_ok_and(|it| it.is_object());
            match passed(&body, "\"z\":7", cut) {
                Err(NotAnObject) => prop_assert!(!is_object),
                Ok(text) => {
                    let envelope = format!("{{\"op\":\"X\",\"params\":{text},\"end\":1}}");
                    if let Ok(envelope) = rstmdb_rcp::json::value_of_bytes(envelope.as_bytes()) {
                        prop_assert!(is_object);
                        prop_assert_eq!(envelope.as_object().unwrap().len(), 3);
                        prop_assert_eq!(&envelope["op"], "X");
                        prop_assert_eq!(&envelope["params"]["z"], 7);
                    } else {
                        prop_assert!(!is_object);
                    }
                }
            }
        }
    }
}
