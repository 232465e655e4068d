#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| rstmdb_definitions_fuzz::mermaid(data));
