//! One condition.

use rstmdb_engine::guard::{Tree, Value};

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

struct Text {
    text: String,
    bound: Bound,
}

impl Text {
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

pub(super) fn convert(tree: &Tree) -> Result<String, String> {
    condition(tree, true).map(|text| text.text)
}

/// `may_err`: this part may err, because an error then means the same as that the part does not hold.
fn condition(tree: &Tree, may_err: bool) -> Result<Text, String> {
    let joined = |terms: &[Tree], operator: &str, bound: Bound, inner: Bound| {
        let terms: Result<Vec<String>, String> = terms
            .iter()
            .map(|term| condition(term, may_err).map(|text| text.within(inner)))
            .collect();
        Ok(Text::new(terms?.join(operator), bound))
    };
    match tree {
        Tree::Or(terms) => joined(terms, " || ", Bound::Or, Bound::And),
        Tree::And(terms) => joined(terms, " && ", Bound::And, Bound::Compare),
        Tree::Not(inner) => {
            let inner = condition(inner, false)?.within(Bound::Unary);
            Ok(Text::new(format!("!{inner}"), Bound::Unary))
        }
        Tree::Truthy(value) => truthy(value),
        Tree::Compare(left, operator, right) => match operator.as_str() {
            "==" | "!=" => equality(left, operator, right, may_err),
            _ => order(left, operator, right, may_err),
        },
    }
}

fn truthy(value: &Value) -> Result<Text, String> {
    let constant = |holds: bool| Ok(Text::new(holds.to_string(), Bound::Unary));
    match value {
        Value::Null => constant(false),
        Value::Bool(value) => constant(*value),
        Value::Text(text) => constant(!text.is_empty()),
        Value::Number(text) => {
            let digits = text.split(['e', 'E']).next().unwrap_or_default();
            constant(digits.bytes().any(|b| matches!(b, b'1'..=b'9')))
        }
        Value::Path(_) => {
            let value = safe(value)?.text;
            Ok(Text::new(
                format!(
                    "[{value}].exists(v, type(v) == bool ? v : type(v) == null_type ? false : type(v) in [string, \
                     list, map] ? size(v) > 0 : v != 0)"
                ),
                Bound::Unary,
            ))
        }
    }
}

fn equality(left: &Value, operator: &str, right: &Value, may_err: bool) -> Result<Text, String> {
    let is_path = |value: &Value| matches!(value, Value::Path(_));
    let is_null = |value: &Value| matches!(value, Value::Null);
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
    Ok(Text::new(
        format!("{left} {operator} {right}"),
        Bound::Compare,
    ))
}

fn order(left: &Value, operator: &str, right: &Value, may_err: bool) -> Result<Text, String> {
    let never = |value: &Value| matches!(value, Value::Null | Value::Bool(_));
    let mixed = matches!(
        (left, right),
        (Value::Number(_), Value::Text(_)) | (Value::Text(_), Value::Number(_))
    );
    if never(left) || never(right) || mixed {
        return Ok(Text::new("false", Bound::Unary));
    }
    let paths = [left, right].map(|value| matches!(value, Value::Path(_)));
    if may_err && paths != [true, true] {
        let [left, right] = [plain(left)?, plain(right)?].map(|text| text.within(Bound::Unary));
        return Ok(Text::new(
            format!("{left} {operator} {right}"),
            Bound::Compare,
        ));
    }
    let (left, right) = (safe(left)?.text, safe(right)?.text);
    Ok(Text::new(
        format!(
            "[{left}].exists(l, [{right}].exists(r, (type(l) == string && type(r) == string || type(l) in [int, \
             double] && type(r) in [int, double]) && l {operator} r))"
        ),
        Bound::Unary,
    ))
}

/// A value, where an error is the same as a value that is missing.
fn plain(value: &Value) -> Result<Text, String> {
    let Value::Path(names) = value else {
        return literal(value);
    };
    let Some((last, before)) = names.split_last().filter(|(last, _)| *last == "length") else {
        return Ok(Text::new(cel::path("ctx", names), Bound::Unary));
    };
    if before.is_empty() {
        return Ok(Text::new(cel::path("ctx", names), Bound::Unary));
    }
    let list = cel::path("ctx", before);
    let field = cel::field(&list, last);
    Ok(Text::new(
        format!("type({list}) == list ? size({list}) : {field}"),
        Bound::Ternary,
    ))
}

/// A value that is null if it is missing, and never an error.
fn safe(value: &Value) -> Result<Text, String> {
    let Value::Path(names) = value else {
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
    Ok(Text::new(text, Bound::Ternary))
}

fn literal(value: &Value) -> Result<Text, String> {
    let text = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Text(text) => cel::quoted(text),
        Value::Number(text) => match cel::number(text) {
            Some(number) => number,
            None => {
                return Err(format!(
                    "the number {text} is compared exactly in format 1; format 2 has integers of 64 bits and doubles"
                ));
            }
        },
        Value::Path(names) => cel::path("ctx", names),
    };
    let bound = match text.starts_with('-') {
        true => Bound::Compare,
        false => Bound::Unary,
    };
    Ok(Text::new(text, bound))
}
