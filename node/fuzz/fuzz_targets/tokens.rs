//! Any bytes as the file of auth.tokens_file: it is read or refused, and nothing that may be a token is shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rstmdb::server::tokens_fuzzing;

fuzz_target!(|data: &[u8]| tokens_fuzzing::take(data));
