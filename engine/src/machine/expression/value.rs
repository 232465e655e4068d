//! Values: those that an expression makes, and those that still are JSON text.

mod compare;
pub(super) mod decimal;
pub(super) mod time;

pub(super) use compare::{compare_plain, key_equal};

use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use decimal::Decimal;
use time::{Duration, Timestamp};

/// A value. Numbers, lists and objects of JSON stay text until something looks into them.
#[derive(Clone, Debug)]
pub(super) enum ExprValue<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(ExprText<'a>),
    Bytes(Rc<[u8]>),
    List(Rc<[ExprValue<'a>]>),
    /// Its entries in the order written; no key is there twice.
    Map(Rc<[(ExprValue<'a>, ExprValue<'a>)]>),
    Timestamp(Timestamp),
    Duration(Duration),
    Decimal(Decimal),
    Type(ExprType),
    /// A number of JSON as it is written.
    Number(&'a str),
    /// A list of JSON.
    JsonList(&'a str),
    /// An object of JSON.
    JsonMap(&'a str),
}

/// A string: a part of the expression or of a document where it can be.
#[derive(Clone, Debug)]
pub(super) enum ExprText<'a> {
    Borrowed(&'a str),
    Owned(Rc<str>),
}

impl Deref for ExprText<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Owned(text) => text,
        }
    }
}

/// The types. A number of JSON is an int if it is written as one that fits, and a double otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExprType {
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    List,
    Map,
    Timestamp,
    Duration,
    Decimal,
    Type,
}

impl ExprType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::List => "list",
            Self::Map => "map",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Duration => "google.protobuf.Duration",
            Self::Decimal => "decimal",
            Self::Type => "type",
        }
    }

    /// The types that an expression can name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let all = [
            Self::Null,
            Self::Bool,
            Self::Int,
            Self::Uint,
            Self::Double,
            Self::String,
            Self::Bytes,
            Self::List,
            Self::Map,
            Self::Type,
        ];
        all.into_iter().find(|it| it.name() == name)
    }

    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double | Self::Decimal)
    }
}

impl<'a> ExprValue<'a> {
    pub(super) fn string(text: impl Into<Rc<str>>) -> Self {
        Self::String(ExprText::Owned(text.into()))
    }

    pub(super) fn borrowed(text: &'a str) -> Self {
        Self::String(ExprText::Borrowed(text))
    }

    /// The value with a number of JSON as an int or a double.
    pub(super) fn plain(self) -> Self {
        match self {
            Self::Number(text) => number(text),
            other => other,
        }
    }

    pub(super) fn kind(&self) -> ExprType {
        match self {
            Self::Null => ExprType::Null,
            Self::Bool(_) => ExprType::Bool,
            Self::Int(_) => ExprType::Int,
            Self::Uint(_) => ExprType::Uint,
            Self::Double(_) => ExprType::Double,
            Self::String(_) => ExprType::String,
            Self::Bytes(_) => ExprType::Bytes,
            Self::List(_) | Self::JsonList(_) => ExprType::List,
            Self::Map(_) | Self::JsonMap(_) => ExprType::Map,
            Self::Timestamp(_) => ExprType::Timestamp,
            Self::Duration(_) => ExprType::Duration,
            Self::Decimal(_) => ExprType::Decimal,
            Self::Type(_) => ExprType::Type,
            Self::Number(text) => number(text).kind(),
        }
    }
}

/// An int if it is written as a whole number that fits, otherwise a double. A checked text is in a double's range.
fn number(text: &str) -> ExprValue<'static> {
    if let Ok(whole) = text.parse() {
        return ExprValue::Int(whole);
    }
    ExprValue::Double(text.parse().unwrap_or(f64::NAN))
}

/// A double as a literal of the language: with a point or an exponent.
pub(super) fn double_text(value: f64) -> String {
    let size = value.abs();
    match size == 0.0 || !size.is_finite() || (1e-5..1e21).contains(&size) {
        true => format!("{value}"),
        false => format!("{value:e}"),
    }
}

/// A value as messages show it: cut where it is long.
impl fmt::Display for ExprValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_CHARS: usize = 64;
        let cut = |text: &str| match text.char_indices().nth(SHOWN_CHARS) {
            Some((at, _)) => format!("{}…", &text[..at]),
            None => text.to_owned(),
        };
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Uint(value) => write!(f, "{value}u"),
            Self::Double(value) => f.write_str(&double_text(*value)),
            Self::String(text) => write!(f, "{:?}", cut(text)),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::List(items) => write!(f, "a list of {}", items.len()),
            Self::Map(entries) => write!(f, "a map of {}", entries.len()),
            Self::Timestamp(time) => write!(f, "{time}"),
            Self::Duration(span) => write!(f, "{span}"),
            Self::Decimal(value) => write!(f, "{value}"),
            Self::Type(kind) => f.write_str(kind.name()),
            Self::Number(text) | Self::JsonList(text) | Self::JsonMap(text) => {
                f.write_str(&cut(text))
            }
        }
    }
}
