//! The functions: their names, arguments and the types that they give.

use super::value::ExprType;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Bool,
    Type,
    Dyn,
    Timestamp,
    Duration,
    Decimal,
    TimestampMs,
    Millis,
    Round,
    StartsWith,
    EndsWith,
    Contains,
    Matches,
    Part(TimePart),
}

/// A part of a point in time or of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimePart {
    FullYear,
    Month,
    Date,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

/// How a function is called, the arguments of a method without the value before the dot.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// `f(x)`, with so many arguments.
    Global(usize),
    /// `x.f()`, with so few and so many arguments.
    Method(usize, usize),
}

use Form::{Global, Method};

const FUNCTIONS: [(&str, Function, Form); 31] = [
    ("size", Function::Size, Global(1)),
    ("size", Function::Size, Method(0, 0)),
    ("int", Function::Int, Global(1)),
    ("uint", Function::Uint, Global(1)),
    ("double", Function::Double, Global(1)),
    ("string", Function::String, Global(1)),
    ("bytes", Function::Bytes, Global(1)),
    ("bool", Function::Bool, Global(1)),
    ("type", Function::Type, Global(1)),
    ("dyn", Function::Dyn, Global(1)),
    ("timestamp", Function::Timestamp, Global(1)),
    ("duration", Function::Duration, Global(1)),
    ("decimal", Function::Decimal, Global(1)),
    ("timestamp_ms", Function::TimestampMs, Global(1)),
    ("millis", Function::Millis, Global(1)),
    ("matches", Function::Matches, Global(2)),
    ("matches", Function::Matches, Method(1, 1)),
    ("round", Function::Round, Method(1, 1)),
    ("startsWith", Function::StartsWith, Method(1, 1)),
    ("endsWith", Function::EndsWith, Method(1, 1)),
    ("contains", Function::Contains, Method(1, 1)),
    (
        "getFullYear",
        Function::Part(TimePart::FullYear),
        Method(0, 1),
    ),
    ("getMonth", Function::Part(TimePart::Month), Method(0, 1)),
    ("getDate", Function::Part(TimePart::Date), Method(0, 1)),
    (
        "getDayOfMonth",
        Function::Part(TimePart::DayOfMonth),
        Method(0, 1),
    ),
    (
        "getDayOfWeek",
        Function::Part(TimePart::DayOfWeek),
        Method(0, 1),
    ),
    (
        "getDayOfYear",
        Function::Part(TimePart::DayOfYear),
        Method(0, 1),
    ),
    ("getHours", Function::Part(TimePart::Hours), Method(0, 1)),
    (
        "getMinutes",
        Function::Part(TimePart::Minutes),
        Method(0, 1),
    ),
    (
        "getSeconds",
        Function::Part(TimePart::Seconds),
        Method(0, 1),
    ),
    (
        "getMilliseconds",
        Function::Part(TimePart::Milliseconds),
        Method(0, 1),
    ),
];

/// The function of that name, called in that way.
pub(super) fn find(name: &str, is_method: bool) -> Option<(Function, Form)> {
    let found = FUNCTIONS
        .iter()
        .find(|(other, _, form)| *other == name && matches!(form, Method(..)) == is_method);
    found.map(|(_, function, form)| (*function, *form))
}

/// The names of those that are called in that way, for messages.
pub(super) fn names(is_method: bool) -> Vec<&'static str> {
    let of_form = FUNCTIONS
        .iter()
        .filter(|(_, _, form)| matches!(form, Method(..)) == is_method);
    of_form.map(|(name, _, _)| *name).collect()
}

impl Function {
    pub(super) fn name(self) -> &'static str {
        let found = FUNCTIONS.iter().find(|(_, function, _)| *function == self);
        found.map_or("", |(name, _, _)| name)
    }

    /// What it gives, if it is known whatever it is called with.
    pub(super) fn result(self) -> Option<ExprType> {
        Some(match self {
            Self::Size | Self::Int | Self::Millis | Self::Part(_) => ExprType::Int,
            Self::Uint => ExprType::Uint,
            Self::Double => ExprType::Double,
            Self::String => ExprType::String,
            Self::Bytes => ExprType::Bytes,
            Self::Bool | Self::StartsWith | Self::EndsWith | Self::Contains | Self::Matches => {
                ExprType::Bool
            }
            Self::Type => ExprType::Type,
            Self::Dyn => return None,
            Self::Timestamp | Self::TimestampMs => ExprType::Timestamp,
            Self::Duration => ExprType::Duration,
            Self::Decimal | Self::Round => ExprType::Decimal,
        })
    }

    /// Whether it can be called with an argument of this type at this position, the receiver being the first.
    pub(super) fn takes(self, position: usize, given: ExprType) -> bool {
        use ExprType::{
            Bool, Bytes, Decimal, Double, Duration, Int, List, Map, String, Timestamp, Uint,
        };
        let wanted: &[ExprType] = match (self, position) {
            (Self::Size, _) => &[String, Bytes, List, Map],
            (Self::Int, _) => &[Int, Uint, Double, String, Timestamp, Decimal],
            (Self::Uint, _) => &[Int, Uint, Double, String],
            (Self::Double, _) => &[Int, Uint, Double, String, Decimal],
            (Self::String, _) => &[
                String, Bool, Int, Uint, Double, Bytes, Timestamp, Duration, Decimal,
            ],
            (Self::Bytes, _) => &[Bytes, String],
            (Self::Bool, _) => &[Bool, String],
            (Self::Type | Self::Dyn, _) => return true,
            (Self::Timestamp, _) => &[Timestamp, String, Int],
            (Self::Duration, _) => &[Duration, String],
            (Self::Decimal, _) => &[Decimal, Int, Uint, Double, String],
            (Self::TimestampMs, _) => &[Int],
            (Self::Millis, _) => &[Timestamp, Duration],
            (Self::Round, 0) => &[Decimal],
            (Self::Round, _) => &[Int],
            (Self::StartsWith | Self::EndsWith | Self::Contains | Self::Matches, _) => &[String],
            (Self::Part(part), 0) if part.is_of_spans() => &[Timestamp, Duration],
            (Self::Part(_), 0) => &[Timestamp],
            (Self::Part(_), _) => &[String],
        };
        wanted.contains(&given)
    }
}

impl TimePart {
    pub(super) fn is_of_spans(self) -> bool {
        matches!(
            self,
            Self::Hours | Self::Minutes | Self::Seconds | Self::Milliseconds
        )
    }
}
