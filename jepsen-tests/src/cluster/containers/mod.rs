//! Three nodes as containers, by the repository's `docker-compose.yml`, or five with
//! `deploy/five-nodes.yml`: what a user starts, and what happens to machines and networks.
//!
//! Every [`ContainerCluster`] has its own project name, ports, network and volumes, so that two runs at the same
//! time do not meet; they share the image.

mod docker;
mod files;
mod image;
mod leftovers;
mod state;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::Error;
use crate::process::ports;
use docker::{COMMAND_TIMEOUT, docker, repository, run};
use image::{BUILD_TIMEOUT, Image, image};

pub use docker::Docker;
pub use state::ContainerState;

/// The ids of the nodes, unless there are to be five; the services are called `node1` and so on.
pub const NODES: [u64; 3] = [1, 2, 3];
/// The other number of nodes that there can be.
pub const MANY: u64 = 5;

/// How long creating, starting or removing everything may take. This includes the time in which nodes end.
const COMPOSE_TIMEOUT: Duration = Duration::from_secs(120);
/// How long until containers that start are healthy.
const HEALTHY_TIMEOUT: Duration = Duration::from_secs(60);
/// Interval between checks of health.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How much of each log is shown when a test fails.
const TAIL_LINES: &str = "40";

/// The containers. Dropping it removes them with their network and volumes; if the test is failing,
/// the ends of their logs are printed first.
#[derive(Debug)]
pub struct ContainerCluster {
    docker: Docker,
    project: String,
    /// RCP and admin HTTP of each node, from node 1 on.
    published: Vec<(u16, u16)>,
}

impl ContainerCluster {
    /// Chooses a project name and ports for [`NODES`], and starts nothing. Removes what killed tests have
    /// left.
    ///
    /// # Errors
    /// When there are no ports.
    pub fn prepare(docker: Docker) -> Result<Self, Error> {
        Self::prepare_with(docker, NODES.len() as u64)
    }

    /// As [`Self::prepare`], with three nodes or [`MANY`].
    ///
    /// # Errors
    /// As [`Self::prepare`], and for any other number.
    pub fn prepare_with(docker: Docker, nodes: u64) -> Result<Self, Error> {
        if nodes != NODES.len() as u64 && nodes != MANY {
            let what = format!("no compose file is for {nodes} nodes");
            return Err(Error::Command(what));
        }
        static COUNT: AtomicU32 = AtomicU32::new(0);
        leftovers::remove_of_dead_tests()?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut published = Vec::new();
        for _ in 0..nodes {
            published.push((ports::free()?, ports::free()?));
        }
        Ok(Self {
            docker,
            project: format!("{}{}-{count}", leftovers::PREFIX, std::process::id()),
            published,
        })
    }

    /// The ids of the nodes.
    pub fn nodes(&self) -> Vec<u64> {
        (1..=self.published.len() as u64).collect()
    }

