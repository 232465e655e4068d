//! The rules of a choice.

use rstmdb_rcp::json::Json;

use super::AslReader;
use crate::base::cel;

/// The names of a path like `$.order.total`; `None` if the path is more than names.
pub(super) fn names(path: &str) -> Option<Vec<String>> {
    let inside = path.strip_prefix("$.")?;
    let names: Vec<String> = inside.split('.').map(str::to_owned).collect();
    let plain = |name: &String| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
    };
    names.iter().all(plain).then_some(names)
}

impl AslReader<'_> {
    /// The condition of a rule; none after a refusal.
    pub(super) fn rule(&mut self, json: &Json, place: &str) -> Option<String> {
        if json.get("Condition").is_some() || self.is_jsonata {
            let text = "a condition in JSONata has no equal; write it as a guard";
            self.findings.refuse(format!("{place}.Condition"), text);
            return None;
        }
        for (key, value) in json.fields() {
            let operator = match key.as_str() {
                "And" => " && ",
                "Or" => " || ",
                "Not" => {
                    let inner = self.rule(value, &format!("{place}.Not"))?;
                    return Some(format!("!({inner})"));
                }
                _ => continue,
            };
            let mut terms = Vec::new();
            for (at, item) in value.items().iter().enumerate() {
                let term = self.rule(item, &format!("{place}.{key}[{at}]"));
                terms.extend(term.map(|term| format!("({term})")));
            }
            return (!terms.is_empty()).then(|| terms.join(operator));
        }
        let variable = json["Variable"].as_str().unwrap_or_default();
        let Some(names) = names(variable) else {
            let text = format!("{variable:?} is not a path of names like $.order.total");
            self.findings.refuse(format!("{place}.Variable"), text);
            return None;
        };
        let not_these = ["Variable", "Next", "Comment"];
        let test = json
            .fields()
            .iter()
            .find(|(key, _)| !not_these.contains(&key.as_str()));
        let Some((key, value)) = test else {
            self.findings.refuse(place, "has no comparison");
            return None;
        };
        let at = format!("{place}.{key}");
        let found = comparison(&names, key, value);
        if found.is_none() {
            self.findings
                .refuse(at, format!("{key} {value} has no equal"));
        }
        found
    }
}

fn comparison(names: &[String], key: &str, value: &Json) -> Option<String> {
    let of = cel::path("ctx", names);
    let is = |holds: &Json, test: String| match holds {
        Json::Bool(true) => Some(test),
        Json::Bool(false) => Some(format!("!({test})")),
        _ => None,
    };
    match key {
        "IsPresent" => return is(value, present(names)),
        "IsNull" => return is(value, format!("{of} == null")),
        "IsString" => return is(value, format!("type({of}) == string")),
        "IsBoolean" => return is(value, format!("type({of}) == bool")),
        "IsNumeric" => return is(value, format!("type({of}) in [int, double]")),
        "StringMatches" => {
            return Some(format!(
                "{of}.matches({})",
                cel::quoted(&pattern(value.as_str()?))
            ));
        }
        _ => {}
    }
    let (key, other) = match key.strip_suffix("Path") {
        Some(key) => (key, cel::path("ctx", &self::names(value.as_str()?)?)),
        None => (key, cel::literal(value)?),
    };
    let kinds = ["String", "Numeric", "Boolean", "Timestamp"];
    let kind = kinds.into_iter().find(|kind| key.starts_with(kind))?;
    let operator = match &key[kind.len()..] {
        "Equals" => "==",
        "LessThan" => "<",
        "LessThanEquals" => "<=",
        "GreaterThan" => ">",
        "GreaterThanEquals" => ">=",
        _ => return None,
    };
    Some(match kind {
        "Timestamp" => format!("timestamp({of}) {operator} timestamp({other})"),
        _ => format!("{of} {operator} {other}"),
    })
}

fn present(names: &[String]) -> String {
    let mut of = "ctx".to_owned();
    let mut all = Vec::new();
    for name in names {
        all.push(cel::has(&of, name));
        of = cel::field(&of, name);
    }
    all.join(" && ")
}

/// `*` stands for any characters, `\\*` for itself.
fn pattern(glob: &str) -> String {
    let mut out = String::from("^");
    let mut chars = glob.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str("(?s:.*)"),
            '\\' => {
                if let Some(next) = chars.next() {
                    push_literal(next, &mut out);
                }
            }
            c => push_literal(c, &mut out),
        }
    }
    out.push('$');
    out
}

fn push_literal(c: char, out: &mut String) {
    if "\\.+*?()|[]{}^$".contains(c) {
        out.push('\\');
    }
    out.push(c);
}
