//! The guard language: conditions over an instance's context.
//!
//! ```text
//! or      := and { "||" and }
//! and     := not { "&&" not }
//! not     := "!" not | compare
//! compare := operand [ ( "==" | "!=" | "<" | "<=" | ">" | ">=" ) operand ]
//! operand := path | number | string | "true" | "false" | "null" | "(" or ")"
//! path    := "ctx" { "." name }        at least one name
//! name    := letters, digits, `_` and `-`
//! ```
//!
//! A parenthesis around a lone operand may itself be compared; any other cannot. A missing path is
//! null. `.length` of a list is its length; an object's own key of that name wins.

mod eval;
mod lexer;
mod parser;
mod print;

pub(crate) use eval::Object;

use std::fmt;

use serde_json::Value;

use crate::limits::{GUARD_BYTES_MAX, GUARD_DEPTH_MAX};

/// A parsed guard with its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    text: String,
    expr: Expr,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    Or(Vec<Expr>),
    And(Vec<Expr>),
    Not(Box<Expr>),
    Compare(Operand, Comparison, Operand),
    Truthy(Operand),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    /// The names after `ctx`; never empty.
    Path(Vec<String>),
    /// Never a list or an object.
    Literal(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Why a text is not a guard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than [`GUARD_BYTES_MAX`].
    #[error("the guard is {bytes} bytes long; {GUARD_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Nested deeper than [`GUARD_DEPTH_MAX`].
    #[error("nested deeper than {GUARD_DEPTH_MAX} at column {column}")]
    TooDeep {
        /// Where, in characters from 1.
        column: usize,
    },
    /// Something else was expected.
    #[error("expected {expected} at column {column}, found {found}")]
    Unexpected {
        /// Where, in characters from 1.
        column: usize,
        /// What could have stood there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
}

impl Error {
    /// Where the fault is, in characters from 1.
    pub fn column(&self) -> Option<usize> {
        match self {
            Self::TooLong { .. } => None,
            Self::TooDeep { column } | Self::Unexpected { column, .. } => Some(*column),
        }
    }
}

impl Guard {
    /// Parses a guard's text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(Self {
            expr: parser::parse(text)?,
            text: text.to_owned(),
        })
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it holds for a context.
    pub(crate) fn holds(&self, ctx: &Object<'_>) -> bool {
        eval::holds(&self.expr, ctx)
    }
}

/// The guard in its normal form: no spare parentheses, one space around operators.
impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)
    }
}
