//! A tree back to text that parses to the same tree.

use std::fmt::{Display, Formatter, Result};

use super::{Comparison, Expr, Operand};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Or(terms) => joined(f, terms, " || ", |term| matches!(term, Self::Or(_))),
            Self::And(terms) => joined(f, terms, " && ", |term| {
                matches!(term, Self::Or(_) | Self::And(_))
            }),
            Self::Not(inner) => {
                f.write_str("!")?;
                term(f, inner, matches!(**inner, Self::Or(_) | Self::And(_)))
            }
            Self::Compare(left, comparison, right) => write!(f, "{left} {comparison} {right}"),
            Self::Truthy(operand) => operand.fmt(f),
        }
    }
}

fn joined(
    f: &mut Formatter<'_>,
    terms: &[Expr],
    separator: &str,
    nested: impl Fn(&Expr) -> bool,
) -> Result {
    for (position, inner) in terms.iter().enumerate() {
        if position > 0 {
            f.write_str(separator)?;
        }
        term(f, inner, nested(inner))?;
    }
    Ok(())
}

fn term(f: &mut Formatter<'_>, inner: &Expr, in_parentheses: bool) -> Result {
    if in_parentheses {
        write!(f, "({inner})")
    } else {
        inner.fmt(f)
    }
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Path(names) => {
                f.write_str("ctx")?;
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
            Self::Literal(value) => value.fmt(f),
        }
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
