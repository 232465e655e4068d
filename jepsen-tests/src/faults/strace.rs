//! Making single system calls of a node fail.

use std::process::Command;

use crate::process::program;

/// Whether strace works here.
///
/// # Errors
/// The reason why it does not.
pub fn can_trace() -> Result<(), String> {
    let mut strace = Command::new("strace");
    strace.args(["-D", "-f", "-o", "/dev/null", "true"]);
    match program::run(&mut strace) {
        Ok(ended) if ended.status.success() => Ok(()),
        Ok(ended) => Err(format!("strace cannot trace: {}", ended.everything())),
        Err(error) => Err(error.to_string()),
    }
}
