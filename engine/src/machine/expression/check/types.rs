//! The types that operators give.

use crate::machine::expression::syntax::Operator;
use crate::machine::expression::value::ExprType;

/// The type of a sum, product or the like; `None` if there is none of such operands.
pub(super) fn arithmetic(operator: Operator, one: ExprType, two: ExprType) -> Option<ExprType> {
    use ExprType::{Bytes, Decimal, Double, Duration, Int, List, String, Timestamp, Uint};
    Some(match (operator, one, two) {
        (_, Int, Int) => Int,
        (_, Uint, Uint) => Uint,
        (Operator::Remainder, _, _) => return None,
        (_, Double, Double) => Double,
        (_, Decimal, Decimal | Int | Uint) | (_, Int | Uint, Decimal) => Decimal,
        (Operator::Add, String, String) => String,
        (Operator::Add, Bytes, Bytes) => Bytes,
        (Operator::Add, List, List) => List,
        (Operator::Add, Timestamp, Duration) | (Operator::Add, Duration, Timestamp) => Timestamp,
        (Operator::Subtract, Timestamp, Duration) => Timestamp,
        (Operator::Subtract, Timestamp, Timestamp) => Duration,
        (Operator::Add | Operator::Subtract, Duration, Duration) => Duration,
        _ => return None,
    })
}
