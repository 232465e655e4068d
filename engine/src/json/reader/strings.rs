//! Strings: decoded, or checked escape by escape.

use std::borrow::Cow;

use super::{JsonFault, JsonReader, words};

const PAIR: &str = "expected a character or a whole surrogate pair";

impl<'a> JsonReader<'a> {
    /// A string, decoded; borrowed unless it holds escapes.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, JsonFault> {
        self.quote()?;
        let first = self.plain()?;
        if self.eat(b'"') {
            return Ok(Cow::Borrowed(first));
        }
        let mut decoded = first.to_owned();
        while !self.eat(b'"') {
            decoded.push(self.escape()?);
            decoded.push_str(self.plain()?);
        }
        Ok(Cow::Owned(decoded))
    }

    pub(super) fn pass_string(&mut self) -> Result<(), JsonFault> {
        self.quote()?;
        self.plain()?;
        while !self.eat(b'"') {
            self.escape()?;
            self.plain()?;
        }
        Ok(())
    }

    fn quote(&mut self) -> Result<(), JsonFault> {
        match self.eat(b'"') {
            true => Ok(()),
            false => Err(self.fault("expected a string")),
        }
    }

    /// Up to the next quote or backslash.
    fn plain(&mut self) -> Result<&'a str, JsonFault> {
        let start = self.at;
        self.at = words::find(self.text.as_bytes(), start, |word| {
            word.equal(b'"') | word.equal(b'\\') | word.below(0x20)
        });
        match self.byte() {
            Some(b'"' | b'\\') => Ok(&self.text[start..self.at]),
            Some(_) => Err(self.fault("a control character must be escaped")),
            None => Err(self.fault("expected `\"`")),
        }
    }

    fn escape(&mut self) -> Result<char, JsonFault> {
        // Only called at a backslash.
        self.at += 1;
        let decoded = match self.byte() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.fault("expected one of \" \\ / b f n r t u")),
        };
        self.at += 1;
        Ok(decoded)
    }

    /// At the `u` of one escape, or of the first of two that make a surrogate pair.
    fn unicode(&mut self) -> Result<char, JsonFault> {
        self.at += 1;
        let high = self.four_hex()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high).ok_or_else(|| self.fault(PAIR));
        }
        if !(self.eat(b'\\') && self.eat(b'u')) {
            return Err(self.fault(PAIR));
        }
        let low = self.four_hex()?;
        if !(0xdc00..0xe000).contains(&low) {
            return Err(self.fault(PAIR));
        }
        let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        char::from_u32(code).ok_or_else(|| self.fault(PAIR))
    }

    fn four_hex(&mut self) -> Result<u32, JsonFault> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.byte().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.fault("expected four hex digits"));
            };
            self.at += 1;
            code = code * 16 + digit;
        }
        Ok(code)
    }
}
