//! The value of an expression, at a bounded cost.

mod arithmetic;
mod call;
mod compare;
mod convert;
mod index;
mod json;
mod loops;
mod parts;

pub(super) use json::to_json;

use super::error::Why;
use super::scope::EvalScope;
use super::source::{self, EvalSteps};
use super::syntax::{DocumentPath, Expr, ExprNode, Literal, Operator, PathStep};
use super::value::{ExprText, ExprValue, key_equal};
use compare::{equal, order};
use index::{index_of, is_in};

/// Why there is no value, and where: in bytes of the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fail {
    pub(super) at: u16,
    pub(super) why: Why,
}

type Result<'a> = std::result::Result<ExprValue<'a>, Fail>;

/// The value at a path, or the reason why there is none, and at which step of the path.
pub(super) type FoundValue<'a> = std::result::Result<ExprValue<'a>, (usize, Why)>;

pub(super) struct ExprEval<'a, 's> {
    pub(super) paths: &'a [DocumentPath],
    /// What was found at each path that was read.
    pub(super) found: Vec<Option<FoundValue<'a>>>,
    pub(super) variables: Vec<ExprValue<'a>>,
    pub(super) scope: &'s mut EvalScope<'a>,
    pub(super) steps: &'s mut EvalSteps,
}

trait At<T> {
    /// With the place where it happened.
    fn at(self, expr: &Expr) -> std::result::Result<T, Fail>;
}

impl<T> At<T> for std::result::Result<T, Why> {
    fn at(self, expr: &Expr) -> std::result::Result<T, Fail> {
        self.map_err(|why| Fail { at: expr.at, why })
    }
}

impl Fail {
    /// Whether this error is never ignored, whatever another operand gives.
    fn is_final(&self) -> bool {
        matches!(self.why, Why::Limit | Why::Damaged)
    }
}

