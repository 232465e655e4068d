//! `+`, `-`, `*`, `/`, `%`: of one type each, checked for overflow.
//!
//! A number from JSON takes its type from the other operand: beside a decimal it is a decimal, beside a double a
//! double. Otherwise it is an int if it is written as one.

use crate::machine::expression::error::Why;
use crate::machine::expression::source::{EvalSteps, items};
use crate::machine::expression::syntax::Operator;
use crate::machine::expression::value::decimal::Decimal;
use crate::machine::expression::value::{ExprType, ExprValue};

type Result<'a> = std::result::Result<ExprValue<'a>, Why>;

pub(super) fn negate(value: ExprValue<'_>) -> Result<'_> {
    match value.plain() {
        ExprValue::Int(value) => match value.checked_neg() {
            Some(value) => Ok(ExprValue::Int(value)),
            None => Err(Why::Range(format!("-({value})"))),
        },
        ExprValue::Double(value) => Ok(ExprValue::Double(-value)),
        ExprValue::Decimal(value) => match value.negate() {
            Some(value) => Ok(ExprValue::Decimal(value)),
            None => Err(Why::Range(format!("-({value})"))),
        },
        other => Err(Why::overload(format!("-{}", other.kind().name()))),
    }
}

pub(super) fn binary<'a>(
    operator: Operator,
    left: ExprValue<'a>,
    right: ExprValue<'a>,
    steps: &mut EvalSteps,
) -> Result<'a> {
    let (left, right) = matched(left, right);
    let made = match (&left, &right) {
        (ExprValue::Int(left), ExprValue::Int(right)) => {
            ints(operator, *left, *right)?.map(ExprValue::Int)
        }
        (ExprValue::Uint(left), ExprValue::Uint(right)) => {
            uints(operator, *left, *right)?.map(ExprValue::Uint)
        }
        (ExprValue::Double(left), ExprValue::Double(right)) => {
            Some(ExprValue::Double(match operator {
                Operator::Add => left + right,
                Operator::Subtract => left - right,
                Operator::Multiply => left * right,
                Operator::Divide => left / right,
                _ => {
                    return Err(overload(
                        operator,
                        &ExprValue::Double(*left),
                        &ExprValue::Double(*right),
                    ));
                }
            }))
        }
        (ExprValue::Decimal(left), ExprValue::Decimal(right)) => {
            decimals(operator, *left, *right)?.map(ExprValue::Decimal)
        }
        _ if operator == Operator::Add => return joined(&left, &right, steps),
        _ => return times(operator, &left, &right),
    };
    made.ok_or_else(|| match operator {
        Operator::Remainder if matches!(left, ExprValue::Decimal(_)) => {
            overload(operator, &left, &right)
        }
        _ => Why::Range(format!("{left} {} {right}", operator.text())),
    })
}

fn overload(operator: Operator, left: &ExprValue<'_>, right: &ExprValue<'_>) -> Why {
    let (left, right) = (left.kind().name(), right.kind().name());
    Why::overload(format!("{left} {} {right}", operator.text()))
}

/// Gives numbers from JSON the type that they have beside the other operand.
fn matched<'a>(left: ExprValue<'a>, right: ExprValue<'a>) -> (ExprValue<'a>, ExprValue<'a>) {
    let is_json = |value: &ExprValue<'_>| matches!(value, ExprValue::Number(_));
    if matches!(left, ExprValue::Decimal(_)) || matches!(right, ExprValue::Decimal(_)) {
        return (as_decimal(left), as_decimal(right));
    }
    let json = [is_json(&left), is_json(&right)];
    let (left, right) = (left.plain(), right.plain());
    match (json, left.kind(), right.kind()) {
        ([true, _], ExprType::Int, ExprType::Double) => (as_double(left), right),
        ([_, true], ExprType::Double, ExprType::Int) => (left, as_double(right)),
        _ => (left, right),
    }
}

