//! JSON as people type it: `{amount: 3, card: {type: visa}}`. Names and plain texts need no quotes; strict JSON is read as
//! what it is.

use rstmdb_rcp::json::Json;

use super::pairs::scalar;
use crate::Error;

/// Why a line has no words.
#[derive(Debug, PartialEq, Eq)]
pub enum SplitFault {
    /// This is not closed; it may be in the next line.
    Open(&'static str),
    /// Whatever the next line is, it will be wrong.
    Wrong(String),
}

impl From<SplitFault> for Error {
    fn from(fault: SplitFault) -> Error {
        Error::Usage(match fault {
            SplitFault::Open(what) => format!("{what} is not closed"),
            SplitFault::Wrong(why) => why,
        })
    }
}

/// The deepest document that is read, because the reader calls itself for each level.
const DEPTH_MAX: usize = 64;
/// What ends a text without quotes.
const ENDS: [char; 5] = [',', '}', ']', '\n', '\r'];
/// What a text without quotes may not hold: most likely a quote or a comma is missing before it.
const QUOTED_ONLY: [char; 4] = ['{', '[', '"', '\''];

/// The document at the beginning of `text`, and what stands behind it.
pub(super) fn document(text: &str) -> Result<(Json, &str), SplitFault> {
    let mut reader = Reader { rest: text };
    let document = reader.value(DEPTH_MAX)?;
    Ok((document, reader.rest))
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Json, SplitFault> {
        let Some(depth) = depth.checked_sub(1) else {
            let text = format!("the document is nested deeper than {DEPTH_MAX} levels");
            return Err(SplitFault::Wrong(text));
        };
        match self.next()? {
            '{' => self.object(depth),
            '[' => self.list(depth),
            '"' | '\'' => self.quoted().map(Json::Text),
            _ => {
                let text = self.bare(&ENDS)?;
                scalar(text).map_err(SplitFault::Wrong)
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, SplitFault> {
        self.skip('{');
        let mut fields: Vec<(String, Json)> = Vec::new();
        while self.next()? != '}' {
            let name = match self.next()? {
                '"' | '\'' => self.quoted()?,
                _ => self.bare(&[':', ',', '}', ']', '\n', '\r'])?.to_owned(),
            };
            if self.next()? != ':' {
                let text = format!("there is no colon after the name {name:?}");
                return Err(SplitFault::Wrong(text));
            }
            self.skip(':');
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(SplitFault::Wrong(format!("{name:?} is there twice")));
            }
            let value = self.value(depth)?;
            fields.push((name, value));
            self.comma('}')?;
        }
        self.skip('}');
        Ok(Json::Object(fields))
    }

    fn list(&mut self, depth: usize) -> Result<Json, SplitFault> {
        self.skip('[');
        let mut items = Vec::new();
        while self.next()? != ']' {
            items.push(self.value(depth)?);
            self.comma(']')?;
        }
        self.skip(']');
        Ok(Json::List(items))
    }

    /// The next character that is no blank.
    fn next(&mut self) -> Result<char, SplitFault> {
        self.rest = self.rest.trim_start();
        self.rest
            .chars()
            .next()
            .ok_or(SplitFault::Open("a bracket"))
    }

    fn skip(&mut self, c: char) {
        self.rest = self.rest.strip_prefix(c).unwrap_or(self.rest);
    }

    /// A comma between two values; also one behind the last.
    fn comma(&mut self, end: char) -> Result<(), SplitFault> {
        match self.next()? {
            ',' => {
                self.skip(',');
                Ok(())
            }
            c if c == end => Ok(()),
            c => Err(SplitFault::Wrong(format!(
                "expected a comma or {end} in the document, found {c:?}"
            ))),
        }
    }

    fn bare(&mut self, ends: &[char]) -> Result<&'a str, SplitFault> {
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        let text = text.trim();
        if text.is_empty() {
            let c = rest.chars().next().unwrap_or_default();
            let text = format!("a name or a value is missing before {c:?}");
            return Err(SplitFault::Wrong(text));
        }
        if text.contains(QUOTED_ONLY) {
            let text = format!("{text:?} needs quotes around it, or a comma is missing in it");
            return Err(SplitFault::Wrong(text));
        }
        self.rest = rest;
        Ok(text)
    }

    /// A text in double quotes, as JSON has it, or in single ones, as it is.
    fn quoted(&mut self) -> Result<String, SplitFault> {
        const OPEN: SplitFault = SplitFault::Open("a quote");
        if let Some(text) = self.rest.strip_prefix('\'') {
            let (text, rest) = text.split_once('\'').ok_or(OPEN)?;
            self.rest = rest;
            return Ok(text.to_owned());
        }
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        let (end, _) = end.ok_or(OPEN)?;
        let (text, rest) = self.rest.split_at(end + 1);
        self.rest = rest;
        match Json::parse(text) {
            Ok(Json::Text(text)) => Ok(text),
            Ok(_) => Err(SplitFault::Wrong(format!("{text} is no text"))),
            Err(error) => Err(SplitFault::Wrong(format!("{text} is no text: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(text: &str) -> Result<String, SplitFault> {
        document(text).map(|(document, rest)| format!("{document}{rest}"))
    }

    #[test]
    fn names_and_plain_texts_need_no_quotes() {
        for (text, expected) in [
            (
                "{amount: 3, card: {type: visa}}",
                r#"{"amount":3,"card":{"type":"visa"}}"#,
            ),
            ("{}", "{}"),
            ("[]", "[]"),
            (
                "[1, two words, null, true, 1.50]",
                r#"[1,"two words",null,true,1.50]"#,
            ),
            (
                "{url: http://a:1/b, 'a b': 'c, d', \"e\\n\": \"f\"}",
                r#"{"url":"http://a:1/b","a b":"c, d","e\n":"f"}"#,
            ),
            ("{\n  a: 1,\n  b: [2,\n 3,],\n}", r#"{"a":1,"b":[2,3]}"#),
            (
                r#"{"n": 123456789012345678901234567890}"#,
                r#"{"n":123456789012345678901234567890}"#,
            ),
            ("{a: größe} x", r#"{"a":"größe"} x"#),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_closed_is_open_and_what_is_wrong_is_wrong() {
        for text in [
            "{",
            "{a",
            "{a:",
            "{a: 1",
            "{a: 1,",
            "[",
            "[1",
            "{a: 'x",
            "{a: \"x",
            "{a: \"x\\\"",
            "{a: {b: 1}",
        ] {
            assert!(
                matches!(read(text), Err(SplitFault::Open(_))),
                "{text}: {:?}",
                read(text)
            );
        }
        let deep = "[".repeat(DEPTH_MAX + 1);
        for text in [
            "{a}",
            "{a: }",
            "{: 1}",
            "{a: 1 b: \"x\"}",
            "{a: it's}",
            "{a: 1, a: 2}",
            "{a: 1e999}",
            "{a: 1\n b: 2}",
            "{a: \"x\" y}",
            "[1}",
            "{a: 1]",
            &deep,
        ] {
            assert!(
                matches!(read(text), Err(SplitFault::Wrong(_))),
                "{text}: {:?}",
                read(text)
            );
        }
    }
}
