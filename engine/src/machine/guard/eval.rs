//! Whether a guard holds, at a bounded cost.

use std::borrow::Cow;
use std::cmp::Ordering;

pub(crate) use crate::json::Stopped;
use crate::json::{Context, FoundJson, JsonDecimal, JsonKind, JsonReader, ReadBudget, equal};
use crate::limits::{
    ALLOWED_READ_BYTES_MAX, ALLOWED_STEPS_MAX, GUARD_READ_BYTES_MAX, GUARD_STEPS_MAX,
};

use super::{Comparison, Guard, GuardExpr, Operand, OperandKind};

/// The remaining budget for all guards of one decision.
#[derive(Debug)]
pub(crate) struct GuardBudget {
    steps: usize,
    bytes: ReadBudget,
}

impl GuardBudget {
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
enum OperandValue<'a> {
    Length(usize),
    Json(JsonKind, &'a str),
}

const NULL: OperandValue<'static> = OperandValue::Json(JsonKind::Null, "null");

struct GuardEval<'a> {
    guard: &'a str,
    ctx: &'a Context<'a>,
    budget: &'a mut GuardBudget,
}

pub(super) fn holds(
    guard: &Guard,
    ctx: &Context<'_>,
    budget: &mut GuardBudget,
) -> Result<bool, Stopped> {
    let mut eval = GuardEval {
        guard: &guard.text,
        ctx,
        budget,
    };
    eval.holds(&guard.expr)
}

impl<'a> GuardEval<'a> {
    /// Recurses as deep as the guard is nested, which the parser bounds.
    fn holds(&mut self, expr: &GuardExpr) -> Result<bool, Stopped> {
        self.budget.step(1)?;
        match expr {
            GuardExpr::Or(terms) => self.any(terms, true),
            GuardExpr::And(terms) => self.any(terms, false).map(|found| !found),
            GuardExpr::Not(inner) => self.holds(inner).map(|holds| !holds),
            GuardExpr::Compare(left, comparison, right) => {
                let (left, right) = (self.value(*left)?, self.value(*right)?);
                self.compare(left, *comparison, right)
            }
            GuardExpr::Truthy(operand) => {
                let value = self.value(*operand)?;
                self.truthy(value)
            }
        }
    }

    /// Whether one of the terms comes out as wanted.
    fn any(&mut self, terms: &[GuardExpr], wanted: bool) -> Result<bool, Stopped> {
        for term in terms {
            if self.holds(term)? == wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn value(&mut self, operand: Operand) -> Result<OperandValue<'a>, Stopped> {
        let text = operand.text(self.guard);
        Ok(match operand.kind {
            OperandKind::Path => {
                self.budget.step(text.split('.').count())?;
                match self.ctx.value(text) {
                    Some(FoundJson::Length(length)) => OperandValue::Length(length),
                    Some(FoundJson::Text(text)) => {
                        OperandValue::Json(JsonReader::new(text).kind()?, text)
                    }
                    None => NULL,
                }
            }
            OperandKind::Null => NULL,
            OperandKind::True => OperandValue::Json(JsonKind::True, text),
            OperandKind::False => OperandValue::Json(JsonKind::False, text),
            OperandKind::Number => OperandValue::Json(JsonKind::Number, text),
            OperandKind::String => OperandValue::Json(JsonKind::String, text),
        })
    }

    fn truthy(&mut self, value: OperandValue<'_>) -> Result<bool, Stopped> {
        let (kind, text) = match value {
            OperandValue::Length(length) => return Ok(length != 0),
            OperandValue::Json(kind, text) => (kind, text),
        };
        Ok(match kind {
            JsonKind::Null | JsonKind::False => false,
            JsonKind::True => true,
            JsonKind::Number => {
                self.budget.bytes.spend(text.len())?;
                !JsonDecimal::new(text).is_zero()
            }
            JsonKind::String => text.len() > 2,
            JsonKind::List | JsonKind::Object => {
                let inside = text.get(1..).unwrap_or_default();
                !inside.trim_ascii_start().starts_with([']', '}'])
            }
        })
    }

    fn compare(
        &mut self,
        left: OperandValue<'_>,
        comparison: Comparison,
        right: OperandValue<'_>,
    ) -> Result<bool, Stopped> {
        let (left_text, right_text) = (left.text(), right.text());
        if matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
            let same = equal(&left_text, &right_text, &mut self.budget.bytes)?;
            return Ok(same == (comparison == Comparison::Equal));
        }
        let ordering = match (left.kind(), right.kind()) {
            (JsonKind::Number, JsonKind::Number) => {
                self.budget
                    .bytes
                    .spend(left_text.len() + right_text.len())?;
                JsonDecimal::new(&left_text).cmp(&JsonDecimal::new(&right_text))
            }
            (JsonKind::String, JsonKind::String) => {
                self.budget
                    .bytes
                    .spend(left_text.len() + right_text.len())?;
                let [left, right] =
                    [&left_text, &right_text].map(|text| JsonReader::new(text).string());
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

impl<'a> OperandValue<'a> {
    fn kind(self) -> JsonKind {
        match self {
            Self::Length(_) => JsonKind::Number,
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
