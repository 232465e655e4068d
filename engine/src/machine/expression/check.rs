//! Finds, before any evaluation, types that never fit and outcomes that never change.
//!
//! A value from a document may have any type, so most faults show only at an evaluation. A finding here holds for every
//! evaluation.

mod cost;
mod types;

pub(super) use cost::worst;

use super::functions::Function;
use super::syntax::{Expr, ExprNode, Literal, Loop, Macro, Operator, ScopeName};
use super::value::ExprType;
use types::arithmetic;

/// What is known of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct KnownPart {
    /// Its type, if it has a value and the type is known.
    kind: Option<ExprType>,
    /// It is never true: it is false, of another type, or fails.
    never_true: bool,
    /// It is never false.
    never_false: bool,
    /// It always fails.
    fails: bool,
}

/// A finding about an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) at: u16,
    pub(super) why: String,
}

/// The findings about an expression that should be true or false.
#[derive(Debug, Default)]
pub(super) struct ExprFindings {
    /// Parts that always fail, whatever they read.
    pub(super) failing: Vec<Finding>,
    pub(super) never_true: bool,
    pub(super) never_false: bool,
}

pub(super) fn check(expr: &Expr) -> ExprFindings {
    let mut findings = ExprFindings::default();
    let known = findings.of(expr);
    findings.never_true = known.never_true;
    findings.never_false = known.never_false;
    findings
}

const ANY: KnownPart = KnownPart {
    kind: None,
    never_true: false,
    never_false: false,
    fails: false,
};

fn typed(kind: ExprType) -> KnownPart {
    KnownPart {
        kind: Some(kind),
        never_true: kind != ExprType::Bool,
        never_false: kind != ExprType::Bool,
        fails: false,
    }
}

fn constant(value: bool) -> KnownPart {
    KnownPart {
        never_true: !value,
        never_false: value,
        ..typed(ExprType::Bool)
    }
}

const FAILS: KnownPart = KnownPart {
    kind: None,
    never_true: true,
    never_false: true,
    fails: true,
};

impl ExprFindings {
    fn fails(&mut self, expr: &Expr, why: String) -> KnownPart {
        self.failing.push(Finding { at: expr.at, why });
        FAILS
    }

    /// Recurses as deep as the tree, which the parser bounds.
    fn of(&mut self, expr: &Expr) -> KnownPart {
        match &expr.node {
            ExprNode::Literal(literal) => of_literal(literal),
            ExprNode::Name(ScopeName::Now) => typed(ExprType::Int),
            ExprNode::Name(_) => typed(ExprType::String),
            ExprNode::Path(_) | ExprNode::Variable(_) => ANY,
            ExprNode::HasPath(_) => typed(ExprType::Bool),
            ExprNode::Select(inner, name) => self.field(expr, inner, name, ANY),
            ExprNode::Has(inner, name) => self.field(expr, inner, name, typed(ExprType::Bool)),
            ExprNode::List(_) => self.all(expr, typed(ExprType::List)),
            ExprNode::Map(_) => self.all(expr, typed(ExprType::Map)),
            ExprNode::Index(parts) => self.index(expr, parts),
            ExprNode::Not(inner) => self.not(expr, inner),
            ExprNode::Negate(inner) => self.negate(expr, inner),
            ExprNode::And(terms) => self.logic(terms, false),
            ExprNode::Or(terms) => self.logic(terms, true),
            ExprNode::Binary(operator, parts) => self.binary(expr, *operator, parts),
            ExprNode::If(parts) => self.choose(expr, parts),
            ExprNode::Call(function, arguments) => self.call(expr, *function, arguments),
            ExprNode::Matches(text, _) => {
                self.call(expr, Function::Matches, std::slice::from_ref(&**text))
            }
            ExprNode::Loop(kind, parts) => self.looped(expr, *kind, parts),
        }
    }

    fn index(&mut self, expr: &Expr, parts: &[Expr; 2]) -> KnownPart {
        let (value, index) = (self.of(&parts[0]), self.of(&parts[1]));
        match value.kind {
            _ if value.fails || index.fails => FAILS,
            Some(kind) if !matches!(kind, ExprType::List | ExprType::Map) => {
                self.fails(expr, format!("no such overload: {}[…]", kind.name()))
            }
            _ => ANY,
        }
    }

