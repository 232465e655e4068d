//! Any bytes as a request of HTTP: its path, query, headers and body, up to the parameters of an operation.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rstmdb::server::http_fuzzing;

fuzz_target!(|data: &[u8]| http_fuzzing::take(data));
