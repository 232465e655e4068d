//! The steps that are counted.

mod engine;
mod log;
mod rcp;

use std::hint::black_box;

use crate::count;

/// The step that counts the machine: allocating, copying and checksums.
pub const CALIBRATION: &str = "calibration";

/// A step's name, and what sets it up and counts it.
type CountedStep = (&'static str, fn());

/// All steps.
pub const STEPS: [CountedStep; 20] = [
    (CALIBRATION, calibration),
    ("frame_decode", rcp::frame_decode),
    ("request_parse", rcp::request_parse),
    ("params_read", rcp::params_read),
    ("decide_100_b", engine::decide_small),
    ("decide_100_b_guard", engine::decide_small_guarded),
    ("decide_100_b_key", engine::decide_small_keyed),
    ("decide_10_kb", engine::decide_large),
    ("decide_10_kb_guard", engine::decide_large_guarded),
    ("overlay_100_b", engine::overlay),
    ("fact_encode_100_b", engine::fact_encode_small),
    ("fact_encode_10_kb", engine::fact_encode_large),
    ("fact_decode_100_b", engine::fact_decode_small),
    ("fact_decode_10_kb", engine::fact_decode_large),
    ("apply_100_b", engine::apply_small),
    ("apply_10_kb", engine::apply_large),
    ("chain_100_b", engine::chain_small),
    ("chain_10_kb", engine::chain_large),
    ("records_encode_300_b", log::records_small),
    ("records_encode_10_kb", log::records_large),
];

/// The steps of one event on a context of 100 bytes that is written by the node that leads, but for the one that writes
/// [`LOG_ENTRIES`] of them.
pub const EVENT: [&str; 7] = [
    "frame_decode",
    "request_parse",
    "params_read",
    "decide_100_b",
    "overlay_100_b",
    "fact_encode_100_b",
    "apply_100_b",
];
/// The step that writes the records of several such events.
pub const LOG: &str = "records_encode_300_b";
/// How many.
pub use log::ENTRIES as LOG_ENTRIES;
/// What the chain adds to such an event.
pub const CHAIN: &str = "chain_100_b";

/// Runs the step of this name; false without one.
pub fn run(name: &str) -> bool {
    let step = STEPS.iter().find(|(step, _)| *step == name);
    step.map(|(_, run)| run()).is_some()
}

fn calibration() {
    let bytes = vec![7_u8; 10 << 10];
    count(|| {
        for size in [16, 100, 1000, bytes.len()] {
            let copy = black_box(&bytes)[..size].to_vec();
            black_box(crc32c::crc32c(&copy));
        }
    });
}
