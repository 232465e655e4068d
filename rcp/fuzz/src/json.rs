//! Any text as users' JSON: what is read is written back as JSON of the same value.

use rstmdb_rcp::json::Json;

/// Panics when something does not hold.
pub fn take(data: &[u8]) {
    let text = data.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    if let Ok(json) = Json::parse(text) {
        assert_eq!(
            Json::parse(&json.to_string()).expect("what is written parses"),
            json
        );
    }
}
