//! Tokens to a tree, by recursive descent.
//!
//! Only `(` and `!` recurse, and both are counted, so the depth of the stack is bounded.

use super::lexer::{GuardToken, SpannedGuardToken, tokens};
use super::{Error, GuardExpr};
use crate::limits::{GUARD_BYTES_MAX, GUARD_DEPTH_MAX};

pub(super) fn parse(text: &str) -> Result<GuardExpr, Error> {
    if text.len() > GUARD_BYTES_MAX {
        return Err(Error::TooLong { bytes: text.len() });
    }
    let mut parser = GuardParser {
        tokens: tokens(text)?,
        at: 0,
        depth: 0,
    };
    let expr = parser.or()?;
    match parser.peek() {
        GuardToken::End => Ok(expr),
        _ => Err(parser.unexpected("`&&`, `||`, a comparison or the end")),
    }
}

struct GuardParser<'a> {
    /// Ends with [`GuardToken::End`], which is never passed.
    tokens: Vec<SpannedGuardToken<'a>>,
    at: usize,
    depth: usize,
}

impl GuardParser<'_> {
    fn peek(&self) -> &GuardToken {
        &self.tokens[self.at].token
    }

    fn advance(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    fn take(&mut self, wanted: &GuardToken) -> bool {
        let found = self.peek() == wanted;
        if found {
            self.advance();
        }
        found
    }

    fn unexpected(&self, expected: &'static str) -> Error {
        let found = &self.tokens[self.at];
        Error::Unexpected {
            column: found.column,
            expected,
            found: match found.token {
                GuardToken::End => "the end".to_owned(),
                _ => format!("`{}`", found.text),
            },
        }
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth == GUARD_DEPTH_MAX {
            return Err(Error::TooDeep {
                column: self.tokens[self.at].column,
            });
        }
        self.depth += 1;
        self.advance();
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn or(&mut self) -> Result<GuardExpr, Error> {
        let first = self.and()?;
        self.chain(first, &GuardToken::Or, Self::and, GuardExpr::Or)
    }

    fn and(&mut self) -> Result<GuardExpr, Error> {
        let first = self.not()?;
        self.chain(first, &GuardToken::And, Self::not, GuardExpr::And)
    }

    fn chain(
        &mut self,
        first: GuardExpr,
        operator: &GuardToken,
        next: impl Fn(&mut Self) -> Result<GuardExpr, Error>,
        join: impl Fn(Box<[GuardExpr]>) -> GuardExpr,
    ) -> Result<GuardExpr, Error> {
        if self.peek() != operator {
            return Ok(first);
        }
        let mut terms = vec![first];
        while self.take(operator) {
            terms.push(next(self)?);
        }
        Ok(join(terms.into_boxed_slice()))
    }

    fn not(&mut self) -> Result<GuardExpr, Error> {
        if *self.peek() == GuardToken::Not {
            return Ok(GuardExpr::Not(Box::new(self.deeper(Self::not)?)));
        }
        self.compare()
    }

    fn compare(&mut self) -> Result<GuardExpr, Error> {
        let left = self.primary()?;
        let GuardToken::Comparison(comparison) = *self.peek() else {
            return Ok(left);
        };
        let GuardExpr::Truthy(left) = left else {
            return Err(self.unexpected("`&&`, `||`, `)` or the end (a condition is not compared)"));
        };
        self.advance();
        let at = self.at;
        match self.primary()? {
            GuardExpr::Truthy(right) => Ok(GuardExpr::Compare(left, comparison, right)),
            _ => {
                self.at = at;
                Err(self.unexpected("a path or a literal to compare with"))
            }
        }
    }

    fn primary(&mut self) -> Result<GuardExpr, Error> {
        let operand = match *self.peek() {
            GuardToken::Operand(operand) => operand,
            GuardToken::Open => return self.deeper(Self::group),
            _ => {
                return Err(self.unexpected("a path, a number, a string, true, false, null or `(`"));
            }
        };
        self.advance();
        Ok(GuardExpr::Truthy(operand))
    }

    fn group(&mut self) -> Result<GuardExpr, Error> {
        let inner = self.or()?;
        match self.take(&GuardToken::Close) {
            true => Ok(inner),
            false => Err(self.unexpected("`)`")),
        }
    }
}
