//! The body of a request on its way into the parameters of an operation: the same text, with what path, query and
//! headers say added at its end. There it overrides a field of the same name in the body, because the last value of a
//! repeated key counts.
//!
//! This module does not parse the body. It only makes sure that the body is one object, so that no body can reach
//! beyond its place in the request, and that the operation has a parameter for each name in it. A misspelt name would
//! otherwise do something else than its client meant. Whether the body is JSON is checked later. If it is, its brackets
//! and quotes are those that were counted here.

use bytes::{BufMut, BytesMut};

use crate::server::http::operations::Shape;

/// A longer name is no parameter's, even with each of its letters escaped (`\u0061`).
const NAME_BYTES_MAX: usize = 256;

/// Why a body is not passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is not one JSON object.
    NotAnObject,
    /// The operation has no parameter of this name.
    UnknownName(String),
}

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
    /// What the operation takes.
    shape: &'static Shape,
    /// The next text at the top is a name.
    awaits_name: bool,
    /// The name that is being read, as it stands in the body, with its first quote.
    name: Option<Vec<u8>>,
}

impl ObjectPasser {
    /// For the parameters of this operation.
    pub(crate) fn new(shape: &'static Shape) -> Self {
        Self {
            place: Place::Before,
            depth: 0,
            is_empty: true,
            shape,
            awaits_name: false,
            name: None,
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
    /// When the pieces so far are not the beginning of one object of known names. An unknown name is found before the
    /// last bracket is passed on, so the operation cannot have begun.
    pub(crate) fn pass(
        &mut self,
        piece: &[u8],
        members: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), Refused> {
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
    pub(crate) fn end(&self) -> Result<(), Refused> {
        match self.place {
            Place::After => Ok(()),
            _ => Err(Refused::NotAnObject),
        }
    }

    /// Takes the next byte; `true` if it is the object's last.
    fn step(&mut self, byte: u8) -> Result<bool, Refused> {
        let is_space = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        match (self.place, byte) {
            (Place::Before | Place::After, _) if is_space => {}
            (Place::Before, b'{') => {
                self.place = Place::Inside;
                self.depth = 1;
                self.awaits_name = true;
            }
            (Place::Before | Place::After, _) => return Err(Refused::NotAnObject),
            (Place::Text | Place::Escape, _) => self.step_in_text(byte)?,
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
                    b'"' => {
                        self.place = Place::Text;
                        if self.depth == 1 && std::mem::take(&mut self.awaits_name) {
                            self.name = Some(vec![b'"']);
                        }
                    }
                    b'{' | b'[' => self.depth += 1,
                    b',' => self.awaits_name |= self.depth == 1,
                    _ => {}
                }
            }
        }
        Ok(false)
    }

    fn step_in_text(&mut self, byte: u8) -> Result<(), Refused> {
        if let Some(name) = &mut self.name {
            if name.len() > NAME_BYTES_MAX {
                return Err(unknown(name));
            }
            name.push(byte);
        }
        match (self.place, byte) {
            (Place::Text, b'"') => {
                self.place = Place::Inside;
                if let Some(name) = self.name.take() {
                    self.check_name(&name)?;
                }
            }
            (Place::Text, b'\\') => self.place = Place::Escape,
            (Place::Text, _) => {}
            _ => self.place = Place::Text,
        }
        Ok(())
    }

    /// Whether the operation has a parameter of this name, with its quotes.
    fn check_name(&self, quoted: &[u8]) -> Result<(), Refused> {
        // A name may be written with escapes: what counts is what the operation would read.
        let name: String = serde_json::from_slice(quoted).map_err(|_| unknown(quoted))?;
        match self.shape.param(&name) {
            Some(_) => Ok(()),
            None => Err(Refused::UnknownName(name)),
        }
    }
}

/// A name that cannot be decoded, or is too long, as it stands in the body.
fn unknown(quoted: &[u8]) -> Refused {
    let text = String::from_utf8_lossy(quoted);
    Refused::UnknownName(text.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::server::http::operations::{Kind, maybe};

    static SHAPE: Shape = Shape {
        summary: "",
        params: &[maybe("a", Kind::Integer, ""), maybe("b", Kind::List, "")],
        result: &[],
        reads: false,
        writes: false,
    };

    fn passed(body: &str, members: &str, cut: usize) -> Result<String, Refused> {
        let mut passer = ObjectPasser::new(&SHAPE);
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
            assert_eq!(
                passed(body, "\"a\":1", 3),
                Err(Refused::NotAnObject),
                "{body}"
            );
        }
    }

    #[test]
    fn a_name_that_the_operation_does_not_have_is_refused_before_the_object_ends() {
        let unknown = |name: &str| Err(Refused::UnknownName(name.to_owned()));
        let long = format!("{{\"{}\":1}}", "b".repeat(9000));
        for (body, expected) in [
            ("{\"c\":1}", unknown("c")),
            ("{\"b\":[{\"c\":\"d,\"},\"e\"],\"a\" : \"f\"}", Ok(())),
            ("{ \"a\" : {\"c\":1} , \"B\" : 2}", unknown("B")),
            ("{\"\\u0061\":1,\"\\u0062\":[]}", Ok(())),
            ("{\"\\u0063\":1}", unknown("c")),
            ("{\"a\\\"\":1}", unknown("a\"")),
            ("{\"\":1}", unknown("")),
            (&long, unknown(&"b".repeat(NAME_BYTES_MAX))),
        ] {
            for cut in [1, 2, 7, body.len()] {
                let mut passer = ObjectPasser::new(&SHAPE);
                let mut out = BytesMut::new();
                let mut pieces = body.as_bytes().chunks(cut);
                let found = pieces.try_for_each(|piece| passer.pass(piece, b"", &mut out));
                assert_eq!(found, expected, "{body}");
                assert!(found.is_ok() || !out.ends_with(b"}"), "{body}");
            }
        }
    }

    proptest! {
        /// If what is passed on is JSON in its place, then the body was, and nothing around it has changed.
        #[test]
        fn whatever_the_body_is_it_stays_inside(body in "[ {}\\[\\]\",:\\\\a1]{0,24}", cut in 1usize..9) {
            let is_object = rstmdb_rcp::json::value_of_bytes(body.as_bytes()).is_ok_and(|it| it.is_object());
            match passed(&body, "\"z\":7", cut) {
                // Other names than those of the operation are refused at once, whatever follows.
                Err(Refused::UnknownName(_)) => {}
                Err(Refused::NotAnObject) => prop_assert!(!is_object),
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
