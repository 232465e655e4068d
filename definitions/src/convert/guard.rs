//! One condition.

use rstmdb_engine::guard::{GuardTree, TreeValue};

use crate::base::cel;

/// How strongly the parts of an expression are bound, for parentheses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Bound {
    Ternary,
    Or,
    And,
    Compare,
    Unary,
}

struct ConvertedGuard {
    text: String,
    bound: Bound,
}

impl ConvertedGuard {
    fn new(text: impl Into<String>, bound: Bound) -> Self {
        Self {
            text: text.into(),
            bound,
        }
    }

    fn within(self, bound: Bound) -> String {
        match self.bound < bound {
            true => format!("({})", self.text),
            false => self.text,
        }
    }
}

pub(super) fn convert(tree: &GuardTree) -> Result<String, String> {
    condition(tree, true).map(|text| text.text)
}

/// `may_err`: this part may err, because an error then means the same as that the part does not hold.
fn condition(tree: &GuardTree, may_err: bool) -> Result<ConvertedGuard, String> {
    let joined = |terms: &[GuardTree], operator: &str, bound: Bound, inner: Bound| {
        let terms: Result<Vec<String>, String> = terms
            .iter()
            .map(|term| condition(term, may_err).map(|text| text.within(inner)))
            .collect();
        Ok(ConvertedGuard::new(terms?.join(operator), bound))
    };
    match tree {
        GuardTree::Or(terms) => joined(terms, " || ", Bound::Or, Bound::And),
        GuardTree::And(terms) => joined(terms, " && ", Bound::And, Bound::Compare),
        GuardTree::Not(inner) => {
            let inner = condition(inner, false)?.within(Bound::Unary);
            Ok(ConvertedGuard::new(format!("!{inner}"), Bound::Unary))
        }
        GuardTree::Truthy(value) => truthy(value),
        GuardTree::Compare(left, operator, right) => match operator.as_str() {
            "==" | "!=" => equality(left, operator, right, may_err),
            _ => order(left, operator, right, may_err),
        },
    }
}

fn truthy(value: &TreeValue) -> Result<ConvertedGuard, String> {
    let constant = |holds: bool| Ok(ConvertedGuard::new(holds.to_string(), Bound::Unary));
    match value {
        TreeValue::Null => constant(false),
        TreeValue::Bool(value) => constant(*value),
        TreeValue::Text(text) => constant(!text.is_empty()),
        TreeValue::Number(text) => {
            let digits = text.split(['e', 'E']).next().unwrap_or_default();
            constant(digits.bytes().any(|b| matches!(b, b'1'..=b'9')))
        }
        TreeValue::Path(_) => {
            let value = safe(value)?.text;
            Ok(ConvertedGuard::new(
                format!(
                    "[{value}].exists(v, type(v) == bool ? v : type(v) == null_type ? false : type(v) in [string, \
                     list, map] ? size(v) > 0 : v != 0)"
                ),
                Bound::Unary,
            ))
        }
    }
}

fn equality(
    left: &TreeValue,
    operator: &str,
    right: &TreeValue,
    may_err: bool,
) -> Result<ConvertedGuard, String> {
    let is_path = |value: &TreeValue| matches!(value, TreeValue::Path(_));
    let is_null = |value: &TreeValue| matches!(value, TreeValue::Null);
    // A missing value equals nothing but null.
    let short = may_err
        && operator == "=="
        && is_path(left) != is_path(right)
        && !is_null(left)
        && !is_null(right);
    let (left, right) = match short {
        true => (plain(left)?, plain(right)?),
        false => (safe(left)?, safe(right)?),
    };
    let [left, right] = [left, right].map(|text| text.within(Bound::Unary));
    Ok(ConvertedGuard::new(
        format!("{left} {operator} {right}"),
        Bound::Compare,
    ))
}

fn order(
    left: &TreeValue,
    operator: &str,
    right: &TreeValue,
    may_err: bool,
) -> Result<ConvertedGuard, String> {
    let never = |value: &TreeValue| matches!(value, TreeValue::Null | TreeValue::Bool(_));
    let mixed = matches!(
        (left, right),
        (TreeValue::Number(_), TreeValue::Text(_)) | (TreeValue::Text(_), TreeValue::Number(_))
    );
    if never(left) || never(right) || mixed {
        return Ok(ConvertedGuard::new("false", Bound::Unary));
    }
    let paths = [left, right].map(|value| matches!(value, TreeValue::Path(_)));
    if may_err && paths != [true, true] {
        let [left, right] = [plain(left)?, plain(right)?].map(|text| text.within(Bound::Unary));
        return Ok(ConvertedGuard::new(
            format!("{left} {operator} {right}"),
            Bound::Compare,
        ));
    }
    let (left, right) = (safe(left)?.text, safe(right)?.text);
    Ok(ConvertedGuard::new(
        format!(
            "[{left}].exists(l, [{right}].exists(r, (type(l) == string && type(r) == string || type(l) in [int, \
             double] && type(r) in [int, double]) && l {operator} r))"
        ),
        Bound::Unary,
    ))
}

/// A value, where an error is the same as a value that is missing.
fn plain(value: &TreeValue) -> Result<ConvertedGuard, String> {
    let TreeValue::Path(names) = value else {
        return literal(value);
    };
    let Some((last, before)) = names.split_last().filter(|(last, _)| *last == "length") else {
        return Ok(ConvertedGuard::new(cel::path("ctx", names), Bound::Unary));
    };
    if before.is_empty() {
        return Ok(ConvertedGuard::new(cel::path("ctx", names), Bound::Unary));
    }
    let list = cel::path("ctx", before);
    let field = cel::field(&list, last);
    Ok(ConvertedGuard::new(
        format!("type({list}) == list ? size({list}) : {field}"),
        Bound::Ternary,
    ))
}

/// A value that is null if it is missing, and never an error.
fn safe(value: &TreeValue) -> Result<ConvertedGuard, String> {
    let TreeValue::Path(names) = value else {
        return literal(value);
    };
    let (last, before) = match names.split_last() {
        Some(split) => split,
        None => return Err("a path without names".to_owned()),
    };
    let mut there = Vec::new();
    let mut of = "ctx".to_owned();
    for name in before {
        there.push(cel::has(&of, name));
        of = cel::field(&of, name);
        there.push(format!("type({of}) == map"));
    }
    let lists = (last == "length" && !before.is_empty()).then(|| {
        let mut there = there.clone();
        there.pop();
        there.push(format!("type({of}) == list"));
        format!("{} ? size({of}) : ", there.join(" && "))
    });
    there.push(cel::has(&of, last));
    let text = format!(
        "{}{} ? {} : null",
        lists.unwrap_or_default(),
        there.join(" && "),
        cel::field(&of, last)
    );
    Ok(ConvertedGuard::new(text, Bound::Ternary))
}

fn literal(value: &TreeValue) -> Result<ConvertedGuard, String> {
    let text = match value {
        TreeValue::Null => "null".to_owned(),
        TreeValue::Bool(value) => value.to_string(),
        TreeValue::Text(text) => cel::quoted(text),
        TreeValue::Number(text) => match cel::number(text) {
            Some(number) => number,
            None => {
                return Err(format!(
                    "the number {text} is compared exactly in format 1; format 2 has integers of 64 bits and doubles"
                ));
            }
        },
        TreeValue::Path(names) => cel::path("ctx", names),
    };
    let bound = match text.starts_with('-') {
        true => Bound::Compare,
        false => Bound::Unary,
    };
    Ok(ConvertedGuard::new(text, bound))
}
