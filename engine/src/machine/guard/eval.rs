//! Whether a guard holds, at a bounded cost.

use std::borrow::Cow;
use std::cmp::Ordering;

pub(crate) use crate::json::Stopped;
use crate::json::{Context, Decimal, Found, Kind, ReadBudget, Reader, equal};
use crate::limits::{
    ALLOWED_READ_BYTES_MAX, ALLOWED_STEPS_MAX, GUARD_READ_BYTES_MAX, GUARD_STEPS_MAX,
};

use super::{Comparison, Expr, Guard, Operand, OperandKind};

/// The remaining budget for all guards of one decision.
#[derive(Debug)]
pub(crate) struct Budget {
    steps: usize,
    bytes: ReadBudget,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self {
            steps: GUARD_STEPS_MAX,
            bytes: ReadBudget::new(GUARD_READ_BYTES_MAX),
        }
    }

    /// Takes what another budget has spent; false if that is more than there is.
    pub(crate) fn take_spent(&mut self, other: &Self) -> bool {
        let (steps, bytes) = (
            GUARD_STEPS_MAX - other.steps,
            GUARD_READ_BYTES_MAX - other.bytes.left(),
        );
        self.step(steps).is_ok() && self.bytes.spend(bytes).is_ok()
    }

    /// The budget of a question about many events.
    pub(crate) fn of_question() -> Self {
        Self {
            steps: ALLOWED_STEPS_MAX,
            bytes: ReadBudget::new(ALLOWED_READ_BYTES_MAX),
        }
    }

    fn step(&mut self, steps: usize) -> Result<(), Stopped> {
        self.steps = self.steps.checked_sub(steps).ok_or(Stopped)?;
        Ok(())
    }
}

/// The value of an operand; its text is valid JSON.
#[derive(Clone, Copy)]
enum Value<'a> {
    Length(usize),
    Json(Kind, &'a str),
}

const NULL: Value<'static> = Value::Json(Kind::Null, "null");

struct Eval<'a> {
    guard: &'a str,
    ctx: &'a Context<'a>,
    budget: &'a mut Budget,
}

pub(super) fn holds(
    guard: &Guard,
    ctx: &Context<'_>,
    budget: &mut Budget,
) -> Result<bool, Stopped> {
    let mut eval = Eval {
        guard: &guard.text,
        ctx,
        budget,
    };
    eval.holds(&guard.expr)
}

impl<'a> Eval<'a> {
    /// Recurses as deep as the guard is nested, which the parser bounds.
    fn holds(&mut self, expr: &Expr) -> Result<bool, Stopped> {
        self.budget.step(1)?;
        match expr {
            Expr::Or(terms) => self.any(terms, true),
            Expr::And(terms) => self.any(terms, false).map(|found| !found),
            Expr::Not(inner) => self.holds(inner).map(|holds| !holds),
            Expr::Compare(left, comparison, right) => {
                let (left, right) = (self.value(*left)?, self.value(*right)?);
                self.compare(left, *comparison, right)
            }
            Expr::Truthy(operand) => {
                let value = self.value(*operand)?;
                self.truthy(value)
            }
        }
    }

    /// Whether one of the terms comes out as wanted.
    fn any(&mut self, terms: &[Expr], wanted: bool) -> Result<bool, Stopped> {
        for term in terms {
            if self.holds(term)? == wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn value(&mut self, operand: Operand) -> Result<Value<'a>, Stopped> {
        let text = operand.text(self.guard);
        Ok(match operand.kind {
            OperandKind::Path => {
                self.budget.step(text.split('.').count())?;
                match self.ctx.value(text) {
                    Some(Found::Length(length)) => Value::Length(length),
                    Some(Found::Text(text)) => Value::Json(Reader::new(text).kind()?, text),
                    None => NULL,
                }
            }
            OperandKind::Null => NULL,
            OperandKind::True => Value::Json(Kind::True, text),
            OperandKind::False => Value::Json(Kind::False, text),
            OperandKind::Number => Value::Json(Kind::Number, text),
            OperandKind::String => Value::Json(Kind::String, text),
        })
    }

    fn truthy(&mut self, value: Value<'_>) -> Result<bool, Stopped> {
        let (kind, text) = match value {
            Value::Length(length) => return Ok(length != 0),
            Value::Json(kind, text) => (kind, text),
        };
        Ok(match kind {
            Kind::Null | Kind::False => false,
            Kind::True => true,
            Kind::Number => {
                self.budget.bytes.spend(text.len())?;
                !Decimal::new(text).is_zero()
            }
            Kind::String => text.len() > 2,
            Kind::List | Kind::Object => {
                let inside = text.get(1..).unwrap_or_default();
                !inside.trim_ascii_start().starts_with([']', '}'])
            }
        })
    }

    fn compare(
        &mut self,
        left: Value<'_>,
        comparison: Comparison,
        right: Value<'_>,
    ) -> Result<bool, Stopped> {
        let (left_text, right_text) = (left.text(), right.text());
        if matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
            let same = equal(&left_text, &right_text, &mut self.budget.bytes)?;
            return Ok(same == (comparison == Comparison::Equal));
        }
        let ordering = match (left.kind(), right.kind()) {
            (Kind::Number, Kind::Number) => {
                self.budget
                    .bytes
                    .spend(left_text.len() + right_text.len())?;
                Decimal::new(&left_text).cmp(&Decimal::new(&right_text))
            }
            (Kind::String, Kind::String) => {
                self.budget
                    .bytes
                    .spend(left_text.len() + right_text.len())?;
                let [left, right] =
                    [&left_text, &right_text].map(|text| Reader::new(text).string());
                left?.cmp(&right?)
            }
            _ => return Ok(false),
        };
        Ok(match comparison {
            Comparison::Less => ordering == Ordering::Less,
            Comparison::LessOrEqual => ordering.is_le(),
            Comparison::Greater => ordering == Ordering::Greater,
            _ => ordering.is_ge(),
        })
    }
}

impl<'a> Value<'a> {
    fn kind(self) -> Kind {
        match self {
            Self::Length(_) => Kind::Number,
            Self::Json(kind, _) => kind,
        }
    }

    fn text(self) -> Cow<'a, str> {
        match self {
            Self::Length(length) => Cow::Owned(length.to_string()),
            Self::Json(_, text) => Cow::Borrowed(text),
        }
    }
}
