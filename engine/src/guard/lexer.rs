//! Text to tokens, each with its column.

use std::iter::Peekable;
use std::str::Chars;

use serde_json::{Number, Value};

use super::{Comparison, Error};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Path(Vec<String>),
    Literal(Value),
    Comparison(Comparison),
    And,
    Or,
    Not,
    Open,
    Close,
    End,
}

#[derive(Clone, Debug)]
pub(super) struct Spanned {
    pub(super) token: Token,
    /// The text it came from, for messages.
    pub(super) text: String,
    pub(super) column: usize,
}

const OPERAND: &str = "a path, a number, a string, true, false, null, `!` or `(`";

pub(super) fn tokens(text: &str) -> Result<Vec<Spanned>, Error> {
    let mut lexer = Lexer {
        rest: text.chars().peekable(),
        column: 1,
    };
    let mut all = Vec::new();
    loop {
        lexer.spaces();
        let column = lexer.column;
        let before = lexer.rest.clone();
        let token = lexer.token()?;
        let text: String = before.take(lexer.column - column).collect();
        let done = token == Token::End;
        all.push(Spanned {
            token,
            text,
            column,
        });
        if done {
            return Ok(all);
        }
    }
}

struct Lexer<'a> {
    rest: Peekable<Chars<'a>>,
    column: usize,
}

impl Lexer<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        self.column += usize::from(next.is_some());
        next
    }

    fn next_if(&mut self, wanted: impl Fn(char) -> bool) -> Option<char> {
        let next = self.rest.next_if(|c| wanted(*c));
        self.column += usize::from(next.is_some());
        next
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
            found: shown(self.rest.peek().copied()),
        }
    }

    fn token(&mut self) -> Result<Token, Error> {
        let Some(first) = self.rest.peek().copied() else {
            return Ok(Token::End);
        };
        match first {
            '(' => self.single(Token::Open),
            ')' => self.single(Token::Close),
            '"' => self.string(),
            '-' | '0'..='9' => self.number(),
            '&' => self.double('&', "`&&`", Token::And),
            '|' => self.double('|', "`||`", Token::Or),
            '=' => self.double('=', "`==`", Token::Comparison(Comparison::Equal)),
            '!' => self.with_equals(Token::Not, Comparison::NotEqual),
            '<' => self.with_equals(Token::Comparison(Comparison::Less), Comparison::LessOrEqual),
            '>' => self.with_equals(
                Token::Comparison(Comparison::Greater),
                Comparison::GreaterOrEqual,
            ),
            c if c.is_alphabetic() || c == '_' => self.word(),
            _ => Err(self.unexpected(OPERAND)),
        }
    }

    fn single(&mut self, token: Token) -> Result<Token, Error> {
        self.next();
        Ok(token)
    }

    fn double(&mut self, c: char, expected: &'static str, token: Token) -> Result<Token, Error> {
        self.next();
        match self.next_if(|next| next == c) {
            Some(_) => Ok(token),
            None => Err(self.unexpected(expected)),
        }
    }

    fn with_equals(&mut self, alone: Token, with: Comparison) -> Result<Token, Error> {
        self.next();
        Ok(match self.next_if(|next| next == '=') {
            Some(_) => Token::Comparison(with),
            None => alone,
        })
    }

    fn word(&mut self) -> Result<Token, Error> {
        let column = self.column;
        let word = self.name();
        match word.as_str() {
            "true" => Ok(Token::Literal(Value::Bool(true))),
            "false" => Ok(Token::Literal(Value::Bool(false))),
            "null" => Ok(Token::Literal(Value::Null)),
            "ctx" => self.path(),
            _ => Err(Error::Unexpected {
                column,
                expected: "a path that starts with `ctx.`, or true, false or null",
                found: format!("`{word}`"),
            }),
        }
    }

    fn path(&mut self) -> Result<Token, Error> {
        let mut names = Vec::new();
        while self.next_if(|c| c == '.').is_some() {
            let name = self.name();
            if name.is_empty() {
                return Err(self.unexpected("a field name after `.`"));
            }
            names.push(name);
        }
        if names.is_empty() {
            return Err(self.unexpected("`.` and a field name after `ctx`"));
        }
        Ok(Token::Path(names))
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.next_if(|c| c.is_alphanumeric() || c == '_' || c == '-') {
            name.push(c);
        }
        name
    }

    fn number(&mut self) -> Result<Token, Error> {
        let column = self.column;
        let mut digits = String::new();
        while let Some(c) =
            self.next_if(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.'))
        {
            digits.push(c);
        }
        match serde_json::from_str::<Number>(&digits) {
            Ok(number) => Ok(Token::Literal(Value::Number(number))),
            Err(_) => Err(Error::Unexpected {
                column,
                expected: "a number as JSON writes it, within the range of a double",
                found: format!("`{digits}`"),
            }),
        }
    }

    fn string(&mut self) -> Result<Token, Error> {
        self.next();
        let mut text = String::new();
        loop {
            match self.rest.peek().copied() {
                Some('"') => {
                    self.next();
                    return Ok(Token::Literal(Value::String(text)));
                }
                Some('\\') => {
                    self.next();
                    text.push(self.escape()?);
                }
                Some(c) if c >= ' ' => {
                    self.next();
                    text.push(c);
                }
                _ => return Err(self.unexpected("`\"` at the end of the string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Error> {
        const ESCAPE: &str = "one of \" \\ / b f n r t u after `\\`";
        let decoded = match self.rest.peek().copied() {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                self.next();
                return self.unicode();
            }
            _ => return Err(self.unexpected(ESCAPE)),
        };
        self.next();
        Ok(decoded)
    }

    /// After `\u`: one escape, or two that make a surrogate pair.
    fn unicode(&mut self) -> Result<char, Error> {
        let column = self.column;
        let high = self.four_hex()?;
        let code = if (0xd800..0xdc00).contains(&high)
            && self.next_if(|c| c == '\\').is_some()
            && self.next_if(|c| c == 'u').is_some()
        {
            let low = self.four_hex()?;
            if (0xdc00..0xe000).contains(&low) {
                0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
            } else {
                high
            }
        } else {
            high
        };
        char::from_u32(code).ok_or_else(|| Error::Unexpected {
            column,
            expected: "a character or a whole surrogate pair",
            found: format!("`{high:04x}`"),
        })
    }

    fn four_hex(&mut self) -> Result<u32, Error> {
        let mut code = 0;
        for _ in 0..4 {
            match self.rest.peek().and_then(|c| c.to_digit(16)) {
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
