//! Finds, before any evaluation, types that never fit and outcomes that never change.
//!
//! A value from a document may have any type, so most faults show only at an evaluation. A finding here holds for every
//! evaluation.

mod cost;
mod types;

pub(super) use cost::worst;

use super::functions::Function;
use super::syntax::{Expr, Literal, Loop, Macro, Name, Node, Operator};
use super::value::Type;
use types::arithmetic;

/// What is known of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    /// Its type, if it has a value and the type is known.
    kind: Option<Type>,
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
pub(super) struct Findings {
    /// Parts that always fail, whatever they read.
    pub(super) failing: Vec<Finding>,
    pub(super) never_true: bool,
    pub(super) never_false: bool,
}

pub(super) fn check(expr: &Expr) -> Findings {
    let mut findings = Findings::default();
    let known = findings.of(expr);
    findings.never_true = known.never_true;
    findings.never_false = known.never_false;
    findings
}

const ANY: Known = Known {
    kind: None,
    never_true: false,
    never_false: false,
    fails: false,
};

fn typed(kind: Type) -> Known {
    Known {
        kind: Some(kind),
        never_true: kind != Type::Bool,
        never_false: kind != Type::Bool,
        fails: false,
    }
}

fn constant(value: bool) -> Known {
    Known {
        never_true: !value,
        never_false: value,
        ..typed(Type::Bool)
    }
}

const FAILS: Known = Known {
    kind: None,
    never_true: true,
    never_false: true,
    fails: true,
};

impl Findings {
    fn fails(&mut self, expr: &Expr, why: String) -> Known {
        self.failing.push(Finding { at: expr.at, why });
        FAILS
    }

    /// Recurses as deep as the tree, which the parser bounds.
    fn of(&mut self, expr: &Expr) -> Known {
        match &expr.node {
            Node::Literal(literal) => of_literal(literal),
            Node::Name(Name::Now) => typed(Type::Int),
            Node::Name(_) => typed(Type::String),
            Node::Path(_) | Node::Variable(_) => ANY,
            Node::HasPath(_) => typed(Type::Bool),
            Node::Select(inner, name) => self.field(expr, inner, name, ANY),
            Node::Has(inner, name) => self.field(expr, inner, name, typed(Type::Bool)),
            Node::List(_) => self.all(expr, typed(Type::List)),
            Node::Map(_) => self.all(expr, typed(Type::Map)),
            Node::Index(parts) => self.index(expr, parts),
            Node::Not(inner) => self.not(expr, inner),
            Node::Negate(inner) => self.negate(expr, inner),
            Node::And(terms) => self.logic(terms, false),
            Node::Or(terms) => self.logic(terms, true),
            Node::Binary(operator, parts) => self.binary(expr, *operator, parts),
            Node::If(parts) => self.choose(expr, parts),
            Node::Call(function, arguments) => self.call(expr, *function, arguments),
            Node::Matches(text, _) => {
                self.call(expr, Function::Matches, std::slice::from_ref(&**text))
            }
            Node::Loop(kind, parts) => self.looped(expr, *kind, parts),
        }
    }

    fn index(&mut self, expr: &Expr, parts: &[Expr; 2]) -> Known {
        let (value, index) = (self.of(&parts[0]), self.of(&parts[1]));
        match value.kind {
            _ if value.fails || index.fails => FAILS,
            Some(kind) if !matches!(kind, Type::List | Type::Map) => {
                self.fails(expr, format!("no such overload: {}[…]", kind.name()))
            }
            _ => ANY,
        }
    }

    fn negate(&mut self, expr: &Expr, inner: &Expr) -> Known {
        let known = self.of(inner);
        match known.kind {
            Some(kind) if !matches!(kind, Type::Int | Type::Double | Type::Decimal) => {
                self.fails(expr, format!("no such overload: -{}", kind.name()))
            }
            _ => Known {
                never_true: true,
                never_false: true,
                ..known
            },
        }
    }

