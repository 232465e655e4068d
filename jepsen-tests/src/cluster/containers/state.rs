//! What docker knows about a container.

use super::ContainerCluster;
use super::docker::{COMMAND_TIMEOUT, docker};
use crate::Error;

/// What docker knows about one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerState {
    /// `running`, `paused`, `exited`…
    pub status: String,
    /// `starting`, `healthy` or `unhealthy`.
    pub health: String,
    /// Of the last process that ended.
    pub exit_code: i32,
}

impl ContainerCluster {
    /// What docker knows about a container.
    ///
    /// # Errors
    /// When there is no such container.
    pub fn state(&self, node: u64) -> Result<ContainerState, Error> {
        const FORMAT: &str = "{{.State.Status}} {{.State.Health.Status}} {{.State.ExitCode}}";
        let container = self.container(node)?;
        let printed = docker(
            &["inspect", "--format", FORMAT, &container],
            COMMAND_TIMEOUT,
        )?;
        let mut words = printed.split_whitespace();
        let mut word = || words.next().map(str::to_owned);
        let state = (|| {
            Some(ContainerState {
                status: word()?,
                health: word()?,
                exit_code: word()?.parse().ok()?,
            })
        })();
        state.ok_or_else(|| Error::Command(format!("docker inspect printed {printed:?}")))
    }
}
