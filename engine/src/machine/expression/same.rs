//! Whether two trees say the same, wherever their parts stand in the text.

use super::syntax::{Expr, Literal, Node, Path};

/// A tree, and the paths that it names by number.
type Side<'e> = (&'e Expr, &'e [Path]);

/// Recurses as deep as the tree, which the parser bounds.
pub(super) fn same(left: Side<'_>, right: Side<'_>) -> bool {
    let ((left, left_paths), (right, right_paths)) = (left, right);
    let path = |left: &u16, right: &u16| {
        left_paths[usize::from(*left)] == right_paths[usize::from(*right)]
    };
    let alike = match (&left.node, &right.node) {
        (Node::Literal(left), Node::Literal(right)) => literal(left, right),
        (Node::Name(left), Node::Name(right)) => left == right,
        (Node::Path(left), Node::Path(right)) | (Node::HasPath(left), Node::HasPath(right)) => {
            path(left, right)
        }
        (Node::Variable(left), Node::Variable(right)) => left == right,
        (Node::Select(_, left), Node::Select(_, right))
        | (Node::Has(_, left), Node::Has(_, right)) => left == right,
        (Node::Binary(left, _), Node::Binary(right, _)) => left == right,
        (Node::Call(left, _), Node::Call(right, _)) => left == right,
        (Node::Matches(_, left), Node::Matches(_, right)) => left.text() == right.text(),
        (Node::Loop(left, left_parts), Node::Loop(right, right_parts)) => {
            // Which parts are there tells a `map` with a condition from one without.
            left == right
                && left_parts.condition.is_some() == right_parts.condition.is_some()
                && left_parts.result.is_some() == right_parts.result.is_some()
        }
        (Node::Index(_), Node::Index(_))
        | (Node::List(_), Node::List(_))
        | (Node::Map(_), Node::Map(_))
        | (Node::Not(_), Node::Not(_))
        | (Node::Negate(_), Node::Negate(_))
        | (Node::And(_), Node::And(_))
        | (Node::Or(_), Node::Or(_))
        | (Node::If(_), Node::If(_)) => true,
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
