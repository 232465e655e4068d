//! One node as a process.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rstmdb::planted;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;

use super::config::{self, NodeConfig};
use super::{binaries, ports};
use crate::Error;
use crate::rcp::raw;

/// How long a node may take until it serves.
pub const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a node may take to end after SIGTERM.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval between checks for readiness, and for the end of a process.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// When set, the folder of a node of a failing test is kept.
const KEEP_VARIABLE: &str = "RSTMDB_KEEP";
/// How much of the log is shown when something goes wrong.
const TAIL_LINES: usize = 12;

/// A node with a folder and ports of its own, which survive its kills and restarts. Dropping it kills
/// the process and removes the folder; if the test is failing, the end of the log is printed first.
#[derive(Debug)]
pub struct Node {
    name: String,
    folder: TempDir,
    rcp_port: u16,
    admin_addr: SocketAddr,
    child: Option<Child>,
}

impl Node {
    /// Writes the configuration and starts the node, without waiting for it.
    ///
    /// # Errors
    /// When there is no binary, no port or no room.
    pub fn spawn(config: &NodeConfig) -> Result<Self, Error> {
        let mut node = Self::prepare(config)?;
        node.launch()?;
        Ok(node)
    }

    /// Starts a node and waits until it serves.
    ///
    /// # Errors
    /// As [`Self::spawn`], and when it does not serve in time.
    pub fn start(config: &NodeConfig) -> Result<Self, Error> {
        let mut node = Self::spawn(config)?;
        node.wait_ready()?;
        Ok(node)
    }

    /// Writes the configuration and starts nothing.
    ///
    /// # Errors
    /// When there is no port or no room.
    pub fn prepare(config: &NodeConfig) -> Result<Self, Error> {
        Self::prepare_as("the node", ports::free()?, config)
    }

