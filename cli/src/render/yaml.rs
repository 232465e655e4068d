//! JSON as YAML, for people who read and for programs that take YAML.
//!
//! Written here and not by a library: a number keeps the digits that the server has sent, keys keep their order, and
//! what could steer a terminal is escaped.

use rstmdb_rcp::json::Json;
use rstmdb_rcp::text::is_hidden;

/// Words that some readers of YAML take for something else than a text.
const WORDS_WITH_A_MEANING: &[&str] = &[
    "null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity",
];

/// One document, without a line that begins it.
pub fn document(value: &Json) -> String {
    let mut text = String::new();
    match value {
        Json::Object(fields) if !fields.is_empty() => object(fields, 0, &mut text),
        Json::List(items) if !items.is_empty() => list(items, 0, &mut text),
        scalar => {
            put_scalar(scalar, &mut text);
            text.push('\n');
        }
    }
    text
}

/// Lines of an object. The first one is not indented: it stands behind what is there already.
fn object(fields: &[(String, Json)], depth: usize, text: &mut String) {
    for (at, (name, value)) in fields.iter().enumerate() {
        if at > 0 {
            indent(depth, text);
        }
        put_text(name, text);
        text.push(':');
        match value {
            Json::Object(fields) if !fields.is_empty() => {
                text.push('\n');
                indent(depth + 1, text);
                object(fields, depth + 1, text);
            }
            Json::List(items) if !items.is_empty() => {
                text.push('\n');
                indent(depth + 1, text);
                list(items, depth + 1, text);
            }
            scalar => {
                text.push(' ');
                put_scalar(scalar, text);
                text.push('\n');
            }
        }
    }
}

fn list(items: &[Json], depth: usize, text: &mut String) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            indent(depth, text);
        }
        text.push_str("- ");
        match item {
            Json::Object(fields) if !fields.is_empty() => object(fields, depth + 1, text),
            Json::List(items) if !items.is_empty() => list(items, depth + 1, text),
            scalar => {
                put_scalar(scalar, text);
                text.push('\n');
            }
        }
    }
}

fn indent(depth: usize, text: &mut String) {
    text.extend(std::iter::repeat_n("  ", depth));
}

/// A scalar, or an object or list that is empty.
fn put_scalar(value: &Json, text: &mut String) {
    match value {
        Json::Text(said) => put_text(said, text),
        value => text.push_str(&value.to_string()),
    }
}

fn put_text(said: &str, text: &mut String) {
    if is_plain(said) {
        text.push_str(said);
        return;
    }
    text.push('"');
    for c in said.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            // A byte order mark and the separators of lines have a meaning of their own between quotes.
            c if is_hidden(c)
                || c.is_control()
                || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}') =>
            {
                text.push_str(&format!("\\U{:08x}", u32::from(c)));
            }
            c => text.push(c),
        }
    }
    text.push('"');
}

/// Whether every reader takes it for this text without quotes.
fn is_plain(said: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ' ');
    said.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && !said.ends_with(' ')
        && said.chars().all(allowed)
        && !WORDS_WITH_A_MEANING.contains(&said.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn objects_and_lists_are_indented() {
        let json = r#"{"instances":[{"id":"o-1","ctx":{"sum":1.50,"tags":["a",[1,2],{}]}},7],"none":[],"total":12345678901234567890123}"#;
        let expected = "\
instances:
  - id: o-1
    ctx:
      sum: 1.50
      tags:
        - a
        - - 1
          - 2
        - {}
  - 7
none: []
total: 12345678901234567890123
";
        assert_eq!(document(&Json::parse(json).unwrap()), expected);
    }

    #[test]
    fn a_text_is_never_taken_for_something_else() {
        for said in [
            "",
            " ",
            "null",
            "Yes",
            "on",
            "1",
            "-1",
            "1e3",
            "0x1f",
            "~",
            "-",
            "- a",
            "a: b",
            "a:",
            "#",
            "a #b",
            "[a]",
            "{a",
            "&a",
            "*a",
            "!a",
            "|",
            ">",
            "%a",
            "@a",
            "`a",
            "'a'",
            "\"a\"",
            "a\\b",
            "a\nb",
            "a\tb",
            "a ",
            ".5",
            ".nan",
            "2026-01-01",
            "12:30",
            "größe",
            "\u{1b}[2J",
            "\u{2028}",
            "\u{feff}x",
            "a\r",
            "---",
            "...",
            "\u{85}",
            "=",
            "<<",
            "?",
            "? a",
            "plain words",
            "a.b/c-d_e",
        ] {
            let whole = Json::Object(vec![(said.to_owned(), Json::Text(said.to_owned()))]);
            let yaml = document(&whole);
            let read: serde_json::Value = serde_saphyr::from_str(&yaml)
                .unwrap_or_else(|error| panic!("{said:?}: {error}\n{yaml}"));
            assert_eq!(read, serde_json::json!({ said: said }), "{yaml}");
            assert!(!yaml.contains('\u{1b}'), "{yaml}");
        }
    }

    #[test]
    fn a_value_that_is_no_object_is_a_document_too() {
        assert_eq!(document(&Json::Null), "null\n");
        assert_eq!(document(&Json::Text("yes".to_owned())), "\"yes\"\n");
        assert_eq!(document(&Json::List(vec![Json::Bool(true)])), "- true\n");
    }
}
