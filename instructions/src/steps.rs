//! The steps that are counted.

mod engine;
mod log;
mod rcp;

use std::hint::black_box;

use crate::count;

/// The step that counts the machine: allocating, copying and checksums.
pub const CALIBRATION: &str = "calibration";

/// A step's name, and what sets it up and counts it.
type Step = (&'static str, fn());

/// All steps.
pub const STEPS: [Step; 18] = [
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
    ("records_encode_300_b", log::records_small),
    ("records_encode_10_kb", log::records_large),
];

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
