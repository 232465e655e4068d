#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| rstmdb_rcp_fuzz::json::take(data));
