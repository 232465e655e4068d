//! Runs a program that must end without a signal, and returns its exit status and output.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;

/// How long such a process may take.
pub const END_TIMEOUT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// What it left behind.
#[derive(Debug)]
pub struct EndedProgram {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl EndedProgram {
    /// All it wrote.
    pub fn everything(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// Checks that this is a refusal to start with all of these texts on standard error. Returns the first fault.
    pub fn as_refusal(&self, says: &[&str]) -> Result<(), String> {
        if self.status.code() != Some(1) {
            return Err(format!("{}: {}", self.status, self.everything()));
        }
        match says.iter().find(|text| !self.err.contains(**text)) {
            Some(text) => Err(format!("no {text:?} in: {}", self.err)),
            None => Ok(()),
        }
    }
}

/// Runs a process that must end without a signal.
///
/// # Errors
/// When it cannot be run, or is still running after [`END_TIMEOUT`]; it is killed then.
pub fn run(command: &mut Command) -> Result<EndedProgram, Error> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::io(format!("{command:?}")))?;
    let ended = ends_within(&mut child, END_TIMEOUT)?;
    if !ended {
        child.kill().map_err(Error::io("SIGKILL"))?;
    }
    let output = child
        .wait_with_output()
        .map_err(Error::io(format!("{command:?}")))?;
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    if !ended {
        return Err(Error::StillRunning(err));
    }
    Ok(EndedProgram {
        status: output.status,
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err,
    })
}

/// Whether a process ends in this time.
///
/// # Errors
/// When the system does not say.
pub fn ends_within(child: &mut Child, timeout: Duration) -> Result<bool, Error> {
    let begun = Instant::now();
    while begun.elapsed() < timeout {
        let status = child.try_wait().map_err(Error::io("waiting for a process"));
        if status?.is_some() {
            return Ok(true);
        }
        thread::sleep(POLL_INTERVAL);
    }
    Ok(false)
}
