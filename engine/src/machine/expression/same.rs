//! Whether two trees say the same, wherever their parts stand in the text.

use super::syntax::{DocumentPath, Expr, ExprNode, Literal};

/// A tree, and the paths that it names by number.
type Side<'e> = (&'e Expr, &'e [DocumentPath]);

/// Recurses as deep as the tree, which the parser bounds.
pub(super) fn same(left: Side<'_>, right: Side<'_>) -> bool {
    let ((left, left_paths), (right, right_paths)) = (left, right);
    let path = |left: &u16, right: &u16| {
        left_paths[usize::from(*left)] == right_paths[usize::from(*right)]
    };
    let alike = match (&left.node, &right.node) {
        (ExprNode::Literal(left), ExprNode::Literal(right)) => literal(left, right),
        (ExprNode::Name(left), ExprNode::Name(right)) => left == right,
        (ExprNode::Path(left), ExprNode::Path(right))
        | (ExprNode::HasPath(left), ExprNode::HasPath(right)) => path(left, right),
        (ExprNode::Variable(left), ExprNode::Variable(right)) => left == right,
        (ExprNode::Select(_, left), ExprNode::Select(_, right))
        | (ExprNode::Has(_, left), ExprNode::Has(_, right)) => left == right,
        (ExprNode::Binary(left, _), ExprNode::Binary(right, _)) => left == right,
        (ExprNode::Call(left, _), ExprNode::Call(right, _)) => left == right,
        (ExprNode::Matches(_, left), ExprNode::Matches(_, right)) => left.text() == right.text(),
        (ExprNode::Loop(left, left_parts), ExprNode::Loop(right, right_parts)) => {
            // Which parts are there tells a `map` with a condition from one without.
            left == right
                && left_parts.condition.is_some() == right_parts.condition.is_some()
                && left_parts.result.is_some() == right_parts.result.is_some()
        }
        (ExprNode::Index(_), ExprNode::Index(_))
        | (ExprNode::List(_), ExprNode::List(_))
        | (ExprNode::Map(_), ExprNode::Map(_))
        | (ExprNode::Not(_), ExprNode::Not(_))
        | (ExprNode::Negate(_), ExprNode::Negate(_))
        | (ExprNode::And(_), ExprNode::And(_))
        | (ExprNode::Or(_), ExprNode::Or(_))
        | (ExprNode::If(_), ExprNode::If(_)) => true,
        _ => false,
    };
    if !alike {
        return false;
    }
    let (left, right) = (children(left), children(right));
    let mut pairs = left.iter().zip(&right);
    left.len() == right.len()
        && pairs.all(|(left, right)| same((left, left_paths), (right, right_paths)))
}

/// Not a number is itself here, and zero is not minus zero.
fn literal(left: &Literal, right: &Literal) -> bool {
    match (left, right) {
        (Literal::Double(left), Literal::Double(right)) => left.to_bits() == right.to_bits(),
        _ => left == right,
    }
}

fn children(expr: &Expr) -> Vec<&Expr> {
    let mut all = Vec::new();
    expr.node.children(&mut |child| all.push(child));
    all
}
