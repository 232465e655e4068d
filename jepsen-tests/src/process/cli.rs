//! Runs `rstmdb-cli`.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::binaries;
use crate::Error;

/// The command line, pointed at one server.
#[derive(Debug, Clone)]
pub struct Cli {
    server: String,
}

/// What a command left behind.
#[derive(Debug, Clone)]
pub struct Finished {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Cli {
    /// Points at this server.
    pub fn new(server: SocketAddr) -> Self {
        Self {
            server: server.to_string(),
        }
    }

    /// The command with these arguments, not yet started.
    ///
    /// # Errors
    /// When there is no binary.
    pub fn command(&self, args: &[&str]) -> Result<Command, Error> {
        let mut command = Command::new(binaries::cli()?);
        command
            .args(args)
            .env("RSTMDB_SERVER", &self.server)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(command)
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, args: &[&str]) -> Result<Finished, Error> {
        let output = self
            .command(args)?
            .output()
            .map_err(Error::io("rstmdb-cli"))?;
        Ok(finished(output))
    }

    /// Starts a command.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self, args: &[&str]) -> Result<Child, Error> {
        self.command(args)?.spawn().map_err(Error::io("rstmdb-cli"))
    }

    /// Runs a command that has to succeed; its output as JSON.
    ///
    /// # Errors
    /// When it does not succeed or prints something else.
    pub fn json(&self, args: &[&str]) -> Result<Value, Error> {
        let done = self.run(args)?;
        if done.code != Some(0) {
            return Err(Error::Protocol(format!("{args:?}: {done:?}")));
        }
        rstmdb_rcp::json::value(&done.out)
            .map_err(|error| Error::Protocol(format!("{args:?}: {error}: {}", done.out)))
    }
}

/// Waits for a command that was started.
///
/// # Errors
/// When it cannot be waited for.
pub fn wait(child: Child) -> Result<Finished, Error> {
    child
        .wait_with_output()
        .map(finished)
        .map_err(Error::io("rstmdb-cli"))
}

fn finished(output: std::process::Output) -> Finished {
    Finished {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
