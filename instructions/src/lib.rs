//! How many instructions the steps take that every write passes. The gate compares them with what is recorded, because
//! they do not depend on how busy the machine is.
//!
//! Valgrind's callgrind counts them: it runs this program once for each step, and counts inside of
//! [`instructions_counted`] only. They do depend on the compiler, the C library and the kind of processor, which the
//! record names by the compiler's version and by a step that calls nothing of ours ([`steps::CALIBRATION`]). Where
//! either differs, nothing is compared.

pub mod record;
pub mod steps;
pub mod valgrind;

/// Repetitions that are counted together: an allocator does not take the same path each time.
pub const ROUNDS: u64 = 100;

/// What callgrind counts; its name is what callgrind looks for.
#[inline(never)]
pub fn instructions_counted(step: &mut dyn FnMut()) {
    for _ in 0..ROUNDS {
        step();
    }
}

/// Counts a step, after some repetitions that fill tables and resolve the C library's functions.
fn count(mut step: impl FnMut()) {
    for _ in 0..3 {
        step();
    }
    instructions_counted(&mut step);
}
