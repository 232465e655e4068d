//! Reads JSON text in place, token by token.
//!
//! It builds no values, gives no key a special meaning, and keeps numbers as text. Nesting is bounded by
//! [`JSON_DEPTH_MAX`] before it is followed, so code that recurses along with the reader is bounded too.
//!
//! | module | reads |
//! |---|---|
//! | `skip` | past values that nothing asks for |
//! | `strings` | strings |
//! | `words` | eight bytes at a time |

mod skip;
mod strings;
mod words;

use std::borrow::Cow;

use crate::limits::JSON_DEPTH_MAX;

/// What is wrong with a text, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at line {line} column {column}")]
pub(crate) struct JsonFault {
    problem: &'static str,
    /// From 1.
    line: usize,
    /// In characters from 1.
    column: usize,
}

/// What a value is, told from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonKind {
    Null,
    True,
    False,
    Number,
    String,
    List,
    Object,
}

#[derive(Debug)]
pub(crate) struct JsonReader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Directly after an opening bracket: no comma is expected.
    fresh: bool,
}

impl<'a> JsonReader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            fresh: false,
        }
    }

    pub(crate) fn of_bytes(text: &'a [u8]) -> Result<Self, JsonFault> {
        match str::from_utf8(text) {
            Ok(text) => Ok(Self::new(text)),
            Err(error) => {
                // The bytes before the fault are valid UTF-8, so their lines can be counted.
                let before = str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default();
                Err(JsonFault::after(before, "expected UTF-8"))
            }
        }
    }

    /// The next byte to read, counted from the text's first.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The text from an earlier place up to here.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// The kind of the value that comes next.
    pub(crate) fn kind(&mut self) -> Result<JsonKind, JsonFault> {
        self.spaces();
        match self.byte() {
            Some(b'{') => Ok(JsonKind::Object),
            Some(b'[') => Ok(JsonKind::List),
            Some(b'"') => Ok(JsonKind::String),
            Some(b'-' | b'0'..=b'9') => Ok(JsonKind::Number),
            Some(b't') => Ok(JsonKind::True),
            Some(b'f') => Ok(JsonKind::False),
            Some(b'n') => Ok(JsonKind::Null),
            _ => Err(self.fault("expected a JSON value")),
        }
    }

    /// Checks that only spaces follow.
    pub(crate) fn end(&mut self) -> Result<(), JsonFault> {
        self.spaces();
        match self.byte() {
            None => Ok(()),
            Some(_) => Err(self.fault("expected the end")),
        }
    }

    /// Enters the list or object that comes next.
    pub(crate) fn enter(&mut self) -> Result<(), JsonFault> {
        if self.depth == JSON_DEPTH_MAX {
            return Err(self.fault("nested deeper than 127"));
        }
        self.depth += 1;
        self.at += 1;
        self.fresh = true;
        Ok(())
    }

    /// Whether another item of the list follows; if none does, the list is left.
    pub(crate) fn item(&mut self) -> Result<bool, JsonFault> {
        self.next(b']', "expected `,` or `]`")
    }

    /// The name of the object's next field. `None` after the last field; the reader has then left the object.
    pub(crate) fn field(&mut self) -> Result<Option<Cow<'a, str>>, JsonFault> {
        if !self.next(b'}', "expected `,` or `}`")? {
            return Ok(None);
        }
        let name = self.string()?;
        self.colon()?;
        Ok(Some(name))
    }

    fn next(&mut self, close: u8, otherwise: &'static str) -> Result<bool, JsonFault> {
        let fresh = std::mem::take(&mut self.fresh);
        self.spaces();
        if self.eat(close) {
            self.depth -= 1;
            return Ok(false);
        }
        if !fresh && !self.eat(b',') {
            return Err(self.fault(otherwise));
        }
        self.spaces();
        Ok(true)
    }

    fn colon(&mut self) -> Result<(), JsonFault> {
        self.spaces();
        match self.eat(b':') {
            true => Ok(()),
            false => Err(self.fault("expected `:`")),
        }
    }

    /// Passes null, true or false.
    pub(crate) fn word(&mut self, word: &'static str) -> Result<(), JsonFault> {
        match self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            true => self.at += word.len(),
            false => return Err(self.fault("expected a JSON value")),
        }
        Ok(())
    }

    /// A number as it is written. One that no double can hold, 1e999 for one, is refused.
    pub(crate) fn number(&mut self) -> Result<&'a str, JsonFault> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        let exponent = self.eat(b'e') || self.eat(b'E');
        if exponent {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        // Without an exponent it takes over three hundred digits to leave the range.
        if (exponent || text.len() > 300) && text.parse().is_ok_and(f64::is_infinite) {
            self.at = start;
            return Err(self.fault("expected a number within the range of a double"));
        }
        Ok(text)
    }

    fn digits(&mut self) -> Result<(), JsonFault> {
        let start = self.at;
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        match self.at > start {
            true => Ok(()),
            false => Err(self.fault("expected a digit")),
        }
    }

    /// Passes a value and looks at every byte of it.
    pub(crate) fn pass(&mut self) -> Result<&'a str, JsonFault> {
        let kind = self.kind()?;
        let start = self.at;
        match kind {
            JsonKind::Null => self.word("null")?,
            JsonKind::True => self.word("true")?,
            JsonKind::False => self.word("false")?,
            JsonKind::Number => drop(self.number()?),
            JsonKind::String => self.pass_string()?,
            JsonKind::List => {
                self.enter()?;
                while self.item()? {
                    self.pass()?;
                }
            }
            JsonKind::Object => {
                self.enter()?;
                while self.next(b'}', "expected `,` or `}`")? {
                    self.pass_string()?;
                    self.colon()?;
                    self.pass()?;
                }
            }
        }
        Ok(&self.text[start..self.at])
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, wanted: u8) -> bool {
        let found = self.byte() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn spaces(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// A fault at the current position.
    pub(crate) fn fault(&self, problem: &'static str) -> JsonFault {
        JsonFault::after(self.text.get(..self.at).unwrap_or(self.text), problem)
    }
}

impl JsonFault {
    fn after(before: &str, problem: &'static str) -> Self {
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            problem,
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}
