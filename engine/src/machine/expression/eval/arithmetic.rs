//! `+`, `-`, `*`, `/`, `%`: of one type each, checked for overflow.
//!
//! A number from JSON takes its type from the other operand: beside a decimal it is a decimal, beside a double a
//! double. Otherwise it is an int if it is written as one.

use crate::machine::expression::error::Why;
use crate::machine::expression::source::{Steps, items};
use crate::machine::expression::syntax::Operator;
use crate::machine::expression::value::decimal::Decimal;
use crate::machine::expression::value::{Type, Value};

type Result<'a> = std::result::Result<Value<'a>, Why>;

pub(super) fn negate(value: Value<'_>) -> Result<'_> {
    match value.plain() {
        Value::Int(value) => match value.checked_neg() {
            Some(value) => Ok(Value::Int(value)),
            None => Err(Why::Range(format!("-({value})"))),
        },
        Value::Double(value) => Ok(Value::Double(-value)),
        Value::Decimal(value) => match value.negate() {
            Some(value) => Ok(Value::Decimal(value)),
            None => Err(Why::Range(format!("-({value})"))),
        },
        other => Err(Why::overload(format!("-{}", other.kind().name()))),
    }
}

pub(super) fn binary<'a>(
    operator: Operator,
    left: Value<'a>,
    right: Value<'a>,
    steps: &mut Steps,
) -> Result<'a> {
    let (left, right) = matched(left, right);
    let made = match (&left, &right) {
        (Value::Int(left), Value::Int(right)) => ints(operator, *left, *right)?.map(Value::Int),
        (Value::Uint(left), Value::Uint(right)) => uints(operator, *left, *right)?.map(Value::Uint),
        (Value::Double(left), Value::Double(right)) => Some(Value::Double(match operator {
            Operator::Add => left + right,
            Operator::Subtract => left - right,
            Operator::Multiply => left * right,
            Operator::Divide => left / right,
            _ => {
                return Err(overload(
                    operator,
                    &Value::Double(*left),
                    &Value::Double(*right),
                ));
            }
        })),
        (Value::Decimal(left), Value::Decimal(right)) => {
            decimals(operator, *left, *right)?.map(Value::Decimal)
        }
        _ if operator == Operator::Add => return joined(&left, &right, steps),
        _ => return times(operator, &left, &right),
    };
    made.ok_or_else(|| match operator {
        Operator::Remainder if matches!(left, Value::Decimal(_)) => {
            overload(operator, &left, &right)
        }
        _ => Why::Range(format!("{left} {} {right}", operator.text())),
    })
}

fn overload(operator: Operator, left: &Value<'_>, right: &Value<'_>) -> Why {
    let (left, right) = (left.kind().name(), right.kind().name());
    Why::overload(format!("{left} {} {right}", operator.text()))
}

/// Gives numbers from JSON the type that they have beside the other operand.
fn matched<'a>(left: Value<'a>, right: Value<'a>) -> (Value<'a>, Value<'a>) {
    let is_json = |value: &Value<'_>| matches!(value, Value::Number(_));
    if matches!(left, Value::Decimal(_)) || matches!(right, Value::Decimal(_)) {
        return (as_decimal(left), as_decimal(right));
    }
    let json = [is_json(&left), is_json(&right)];
    let (left, right) = (left.plain(), right.plain());
    match (json, left.kind(), right.kind()) {
        ([true, _], Type::Int, Type::Double) => (as_double(left), right),
        ([_, true], Type::Double, Type::Int) => (left, as_double(right)),
        _ => (left, right),
    }
}

fn as_double(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Int(value) => Value::Double(value as f64),
        other => other,
    }
}

fn as_decimal(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Int(whole) => Value::Decimal(Decimal::from_integer(i128::from(whole))),
        Value::Uint(whole) => Value::Decimal(Decimal::from_integer(i128::from(whole))),
        Value::Number(text) => match Decimal::parse(text) {
            Some(number) => Value::Decimal(number),
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
fn joined<'a>(left: &Value<'a>, right: &Value<'a>, steps: &mut Steps) -> Result<'a> {
    match (left, right) {
        (Value::String(first), Value::String(second)) => {
            steps.bytes(first.len() + second.len())?;
            Ok(Value::string([&**first, &**second].concat()))
        }
        (Value::Bytes(first), Value::Bytes(second)) => {
            steps.bytes(first.len() + second.len())?;
            Ok(Value::Bytes([&**first, &**second].concat().into()))
        }
        (Value::List(_) | Value::JsonList(_), Value::List(_) | Value::JsonList(_)) => {
            let (first, second) = (items(left, steps)?, items(right, steps)?);
            steps.spend((first.len() + second.len()) as u64)?;
            Ok(Value::List([&*first, &*second].concat().into()))
        }
        _ => times(Operator::Add, left, right),
    }
}

/// Times and spans.
fn times<'a>(operator: Operator, left: &Value<'a>, right: &Value<'a>) -> Result<'a> {
    let made = match (operator, left, right) {
        (Operator::Add, Value::Timestamp(time), Value::Duration(span))
        | (Operator::Add, Value::Duration(span), Value::Timestamp(time)) => {
            time.add(*span).map(Value::Timestamp)
        }
        (Operator::Subtract, Value::Timestamp(time), Value::Duration(span)) => {
            time.subtract(*span).map(Value::Timestamp)
        }
        (Operator::Subtract, Value::Timestamp(time), Value::Timestamp(other)) => {
            time.since(*other).map(Value::Duration)
        }
        (Operator::Add, Value::Duration(first), Value::Duration(second)) => {
            first.add(*second).map(Value::Duration)
        }
        (Operator::Subtract, Value::Duration(first), Value::Duration(second)) => {
            first.subtract(*second).map(Value::Duration)
        }
        _ => return Err(overload(operator, left, right)),
    };
    made.ok_or_else(|| Why::Range(format!("{left} {} {right}", operator.text())))
}
