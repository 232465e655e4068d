//! The tree of an expression.

use std::sync::Arc;

use super::functions::Function;
use super::value::ExprType;
use crate::machine::pattern::Pattern;

/// A part of an expression. An expression is short enough for 16 bits.
#[derive(Clone, Debug)]
pub(super) struct Expr {
    pub(super) node: ExprNode,
    /// Where it begins or, for an operator, where that is: in bytes of the text.
    pub(super) at: u16,
    /// How deep the tree below it is, itself included.
    pub(super) depth: u16,
}

#[derive(Clone, Debug)]
pub(super) enum ExprNode {
    Literal(Literal),
    Name(ScopeName),
    /// A path into one of the documents, by its number.
    Path(u16),
    /// A variable of a macro, by its position among those around it.
    Variable(u16),
    Select(Box<Expr>, Box<str>),
    /// Whether there is a value at a path.
    HasPath(u16),
    Has(Box<Expr>, Box<str>),
    Index(Box<[Expr; 2]>),
    List(Box<[Expr]>),
    Map(Box<[[Expr; 2]]>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    And(Box<[Expr]>),
    Or(Box<[Expr]>),
    Binary(Operator, Box<[Expr; 2]>),
    /// Condition, then, otherwise.
    If(Box<[Expr; 3]>),
    /// The receiver of a method is its first argument.
    Call(Function, Box<[Expr]>),
    /// `matches` with a pattern that is known ahead.
    Matches(Box<Expr>, Arc<Pattern>),
    Loop(Macro, Box<Loop>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Box<str>),
    Bytes(Box<[u8]>),
    Type(ExprType),
}

/// A name with a value that is no document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScopeName {
    Now,
    State,
    InstanceId,
    Machine,
    Actor,
}

impl ScopeName {
    /// As users write it.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::State => "state",
            Self::InstanceId => "instance_id",
            Self::Machine => "machine",
            Self::Actor => "actor",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Macro {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

#[derive(Clone, Debug)]
pub(super) struct Loop {
    pub(super) range: Expr,
    /// The condition that picks items. `all`, `exists` and `exists_one` have only this part.
    pub(super) condition: Option<Expr>,
    /// What `map` makes of an item.
    pub(super) result: Option<Expr>,
}

/// A document that paths go into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Document {
    Ctx,
    Event,
    Headers,
}

/// A path into a document whose steps are known ahead.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DocumentPath {
    pub(super) document: Document,
    pub(super) steps: Vec<PathStep>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum PathStep {
    Field(Box<str>),
    Item(u64),
}

impl DocumentPath {
    /// How a user would write the first steps of it.
    pub(super) fn text(&self, steps: usize) -> String {
        let mut text = self.document.text().to_owned();
        for step in self.steps.iter().take(steps) {
            match step {
                PathStep::Field(name) if is_plain(name) => {
                    text.push('.');
                    text.push_str(name);
                }
                PathStep::Field(name) => text.push_str(&format!("[{name:?}]")),
                PathStep::Item(index) => text.push_str(&format!("[{index}]")),
            }
        }
        text
    }
}

fn is_plain(name: &str) -> bool {
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl Document {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Ctx => "ctx",
            Self::Event => "event",
            Self::Headers => "headers",
        }
    }
}

impl Operator {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
        }
    }
}

impl Macro {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Exists => "exists",
            Self::ExistsOne => "exists_one",
            Self::Filter => "filter",
            Self::Map => "map",
        }
    }
}

impl Expr {
    /// How many loops are inside of each other. Recurses as deep as the tree, which the parser bounds.
    pub(super) fn loops(&self) -> usize {
        let mut below = 0;
        self.node
            .children(&mut |child| below = below.max(child.loops()));
        below + usize::from(matches!(self.node, ExprNode::Loop(..)))
    }

    /// How many parts are evaluated at each turn of the largest loop, whatever is inside of it.
    pub(super) fn turn(&self) -> usize {
        let mut most = 0;
        self.node
            .children(&mut |child| most = most.max(child.turn()));
        match &self.node {
            ExprNode::Loop(_, parts) => {
                let inside = parts.condition.iter().chain(&parts.result);
                let all = inside.map(|part| part.count(&|_| true));
                most.max(all.sum())
            }
            _ => most,
        }
    }

    /// How many parts are of a kind.
    pub(super) fn count(&self, is: &impl Fn(&ExprNode) -> bool) -> usize {
        let mut count = usize::from(is(&self.node));
        self.node.children(&mut |child| count += child.count(is));
        count
    }
}

impl ExprNode {
    /// Shows every part directly below.
    pub(super) fn children<'e>(&'e self, visit: &mut impl FnMut(&'e Expr)) {
        match self {
            Self::Literal(_)
            | Self::Name(_)
            | Self::Path(_)
            | Self::HasPath(_)
            | Self::Variable(_) => {}
            Self::Select(inner, _)
            | Self::Has(inner, _)
            | Self::Not(inner)
            | Self::Negate(inner)
            | Self::Matches(inner, _) => visit(inner),
            Self::Index(parts) | Self::Binary(_, parts) => parts.iter().for_each(visit),
            Self::List(parts) | Self::And(parts) | Self::Or(parts) | Self::Call(_, parts) => {
                parts.iter().for_each(visit);
            }
            Self::Map(entries) => entries.iter().flatten().for_each(visit),
            Self::If(parts) => parts.iter().for_each(visit),
            Self::Loop(_, parts) => {
                visit(&parts.range);
                parts.condition.iter().chain(&parts.result).for_each(visit);
            }
        }
    }
}
