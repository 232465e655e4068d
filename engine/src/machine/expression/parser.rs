//! Text to a tree. The depth of both the text's nesting and the tree is bounded.

mod calls;
mod lexer;
mod primary;

pub(super) use lexer::column;

use super::error::Error;
use super::syntax::{DocumentPath, Expr, ExprNode, Literal, Operator};
use crate::limits::{EXPRESSION_BYTES_MAX, EXPRESSION_DEPTH_MAX};
use lexer::{ExprToken, SpannedExprToken, tokens};

/// The tree, and the paths that it names by number.
pub(super) fn parse(text: &str) -> Result<(Expr, Box<[DocumentPath]>), Error> {
    if text.len() > EXPRESSION_BYTES_MAX {
        return Err(Error::TooLong { bytes: text.len() });
    }
    let mut parser = ExprParser {
        text,
        tokens: tokens(text)?,
        at: 0,
        depth: 0,
        paths: Vec::new(),
        variables: Vec::new(),
    };
    let expr = parser.expr()?;
    match parser.token() {
        ExprToken::End => Ok((expr, parser.paths.into_boxed_slice())),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

struct ExprParser<'a> {
    text: &'a str,
    /// Ends with [`ExprToken::End`], which is never passed.
    tokens: Vec<SpannedExprToken<'a>>,
    at: usize,
    depth: u16,
    paths: Vec<DocumentPath>,
    /// The variables of the macros around.
    variables: Vec<&'a str>,
}

const EQUALITY: [Operator; 7] = [
    Operator::Equal,
    Operator::NotEqual,
    Operator::LessOrEqual,
    Operator::GreaterOrEqual,
    Operator::Less,
    Operator::Greater,
    Operator::In,
];
const SUMS: [Operator; 2] = [Operator::Add, Operator::Subtract];
const PRODUCTS: [Operator; 3] = [Operator::Multiply, Operator::Divide, Operator::Remainder];

impl<'a> ExprParser<'a> {
    fn here(&self) -> &SpannedExprToken<'a> {
        &self.tokens[self.at]
    }

    fn token(&self) -> &ExprToken {
        &self.here().token
    }

    fn advance(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    fn is(&self, text: &str) -> bool {
        match self.token() {
            ExprToken::Sign(sign) => *sign == text,
            ExprToken::Word => self.here().text == text,
            _ => false,
        }
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.is(text);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, text: &str, expected: &'static str) -> Result<(), Error> {
        match self.take(text) {
            true => Ok(()),
            false => Err(self.unexpected(expected)),
        }
    }

    fn column(&self, at: usize) -> usize {
        column(self.text, at)
    }

    fn unexpected(&self, expected: &'static str) -> Error {
        let here = self.here();
        Error::Unexpected {
            column: self.column(here.at),
            expected,
            found: match here.token {
                ExprToken::End => "the end".to_owned(),
                _ => format!("`{}`", here.text),
            },
        }
    }

    fn too_deep(&self, at: usize) -> Error {
        Error::TooDeep {
            column: self.column(at),
        }
    }

    /// Parses what is nested one deeper.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth == EXPRESSION_DEPTH_MAX {
            return Err(self.too_deep(self.here().at));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// A part of the tree, if it is not too deep.
    fn make(&self, at: usize, node: ExprNode) -> Result<Expr, Error> {
        let mut below = 0;
        node.children(&mut |child| below = below.max(child.depth));
        if below == EXPRESSION_DEPTH_MAX {
            return Err(self.too_deep(at));
        }
        Ok(Expr {
            node,
            at: at as u16,
            depth: below + 1,
        })
    }

    fn expr(&mut self) -> Result<Expr, Error> {
        self.deeper(Self::ternary)
    }

    fn ternary(&mut self) -> Result<Expr, Error> {
        let condition = self.or()?;
        let at = self.here().at;
        if !self.take("?") {
            return Ok(condition);
        }
        let then = self.deeper(Self::or)?;
        self.expect(":", "`:`")?;
        let otherwise = self.expr()?;
        self.make(at, ExprNode::If(Box::new([condition, then, otherwise])))
    }

    fn or(&mut self) -> Result<Expr, Error> {
        self.chain("||", Self::and, ExprNode::Or)
    }

    fn and(&mut self) -> Result<Expr, Error> {
        self.chain("&&", Self::relation, ExprNode::And)
    }

    fn chain(
        &mut self,
        sign: &str,
        next: impl Fn(&mut Self) -> Result<Expr, Error>,
        join: impl Fn(Box<[Expr]>) -> ExprNode,
    ) -> Result<Expr, Error> {
        let first = next(self)?;
        if !self.is(sign) {
            return Ok(first);
        }
        let at = self.here().at;
        let mut terms = vec![first];
        while self.take(sign) {
            terms.push(next(self)?);
        }
        self.make(at, join(terms.into_boxed_slice()))
    }

    fn relation(&mut self) -> Result<Expr, Error> {
        self.binary(&EQUALITY, Self::sum)
    }

    fn sum(&mut self) -> Result<Expr, Error> {
        self.binary(&SUMS, Self::product)
    }

    fn product(&mut self) -> Result<Expr, Error> {
        self.binary(&PRODUCTS, Self::unary)
    }

    fn binary(
        &mut self,
        operators: &[Operator],
        next: impl Fn(&mut Self) -> Result<Expr, Error>,
    ) -> Result<Expr, Error> {
        let mut left = next(self)?;
        loop {
            let operator = operators.iter().find(|operator| self.is(operator.text()));
            let Some(operator) = operator else {
                return Ok(left);
            };
            let at = self.here().at;
            self.advance();
            let right = next(self)?;
            left = self.make(at, ExprNode::Binary(*operator, Box::new([left, right])))?;
        }
    }

    fn unary(&mut self) -> Result<Expr, Error> {
        let at = self.here().at;
        if self.take("!") {
            let inner = self.deeper(Self::unary)?;
            return self.make(at, ExprNode::Not(Box::new(inner)));
        }
        if self.take("-") {
            if let Some(literal) = self.negative() {
                self.advance();
                let literal = self.make(at, ExprNode::Literal(literal))?;
                return self.members(literal);
            }
            let inner = self.deeper(Self::unary)?;
            return self.make(at, ExprNode::Negate(Box::new(inner)));
        }
        let primary = self.primary()?;
        self.members(primary)
    }

    /// The number after a minus, with it.
    fn negative(&self) -> Option<Literal> {
        Some(match self.token() {
            ExprToken::Int(value) => Literal::Int(-(*value as i64)),
            ExprToken::IntMin => Literal::Int(i64::MIN),
            ExprToken::Double(value) => Literal::Double(-value),
            _ => return None,
        })
    }
}