fn as_double(value: ExprValue<'_>) -> ExprValue<'_> {
    match value {
        ExprValue::Int(value) => ExprValue::Double(value as f64),
        other => other,
    }
}

fn as_decimal(value: ExprValue<'_>) -> ExprValue<'_> {
    match value {
        ExprValue::Int(whole) => ExprValue::Decimal(Decimal::from_integer(i128::from(whole))),
        ExprValue::Uint(whole) => ExprValue::Decimal(Decimal::from_integer(i128::from(whole))),
        ExprValue::Number(text) => match Decimal::parse(text) {
            Some(number) => ExprValue::Decimal(number),
            None => value,
        },
        other => other,
    }
}

/// The inner `None`: the result does not fit.
fn ints(operator: Operator, left: i64, right: i64) -> std::result::Result<Option<i64>, Why> {
    Ok(match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        _ if right == 0 => return Err(Why::DivisionByZero),
        Operator::Divide => left.checked_div(right),
        _ => left.checked_rem(right),
    })
}

fn uints(operator: Operator, left: u64, right: u64) -> std::result::Result<Option<u64>, Why> {
    Ok(match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        _ if right == 0 => return Err(Why::DivisionByZero),
        Operator::Divide => left.checked_div(right),
        _ => left.checked_rem(right),
    })
}

fn decimals(
    operator: Operator,
    left: Decimal,
    right: Decimal,
) -> std::result::Result<Option<Decimal>, Why> {
    Ok(match operator {
        Operator::Add => left.add(right),
        Operator::Subtract => left.subtract(right),
        Operator::Multiply => left.multiply(right),
        Operator::Divide if right.is_zero() => return Err(Why::DivisionByZero),
        Operator::Divide => left.divide(right),
        _ => None,
    })
}

/// What `+` joins: strings, bytes, lists; and times with spans.
fn joined<'a>(left: &ExprValue<'a>, right: &ExprValue<'a>, steps: &mut EvalSteps) -> Result<'a> {
    match (left, right) {
        (ExprValue::String(first), ExprValue::String(second)) => {
            steps.bytes(first.len() + second.len())?;
            Ok(ExprValue::string([&**first, &**second].concat()))
        }
        (ExprValue::Bytes(first), ExprValue::Bytes(second)) => {
            steps.bytes(first.len() + second.len())?;
            Ok(ExprValue::Bytes([&**first, &**second].concat().into()))
        }
        (
            ExprValue::List(_) | ExprValue::JsonList(_),
            ExprValue::List(_) | ExprValue::JsonList(_),
        ) => {
            let (first, second) = (items(left, steps)?, items(right, steps)?);
            steps.spend((first.len() + second.len()) as u64)?;
            Ok(ExprValue::List([&*first, &*second].concat().into()))
        }
        _ => times(Operator::Add, left, right),
    }
}

/// Times and spans.
fn times<'a>(operator: Operator, left: &ExprValue<'a>, right: &ExprValue<'a>) -> Result<'a> {
    let made = match (operator, left, right) {
        (Operator::Add, ExprValue::Timestamp(time), ExprValue::Duration(span))
        | (Operator::Add, ExprValue::Duration(span), ExprValue::Timestamp(time)) => {
            time.add(*span).map(ExprValue::Timestamp)
        }
        (Operator::Subtract, ExprValue::Timestamp(time), ExprValue::Duration(span)) => {
            time.subtract(*span).map(ExprValue::Timestamp)
        }
        (Operator::Subtract, ExprValue::Timestamp(time), ExprValue::Timestamp(other)) => {
            time.since(*other).map(ExprValue::Duration)
        }
        (Operator::Add, ExprValue::Duration(first), ExprValue::Duration(second)) => {
            first.add(*second).map(ExprValue::Duration)
        }
        (Operator::Subtract, ExprValue::Duration(first), ExprValue::Duration(second)) => {
            first.subtract(*second).map(ExprValue::Duration)
        }
        _ => return Err(overload(operator, left, right)),
    };
    made.ok_or_else(|| Why::Range(format!("{left} {} {right}", operator.text())))
}
