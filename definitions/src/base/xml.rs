//! Text inside XML.

/// The namespace of elements that SCXML does not have: `merge` and `unset`.
pub(crate) const NAMESPACE: &str = "urn:rstmdb";

/// What stands in the place of a character that XML cannot hold.
pub(crate) const REPLACED: char = '\u{fffd}';

/// Escapes what has a meaning in XML, and replaces what XML cannot hold.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' | '\r' => escaped.push_str(&format!("&#{};", u32::from(c))),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push(REPLACED),
            c => escaped.push(c),
        }
    }
    escaped
}