    /// As [`Self::prepare`], with a name for people and the port that clients are to find it at.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub fn prepare_as(name: &str, rcp_port: u16, config: &NodeConfig) -> Result<Self, Error> {
        let folder = tempfile::tempdir().map_err(Error::io("a temporary folder"))?;
        let mut node = Self {
            name: name.to_owned(),
            folder,
            rcp_port,
            admin_addr: SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()?)),
            child: None,
        };
        node.reconfigure(rcp_port, config)?;
        Ok(node)
    }

    /// Gives a node that does not run another port for clients, and another configuration.
    ///
    /// # Errors
    /// When the configuration cannot be written.
    pub fn reconfigure(&mut self, rcp_port: u16, config: &NodeConfig) -> Result<(), Error> {
        self.rcp_port = rcp_port;
        let config = config
            .clone()
            .with("network.bind_addr", &self.addr().to_string())
            .with("metrics.bind_addr", &self.admin_addr.to_string())
            .with("storage.data_dir", &self.data_dir().display().to_string());
        let written = std::fs::write(self.config_path(), config.to_yaml());
        written.map_err(Error::io("the configuration"))
    }

    /// Changes a key in the configuration of a node, which may run: it has to be told to read the file again.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn change_key(&self, key: &str, value: &str) -> Result<(), Error> {
        let failed = || Error::io("the configuration");
        let text = std::fs::read_to_string(self.config_path()).map_err(failed())?;
        let changed = config::with_key(&text, key, value);
        std::fs::write(self.config_path(), changed).map_err(failed())
    }

    /// Starts the process again, without waiting for it.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn launch(&mut self) -> Result<(), Error> {
        let command = self.command()?;
        self.launch_as(command)
    }

    /// As [`Self::launch`], with the server's command line at the end of another one. That program
    /// is to become the server, so that the process is still the node.
    ///
    /// # Errors
    /// As [`Self::launch`].
    pub fn launch_under(&mut self, mut tool: Command) -> Result<(), Error> {
        let command = self.command()?;
        tool.arg(command.get_program()).args(command.get_args());
        for (name, _) in command.get_envs().filter(|(_, value)| value.is_none()) {
            tool.env_remove(name);
        }
        self.launch_as(tool)
    }

    fn launch_as(&mut self, mut command: Command) -> Result<(), Error> {
        let log = self.open_log()?;
        let errors = log.try_clone().map_err(Error::io("the log"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(Error::io("starting the node"))?;
        self.child = Some(child);
        Ok(())
    }

    /// Starts the process again and waits until the node serves. Returns how long that took.
    ///
    /// # Errors
    /// When it does not serve in time.
    pub fn restart(&mut self) -> Result<Duration, Error> {
        let begun = Instant::now();
        self.launch()?;
        self.wait_ready()?;
        Ok(begun.elapsed())
    }

    /// The server's command line with this node's configuration, and without environment variables that would
    /// change it.
    ///
    /// # Errors
    /// When there is no binary.
    pub fn command(&self) -> Result<Command, Error> {
        let mut command = server_command()?;
        command.arg("--config").arg(self.config_path());
        Ok(command)
    }

    /// Waits until the node answers PING and a linearizable read: it listens, and it leads.
    ///
    /// # Errors
    /// When it stops, or does not serve in time.
    pub fn wait_ready(&mut self) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            let reason = match self.probe() {
                Ok(()) => return Ok(()),
                Err(error) => error.to_string(),
            };
            let stopped = match self.child.as_mut().map(Child::try_wait) {
                None => Some("it was never started".to_owned()),
                Some(Ok(Some(status))) => Some(format!("it stopped with {status}")),
                Some(Ok(None) | Err(_)) => None,
            };
            if stopped.is_some() || begun.elapsed() > READY_TIMEOUT {
                return Err(Error::NotReady {
                    reason: stopped.unwrap_or(reason),
                    log: self.log_path(),
                    tail: self.log_tail(),
                });
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    fn probe(&self) -> Result<(), Error> {
        let mut connection = raw::RawConnection::connect(self.addr())?;
        connection.call("PING", &json!({}))?;
        connection.call("LIST_MACHINES", &json!({"limit": 1}))?;
        Ok(())
    }

    /// SIGKILL: the process ends between two of its instructions, whichever they are.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn kill(&mut self) -> Result<(), Error> {
        if let Some(mut child) = self.child.take() {
            child.kill().map_err(Error::io("SIGKILL"))?;
            child.wait().map_err(Error::io("waiting for the node"))?;
        }
        Ok(())
    }

    /// Sends a signal: TERM to end it, STOP and CONT to make it pause.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        let child = self.child.as_ref().ok_or(Error::Closed)?;
        kill_process(Pid::from_child(child), signal)
            .map_err(|error| Error::io(format!("{signal:?} to {}", self.name))(error.into()))
    }

    /// SIGTERM, then the exit status and how long it took.
    ///
    /// # Errors
    /// When the process does not end within [`SHUTDOWN_TIMEOUT`].
    pub fn stop(&mut self) -> Result<(ExitStatus, Duration), Error> {
        let begun = Instant::now();
        self.signal(Signal::TERM)?;
        let status = self.wait_exit(SHUTDOWN_TIMEOUT)?;
        Ok((status, begun.elapsed()))
    }

    /// Waits for the process to end.
    ///
    /// # Errors
    /// When it does not within `timeout`.
    pub fn wait_exit(&mut self, timeout: Duration) -> Result<ExitStatus, Error> {
        let begun = Instant::now();
        let child = self.child.as_mut().ok_or(Error::Closed)?;
        loop {
            if let Some(status) = child
                .try_wait()
                .map_err(Error::io("waiting for the node"))?
            {
                self.child = None;
                return Ok(status);
            }
            if begun.elapsed() > timeout {
                return Err(Error::Silent);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Whether the process was started, and has ended although the test did not end it.
    pub fn has_ended(&mut self) -> bool {
        let status = self.child.as_mut().map(Child::try_wait);
        matches!(status, Some(Ok(Some(_))))
    }

    /// The number of its process.
    pub fn process(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether it was started and not ended by the test.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Where clients reach it.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.rcp_port))
    }

    /// Where its metrics are.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// Its data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The folder of everything that belongs to it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("config.yaml")
    }

    /// What it wrote to standard output and standard error, over all its restarts.
    pub fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The log as text.
    pub fn log_text(&self) -> String {
        match std::fs::read(self.log_path()) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => error.to_string(),
        }
    }

    /// The end of the log.
    pub fn log_tail(&self) -> String {
        last_lines(&self.log_text(), TAIL_LINES)
    }

    fn open_log(&self) -> Result<File, Error> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .map_err(Error::io("the log"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Only try: there is nothing to do if this fails.
        let _ = self.kill();
        if std::thread::panicking() {
            eprintln!(
                "--- the end of {}'s log ---\n{}",
                self.name,
                self.log_tail()
            );
            if std::env::var_os(KEEP_VARIABLE).is_some() {
                eprintln!("--- kept: {} ---", self.folder.path().display());
                self.folder.disable_cleanup(true);
            }
        }
    }
}

/// The end of a text: at most this many lines.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// The server's command line without environment variables that would configure it. The variable for a
/// planted bug is kept.
///
/// # Errors
/// When there is no binary.
pub fn server_command() -> Result<Command, Error> {
    let mut command = Command::new(binaries::server()?);
    for (name, _) in std::env::vars_os() {
        let configures = name
            .to_str()
            .is_some_and(|name| name.starts_with("RSTMDB_") && name != planted::VARIABLE);
        if configures || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    Ok(command)
}