    fn negate(&mut self, expr: &Expr, inner: &Expr) -> KnownPart {
        let known = self.of(inner);
        match known.kind {
            Some(kind) if !matches!(kind, ExprType::Int | ExprType::Double | ExprType::Decimal) => {
                self.fails(expr, format!("no such overload: -{}", kind.name()))
            }
            _ => KnownPart {
                never_true: true,
                never_false: true,
                ..known
            },
        }
    }

    fn call(&mut self, expr: &Expr, function: Function, arguments: &[Expr]) -> KnownPart {
        for (position, argument) in arguments.iter().enumerate() {
            let known = self.of(argument);
            if known.fails {
                return FAILS;
            }
            if let Some(kind) = known.kind
                && !function.takes(position, kind)
            {
                let (name, kind) = (function.name(), kind.name());
                return self.fails(expr, format!("no such overload: {name} of {kind}"));
            }
        }
        function.result().map_or(ANY, typed)
    }

    fn looped(&mut self, expr: &Expr, kind: Macro, parts: &Loop) -> KnownPart {
        let range = self.of(&parts.range);
        match range.kind {
            _ if range.fails => FAILS,
            Some(it) if !matches!(it, ExprType::List | ExprType::Map) => {
                let (it, name) = (it.name(), kind.text());
                self.fails(expr, format!("no such overload: {it}.{name}(…)"))
            }
            // Nothing is known from the parts inside: the list may be empty.
            _ if matches!(kind, Macro::Map | Macro::Filter) => typed(ExprType::List),
            _ => typed(ExprType::Bool),
        }
    }

    fn all(&mut self, expr: &Expr, otherwise: KnownPart) -> KnownPart {
        let mut fails = false;
        expr.node
            .children(&mut |child| fails |= self.of(child).fails);
        if fails { FAILS } else { otherwise }
    }

    fn field(&mut self, expr: &Expr, inner: &Expr, name: &str, otherwise: KnownPart) -> KnownPart {
        match self.of(inner) {
            KnownPart { fails: true, .. } => FAILS,
            KnownPart {
                kind: Some(kind), ..
            } if kind != ExprType::Map => {
                self.fails(expr, format!("no such overload: {}.{name}", kind.name()))
            }
            _ => otherwise,
        }
    }

    fn not(&mut self, expr: &Expr, inner: &Expr) -> KnownPart {
        let known = self.of(inner);
        match known.kind {
            Some(kind) if kind != ExprType::Bool => {
                self.fails(expr, format!("no such overload: !{}", kind.name()))
            }
            _ => KnownPart {
                kind: Some(ExprType::Bool),
                never_true: known.never_false,
                never_false: known.never_true,
                fails: known.fails,
            },
        }
    }

    /// If one operand decides the outcome, an error of another is ignored.
    fn logic(&mut self, terms: &[Expr], decisive: bool) -> KnownPart {
        let known: Vec<KnownPart> = terms.iter().map(|term| self.of(term)).collect();
        let never = |known: &KnownPart, value: bool| match value {
            true => known.never_true,
            false => known.never_false,
        };
        // For `&&`: never true if one operand never is, never false if none can be.
        let never_other = known.iter().any(|it| never(it, !decisive));
        let never_decisive = known.iter().all(|it| never(it, decisive));
        KnownPart {
            kind: Some(ExprType::Bool),
            never_true: if decisive {
                never_decisive
            } else {
                never_other
            },
            never_false: if decisive {
                never_other
            } else {
                never_decisive
            },
            fails: never_other && never_decisive,
        }
    }

