//! `EVENT [condition] / action, action`. An action is `path = value`, `unset path`, or a name that is emitted.

use crate::model::Act;

/// The event, which may be empty, and what is done.
pub(super) fn read(text: &str) -> (String, Act) {
    let mut act = Act::default();
    let (rest, condition, actions) = parts(text);
    if let Some(condition) = condition {
        act.guard = Some(decoded(condition.trim()));
    }
    for action in actions.split(',').map(str::trim) {
        // Codes are read last: `a#32;= b` is a name.
        match (action.split_once(" = "), action.strip_prefix("unset ")) {
            _ if action.is_empty() => {}
            (Some((path, value)), _) => {
                let set = (decoded(path.trim()), decoded(value.trim()));
                act.set.push(set);
            }
            (None, Some(path)) => act.unset.push(decoded(path.trim())),
            (None, None) => act.emit.push(decoded(action)),
        }
    }
    (decoded(rest.trim()), act)
}

/// The event, the text in the outer brackets, and what stands behind `/`.
fn parts(text: &str) -> (&str, Option<&str>, &str) {
    let Some(open) = text.find('[') else {
        return match text.split_once(" / ") {
            Some((event, actions)) => (event, None, actions),
            None => match text.strip_prefix("/ ") {
                Some(actions) => ("", None, actions),
                None => (text, None, ""),
            },
        };
    };
    let mut depth = 0_usize;
    for (at, c) in text[open..].char_indices() {
        match c {
            '[' => depth += 1,
            ']' => {
                depth -= 1;
                if depth == 0 {
                    let close = open + at;
                    let actions = text[close + 1..].trim_start();
                    let actions = actions.strip_prefix('/').unwrap_or(actions);
                    return (&text[..open], Some(&text[open + 1..close]), actions);
                }
            }
            _ => {}
        }
    }
    (text, None, "")
}

const CODE_CHARS_MAX: usize = 8;

/// Mermaid's own codes for characters: `#35;`, `#quot;`.
pub(super) fn decoded(text: &str) -> String {
    let text = text.replace("<br/>", " ").replace("<br>", " ");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find('#') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let code = rest
            .find(';')
            .filter(|end| *end <= CODE_CHARS_MAX)
            .map(|end| &rest[..end]);
        let character = code.and_then(|code| match code {
            "quot" => Some('"'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            digits => digits.parse().ok().and_then(char::from_u32),
        });
        match (character, code) {
            (Some(character), Some(code)) => {
                out.push(character);
                rest = &rest[code.len() + 1..];
            }
            _ => out.push('#'),
        }
    }
    out.push_str(rest);
    out
}
