//! Counts the instructions of each step that every write passes, and compares the counts with the recorded ones.
//! Unlike times, counts do not depend on how busy the machine is.
//!
//! Valgrind's callgrind counts them: it runs this program once for each step, and counts only inside
//! [`instructions_counted`]. The counts depend on the compiler, the C library and the kind of processor. So the record
//! holds the compiler's version, and the count of a step that uses none of rstmdb's code ([`steps::CALIBRATION`]). If
//! either differs, nothing is compared.

pub mod record;
pub mod steps;
pub mod valgrind;

/// Repetitions that are counted together, because an allocator does not take the same path each time.
pub const ROUNDS: u64 = 100;

/// The function whose instructions callgrind counts. Callgrind finds it by its name.
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
