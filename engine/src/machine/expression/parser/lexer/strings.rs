//! String and bytes literals, with their prefixes and escapes.

use super::{Error, ExprLexer, ExprToken};

/// What a literal's characters are put into.
struct Out {
    bytes: Vec<u8>,
    is_bytes: bool,
}

impl ExprLexer<'_> {
    /// A string or bytes literal, if one comes next.
    pub(super) fn string(&mut self) -> Result<Option<ExprToken>, Error> {
        let start = self.at;
        let prefix = self.rest().find(['"', '\'']);
        let Some(prefix @ 0..=2) = prefix else {
            return Ok(None);
        };
        let (raw, is_bytes) = match &self.rest()[..prefix] {
            "" => (false, false),
            "r" | "R" => (true, false),
            "b" | "B" => (false, true),
            "rb" | "rB" | "Rb" | "RB" | "br" | "bR" | "Br" | "BR" => (true, true),
            _ => return Ok(None),
        };
        self.at += prefix;
        let mut out = Out {
            bytes: Vec::new(),
            is_bytes,
        };
        self.body(start, raw, &mut out)?;
        if is_bytes {
            return Ok(Some(ExprToken::Bytes(out.bytes)));
        }
        match String::from_utf8(out.bytes) {
            Ok(text) => Ok(Some(ExprToken::String(text))),
            Err(_) => Err(self.literal(start, "the string is not UTF-8")),
        }
    }

    fn body(&mut self, start: usize, raw: bool, out: &mut Out) -> Result<(), Error> {
        let quotes = ["\"\"\"", "'''", "\"", "'"];
        let quote = quotes.into_iter().find(|quote| self.eat(quote));
        let quote = quote.unwrap_or_default();
        while !self.eat(quote) {
            let Some(c) = self.peek() else {
                return Err(self.literal(start, "the string has no end"));
            };
            if matches!(c, '\n' | '\r') && quote.len() == 1 {
                return Err(self.literal(start, "the string has no end on its line"));
            }
            if c == '\\' && !raw {
                self.escape(out)?;
            } else {
                self.at += c.len_utf8();
                out.char(c);
            }
        }
        Ok(())
    }

    fn escape(&mut self, out: &mut Out) -> Result<(), Error> {
        let start = self.at;
        self.at += 1;
        let Some(c) = self.peek() else {
            return Err(self.literal(start, "the string has no end"));
        };
        self.at += c.len_utf8();
        match c {
            'a' => out.char('\u{7}'),
            'b' => out.char('\u{8}'),
            'f' => out.char('\u{c}'),
            'n' => out.char('\n'),
            'r' => out.char('\r'),
            't' => out.char('\t'),
            'v' => out.char('\u{b}'),
            '\\' | '?' | '"' | '\'' | '`' => out.char(c),
            'x' | 'X' => self.code(start, 2, 16, out)?,
            'u' if !out.is_bytes => self.code(start, 4, 16, out)?,
            'U' if !out.is_bytes => self.code(start, 8, 16, out)?,
            '0'..='3' => {
                self.at -= 1;
                self.code(start, 3, 8, out)?;
            }
            _ => return Err(self.literal(start, format!("`\\{c}` is no escape"))),
        }
        Ok(())
    }

    /// So many digits: a code point in a string, a byte in bytes.
    fn code(
        &mut self,
        start: usize,
        digits: usize,
        radix: u32,
        out: &mut Out,
    ) -> Result<(), Error> {
        let text = self.rest().get(..digits).unwrap_or_default();
        let is_code = text.len() == digits && text.chars().all(|c| c.is_digit(radix));
        let code = u32::from_str_radix(text, radix).ok().filter(|_| is_code);
        let Some(code) = code else {
            return Err(self.literal(start, format!("the escape needs {digits} digits")));
        };
        self.at += digits;
        if out.is_bytes {
            out.bytes.push(code as u8);
            return Ok(());
        }
        match char::from_u32(code) {
            Some(c) => out.char(c),
            None => return Err(self.literal(start, "the escape is no code point")),
        }
        Ok(())
    }
}

impl Out {
    fn char(&mut self, c: char) {
        let mut buffer = [0; 4];
        self.bytes
            .extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
    }
}
