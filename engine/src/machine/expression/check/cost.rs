//! The most steps that an evaluation can take, computed before it begins.

use crate::machine::expression::functions::Function;
use crate::machine::expression::syntax::{Expr, ExprNode};
use crate::machine::pattern::COMPILE_STEPS;

/// The steps that one evaluation takes at most, if its documents have so many bytes together and no text is copied
/// more than once into a result. Saturates.
pub(in crate::machine::expression) fn worst(expr: &Expr, document_bytes: u64) -> u64 {
    let cost = Cost {
        // The steps for reading the whole text, and the same again for the names and items in it.
        read: document_bytes / 64 + document_bytes / 2 + 8,
        bytes: document_bytes,
    };
    cost.of(expr)
}

struct Cost {
    read: u64,
    bytes: u64,
}

impl Cost {
    /// Recurses as deep as the tree, which the parser bounds.
    fn of(&self, expr: &Expr) -> u64 {
        if let ExprNode::Loop(_, parts) = &expr.node {
            let turns = self.items(&parts.range);
            let inside = parts.condition.iter().chain(&parts.result);
            let turn = inside.fold(1, |sum: u64, part| sum.saturating_add(self.of(part)));
            return self
                .of(&parts.range)
                .saturating_add(self.read)
                .saturating_add(turns.saturating_mul(turn));
        }
        let mut sum = self.own(&expr.node);
        expr.node
            .children(&mut |child| sum = sum.saturating_add(self.of(child)));
        sum
    }

    /// What a part costs without those below it.
    fn own(&self, node: &ExprNode) -> u64 {
        match node {
            ExprNode::Path(_) | ExprNode::HasPath(_) | ExprNode::Select(..) | ExprNode::Has(..) => {
                self.read
            }
            ExprNode::Index(_) | ExprNode::Binary(..) => self.read,
            ExprNode::Matches(_, pattern) => {
                pattern.steps(usize::try_from(self.bytes).unwrap_or(usize::MAX))
            }
            ExprNode::Call(Function::Matches, _) => self.bytes.saturating_mul(64) + COMPILE_STEPS,
            ExprNode::Call(..) => self.read,
            _ => 1,
        }
    }

    /// How many items a list can have: two bytes each, if it comes out of a document.
    fn items(&self, range: &Expr) -> u64 {
        match &range.node {
            ExprNode::List(items) => items.len() as u64,
            ExprNode::Map(entries) => entries.len() as u64,
            _ => self.bytes / 2,
        }
    }
}
