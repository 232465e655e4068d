//! Reports tests that cannot be run on this machine.

use std::fmt::Display;
use std::io::Write;

/// Prints why the running test is skipped, past the test harness, which hides the output of tests that pass.
pub fn skipped(reason: impl Display) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Ignore a closed standard error.
    let _ = writeln!(std::io::stderr().lock(), "{test}: skipped: {reason}");
}

/// What a test needs, if this machine has it; if not, prints that the running test is skipped.
pub fn or_skipped<T>(needed: Result<T, impl Display>) -> Option<T> {
    needed.inspect_err(|reason| skipped(reason)).ok()
}
