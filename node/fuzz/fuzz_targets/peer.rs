//! Any bytes as each message that another node can send: decoded, converted and judged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rstmdb::server::peer::fuzzing;

fuzz_target!(|data: &[u8]| fuzzing::take(data));
