//! Building and printing JSON trees.

use std::fmt::Write;

use rstmdb_rcp::json::Json;

pub(crate) fn text(value: impl Into<String>) -> Json {
    Json::Text(value.into())
}

pub(crate) fn texts<S: Into<String>>(values: impl IntoIterator<Item = S>) -> Json {
    Json::List(values.into_iter().map(text).collect())
}

pub(crate) fn number(value: usize) -> Json {
    Json::Number(value.to_string().into())
}

pub(crate) fn object<K: Into<String>>(fields: impl IntoIterator<Item = (K, Json)>) -> Json {
    Json::Object(
        fields
            .into_iter()
            .map(|(key, value)| (key.into(), value))
            .collect(),
    )
}

/// What kind of value it is, for messages.
pub(crate) fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::Text(_) => "a string",
        Json::List(_) => "a list",
        Json::Object(_) => "an object",
    }
}

/// JSON for people: two spaces a level, short lists and objects on one line.
pub fn pretty(json: &Json) -> String {
    let mut out = String::new();
    write(json, 0, &mut out);
    out.push('\n');
    out
}

const LINE_CHARS_MAX: usize = 100;

fn write(json: &Json, level: usize, out: &mut String) {
    let one_line = json.to_string();
    let is_short = one_line.len() + 2 * level <= LINE_CHARS_MAX && level > 0;
    match json {
        Json::List(items) if !items.is_empty() && !is_short => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                begin(position, level, out);
                write(item, level + 1, out);
            }
            end(level, ']', out);
        }
        Json::Object(fields) if !fields.is_empty() && !is_short => {
            out.push('{');
            for (position, (key, value)) in fields.iter().enumerate() {
                begin(position, level, out);
                let _ = write!(out, "{}: ", text(key.as_str()));
                write(value, level + 1, out);
            }
            end(level, '}', out);
        }
        _ => spaced(json, out),
    }
}

fn begin(position: usize, level: usize, out: &mut String) {
    out.push_str(if position == 0 { "\n" } else { ",\n" });
    out.push_str(&"  ".repeat(level + 1));
}

fn end(level: usize, close: char, out: &mut String) {
    out.push('\n');
    out.push_str(&"  ".repeat(level));
    out.push(close);
}

/// On one line, with a space after `:` and `,`.
fn spaced(json: &Json, out: &mut String) {
    let mut separator = "";
    match json {
        Json::List(items) => {
            out.push('[');
            for item in items {
                out.push_str(separator);
                spaced(item, out);
                separator = ", ";
            }
            out.push(']');
        }
        Json::Object(fields) => {
            out.push('{');
            for (key, value) in fields {
                let _ = write!(out, "{separator}{}: ", text(key.as_str()));
                spaced(value, out);
                separator = ", ";
            }
            out.push('}');
        }
        scalar => {
            let _ = write!(out, "{scalar}");
        }
    }
}