impl<'a> ExprEval<'a, '_> {
    /// Recurses as deep as the tree, which the parser bounds.
    pub(super) fn eval(&mut self, expr: &'a Expr) -> Result<'a> {
        self.steps.spend(1).at(expr)?;
        match &expr.node {
            ExprNode::Literal(literal) => Ok(constant(literal)),
            ExprNode::Name(name) => Ok(self.scope.name(*name)),
            ExprNode::Variable(variable) => Ok(self.variables[usize::from(*variable)].clone()),
            ExprNode::Path(path) => self.path(*path).map_err(|(_, why)| why).at(expr),
            ExprNode::HasPath(path) => self.has_path(*path).at(expr),
            ExprNode::Select(inner, name) => {
                let value = self.eval(inner)?;
                self.select(&value, name).at(expr)
            }
            ExprNode::Has(inner, name) => {
                let value = self.eval(inner)?;
                self.has(&value, name).at(expr)
            }
            ExprNode::Index(parts) => {
                let [value, index] = self.both(parts)?;
                index_of(&value, index, self.steps).at(expr)
            }
            ExprNode::List(items) => self.all(items).map(|items| ExprValue::List(items.into())),
            ExprNode::Map(entries) => self.map(expr, entries),
            ExprNode::Not(inner) => match self.eval(inner)? {
                ExprValue::Bool(value) => Ok(ExprValue::Bool(!value)),
                other => Err(Why::overload(format!("!{}", other.kind().name()))).at(expr),
            },
            ExprNode::Negate(inner) => {
                let value = self.eval(inner)?;
                arithmetic::negate(value).at(expr)
            }
            ExprNode::And(terms) => self.logic(terms, false, "&&"),
            ExprNode::Or(terms) => self.logic(terms, true, "||"),
            ExprNode::Binary(operator, parts) => {
                let [left, right] = self.both(parts)?;
                binary(*operator, left, right, self.steps).at(expr)
            }
            ExprNode::If(parts) => self.choose(parts),
            ExprNode::Call(function, arguments) => {
                let values = self.all(arguments)?;
                call::call(*function, &values, self.steps).at(expr)
            }
            ExprNode::Matches(text, pattern) => {
                let text = self.eval(text)?;
                call::matches(&text, pattern, self.steps).at(expr)
            }
            ExprNode::Loop(kind, parts) => self.looped(expr, *kind, parts),
        }
    }

    fn both(&mut self, parts: &'a [Expr; 2]) -> std::result::Result<[ExprValue<'a>; 2], Fail> {
        let left = self.eval(&parts[0])?;
        Ok([left, self.eval(&parts[1])?])
    }

    fn all(&mut self, parts: &'a [Expr]) -> std::result::Result<Vec<ExprValue<'a>>, Fail> {
        parts.iter().map(|part| self.eval(part)).collect()
    }

    fn map(&mut self, expr: &'a Expr, entries: &'a [[Expr; 2]]) -> Result<'a> {
        let mut made: Vec<(ExprValue<'a>, ExprValue<'a>)> = Vec::with_capacity(entries.len());
        for entry in entries {
            let [key, value] = self.both(entry)?;
            let key = key.plain();
            if !matches!(
                key,
                ExprValue::String(_) | ExprValue::Int(_) | ExprValue::Uint(_) | ExprValue::Bool(_)
            ) {
                let kind = key.kind().name();
                return Err(Why::overload(format!("a map with a key of type {kind}"))).at(expr);
            }
            self.steps.spend(made.len() as u64 / 4).at(expr)?;
            if made.iter().any(|(other, _)| key_equal(other, &key)) {
                return Err(Why::RepeatedKey(key.to_string())).at(expr);
            }
            made.push((key, value));
        }
        Ok(ExprValue::Map(made.into()))
    }

    /// `&&` and `||`: if one operand decides the outcome, errors of the others are ignored, whatever their order.
    fn logic(&mut self, terms: &'a [Expr], decisive: bool, sign: &str) -> Result<'a> {
        let mut failed = None;
        for term in terms {
            match self.condition(term, sign) {
                Ok(value) if value == decisive => return Ok(ExprValue::Bool(decisive)),
                Ok(_) => {}
                Err(fail) if fail.is_final() => return Err(fail),
                Err(fail) => failed = failed.or(Some(fail)),
            }
        }
        match failed {
            Some(fail) => Err(fail),
            None => Ok(ExprValue::Bool(!decisive)),
        }
    }

    /// A part that must be true or false. The name is that of the operator or macro that needs it.
    fn condition(&mut self, expr: &'a Expr, of: &str) -> std::result::Result<bool, Fail> {
        match self.eval(expr)? {
            ExprValue::Bool(value) => Ok(value),
            other => {
                let what = format!("`{of}` of {}", other.kind().name());
                Err(Why::NoOverload(what)).at(expr)
            }
        }
    }

    fn choose(&mut self, parts: &'a [Expr; 3]) -> Result<'a> {
        let [condition, then, otherwise] = parts;
        match self.condition(condition, "? :")? {
            true => self.eval(then),
            false => self.eval(otherwise),
        }
    }

    /// What is at a path, read once.
    fn path(&mut self, number: u16) -> FoundValue<'a> {
        let number = usize::from(number);
        if let Some(found) = &self.found[number] {
            return found.clone();
        }
        let found = self.read(&self.paths[number]);
        self.found[number] = Some(found.clone());
        found
    }

    fn read(&mut self, path: &'a DocumentPath) -> FoundValue<'a> {
        let document = self.scope.document(path.document);
        let Some((first, rest)) = path.steps.split_first() else {
            return Ok(document.value());
        };
        let text = match first {
            PathStep::Field(name) => document.field(name, self.steps),
            PathStep::Item(_) => Ok(None),
        };
        let missing = |steps: usize| (steps, Why::NoSuchKey(path.text(steps)));
        let text = text.map_err(|why| (0, why))?.ok_or_else(|| missing(1))?;
        let mut value = source::value(text, self.steps).map_err(|why| (1, why))?;
        for (passed, step) in (2..).zip(rest) {
            let next = match step {
                PathStep::Field(name) => self.select(&value, name),
                PathStep::Item(index) => {
                    index_of(&value, ExprValue::Int(*index as i64), self.steps)
                }
            };
            value = next.map_err(|why| match why {
                Why::NoSuchKey(_) => missing(passed),
                other => (passed, other),
            })?;
        }
        Ok(value)
    }

    fn has_path(&mut self, path: u16) -> std::result::Result<ExprValue<'a>, Why> {
        let steps = self.paths[usize::from(path)].steps.len();
        match self.path(path) {
            Ok(_) => Ok(ExprValue::Bool(true)),
            Err((at, Why::NoSuchKey(_))) if at == steps => Ok(ExprValue::Bool(false)),
            Err((_, why)) => Err(why),
        }
    }

    fn select(
        &mut self,
        value: &ExprValue<'a>,
        name: &'a str,
    ) -> std::result::Result<ExprValue<'a>, Why> {
        match self.field(value, name)? {
            Some(value) => Ok(value),
            None => Err(Why::NoSuchKey(name.to_owned())),
        }
    }

    fn has(
        &mut self,
        value: &ExprValue<'a>,
        name: &'a str,
    ) -> std::result::Result<ExprValue<'a>, Why> {
        self.field(value, name)
            .map(|found| ExprValue::Bool(found.is_some()))
    }

    fn field(
        &mut self,
        value: &ExprValue<'a>,
        name: &'a str,
    ) -> std::result::Result<Option<ExprValue<'a>>, Why> {
        match value {
            ExprValue::Map(_) | ExprValue::JsonMap(_) => {
                source::lookup(value, &ExprValue::borrowed(name), self.steps)
            }
            other => Err(Why::overload(format!("{}.{name}", other.kind().name()))),
        }
    }
}

fn constant(literal: &Literal) -> ExprValue<'_> {
    match literal {
        Literal::Null => ExprValue::Null,
        Literal::Bool(value) => ExprValue::Bool(*value),
        Literal::Int(value) => ExprValue::Int(*value),
        Literal::Uint(value) => ExprValue::Uint(*value),
        Literal::Double(value) => ExprValue::Double(*value),
        Literal::String(text) => ExprValue::String(ExprText::Borrowed(text)),
        Literal::Bytes(bytes) => ExprValue::Bytes(bytes.as_ref().into()),
        Literal::Type(kind) => ExprValue::Type(*kind),
    }
}

fn binary<'a>(
    operator: Operator,
    left: ExprValue<'a>,
    right: ExprValue<'a>,
    steps: &mut EvalSteps,
) -> std::result::Result<ExprValue<'a>, Why> {
    let ordered = match operator {
        Operator::Equal => return Ok(ExprValue::Bool(equal(&left, &right, steps)?)),
        Operator::NotEqual => return Ok(ExprValue::Bool(!equal(&left, &right, steps)?)),
        Operator::In => return is_in(&left, &right, steps).map(ExprValue::Bool),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            order(&left, &right, steps)?
        }
        _ => return arithmetic::binary(operator, left, right, steps),
    };
    let Some(order) = ordered else {
        let (left, right) = (left.kind().name(), right.kind().name());
        return Err(Why::overload(format!("{left} {} {right}", operator.text())));
    };
    // Among numbers only NaN has no order. Then every comparison is false.
    Ok(ExprValue::Bool(order.is_some_and(|order| match operator {
        Operator::Less => order.is_lt(),
        Operator::LessOrEqual => order.is_le(),
        Operator::Greater => order.is_gt(),
        _ => order.is_ge(),
    })))
}
