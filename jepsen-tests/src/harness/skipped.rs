//! Reports tests that cannot be run on this machine.

use std::fmt::Display;
use std::io::Write;

/// Says why the running test is skipped, past the test harness: what a passing test prints, it shows to nobody.
pub fn skipped(reason: impl Display) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Nobody to tell is no reason to fail.
    let _ = writeln!(std::io::stderr().lock(), "{test}: skipped: {reason}");
}
