//! The nodes as the containers of docker-compose.yml.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::Nodes;
use super::links::Links;
use super::processes::Processes;
use crate::Error;
use crate::cluster::containers::{ContainerCluster, Docker};

/// A cluster of containers.
#[derive(Debug)]
pub struct Containers {
    cluster: ContainerCluster,
}

impl Containers {
    /// Builds the image, starts the containers and waits until they are healthy.
    ///
    /// # Errors
    /// When there is no docker, or something cannot be built or started.
    pub fn start(nodes: u64) -> Result<Self, Error> {
        let docker = Docker::find().map_err(Error::Command)?;
        let cluster = ContainerCluster::prepare_with(docker, nodes)?;
        cluster.build()?;
        cluster.up()?;
        cluster.wait_healthy(&cluster.nodes())?;
        Ok(Self { cluster })
    }
}

impl Nodes for Containers {
    fn ids(&self) -> Vec<u64> {
        self.cluster.nodes()
    }

    fn addr(&self, id: u64) -> Result<SocketAddr, Error> {
        Ok(self.cluster.addr(id))
    }

    fn kill(&mut self, id: u64) -> Result<(), Error> {
        self.cluster.kill(id)
    }

    fn stop(&mut self, id: u64) -> Result<(), Error> {
        self.cluster.stop(id)?;
        let state = self.cluster.state(id)?;
        if state.exit_code == 0 {
            return Ok(());
        }
        Err(Error::Command(format!(
            "node {id} ended with {}",
            state.exit_code
        )))
    }

    fn start(&mut self, id: u64) -> Result<(), Error> {
        self.cluster.start(id)
    }

    fn pause(&mut self, id: u64) -> Result<(), Error> {
        self.cluster.pause(id)
    }

    fn resume(&mut self, id: u64) -> Result<(), Error> {
        self.cluster.unpause(id)
    }

    fn isolate(&mut self, id: u64) -> Result<(), Error> {
        self.cluster.disconnect(id)
    }

    fn rejoin(&mut self, id: u64) -> Result<(), Error> {
        self.cluster.connect(id)
    }

    /// Docker restarts a container that has ended. A node that ends again and again never agrees with the
    /// other nodes.
    fn has_ended(&mut self, _id: u64) -> Result<bool, Error> {
        Ok(false)
    }

    fn log(&self, id: u64) -> Result<String, Error> {
        self.cluster.logs(id)
    }

    fn data(&self, id: u64, into: &Path) -> Result<PathBuf, Error> {
        let folder = into.join(format!("node-{id}"));
        self.cluster.copy_data(id, &folder)?;
        Ok(folder)
    }

    fn links(&self) -> Option<&Links> {
        None
    }

    fn processes(&mut self) -> Option<&mut Processes> {
        None
    }
}
