//! What a node's process uses, as `/proc` tells it.

use std::time::Duration;

use super::node::Node;
use crate::Error;

impl Node {
    /// The memory the process has in use now, in bytes.
    ///
    /// # Errors
    /// When it is not running.
    pub fn resident_bytes(&self) -> Result<u64, Error> {
        Ok(self.proc("status", "VmRSS:")? * 1024)
    }

    /// How many bytes the process has made the disk write since it started.
    ///
    /// # Errors
    /// When it is not running.
    pub fn disk_bytes_written(&self) -> Result<u64, Error> {
        self.proc("io", "write_bytes:")
    }

    /// The processor time of the process since it started: its own, and the kernel's on its behalf.
    ///
    /// # Errors
    /// When it is not running.
    pub fn cpu_time(&self) -> Result<Duration, Error> {
        /// The unit of these times in Linux since 2.6, on every machine.
        const TICK: Duration = Duration::from_millis(10);
        let (path, text) = self.proc_file("stat")?;
        // The name, in parentheses, may hold anything; user and system time are the 12th and 13th
        // field behind it.
        let fields = text.rsplit(')').next().unwrap_or_default();
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: Vec<u32> = ticks.filter_map(|ticks| ticks.parse().ok()).collect();
        match ticks.as_slice() {
            [user, system] => Ok(TICK * (user + system)),
            _ => Err(Error::Protocol(format!("{path} has no times"))),
        }
    }

    fn proc_file(&self, file: &str) -> Result<(String, String), Error> {
        let process = self.process().ok_or(Error::Closed)?;
        let path = format!("/proc/{process}/{file}");
        let text = std::fs::read_to_string(&path).map_err(Error::io(path.as_str()))?;
        Ok((path, text))
    }

    /// A number of a file of `/proc`.
    fn proc(&self, file: &str, name: &str) -> Result<u64, Error> {
        let (path, text) = self.proc_file(file)?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        number.ok_or_else(|| Error::Protocol(format!("{path} has no {name}")))
    }
}
