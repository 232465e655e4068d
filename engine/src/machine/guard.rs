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
mod explain;
mod lexer;
mod parser;
mod print;
mod tree;

pub(crate) use eval::{GuardBudget, Stopped};
pub(crate) use explain::{Explain, ExplainRoom, explain, explain_attempt};
pub use explain::{Tried, ValueRead};
pub use tree::{GuardTree, TreeValue};

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use crate::json::{Context, FoundJson};
use crate::limits::{GUARD_BYTES_MAX, GUARD_DEPTH_MAX};

/// A parsed guard with its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    text: Box<str>,
    expr: GuardExpr,
}

/// Small, because a definition may hold very many.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum GuardExpr {
    Or(Box<[GuardExpr]>),
    And(Box<[GuardExpr]>),
    Not(Box<GuardExpr>),
    Compare(Operand, Comparison, Operand),
    Truthy(Operand),
}

/// A part of the guard's text, by its place in bytes. A guard is short enough for 16 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Operand {
    kind: OperandKind,
    start: u16,
    end: u16,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum OperandKind {
    /// The text is the names after `ctx.`, joined by dots.
    Path,
    Null,
    True,
    False,
    Number,
    /// With its quotes and escapes.
    String,
}

impl Operand {
    fn new(kind: OperandKind, place: Range<usize>) -> Self {
        Self {
            kind,
            start: place.start as u16,
            end: place.end as u16,
        }
    }

    fn text(self, guard: &str) -> &str {
        &guard[usize::from(self.start)..usize::from(self.end)]
    }
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
            text: text.into(),
        })
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many operators and operands it has.
    pub(crate) fn nodes(&self) -> usize {
        self.expr.nodes()
    }

    /// Registers with the context every path that the guard reads.
    pub(crate) fn want<'a>(&'a self, ctx: &mut Context<'a>) {
        self.expr.operands(&mut |operand: Operand| {
            if operand.kind == OperandKind::Path {
                ctx.want(operand.text(&self.text));
            }
        });
    }

    /// Whether it holds for a context that was scanned for what it reads.
    pub(crate) fn holds(
        &self,
        ctx: &Context<'_>,
        budget: &mut GuardBudget,
    ) -> Result<bool, Stopped> {
        eval::holds(self, ctx, budget)
    }
}

impl Explain for Guard {
    fn text(&self) -> &str {
        &self.text
    }

    fn reads(&self, ctx: &Context<'_>, visit: &mut dyn FnMut(&str, Cow<'_, str>) -> bool) {
        let mut goes_on = true;
        self.expr.operands(&mut |operand: Operand| {
            if !goes_on || operand.kind != OperandKind::Path {
                return;
            }
            let path = operand.text(&self.text);
            let value = match ctx.value(path) {
                Some(FoundJson::Length(length)) => Cow::Owned(length.to_string()),
                Some(FoundJson::Text(text)) => Cow::Borrowed(text),
                None => Cow::Borrowed("null"),
            };
            goes_on = visit(&format!("ctx.{path}"), value);
        });
    }
}

impl GuardExpr {
    fn nodes(&self) -> usize {
        match self {
            Self::Or(terms) | Self::And(terms) => {
                terms.len() - 1 + terms.iter().map(Self::nodes).sum::<usize>()
            }
            Self::Not(inner) => 1 + inner.nodes(),
            Self::Compare(..) => 3,
            Self::Truthy(_) => 1,
        }
    }

    fn operands(&self, visit: &mut impl FnMut(Operand)) {
        match self {
            Self::Or(terms) | Self::And(terms) => {
                terms.iter().for_each(|term| term.operands(visit));
            }
            Self::Not(inner) => inner.operands(visit),
            Self::Compare(left, _, right) => {
                visit(*left);
                visit(*right);
            }
            Self::Truthy(operand) => visit(*operand),
        }
    }
}

/// The guard in its normal form: no spare parentheses, one space around operators.
impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print::Printed(&self.text, &self.expr).fmt(f)
    }
}
