//! The server as a process of its own, whose limits and memory are not those of the tests.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The program with few file descriptors, and a standard error that no process reads.
pub struct Program {
    child: Child,
    pub rcp: SocketAddr,
    dir: tempfile::TempDir,
}

impl Program {
    pub fn start(
        descriptors: u32,
        variables: &[(&str, &str)],
        reader: impl FnOnce(Box<dyn Read + Send>),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let limited = format!("ulimit -n {descriptors}; exec \"$0\"");
        let mut command = Command::new("sh");
        command
            .args(["-c", &limited, env!("CARGO_BIN_EXE_rstmdb")])
            .env_remove("RUST_LOG")
            .env("RSTMDB_DATA", dir.path())
            .env("RSTMDB_BIND", "127.0.0.1:0")
            .env("RSTMDB_METRICS_BIND", "127.0.0.1:0")
            .env("RSTMDB_HTTP_BIND", "none")
            .env("RSTMDB_WAL_SEGMENT_SIZE_MB", "1")
            .env("RSTMDB_MIN_FREE_MB", "0")
            .envs(variables.iter().copied())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let rcp = loop {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0, "it did not start");
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(address) = event["address"].as_str() {
                break address.parse().unwrap();
            }
        };
        reader(Box::new(lines));
        Self { child, rcp, dir }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of memory that it has.
    pub fn resident_bytes(&self) -> usize {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.id())).unwrap();
        let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    }

    pub fn data(&self) -> &Path {
        self.dir.path()
    }

    /// SIGTERM; the exit code.
    pub fn ended(self) -> Option<i32> {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
        self.ends()
    }

    /// Waits until it has ended by itself; the exit code.
    pub fn ends(mut self) -> Option<i32> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
