//! The files of containers: their data, for checks after a run, and their logs.

use std::path::Path;
use std::time::Duration;

use super::ContainerCluster;
use super::docker::{COMMAND_TIMEOUT, docker};
use crate::Error;

/// How long the data of one node may take.
const COPY_TIMEOUT: Duration = Duration::from_secs(300);

impl ContainerCluster {
    /// Copies a node's data folder out of its volume; `into` is created. The container should be stopped or
    /// killed. A copy made while it writes can be a state that the folder never had.
    ///
    /// # Errors
    /// When there is no such container, or no room.
    pub fn copy_data(&self, node: u64, into: &Path) -> Result<(), Error> {
        std::fs::create_dir_all(into).map_err(Error::io("a folder for a node's data"))?;
        let from = format!("{}:/data/.", self.container(node)?);
        docker(&["cp", &from, &into.to_string_lossy()], COPY_TIMEOUT).map(drop)
    }

    /// Writes what a node has logged, over all restarts of its container, to a file. Without the names
    /// and times that compose puts before each line.
    ///
    /// # Errors
    /// When there is no such container, or no room.
    pub fn copy_log(&self, node: u64, into: &Path) -> Result<(), Error> {
        // A node logs to standard error, which docker keeps apart.
        let container = self.container(node)?;
        let command = r#"exec docker logs "$0" 2>&1"#;
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", command, &container]);
        let text = super::run(&mut shell, COMMAND_TIMEOUT)?;
        std::fs::write(into, text).map_err(Error::io("a node's log"))
    }
}
