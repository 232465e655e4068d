//! Writing expressions of format 2.

use rstmdb_rcp::json::Json;

/// Words that cannot be a name behind a dot.
const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// Whether a name can stand behind a dot.
pub(crate) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') && !RESERVED.contains(&name)
}

/// A string in quotes.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\'' => out.push_str("\\'"),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// A field of a value.
pub(crate) fn field(of: &str, name: &str) -> String {
    match is_name(name) {
        true => format!("{of}.{name}"),
        false => format!("{of}[{}]", quoted(name)),
    }
}

/// A path below a name such as `ctx`.
pub(crate) fn path<S: AsRef<str>>(root: &str, names: &[S]) -> String {
    let names = names.iter();
    names.fold(root.to_owned(), |of, name| field(&of, name.as_ref()))
}

/// Whether a value that is a map has a field.
pub(crate) fn has(of: &str, name: &str) -> String {
    match is_name(name) {
        true => format!("has({of}.{name})"),
        false => format!("{} in {of}", quoted(name)),
    }
}

/// A number of JSON as a literal; none where it would be another number.
pub(crate) fn number(text: &str) -> Option<String> {
    const DIGITS_EXACT: usize = 15;
    if text.parse::<i64>().is_ok() {
        return Some(text.to_owned());
    }
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits = mantissa.chars().filter(char::is_ascii_digit);
    let significant = digits.skip_while(|digit| *digit == '0').count();
    let value: f64 = text.parse().ok()?;
    let is_exact =
        significant <= DIGITS_EXACT && value.is_finite() && (value != 0.0 || significant == 0);
    is_exact.then(|| match text.contains(['.', 'e', 'E']) {
        true => text.to_owned(),
        false => format!("{text}.0"),
    })
}

/// A value of JSON as a literal; none where it holds a number that would be another one.
pub(crate) fn literal(json: &Json) -> Option<String> {
    Some(match json {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(text) => number(text)?,
        Json::Text(text) => quoted(text),
        Json::List(items) => {
            let items: Option<Vec<String>> = items.iter().map(literal).collect();
            format!("[{}]", items?.join(", "))
        }
        Json::Object(fields) => {
            let fields: Option<Vec<String>> = fields
                .iter()
                .map(|(key, value)| Some(format!("{}: {}", quoted(key), literal(value)?)))
                .collect();
            format!("{{{}}}", fields?.join(", "))
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_that_are_not_identifiers_are_put_in_brackets() {
        assert_eq!(path("ctx", &["a", "b-c", "in"]), "ctx.a['b-c']['in']");
        assert_eq!(has("ctx", "a"), "has(ctx.a)");
        assert_eq!(has("ctx", "it's"), "'it\\'s' in ctx");
    }

    #[test]
    fn numbers_that_would_change_are_no_literals() {
        for (text, literal) in [
            ("12", Some("12")),
            ("-1.5", Some("-1.5")),
            ("1e3", Some("1e3")),
            ("9223372036854775808", None),
            ("10000000000000000000", None),
            ("0.1234567890123456789", None),
            ("1e-999", None),
        ] {
            assert_eq!(number(text).as_deref(), literal, "{text}");
        }
        let json = Json::parse(r#"{"a":[1,"x'y",null,true]}"#).unwrap();
        assert_eq!(literal(&json).unwrap(), r"{'a': [1, 'x\'y', null, true]}");
    }
}