    fn call(&mut self, expr: &Expr, function: Function, arguments: &[Expr]) -> Known {
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

    fn looped(&mut self, expr: &Expr, kind: Macro, parts: &Loop) -> Known {
        let range = self.of(&parts.range);
        match range.kind {
            _ if range.fails => FAILS,
            Some(it) if !matches!(it, Type::List | Type::Map) => {
                let (it, name) = (it.name(), kind.text());
                self.fails(expr, format!("no such overload: {it}.{name}(…)"))
            }
            // Nothing is known from the parts inside: the list may be empty.
            _ if matches!(kind, Macro::Map | Macro::Filter) => typed(Type::List),
            _ => typed(Type::Bool),
        }
    }

    fn all(&mut self, expr: &Expr, otherwise: Known) -> Known {
        let mut fails = false;
        expr.node
            .children(&mut |child| fails |= self.of(child).fails);
        if fails { FAILS } else { otherwise }
    }

    fn field(&mut self, expr: &Expr, inner: &Expr, name: &str, otherwise: Known) -> Known {
        match self.of(inner) {
            Known { fails: true, .. } => FAILS,
            Known {
                kind: Some(kind), ..
            } if kind != Type::Map => {
                self.fails(expr, format!("no such overload: {}.{name}", kind.name()))
            }
            _ => otherwise,
        }
    }

    fn not(&mut self, expr: &Expr, inner: &Expr) -> Known {
        let known = self.of(inner);
        match known.kind {
            Some(kind) if kind != Type::Bool => {
                self.fails(expr, format!("no such overload: !{}", kind.name()))
            }
            _ => Known {
                kind: Some(Type::Bool),
                never_true: known.never_false,
                never_false: known.never_true,
                fails: known.fails,
            },
        }
    }

    /// If one operand decides the outcome, an error of another is ignored.
    fn logic(&mut self, terms: &[Expr], decisive: bool) -> Known {
        let known: Vec<Known> = terms.iter().map(|term| self.of(term)).collect();
        let never = |known: &Known, value: bool| match value {
            true => known.never_true,
            false => known.never_false,
        };
        // For `&&`: never true if one operand never is, never false if none can be.
        let never_other = known.iter().any(|it| never(it, !decisive));
        let never_decisive = known.iter().all(|it| never(it, decisive));
        Known {
            kind: Some(Type::Bool),
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

    fn binary(&mut self, expr: &Expr, operator: Operator, parts: &[Expr; 2]) -> Known {
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
                None => typed(Type::Bool),
            },
            Operator::In if !matches!(two, Type::List | Type::Map) => {
                self.misfit(expr, operator, one, two)
            }
            Operator::In => typed(Type::Bool),
            Operator::Less
            | Operator::LessOrEqual
            | Operator::Greater
            | Operator::GreaterOrEqual => {
                let ordered = !matches!(one, Type::Null | Type::List | Type::Map | Type::Type);
                match numbers || one == two && ordered {
                    true => typed(Type::Bool),
                    false => self.misfit(expr, operator, one, two),
                }
            }
            _ => match arithmetic(operator, one, two) {
                Some(kind) => typed(kind),
                None => self.misfit(expr, operator, one, two),
            },
        }
    }

    fn misfit(&mut self, expr: &Expr, operator: Operator, one: Type, two: Type) -> Known {
        let (one, two) = (one.name(), two.name());
        self.fails(
            expr,
            format!("no such overload: {one} {} {two}", operator.text()),
        )
    }

    fn choose(&mut self, expr: &Expr, parts: &[Expr; 3]) -> Known {
        let condition = self.of(&parts[0]);
        if let Some(kind) = condition.kind
            && kind != Type::Bool
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
            _ => Known {
                kind: then.kind.filter(|kind| otherwise.kind == Some(*kind)),
                never_true: then.never_true && otherwise.never_true,
                never_false: then.never_false && otherwise.never_false,
                fails: then.fails && otherwise.fails,
            },
        }
    }
}

fn of_literal(literal: &Literal) -> Known {
    match literal {
        Literal::Bool(value) => constant(*value),
        Literal::Null => typed(Type::Null),
        Literal::Int(_) => typed(Type::Int),
        Literal::Uint(_) => typed(Type::Uint),
        Literal::Double(_) => typed(Type::Double),
        Literal::String(_) => typed(Type::String),
        Literal::Bytes(_) => typed(Type::Bytes),
        Literal::Type(_) => typed(Type::Type),
    }
}

/// Whether two literals of one type are the same.
fn literals(parts: &[Expr; 2]) -> Option<bool> {
    match [&parts[0].node, &parts[1].node] {
        [Node::Literal(left), Node::Literal(right)] => match (left, right) {
            (Literal::Int(left), Literal::Int(right)) => Some(left == right),
            (Literal::String(left), Literal::String(right)) => Some(left == right),
            (Literal::Bool(left), Literal::Bool(right)) => Some(left == right),
            _ => None,
        },
        _ => None,
    }
}

/// What an operator gives when the type of an operand is not known.
fn operator_result(operator: Operator) -> Known {
    match operator {
        Operator::Add
        | Operator::Subtract
        | Operator::Multiply
        | Operator::Divide
        | Operator::Remainder => Known {
            never_true: true,
            never_false: true,
            ..ANY
        },
        _ => typed(Type::Bool),
    }
}
