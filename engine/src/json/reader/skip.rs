//! Past values that nothing asks for, of a text that was checked before: only strings and brackets are examined.

use super::words::{self, Word, all, first, has_last, odd, without_first};
use super::{JsonFault, JsonKind, JsonReader};
use crate::limits::JSON_DEPTH_MAX;

impl<'a> JsonReader<'a> {
    /// Skips a value of a text that was checked before.
    pub(crate) fn skip(&mut self) -> Result<&'a str, JsonFault> {
        let kind = self.kind()?;
        let start = self.at;
        match kind {
            JsonKind::String => self.skip_string()?,
            JsonKind::List | JsonKind::Object => self.skip_nested()?,
            _ => {
                let rest = &self.text.as_bytes()[start..];
                let stop =
                    |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n');
                self.at += rest.iter().position(stop).unwrap_or(rest.len());
            }
        }
        Ok(&self.text[start..self.at])
    }

    fn skip_string(&mut self) -> Result<(), JsonFault> {
        let text = self.text.as_bytes();
        self.at += 1;
        loop {
            self.at = words::find(text, self.at, |word| word.equal(b'"') | word.equal(b'\\'));
            match self.byte() {
                Some(b'"') => break,
                Some(_) => self.at = (self.at + 2).min(text.len()),
                None => return Err(self.fault("expected `\"`")),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn skip_nested(&mut self) -> Result<(), JsonFault> {
        let mut depth = self.depth;
        // Of the bytes in a word those inside of strings do not count. A string may go on into the next word.
        let mut in_string = false;
        while let Some(word) = Word::at(self.text.as_bytes(), self.at) {
            if word.equal(b'\\') != 0 {
                self.skip_slowly(8, &mut depth, &mut in_string)?;
                if depth == self.depth {
                    return Ok(());
                }
                continue;
            }
            let inside = odd(word.equal(b'"')) ^ all(in_string);
            in_string = has_last(inside);
            let (opening, closing) = (word.opening() & !inside, word.closing() & !inside);
            let (opened, closed) = (opening.count_ones() as usize, closing.count_ones() as usize);
            // Most words neither end the value nor reach the bound.
            if depth > self.depth + closed && depth + opened <= JSON_DEPTH_MAX {
                depth = depth + opened - closed;
                self.at += 8;
                continue;
            }
            let mut brackets = opening | closing;
            while brackets != 0 {
                let at = first(brackets);
                depth = match without_first(brackets) ^ brackets {
                    bracket if bracket & closing != 0 => depth - 1,
                    _ if depth == JSON_DEPTH_MAX => {
                        self.at += at;
                        return Err(self.fault("nested deeper than 127"));
                    }
                    _ => depth + 1,
                };
                if depth == self.depth {
                    self.at += at + 1;
                    return Ok(());
                }
                brackets = without_first(brackets);
            }
            self.at += 8;
        }
        while depth > self.depth || self.at < self.text.len() {
            self.skip_slowly(1, &mut depth, &mut in_string)?;
            if depth == self.depth {
                break;
            }
        }
        Ok(())
    }

    /// Passes at least so many bytes of a nested value, one by one, but not the bracket that ends it.
    fn skip_slowly(
        &mut self,
        bytes: usize,
        depth: &mut usize,
        in_string: &mut bool,
    ) -> Result<(), JsonFault> {
        let end = self.at + bytes;
        while self.at < end {
            match self.byte() {
                None => {
                    let expected = if *in_string {
                        "expected `\"`"
                    } else {
                        "expected `]` or `}`"
                    };
                    return Err(self.fault(expected));
                }
                Some(b'\\') if *in_string => self.at = (self.at + 1).min(self.text.len()),
                Some(b'"') => *in_string = !*in_string,
                Some(_) if *in_string => {}
                Some(b'[' | b'{') if *depth == JSON_DEPTH_MAX => {
                    return Err(self.fault("nested deeper than 127"));
                }
                Some(b'[' | b'{') => *depth += 1,
                Some(b']' | b'}') => *depth -= 1,
                Some(_) => {}
            }
            self.at += 1;
            if *depth == self.depth {
                break;
            }
        }
        Ok(())
    }
}
