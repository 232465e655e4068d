//! A tree back to text that parses to the same tree.

use std::fmt::{Display, Formatter, Result};

use super::{Comparison, GuardExpr, Operand, OperandKind};

/// An expression of a guard, with the guard's text.
pub(super) struct Printed<'a>(pub(super) &'a str, pub(super) &'a GuardExpr);

impl Display for Printed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.1 {
            GuardExpr::Or(terms) => {
                self.joined(f, terms, " || ", |term| matches!(term, GuardExpr::Or(_)))
            }
            GuardExpr::And(terms) => self.joined(f, terms, " && ", |term| {
                matches!(term, GuardExpr::Or(_) | GuardExpr::And(_))
            }),
            GuardExpr::Not(inner) => {
                f.write_str("!")?;
                self.term(
                    f,
                    inner,
                    matches!(**inner, GuardExpr::Or(_) | GuardExpr::And(_)),
                )
            }
            GuardExpr::Compare(left, comparison, right) => {
                self.operand(f, *left)?;
                write!(f, " {comparison} ")?;
                self.operand(f, *right)
            }
            GuardExpr::Truthy(operand) => self.operand(f, *operand),
        }
    }
}

impl Printed<'_> {
    fn joined(
        &self,
        f: &mut Formatter<'_>,
        terms: &[GuardExpr],
        separator: &str,
        nested: impl Fn(&GuardExpr) -> bool,
    ) -> Result {
        for (position, inner) in terms.iter().enumerate() {
            if position > 0 {
                f.write_str(separator)?;
            }
            self.term(f, inner, nested(inner))?;
        }
        Ok(())
    }

    fn term(&self, f: &mut Formatter<'_>, inner: &GuardExpr, in_parentheses: bool) -> Result {
        let inner = Printed(self.0, inner);
        if in_parentheses {
            write!(f, "({inner})")
        } else {
            inner.fmt(f)
        }
    }

    fn operand(&self, f: &mut Formatter<'_>, operand: Operand) -> Result {
        if operand.kind == OperandKind::Path {
            f.write_str("ctx.")?;
        }
        f.write_str(operand.text(self.0))
    }
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        })
    }
}
