//! What can be wrong with a text, and with an evaluation.

use crate::limits::{EXPRESSION_BYTES_MAX, EXPRESSION_DEPTH_MAX, EXPRESSION_STEPS_MAX};

/// Why a text is not an expression. Columns count characters from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than [`EXPRESSION_BYTES_MAX`].
    #[error("the expression is {bytes} bytes long; {EXPRESSION_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Nested deeper than [`EXPRESSION_DEPTH_MAX`].
    #[error("nested deeper than {EXPRESSION_DEPTH_MAX} at column {column}")]
    TooDeep {
        /// Where.
        column: usize,
    },
    /// Something else was expected.
    #[error("expected {expected} at column {column}, found {found}")]
    Unexpected {
        /// Where.
        column: usize,
        /// What could have stood there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A number, string or escape that is not one.
    #[error("{why} at column {column}")]
    Literal {
        /// Where.
        column: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A name that is not known.
    #[error("unknown {what} `{name}` at column {column}; {known}")]
    Unknown {
        /// Where.
        column: usize,
        /// What it would be: a name, a function or a method.
        what: &'static str,
        /// The name.
        name: String,
        /// What there is instead.
        known: String,
    },
    /// A function or macro with the wrong arguments.
    #[error("`{function}` takes {takes}, not {found}, at column {column}")]
    Arguments {
        /// Where.
        column: usize,
        /// Its name.
        function: String,
        /// What it takes.
        takes: &'static str,
        /// What stands there.
        found: String,
    },
    /// A pattern of `matches` that cannot be used.
    #[error("{why}, at column {column}")]
    Pattern {
        /// Where.
        column: usize,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// Where the fault is, in characters from 1.
    pub fn column(&self) -> Option<usize> {
        match self {
            Self::TooLong { .. } => None,
            Self::TooDeep { column }
            | Self::Unexpected { column, .. }
            | Self::Literal { column, .. }
            | Self::Unknown { column, .. }
            | Self::Arguments { column, .. }
            | Self::Pattern { column, .. } => Some(*column),
        }
    }
}

/// Why an expression has no value, and where.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{why}, at column {column}")]
pub struct EvalFailure {
    /// Where, in characters from 1.
    pub column: usize,
    /// Why.
    pub why: Why,
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// A map has no such key.
    #[error("no such key: {0}")]
    NoSuchKey(String),
    /// A list has no such item.
    #[error("index {index} is outside of a list of {size}")]
    OutOfRange {
        /// The index asked for.
        index: String,
        /// How many items there are.
        size: usize,
    },
    /// An operator or function that is not defined for such types.
    #[error("no such overload: {0}")]
    NoOverload(String),
    /// A result that its type cannot hold.
    #[error("{0} is out of range")]
    Range(String),
    /// A division or remainder by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// A value that cannot be converted.
    #[error("{value} is no {wanted}")]
    Conversion {
        /// The value.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// A map literal with the same key twice.
    #[error("the map has the key {0} twice")]
    RepeatedKey(String),
    /// A pattern of `matches` that cannot be used.
    #[error("{0}")]
    Pattern(String),
    /// A value that JSON cannot hold.
    #[error("a {0} cannot be stored in JSON")]
    NotJson(&'static str),
    /// More steps than allowed.
    #[error("the evaluation takes more than {EXPRESSION_STEPS_MAX} steps")]
    Limit,
    /// The text of the context, the payload or the headers is not valid JSON.
    #[error("the JSON text is damaged")]
    Damaged,
}

impl Why {
    pub(super) fn overload(what: impl Into<String>) -> Self {
        Self::NoOverload(what.into())
    }
}
