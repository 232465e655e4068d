//! Text to tokens, each with its column.

use super::{Comparison, Error, Operand, OperandKind};
use crate::json::JsonReader;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum GuardToken {
    Operand(Operand),
    Comparison(Comparison),
    And,
    Or,
    Not,
    Open,
    Close,
    End,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SpannedGuardToken<'a> {
    pub(super) token: GuardToken,
    /// The text it came from, for messages.
    pub(super) text: &'a str,
    pub(super) column: usize,
}

const OPERAND: &str = "a path, a number, a string, true, false, null, `!` or `(`";

pub(super) fn tokens(text: &str) -> Result<Vec<SpannedGuardToken<'_>>, Error> {
    let mut lexer = GuardLexer {
        text,
        at: 0,
        column: 1,
    };
    let mut all = Vec::new();
    loop {
        lexer.spaces();
        let (column, start) = (lexer.column, lexer.at);
        let token = lexer.token()?;
        let done = token == GuardToken::End;
        all.push(SpannedGuardToken {
            token,
            text: &text[start..lexer.at],
            column,
        });
        if done {
            return Ok(all);
        }
    }
}

struct GuardLexer<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
    /// In characters from 1.
    column: usize,
}

impl GuardLexer<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        self.next_if(|_| true)
    }

    fn next_if(&mut self, wanted: impl Fn(char) -> bool) -> Option<char> {
        let next = self.peek().filter(|c| wanted(*c))?;
        self.at += next.len_utf8();
        self.column += 1;
        Some(next)
    }

    /// An operand whose text goes from a place, in bytes, up to here.
    fn operand(&self, kind: OperandKind, start: usize) -> GuardToken {
        GuardToken::Operand(Operand::new(kind, start..self.at))
    }

    fn spaces(&mut self) {
        while self
            .next_if(|c| matches!(c, ' ' | '\t' | '\r' | '\n'))
            .is_some()
        {}
    }

    /// The next character is not one of what was expected.
    fn unexpected(&mut self, expected: &'static str) -> Error {
        Error::Unexpected {
            column: self.column,
            expected,
            found: shown(self.peek()),
        }
    }

    fn token(&mut self) -> Result<GuardToken, Error> {
        let Some(first) = self.peek() else {
            return Ok(GuardToken::End);
        };
        match first {
            '(' => self.single(GuardToken::Open),
            ')' => self.single(GuardToken::Close),
            '"' => self.string(),
            '-' | '0'..='9' => self.number(),
            '&' => self.double('&', "`&&`", GuardToken::And),
            '|' => self.double('|', "`||`", GuardToken::Or),
            '=' => self.double('=', "`==`", GuardToken::Comparison(Comparison::Equal)),
            '!' => self.with_equals(GuardToken::Not, Comparison::NotEqual),
            '<' => self.with_equals(
                GuardToken::Comparison(Comparison::Less),
                Comparison::LessOrEqual,
            ),
            '>' => self.with_equals(
                GuardToken::Comparison(Comparison::Greater),
                Comparison::GreaterOrEqual,
            ),
            c if c.is_alphabetic() || c == '_' => self.word(),
            _ => Err(self.unexpected(OPERAND)),
        }
    }

    fn single(&mut self, token: GuardToken) -> Result<GuardToken, Error> {
        self.next();
        Ok(token)
    }

    fn double(
        &mut self,
        c: char,
        expected: &'static str,
        token: GuardToken,
    ) -> Result<GuardToken, Error> {
        self.next();
        match self.next_if(|next| next == c) {
            Some(_) => Ok(token),
            None => Err(self.unexpected(expected)),
        }
    }

    fn with_equals(&mut self, alone: GuardToken, with: Comparison) -> Result<GuardToken, Error> {
        self.next();
        Ok(match self.next_if(|next| next == '=') {
            Some(_) => GuardToken::Comparison(with),
            None => alone,
        })
    }

    fn word(&mut self) -> Result<GuardToken, Error> {
        let (column, start) = (self.column, self.at);
        match self.name() {
            "true" => Ok(self.operand(OperandKind::True, start)),
            "false" => Ok(self.operand(OperandKind::False, start)),
            "null" => Ok(self.operand(OperandKind::Null, start)),
            "ctx" => self.path(),
            word => Err(Error::Unexpected {
                column,
                expected: "a path that starts with `ctx.`, or true, false or null",
                found: format!("`{word}`"),
            }),
        }
    }

    fn path(&mut self) -> Result<GuardToken, Error> {
        if self.next_if(|c| c == '.').is_none() {
            return Err(self.unexpected("`.` and a field name after `ctx`"));
        }
        let start = self.at;
        loop {
            if self.name().is_empty() {
                return Err(self.unexpected("a field name after `.`"));
            }
            let end = self.operand(OperandKind::Path, start);
            if self.next_if(|c| c == '.').is_none() {
                return Ok(end);
            }
        }
    }

    fn name(&mut self) -> &str {
        let start = self.at;
        while self
            .next_if(|c| c.is_alphanumeric() || c == '_' || c == '-')
            .is_some()
        {}
        &self.text[start..self.at]
    }

    fn number(&mut self) -> Result<GuardToken, Error> {
        let (column, start) = (self.column, self.at);
        while self
            .next_if(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.'))
            .is_some()
        {}
        let digits = &self.text[start..self.at];
        match JsonReader::new(digits).number() {
            Ok(number) if number == digits => Ok(self.operand(OperandKind::Number, start)),
            _ => Err(Error::Unexpected {
                column,
                expected: "a number as JSON writes it, within the range of a double",
                found: format!("`{digits}`"),
            }),
        }
    }

    fn string(&mut self) -> Result<GuardToken, Error> {
        let start = self.at;
        self.next();
        loop {
            match self.peek() {
                Some('"') => {
                    self.next();
                    return Ok(self.operand(OperandKind::String, start));
                }
                Some('\\') => {
                    self.next();
                    self.escape()?;
                }
                Some(c) if c >= ' ' => drop(self.next()),
                _ => return Err(self.unexpected("`\"` at the end of the string")),
            }
        }
    }

    /// After a backslash.
    fn escape(&mut self) -> Result<(), Error> {
        const ESCAPE: &str = "one of \" \\ / b f n r t u after `\\`";
        match self.next_if(|c| matches!(c, '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' | 'u')) {
            Some('u') => self.unicode(),
            Some(_) => Ok(()),
            None => Err(self.unexpected(ESCAPE)),
        }
    }

    /// After `\u`: one escape, or two that make a surrogate pair.
    fn unicode(&mut self) -> Result<(), Error> {
        let column = self.column;
        let code = self.four_hex()?;
        let is_whole = match code {
            0xd800..0xdc00 => {
                self.next_if(|c| c == '\\').is_some()
                    && self.next_if(|c| c == 'u').is_some()
                    && (0xdc00..0xe000).contains(&self.four_hex()?)
            }
            _ => !(0xdc00..0xe000).contains(&code),
        };
        match is_whole {
            true => Ok(()),
            false => Err(Error::Unexpected {
                column,
                expected: "a character or a whole surrogate pair",
                found: format!("`{code:04x}`"),
            }),
        }
    }

    fn four_hex(&mut self) -> Result<u32, Error> {
        let mut code = 0;
        for _ in 0..4 {
            match self.peek().and_then(|c| c.to_digit(16)) {
                Some(digit) => {
                    self.next();
                    code = code * 16 + digit;
                }
                None => return Err(self.unexpected("four hex digits after `\\u`")),
            }
        }
        Ok(code)
    }
}

fn shown(c: Option<char>) -> String {
    match c {
        None => "the end".to_owned(),
        Some(c) if c.is_control() => format!("`{}`", c.escape_default()),
        Some(c) => format!("`{c}`"),
    }
}
