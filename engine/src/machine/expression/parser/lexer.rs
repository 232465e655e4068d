//! Text to tokens, each with its place.

mod strings;

use super::Error;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum ExprToken {
    Word,
    Int(u64),
    /// One more than the largest int: only a minus before it makes it one.
    IntMin,
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
    Sign(&'static str),
    End,
}

#[derive(Clone, Debug)]
pub(super) struct SpannedExprToken<'a> {
    pub(super) token: ExprToken,
    pub(super) text: &'a str,
    /// In bytes.
    pub(super) at: usize,
}

/// Longer ones first.
const SIGNS: [&str; 25] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "?", ":", ".", ",", "+", "-", "*", "/", "%",
    "(", ")", "[", "]", "{", "}", "=",
];

/// The place of a byte, in characters from 1.
pub(crate) fn column(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    before.chars().count() + 1
}

pub(super) fn tokens(text: &str) -> Result<Vec<SpannedExprToken<'_>>, Error> {
    let mut lexer = ExprLexer { text, at: 0 };
    let mut all = Vec::new();
    loop {
        lexer.spaces();
        let at = lexer.at;
        let token = lexer.token()?;
        let done = token == ExprToken::End;
        all.push(SpannedExprToken {
            token,
            text: &text[at..lexer.at],
            at,
        });
        if done {
            return Ok(all);
        }
    }
}

struct ExprLexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> ExprLexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn second(&self) -> Option<char> {
        self.rest().chars().nth(1)
    }

    fn eat(&mut self, wanted: &str) -> bool {
        let found = self.rest().starts_with(wanted);
        if found {
            self.at += wanted.len();
        }
        found
    }

    fn eat_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn spaces(&mut self) {
        loop {
            self.eat_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{c}'));
            if !self.eat("//") {
                return;
            }
            self.eat_while(|c| c != '\n');
        }
    }

    fn literal(&self, at: usize, why: impl Into<String>) -> Error {
        Error::Literal {
            column: column(self.text, at),
            why: why.into(),
        }
    }

    fn token(&mut self) -> Result<ExprToken, Error> {
        let Some(first) = self.peek() else {
            return Ok(ExprToken::End);
        };
        if first.is_ascii_digit()
            || first == '.' && self.second().is_some_and(|c| c.is_ascii_digit())
        {
            return self.number();
        }
        if let Some(token) = self.string()? {
            return Ok(token);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            self.eat_while(|c| c.is_ascii_alphanumeric() || c == '_');
            return Ok(ExprToken::Word);
        }
        match SIGNS.iter().find(|sign| self.eat(sign)) {
            Some(sign) => Ok(ExprToken::Sign(sign)),
            None => Err(Error::Unexpected {
                column: column(self.text, self.at),
                expected: "a name, a literal or an operator",
                found: shown(first),
            }),
        }
    }

    fn number(&mut self) -> Result<ExprToken, Error> {
        let start = self.at;
        if self.eat("0x") || self.eat("0X") {
            let digits = self.eat_while(|c| c.is_ascii_hexdigit());
            return self.integer(start, digits, 16);
        }
        let digits = self.eat_while(|c| c.is_ascii_digit());
        let mut is_double = false;
        if self.peek() == Some('.') && self.second().is_some_and(|c| c.is_ascii_digit()) {
            is_double = true;
            self.at += 1;
            self.eat_while(|c| c.is_ascii_digit());
        }
        if self.eat("e") || self.eat("E") {
            is_double = true;
            let _ = self.eat("+") || self.eat("-");
            if self.eat_while(|c| c.is_ascii_digit()).is_empty() {
                return Err(self.literal(self.at, "expected a digit of the exponent"));
            }
        }
        if !is_double {
            return self.integer(start, digits, 10);
        }
        self.ends(start)?;
        match self.text[start..self.at].parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(ExprToken::Double(value)),
            _ => Err(self.literal(start, "the number is out of the range of a double")),
        }
    }

    fn integer(&mut self, start: usize, digits: &str, radix: u32) -> Result<ExprToken, Error> {
        let unsigned = self.eat("u") || self.eat("U");
        self.ends(start)?;
        let value = match u64::from_str_radix(digits, radix) {
            Ok(value) => value,
            Err(_) if digits.is_empty() => return Err(self.literal(start, "expected a hex digit")),
            Err(_) => return Err(self.literal(start, "the number is out of the range of 64 bits")),
        };
        match (unsigned, value) {
            (true, _) => Ok(ExprToken::Uint(value)),
            (false, 0..=0x7fff_ffff_ffff_ffff) => Ok(ExprToken::Int(value)),
            (false, 0x8000_0000_0000_0000) => Ok(ExprToken::IntMin),
            _ => Err(self.literal(start, "the number is out of the range of an int")),
        }
    }

    /// A number ends where no name goes on.
    fn ends(&self, start: usize) -> Result<(), Error> {
        match self.peek() {
            Some(c) if c.is_ascii_alphanumeric() || c == '_' => {
                Err(self.literal(start, format!("a number cannot go on with `{c}`")))
            }
            _ => Ok(()),
        }
    }
}

/// A character as messages show it.
fn shown(c: char) -> String {
    match c.is_control() {
        true => format!("the character U+{:04X}", c as u32),
        false => format!("`{c}`"),
    }
}
