//! Any text as a schema, up to a line end, and what follows as a document that is checked.

/// Panics when something does not hold.
pub fn take(data: &[u8]) {
    let at = data
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(data.len());
    let (schema, document) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    let mut text = br#"{"format":2,"initial":"a","states":["a"],"transitions":[{"from":"a","event":"E","to":"a"}],"events":{"E":{"schema":"#.to_vec();
    text.extend_from_slice(schema);
    text.extend_from_slice(br#"}},"context":{"schema":"#);
    text.extend_from_slice(schema);
    text.extend_from_slice(br#","default":"#);
    text.extend_from_slice(if document.is_empty() { b"{}" } else { document });
    text.extend_from_slice(b"}}");
    super::machine::take(&text);
}
