//! Any text as users' JSON: what is read is written back as JSON of the same value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rstmdb_rcp::json::Json;

fuzz_target!(|text: &str| {
    if let Ok(json) = Json::parse(text) {
        assert_eq!(Json::parse(&json.to_string()).expect("what is written parses"), json);
    }
});