    /// Makes the image, or finds that nothing has changed; see the module `image`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn build(&self) -> Result<(), Error> {
        match image(&self.docker)? {
            Image::There(_) => Ok(()),
            Image::ToBuild { .. } => self.compose(&["build", "node1"], BUILD_TIMEOUT).map(drop),
        }
    }

    /// Creates what is missing and starts all containers, without waiting for them.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn up(&self) -> Result<(), Error> {
        self.compose(&["up", "-d", "--no-build"], COMPOSE_TIMEOUT)
            .map(drop)
    }

    /// Stops and removes containers and network. The volumes stay.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn down(&self) -> Result<(), Error> {
        self.compose(&["down"], COMPOSE_TIMEOUT).map(drop)
    }

    /// Removes everything, volumes included. Kills the containers at once, because nothing of them is kept.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove(&self) -> Result<(), Error> {
        self.compose(&["down", "--volumes", "--timeout", "0"], COMPOSE_TIMEOUT)
            .map(drop)
    }

    /// What exists of this project: containers, volumes and networks, by id or name.
    ///
    /// # Errors
    /// When docker does not say.
    pub fn leftovers(&self) -> Result<Vec<String>, Error> {
        leftovers::of_project(&self.project)
    }

    /// Waits until these are healthy: they answer PING.
    ///
    /// # Errors
    /// When one is not in time.
    pub fn wait_healthy(&self, nodes: &[u64]) -> Result<(), Error> {
        let begun = Instant::now();
        for node in nodes {
            loop {
                let state = self.state(*node)?;
                if state.health == "healthy" && state.status == "running" {
                    break;
                }
                if begun.elapsed() > HEALTHY_TIMEOUT {
                    return Err(Error::Command(format!(
                        "node{node} is not healthy: {state:?}"
                    )));
                }
                std::thread::sleep(POLL_INTERVAL);
            }
        }
        Ok(())
    }

    /// Where clients on this machine reach a node.
    pub fn addr(&self, node: u64) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports_of(node).0))
    }

    /// Where admin HTTP of a node is reached from this machine.
    pub fn admin_addr(&self, node: u64) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports_of(node).1))
    }

    fn ports_of(&self, node: u64) -> (u16, u16) {
        let at = usize::try_from(node).ok().and_then(|id| id.checked_sub(1));
        match at.and_then(|at| self.published.get(at)) {
            Some(ports) => *ports,
            None => panic!("there is no node {node}, only {:?}", self.nodes()),
        }
    }

    /// SIGKILL. The container stays dead until [`Self::start`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&self, node: u64) -> Result<(), Error> {
        self.control(node, "kill")
    }

    /// SIGTERM, and SIGKILL when the container's grace is over.
    ///
    /// # Errors
    /// When there is no such container.
    pub fn stop(&self, node: u64) -> Result<(), Error> {
        self.control(node, "stop")
    }

    /// Starts a stopped container, without waiting for it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, node: u64) -> Result<(), Error> {
        self.control(node, "start")
    }

    /// [`Self::stop`], then [`Self::start`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn restart(&self, node: u64) -> Result<(), Error> {
        self.control(node, "restart")
    }

    /// Freezes all processes of a container.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&self, node: u64) -> Result<(), Error> {
        self.control(node, "pause")
    }

    /// Ends [`Self::pause`].
    ///
    /// # Errors
    /// When it is not paused.
    pub fn unpause(&self, node: u64) -> Result<(), Error> {
        self.control(node, "unpause")
    }

    fn control(&self, node: u64, what: &str) -> Result<(), Error> {
        docker(&[what, &self.container(node)?], COMMAND_TIMEOUT).map(drop)
    }

    /// Cuts a node off from the others, and from clients.
    ///
    /// # Errors
    /// When it is not connected.
    pub fn disconnect(&self, node: u64) -> Result<(), Error> {
        let container = self.container(node)?;
        let args = ["network", "disconnect", &self.network(), &container];
        docker(&args, COMMAND_TIMEOUT).map(drop)
    }

    /// Ends [`Self::disconnect`]; the node may get another IP address, under the same name.
    ///
    /// # Errors
    /// When it is connected.
    pub fn connect(&self, node: u64) -> Result<(), Error> {
        let container = self.container(node)?;
        let alias = format!("node{node}");
        let args = [
            "network",
            "connect",
            "--alias",
            &alias,
            &self.network(),
            &container,
        ];
        docker(&args, COMMAND_TIMEOUT).map(drop)
    }

    fn network(&self) -> String {
        format!("{}_default", self.project)
    }

    /// Everything a node has written to its log, over all restarts of its container.
    ///
    /// # Errors
    /// When there is no such container.
    pub fn logs(&self, node: u64) -> Result<String, Error> {
        self.compose(
            &["logs", "--no-color", &format!("node{node}")],
            COMMAND_TIMEOUT,
        )
    }

    /// Runs a command in a container; gives what it printed.
    ///
    /// # Errors
    /// When it does not succeed.
    pub fn exec(&self, node: u64, command: &[&str]) -> Result<String, Error> {
        let container = self.container(node)?;
        docker(&[&["exec", &container], command].concat(), COMMAND_TIMEOUT)
    }

    /// The id of a node's container, whatever this version of compose calls it.
    fn container(&self, node: u64) -> Result<String, Error> {
        let project = format!("label=com.docker.compose.project={}", self.project);
        let service = format!("label=com.docker.compose.service=node{node}");
        let args = [
            "ps",
            "-aq",
            "--no-trunc",
            "--filter",
            &project,
            "--filter",
            &service,
        ];
        let printed = docker(&args, COMMAND_TIMEOUT)?;
        match printed.trim() {
            "" => Err(Error::Command(format!("node{node} has no container"))),
            id => Ok(id.to_owned()),
        }
    }

    fn compose(&self, args: &[&str], timeout: Duration) -> Result<String, Error> {
        let mut command = self.docker.compose();
        self.set_environment(&mut command)?;
        command
            .arg("--project-name")
            .arg(&self.project)
            .arg("--file")
            .arg(repository().join("docker-compose.yml"));
        if self.published.len() > NODES.len() {
            let more = repository().join("deploy/five-nodes.yml");
            command.arg("--file").arg(more);
        }
        command.args(args);
        run(&mut command, timeout)
    }

    /// The variables of docker-compose.yml; nothing else of the environment may change the nodes.
    fn set_environment(&self, command: &mut Command) -> Result<(), Error> {
        for (name, _) in std::env::vars_os() {
            let configures = name
                .to_str()
                .is_some_and(|name| name.starts_with("RSTMDB_") || name == "RUST_LOG");
            if configures {
                command.env_remove(name);
            }
        }
        let image = image(&self.docker)?;
        for (node, (rcp, admin)) in self.nodes().into_iter().zip(&self.published) {
            command.env(format!("NODE{node}_PORT"), rcp.to_string());
            command.env(format!("NODE{node}_ADMIN_PORT"), admin.to_string());
            // Any free port: no test of containers speaks HTTP.
            command.env(format!("NODE{node}_HTTP_PORT"), "0");
        }
        command
            .env("RSTMDB_IMAGE", image.name())
            // As small as in the other tests, because the machine's disk may be almost full.
            .env("RSTMDB_MIN_FREE_MB", "16")
            .env("RUNTIME_IMAGE", &self.docker.runtime)
            // Half the time to build, and fast enough.
            .env("LTO", "off")
            .env("OPT_LEVEL", "0");
        if let Image::ToBuild { base } = &image {
            command.env("BUILD_IMAGE", base);
        }
        Ok(())
    }

    fn print_logs(&self) {
        let args = ["logs", "--no-color", "--tail", TAIL_LINES];
        match self.compose(&args, COMMAND_TIMEOUT) {
            Ok(logs) => eprintln!("--- the ends of the containers' logs ---\n{logs}"),
            Err(error) => eprintln!("--- cannot read the containers' logs: {error}"),
        }
    }
}

impl Drop for ContainerCluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
        if let Err(error) = self.remove() {
            eprintln!(
                "some containers of {} may not be removed: {error}",
                self.project
            );
        }
    }
}