    fn binary(&mut self, expr: &Expr, operator: Operator, parts: &[Expr; 2]) -> KnownPart {
        let (left, right) = (self.of(&parts[0]), self.of(&parts[1]));
        if left.fails || right.fails {
            return FAILS;
        }
        let (Some(one), Some(two)) = (left.kind, right.kind) else {
            return operator_result(operator);
        };
        let numbers = one.is_number() && two.is_number();
        let unequal = one != two && !numbers;
        match operator {
            Operator::Equal if unequal => constant(false),
            Operator::NotEqual if unequal => constant(true),
            Operator::Equal | Operator::NotEqual => match literals(parts) {
                Some(same) => constant(same == (operator == Operator::Equal)),
                None => typed(ExprType::Bool),
            },
            Operator::In if !matches!(two, ExprType::List | ExprType::Map) => {
                self.misfit(expr, operator, one, two)
            }
            Operator::In => typed(ExprType::Bool),
            Operator::Less
            | Operator::LessOrEqual
            | Operator::Greater
            | Operator::GreaterOrEqual => {
                let ordered = !matches!(
                    one,
                    ExprType::Null | ExprType::List | ExprType::Map | ExprType::Type
                );
                match numbers || one == two && ordered {
                    true => typed(ExprType::Bool),
                    false => self.misfit(expr, operator, one, two),
                }
            }
            _ => match arithmetic(operator, one, two) {
                Some(kind) => typed(kind),
                None => self.misfit(expr, operator, one, two),
            },
        }
    }

    fn misfit(
        &mut self,
        expr: &Expr,
        operator: Operator,
        one: ExprType,
        two: ExprType,
    ) -> KnownPart {
        let (one, two) = (one.name(), two.name());
        self.fails(
            expr,
            format!("no such overload: {one} {} {two}", operator.text()),
        )
    }

    fn choose(&mut self, expr: &Expr, parts: &[Expr; 3]) -> KnownPart {
        let condition = self.of(&parts[0]);
        if let Some(kind) = condition.kind
            && kind != ExprType::Bool
        {
            return self.fails(expr, format!("no such overload: {} ? … : …", kind.name()));
        }
        if condition.fails {
            return FAILS;
        }
        // The branch that a constant condition never takes does not affect the outcome.
        let mut unused = Self::default();
        let then = if condition.never_true {
            &mut unused
        } else {
            &mut *self
        }
        .of(&parts[1]);
        let mut unused = Self::default();
        let otherwise = if condition.never_false {
            &mut unused
        } else {
            &mut *self
        }
        .of(&parts[2]);
        match (condition.never_true, condition.never_false) {
            (true, _) => otherwise,
            (_, true) => then,
            _ => KnownPart {
                kind: then.kind.filter(|kind| otherwise.kind == Some(*kind)),
                never_true: then.never_true && otherwise.never_true,
                never_false: then.never_false && otherwise.never_false,
                fails: then.fails && otherwise.fails,
            },
        }
    }
}

fn of_literal(literal: &Literal) -> KnownPart {
    match literal {
        Literal::Bool(value) => constant(*value),
        Literal::Null => typed(ExprType::Null),
        Literal::Int(_) => typed(ExprType::Int),
        Literal::Uint(_) => typed(ExprType::Uint),
        Literal::Double(_) => typed(ExprType::Double),
        Literal::String(_) => typed(ExprType::String),
        Literal::Bytes(_) => typed(ExprType::Bytes),
        Literal::Type(_) => typed(ExprType::Type),
    }
}

/// Whether two literals of one type are the same.
fn literals(parts: &[Expr; 2]) -> Option<bool> {
    match [&parts[0].node, &parts[1].node] {
        [ExprNode::Literal(left), ExprNode::Literal(right)] => match (left, right) {
            (Literal::Int(left), Literal::Int(right)) => Some(left == right),
            (Literal::String(left), Literal::String(right)) => Some(left == right),
            (Literal::Bool(left), Literal::Bool(right)) => Some(left == right),
            _ => None,
        },
        _ => None,
    }
}

/// What an operator gives when the type of an operand is not known.
fn operator_result(operator: Operator) -> KnownPart {
    match operator {
        Operator::Add
        | Operator::Subtract
        | Operator::Multiply
        | Operator::Divide
        | Operator::Remainder => KnownPart {
            never_true: true,
            never_false: true,
            ..ANY
        },
        _ => typed(ExprType::Bool),
    }
}
